"""The pages can't drift from the program: commands and flags parse, files and names exist, pages stay short."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from solver import cli
from solver.__main__ import COMMANDS, main
from solver.clock import Deadline
from solver.config.presets import PRESETS
from solver.data.splits import SPLITS
from tests.support.each import each

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
SETTINGS = ROOT / "solver" / "config" / "settings.md"
PACKAGES = sorted(path.parent for path in (ROOT / "solver").glob("*/__init__.py"))
READMES = sorted([README, ROOT / "weights" / "README.md", *(ROOT / "solver").rglob("README.md")])
PAGES = [*READMES, SETTINGS, ROOT / "notebooks" / "results.md"]
LONGEST, LONGEST_OF_PACKAGES = 180, 60  # lines

every_page = each("page", PAGES, lambda path: str(path.relative_to(ROOT)))


def quick_start() -> str:
    """What stands under `## Quick start`, up to the next heading of its level."""
    [section] = re.findall(r"^## Quick start\n(.*?)(?=^## |\Z)", README.read_text(), re.DOTALL | re.MULTILINE)
    return section


def blocks(section: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """What stands in backticks outside of fenced blocks, on one line each, with blanks as single ones."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def commands(page: Path) -> list[str]:
    """Every command on a page, in backticks or on a line of a fenced block, without the comment after it."""
    text = page.read_text()
    lines = [
        line.split("  #")[0].strip() for _, block in blocks(text) for line in block.replace("\\\n", "").split("\n")
    ]
    return [said for said in [*spans(text), *lines] if re.search(r"\bpython[\d.]* (-m solver|submission\.py)\b", said)]


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def flags() -> list[str]:
    return [flag for action in cli.parser()._actions for flag in action.option_strings if flag.startswith("--")]


@cache
def help_of(*command: str) -> str:
    """What a command's `--help` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as ended:
        main([*command, "--help"], Deadline.after(0))
    assert ended.value.code == 0
    return printed.getvalue()


@cache
def words_of_the_code() -> set[str]:
    sources = [path for folder in ("solver", "tests") for path in (ROOT / folder).rglob("*.py")]
    return {word for path in sources for word in re.findall(r"\w+", path.read_text())}


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


@each("flag", flags())
def test_every_flag_is_on_the_page_of_settings(flag):
    assert flag in flags_in(SETTINGS.read_text())


@pytest.mark.slow
def test_every_command_on_a_page_is_known_and_so_are_its_flags():
    said = [(page, line) for page in PAGES for line in commands(page)]
    assert len(said) >= 20
    wrong = []
    for page, line in said:
        [(entry, rest)] = re.findall(r"python[\d.]* (-m solver|submission\.py)\b(.*)", line)
        name, *more = ["run"] if entry == "submission.py" else rest.split() or ["--help"]
        if name in ("COMMAND", "--help"):
            continue
        words = [name, *more[:1]] if more[:1] == ["pool"] else [name]  # the one command with a command of its own
        known = flags_in(help_of(*words)) if name in COMMANDS else set()
        if name not in COMMANDS or not flags_in(rest) <= known:
            wrong.append(f"{page.relative_to(ROOT)}: {line}")
    assert wrong == []


@every_page
def test_every_split_and_preset_in_a_command_exists(page):
    said = " ".join(commands(page))
    assert set(re.findall(r"--split ([\w-]+)", said)) <= set(SPLITS)
    assert set(re.findall(r"submission\.py.*?--preset ([\w-]+)", said)) <= set(PRESETS)


def test_continuous_integration_runs_the_second_block_of_the_readme_and_unsloth_s_own_code(tmp_path):
    """On a copy: the real blocks are exchanged for ones that only leave a trace, and an old environment goes."""
    (_, first), (_, second) = blocks(quick_start())
    leaves_its_name = 'printf \'#!/bin/sh\\necho "$(basename "$0") $PYTHONPATH $*" >> after\\n\''
    traces = [f"{leaves_its_name} > .venv/bin/{name}; chmod +x .venv/bin/{name}" for name in ("pip", "python")]
    made = "\n".join(["pwd > second", "mkdir -p .venv/bin", *traces, ""])
    text = README.read_text().replace(first, "touch first\n", 1).replace(second, made, 1)
    (tmp_path / "README.md").write_text(text)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "old").touch()
    script = Path(shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci" / "run"))
    assert os.access(script, os.X_OK)
    subprocess.run([script], cwd="/", check=True, timeout=30)
    assert (tmp_path / "second").read_text().strip() == str(tmp_path)
    assert not (tmp_path / "first").exists()
    assert not (tmp_path / ".venv" / "old").exists()
    installed, tested = (tmp_path / "after").read_text().splitlines()
    assert re.fullmatch(r"pip +install .*--target \.venv/unsloth -r requirements-unsloth\.txt", installed)
    assert re.fullmatch(r"python \.venv/unsloth -m pytest .*tests/system/test_unsloth_on_cpu\.py", tested)


@every_page
def test_every_file_a_page_names_is_there(page):
    """Paths in backticks, from the top or from the page on, and names of files below a package's page, or of tests.

    One at an earlier commit, as the page says, need not be there any more.
    """
    text = re.sub(r"`[^`]+` at commits?\b", "", page.read_text())
    folders = "solver|weights|tests|notebooks"
    named = {span for span in spans(text) if re.fullmatch(rf"(?:{folders})/[\w./-]*|[\w-]+\.(?:py|txt)|LICENSE", span)}
    below = page.parent.rglob("*.py") if page.is_relative_to(ROOT / "solver") else ()
    bare = {path.name for path in [*below, *(ROOT / "tests").rglob("test_*.py")]}
    assert [n for n in sorted(named - bare) if not (ROOT / n).exists() and not (page.parent / n).exists()] == []


@every_page
def test_every_link_on_a_page_leads_to_a_file(page):
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@each("page", READMES, lambda path: str(path.relative_to(ROOT)))
def test_a_readme_is_short(page):
    if page.is_relative_to(ROOT / "solver") or page == README:
        assert len(page.read_text().splitlines()) <= (LONGEST if page == README else LONGEST_OF_PACKAGES)


@each("package", PACKAGES, lambda path: path.name)
def test_a_package_s_page_names_its_files_and_the_tests_of_those_that_have_none_of_their_own(package):
    """A file has `tests/unit/PACKAGE/test_FILE.py`, or the item of the page that names it names another test, too."""
    text = (package / "README.md").read_text()
    items = re.split(r"^- |\n\n", text, flags=re.MULTILINE)
    own = {path.name.removeprefix("test_") for path in (ROOT / "tests" / "unit" / package.name).glob("test_*.py")}
    for path in sorted(package.glob("*.py")):
        if path.name != "__init__.py":
            naming = [item for item in items if f"`{path.name}`" in item]
            assert naming, f"{path.name} is not named"
            tested = path.name in own or any("`test_" in item or "/test_" in item for item in naming)
            assert tested or "cover all files" in text, f"which test covers {path.name}?"


@each("page", sorted((ROOT / "solver").rglob("README.md")), lambda path: path.parent.name)
def test_names_on_a_package_s_page_are_in_the_code(page):
    """Names of functions, settings and choices in backticks, so that none is left behind where it is renamed."""
    names = {said[1] for span in spans(page.read_text()) if (said := re.fullmatch(r"([A-Za-z_]\w*)(\(.*\))?", span))}
    assert sorted(names - words_of_the_code() - {"NAME"}) == []
