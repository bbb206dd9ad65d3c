"""The writer around vLLM: one run of the whole path with a model that knows nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from solver.config.settings import WriterSettings
from solver.induction.barc_form import CLOSING, SYSTEM
from solver.types import BadInput

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.engine
def test_programs_are_sampled_from_a_model_with_its_own_tokenizer_and_chat_format(tmp_path):
    """The model is random, so that it says no program: what holds is that it was asked, heard and counted."""
    command = [sys.executable, "-m", "tests.support.tiny_writer", str(tmp_path / "model")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert all(isinstance(text, str) and text for text in told["first"])
    assert len(set(told["first"])) == 3  # equal questions, each with a seed of its own
    assert told["again"] == told["first"]
    assert told["late"] == [None] * 3
    assert told["long"][0] is None
    assert isinstance(told["long"][1], str)
    assert told["room"] < 0
    assert told["cached"] > 0.5  # of the prompts' tokens: five in six questions were read before
    assert told["pace"] > 0
    assert told["line"] == "programs: 4 asked for, 4 written, 0 with a program, 0 run, 0 reproduce every demonstration"
    assert told["read"].startswith(f"<system>{SYSTEM}<user>Given")
    assert told["read"].endswith(f"{CLOSING}<assistant>")


def test_replies_longer_than_the_context_are_refused():
    with pytest.raises(BadInput, match="expected fewer than the context's"):
        WriterSettings(context=100, reply=100)
