"""The page of settings: nothing the settings allow is missing from it, and nothing on it is made up."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import pytest

from solver.analysis import switches
from solver.cli import FLAGS
from solver.config import flags, settings, training
from solver.config.setting import Settings, entries, setting
from solver.config.settings import Config
from solver.voting.rules import RULES
from tests.support.each import each

TESTS = Path(__file__).resolve().parents[2]
ALLOWED = {  # what each choice of several values may be
    "train.data.form": get_args(training.Form),
    "train.data.transformations": get_args(training.Transformation),
    "train.data.sides": get_args(training.Sides),
    "train.data.loss": get_args(training.Loss),
    "train.scope": get_args(training.Scope),
    "train.targets": (*training.TARGETS, *training.EMBEDDINGS),
    "train.bits": (16, 4),
    "near.by": ("states", "gradients"),
    "induction.form": get_args(settings.AskedAs),
    "rule": tuple(RULES),
}
MACHINERY = {  # settings of the clock, the engine and the run, which are no choices of the method
    *("time_limit", "seed", "format", "group", "train_share", "reserve", "minimum"),
    *("near.library", "near.content"),
    *(f"induction.{name}" for name in ("model", "content", "seconds", "memory", "unsafe")),
}
CHOICES = [entry for entry in entries(Config) if switches.is_choice(entry)]
BY_PATH = {entry.path: entry for entry in entries(Config)}
TESTED = sorted({(entry.path, test) for entry in CHOICES for _, test in entry.basis.values() if test})


@cache
def defined_tests() -> set[str]:
    """The names of all tests there are."""
    sources = (file.read_text() for file in TESTS.rglob("test_*.py"))
    return {name for text in sources for name in re.findall(r"^def (test_\w+)\(", text, re.MULTILINE)}


def test_every_choice_of_the_method_has_a_source_and_all_else_has_none():
    groups = ("cost.", "quick_cost.", "engine.", "induction.writer.")
    others = {path for path, entry in BY_PATH.items() if not switches.is_choice(entry)}
    assert {path for path in others if not path.startswith(groups)} == MACHINERY


@each("entry", [*entries(Config), *FLAGS], lambda entry: entry.path)
def test_every_setting_and_flag_says_what_it_does(entry):
    assert len(entry.about.help) > 8


@each("entry", CHOICES, lambda entry: entry.path)
def test_every_choice_has_a_test_and_so_has_each_of_its_values(entry):
    choices, (source, test) = entry.about.choices, entry.basis[None]
    for value, told in choices.items():
        assert told
        assert entry.basis[value][0] or source
        assert entry.basis[value][1] or test
    assert choices or test


@each("path, name", TESTED)
def test_the_test_a_setting_names_is_there(path, name):
    assert f"test_{name}" in defined_tests(), f"{path}: test_{name}"


def test_a_closed_set_explains_exactly_the_values_its_type_and_its_users_know():
    assert {entry.path for entry in CHOICES if entry.about.choices} == set(ALLOWED)
    for path, values in ALLOWED.items():
        assert sorted(map(str, BY_PATH[path].about.choices)) == sorted(map(str, values)), path
        kind = re.findall(r"'[^']+'|\d+", str(BY_PATH[path].kind))
        assert len(kind) == len(values), path


def test_a_value_is_marked_as_the_default_where_it_is_or_is_among_it():
    rows = {tuple(line.split(" | ")[:2]): line.split(" | ")[2] for line in switches.choices().splitlines()}
    assert rows["| `train.data.form`", "`leave-one-out`"] == "yes"
    assert rows["| `train.data.form`", "`end-to-end`"] == ""
    assert rows["| `train.data.transformations`", "`colours`"] == "yes"
    assert rows["| `train.data.transformations`", "`chains`"] == ""
    assert rows["| `train.examples`", ""] == f"`{Config().train.examples}`"


@pytest.mark.parametrize("table", [switches.flags, switches.presets, switches.choices, switches.others])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(table):
    head, _, *rows = table().splitlines()
    assert rows
    assert {row.replace("\\|", "").count("|") for row in rows} == {head.count("|")}


def test_the_page_of_settings_is_up_to_date():
    assert switches.PAGE.read_text() == switches.page(), "run `python -m solver switches --write`"


def test_the_command_prints_the_page(capsys):
    assert switches.main([]) == 0
    assert capsys.readouterr().out == switches.page()


@dataclass(frozen=True)
class Made(Settings):
    """Settings that are made up."""

    whole: bool = setting(False, "whether it is whole", flag="--whole")
    share: float = setting(0.5, "100 % of it", flag="--share", metavar="S", fits=lambda s: s <= 1, expected="at most 1")
    names: tuple[str, ...] | None = setting(None, "its names", flag="--names", nargs="+")
    side: Literal["left", "right"] = setting("left", "its side", flag="--side")


def test_a_field_with_a_flag_is_all_a_flag_needs():
    parser = argparse.ArgumentParser()
    flags.add(parser, entries(Made), defaults=False)
    told = " ".join(parser.format_help().split())
    assert "--whole whether it is whole --share S 100 % of it" in told
    assert "its side: left, right" in told
    given = parser.parse_args(["--whole", "--share", "0.25", "--names", "a", "b"])
    flags.read(given, entries(Made))
    assert vars(given) == {"whole": True, "share": 0.25, "names": ("a", "b"), "side": None}
