"""README can't drift from the program: its two commands, and every flag there is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from solver import cli

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def quick_start() -> str:
    """What stands under `## Quick start`, up to the next heading of its level."""
    [section] = re.findall(r"^## Quick start\n(.*?)(?=^## |\Z)", README.read_text(), re.DOTALL | re.MULTILINE)
    return section


def blocks(section: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def flags() -> list[str]:
    return [flag for action in cli.parser()._actions for flag in action.option_strings if flag.startswith("--")]


def test_quick_start_holds_exactly_two_blocks_and_both_are_bash():
    section = quick_start()
    assert [language for language, _ in blocks(section)] == ["bash", "bash"]
    assert section.count("```") == 4  # nothing fenced that the two do not cover


def test_the_first_block_runs_the_main_job_and_the_second_the_tests():
    (_, first), (_, second) = blocks(quick_start())
    assert re.search(r"python3?(\.\d+)? submission\.py\b", first)
    assert "pytest" in second


@pytest.mark.parametrize("number", [0, 1])
def test_each_block_makes_its_own_virtual_environment_and_is_valid_bash(number):
    block = blocks(quick_start())[number][1]
    assert re.search(r"-m venv\b.* \.venv\b|uv venv\b", block)
    subprocess.run(["bash", "-n"], input=block, text=True, check=True)


@pytest.mark.parametrize("flag", flags())
def test_every_flag_is_in_the_readme(flag):
    assert re.search(rf"(?<![\w-]){flag}(?![\w-])", README.read_text())


@pytest.mark.parametrize("flag", sorted(set(re.findall(r"submission\.py[^\n`|]*", README.read_text()))))
def test_the_readme_calls_the_program_with_flags_that_exist(flag):
    assert set(re.findall(r"(?<!\S)--[a-z-]+", flag)) <= set(flags())


def test_continuous_integration_runs_the_second_block_of_the_readme(tmp_path):
    """On a copy: the real blocks are exchanged for ones that only leave a trace, and an old environment goes."""
    (_, first), (_, second) = blocks(quick_start())
    text = README.read_text().replace(first, "touch first\n", 1).replace(second, "pwd > second\n", 1)
    (tmp_path / "README.md").write_text(text)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".venv").mkdir()
    script = Path(shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run"))
    assert os.access(script, os.X_OK)
    subprocess.run([script], cwd="/", check=True, timeout=30)
    assert (tmp_path / "second").read_text().strip() == str(tmp_path)
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / ".venv").exists()


def test_every_file_readme_names_is_there():
    """Paths in backticks, up to the first space: a page must not point to what was never written."""
    text = README.read_text()
    folders = "solver|weights|tests|notebooks"
    named = set(re.findall(rf"`((?:{folders})/[\w./-]+|[\w-]+\.txt|LICENSE)`", text))
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
