"""The table of switches: nothing the recipes allow is missing from it, and nothing in it is made up."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import fields
from operator import attrgetter
from pathlib import Path

import pytest

from solver.analysis.switches import SWITCHES, table
from solver.config import settings
from solver.config.settings import (
    Config,
    DataRecipe,
    InductionSettings,
    NearSettings,
    ProgramSettings,
    SearchSettings,
    TrainRecipe,
)
from solver.voting.rules import RULES

TESTS = Path(__file__).resolve().parents[2]
ALLOWED = {  # what each setting of several values may be
    "train.data.form": settings.FORMS,
    "train.data.transformations": settings.TRANSFORMATIONS,
    "train.data.sides": settings.SIDES,
    "train.data.loss": settings.LOSSES,
    "train.scope": settings.SCOPES,
    "train.targets": (*settings.TARGETS, *settings.EMBEDDINGS),
    "train.bits": settings.BITS,
    "near.by": settings.LIKENESSES,
    "rule": tuple(RULES),
}


MACHINERY = {  # settings of the clock, the engine and the run, which are no choices of the method
    *("time_limit", "seed", "format", "group", "train_share", "reserve", "minimum", "cost", "quick_cost", "engine"),
    *("near.library", "near.content"),
    *(f"induction.{name}" for name in ("model", "content", "seconds", "memory", "unsafe", "writer")),
}


def test_every_choice_of_the_method_has_a_switch():
    named = {s.setting for s in SWITCHES}
    parts = {"train.data": DataRecipe, "train": TrainRecipe, "search": SearchSettings, "near": NearSettings}
    parts |= {"programs": ProgramSettings, "induction": InductionSettings}
    every = {f"{part}.{field.name}" for part, kind in parts.items() for field in fields(kind)}
    every |= {field.name for field in fields(Config)}
    assert every - MACHINERY - set(parts) == named


def test_every_value_a_setting_may_have_is_in_the_table_once():
    listed = defaultdict(list)
    for switch in SWITCHES:
        listed[switch.setting].append(switch.value)
    for setting, values in ALLOWED.items():
        assert sorted(map(str, listed[setting])) == sorted(map(str, values)), setting
    assert all(len(values) == 1 for setting, values in listed.items() if setting not in ALLOWED)


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda s: f"{s.setting}={s.value}")
def test_every_switch_is_a_setting_with_a_source_and_a_test_that_is_there(switch):
    attrgetter(switch.setting)(Config())
    assert switch.meaning
    assert switch.source
    file, _, name = switch.test.partition("::")
    assert re.search(rf"^def {name}\(", (TESTS / file).read_text(), re.MULTILINE), switch.test


def test_defaults_come_from_the_config():
    defaults = {(s.setting, s.value): s.default for s in SWITCHES}
    assert defaults["train.data.form", "leave-one-out"] == "yes"
    assert defaults["train.data.form", "end-to-end"] == ""
    assert defaults["train.data.transformations", "colours"] == "yes"
    assert defaults["train.data.transformations", "chains"] == ""
    assert defaults["train.examples", None] == str(Config().train.examples)
    assert defaults["train.data.leave_two_out", True] == ""


def test_the_table_has_a_line_for_every_switch():
    lines = table().splitlines()
    assert len(lines) == 2 + len(SWITCHES)
    assert all(line.count(" | ") == 5 for line in lines if not line.startswith("|---"))


def test_the_page_of_settings_has_the_table_as_it_is_now():
    page = (TESTS.parent / "solver" / "config" / "settings.md").read_text()
    assert f"\n\n{table()}\n" in page, "put what `python -m solver switches` prints into solver/config/settings.md"
