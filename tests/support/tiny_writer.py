"""A code model of some 50,000 random numbers with a tokenizer of single bytes: shows that the path runs, no more.

`told` makes it in a folder and asks it for programs and for generators; vLLM has one engine a process (`forked`).
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from solver.induction.writer import VllmWriter

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"


def make(folder: Path) -> Path:
    """A Hugging Face directory: Llama blocks, as BARC's models have, a byte-level tokenizer, a chat format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={byte: i for i, byte in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", chat_template=CHAT).save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(alphabet),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=8192,
        eos_token_id=0,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def generators(folder: Path, writer: VllmWriter) -> dict[str, list[str]]:
    """Way → at which filter each of two replies ended, `python -m solver generators` having asked this engine."""
    from solver.generators import command, prompts
    from solver.induction import writer as module

    module.VllmWriter = lambda *_: writer  # type: ignore[assignment, misc]  # a process has one engine
    failed = {}
    for way in prompts.WAYS:
        output = folder / f"{way}.json"
        flags = f"--samples 2 --shots 1 --reply 24 --pairs 10 --seconds 120 --unsafe-programs --way {way}".split()
        assert command.main(["--code-model", str(folder), "--output", str(output), *flags]) == 0
        *lines, summary = map(json.loads, output.with_suffix(".jsonl").read_text().splitlines())
        assert (summary["counts"]["asked"], summary["counts"]["kept"]) == (2, 0)
        failed[way] = [line["failed"] for line in lines]
    return failed


def told(folder: Path) -> dict[str, Any]:
    """What came of the replies of one engine."""
    from solver.clock import Deadline
    from solver.config.settings import InductionSettings, WriterSettings
    from solver.hardware.engine import prepare
    from solver.induction.forms import FORMS
    from solver.induction.induce import induce
    from solver.induction.sandbox.sandbox import Sandbox
    from solver.induction.writer import VllmWriter
    from solver.types import Pair, Task

    prepare(2)  # before transformers is imported, which asks the network otherwise
    settings = WriterSettings(context=8192, reply=24, cache_bytes=64 << 20, sequences=8)
    writer = VllmWriter(make(folder), settings)
    small = np.array([[1, 2]], dtype=np.uint8)
    task = Task("tiny", (Pair(small, small[:, ::-1].copy()),), (small,))
    ask = FORMS["barc"].question
    asked = [ask(task, 0)] * 3

    def written(*questions, seconds=120):
        return [reply and reply.text for reply in writer.write(questions, 5, Deadline.after(seconds))]

    first, again = written(*asked), written(*asked)
    long = ask(Task("long", (Pair(np.zeros((30, 30), dtype=np.uint8), small),) * 3, (small,)), 0)
    settled = InductionSettings(samples=4, form="barc")
    with Sandbox(unsafe=True) as sandbox:
        result = induce(task, writer, sandbox, settled, 0, Deadline.after(120))
    known = {
        "first": first,
        "again": again,
        "cached": writer.engine.cached / writer.engine.read,
        "late": written(*asked, seconds=0),
        "long": written(long, asked[0]),
        "room": writer.room(long),
        "pace": writer.replies.pace.step_seconds(1),
        "line": result.notes[0],
        "read": writer.tokenizer.decode(writer.tokens(asked[0])),
    }
    if find_spec("reasoning_gym"):
        known["generators"] = generators(folder, writer)
    return known
