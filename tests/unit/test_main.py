"""The command line: its commands, and what becomes of the names they had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import solver
from solver import __main__ as command
from solver.clock import Deadline
from tests.support.runs import processor_seconds

ROOT = Path(__file__).resolve().parents[2]


HEAVY = {"torch", "transformers", "peft", "vllm"}


def call(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)


def helped(*name: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """The help of a command, and the modules it loaded; the quickest of three is to take a processor's second."""
    spent = []
    while not spent or (spent[-1] >= 1.0 and len(spent) < 3):
        began = processor_seconds()
        done = call("-X", "importtime", "-m", "solver", *name, "--help")
        spent.append(processor_seconds() - began)
    assert spent[-1] < 1.0, spent
    return done, {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


@pytest.mark.parametrize("name", command.COMMANDS)
def test_every_command_is_a_function_of_its_module(name):
    assert callable(command.command(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", command.COMMANDS)
def test_the_help_of_every_command_comes_in_a_second_and_loads_no_model(name):
    done, loaded = helped(name)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: ")
    assert not HEAVY & loaded


def test_help_lists_every_command_in_a_second_and_loads_none_of_them():
    done, loaded = helped()
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")] == list(command.COMMANDS)
    assert not {"numpy", "torch"} & loaded


@pytest.mark.parametrize("words", [[], ["evaluation"], ["--version"]])
def test_an_unknown_command_is_refused_in_a_line_that_names_the_known_ones(words, capsys):
    assert command.main(words, Deadline.after(0)) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert all(name in line for name in command.COMMANDS)


@pytest.mark.parametrize("old", sorted(solver._COMMANDS))
def test_a_command_by_its_old_name_ends_with_a_line_that_says_the_new_one(old):
    done = call("-m", f"solver.{old}", "--help")
    new = solver._COMMANDS[old]
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: python -m solver.{old} is now: python -m solver {new}\n"
    assert new in command.COMMANDS


@pytest.mark.parametrize("name", ["show", "validate", "plan", "compare", "bench"])
def test_a_command_gets_what_comes_after_its_name(name):
    done = call("-m", "solver", name, "--help")
    assert done.returncode == 0
    assert "usage: python -m solver " in done.stdout


def test_run_is_the_entry_point():
    assert "usage: submission.py" in call("-m", "solver", "run", "--help").stdout
