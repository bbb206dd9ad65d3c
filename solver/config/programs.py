"""How programs are found: searched for, or written by a model.

Does not import: models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from solver.config.flags import absolute, seconds_or_none
from solver.config.setting import Settings, setting
from solver.config.sources import OURS, PAPER
from solver.types import BadInput

OFF = "induction is off: no code model was given (--code-model)"  # none is shipped


@dataclass(frozen=True)
class ProgramSettings(Settings):
    """How programs are searched for."""

    seconds: float = setting(
        10.0,
        "seconds of one core for each task's search for programs, whose best answer may take an attempt; 0: none",
        flag="--programs TIME",
        read=seconds_or_none,
        name="seconds for programs",
        fits=lambda seconds: 0 <= seconds < math.inf,
        expected="0 (no programs) or more",
        source=f"{PAPER}, which joins BARC's programs; this project's search",
        tested="a_trusted_program_has_the_first_attempt_and_the_vote_the_second",
    )
    nodes: int = setting(
        200_000,
        "uses of a primitive in each task's search for programs at most",
        name="nodes for programs",
        least=1,
        basis=(OURS, "a_search_gets_its_nodes_and_no_more_seconds_than_its_own_and_its_batch_s"),
    )


@dataclass(frozen=True)
class WriterSettings(Settings):
    """How the engine of the code model is built and sampled from. The defaults were not tuned."""

    context: int = setting(12288, "tokens of the longest question with its reply")
    reply: int = setting(2048, "tokens of a reply at most")
    cache_bytes: int = setting(4 << 30, "bytes of the key-value cache on a CPU; on a GPU vLLM takes what is free")
    sequences: int = setting(64, "replies in flight")
    dtype: str = setting("bfloat16", "type of its numbers")
    threads: int = setting(2, "threads of the CPU backend")
    temperature: float = setting(1.0, "1: samples from the model as it is")

    def refuse_contradictions(self) -> None:
        if not 0 < self.reply < self.context:
            came = f"replies of {self.reply} tokens in a context of {self.context} came"
            raise BadInput(f"{came}; expected fewer than the context's and at least 1; change one of them")


@dataclass(frozen=True)
class InductionSettings(Settings):
    """Whether and how programs are asked for."""

    model: str = setting(
        "",
        "folder of a Hugging Face checkpoint that writes programs, with its tokenizer; none: off",
        flag="--code-model DIR",
        read=absolute,
    )
    content: str = setting(
        "", "what its files' hash has to be, so that a run is not gone on with when another lies in its place"
    )
    samples: int = setting(
        64,
        "programs asked of the code model for each task",
        flag="--code-samples N",
        needs="--code-model",
        name="programs of the code model for a task",
        least=1,
        expected="at least 1; raise it, or give no code model",
        basis=("arXiv 2411.02272 (BARC)", "a_right_program_of_the_code_model_has_the_first_attempt"),
    )
    share: float = setting(
        0.25,
        "share of the run's seconds for the code model at most, its start included",
        name="share of the code model",
        fits=lambda share: 0 < share < 1,
        expected="one between 0 and 1",
        basis=(OURS, "it_never_has_more_than_its_share_of_the_time"),
    )
    seconds: float = setting(5.0, "wall seconds a program may take for all grids of its task")
    memory: int = setting(512 << 20, "bytes a program may add")
    unsafe: bool = setting(
        False,
        "run the code model's programs even where nothing can contain them",
        flag="--unsafe-programs",
        needs="--code-model",
    )
    writer: WriterSettings = field(default_factory=WriterSettings)

    def line(self) -> str:
        """What is going to happen, in words."""
        return f"induction: {self.samples} programs a task from {self.model}" if self.model else OFF
