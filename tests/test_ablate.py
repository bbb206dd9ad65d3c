"""Variants: what each changes, what a run of several does with stand-in runs, and what is refused before the first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from fakes import RULES as TASK_RULES
from fakes import STACK, TASKS
from test_replay import challenges

from solver import ablate, answers, record
from solver.cli import Plan
from solver.clock import Deadline
from solver.config import PRESETS
from solver.core import Candidate, Grid, Task, View
from solver.examples import build
from solver.vote import RULES

WRONG = np.array([[9, 9, 9, 9, 9]], np.uint8)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_ttt_changes_the_training_and_nothing_else(preset):
    full, without = PRESETS[preset], ablate.VARIANTS["no-ttt"](PRESETS[preset])
    assert without.train.steps == 0
    assert asdict(replace(without, train=full.train, train_share=full.train_share)) == asdict(full)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", [n for n in ablate.VARIANTS if n not in ("full", "no-ttt", "qlora")])
def test_a_variant_of_the_data_changes_the_examples_and_no_other_setting(name, preset):
    full, other = PRESETS[preset], ablate.VARIANTS[name](PRESETS[preset])
    assert other.train.data != full.train.data
    assert replace(other, train=replace(other.train, data=full.train.data)) == full
    before, after = (build(STACK, config.train, 0, 1024) for config in (full, other))
    assert [(e.tokens.tolist(), e.loss.tolist()) for e in before] != [
        (e.tokens.tolist(), e.loss.tolist()) for e in after
    ]


def test_qlora_changes_the_bits_of_the_base_weights_alone():
    other = ablate.VARIANTS["qlora"](PRESETS["h200"])
    assert replace(other, train=replace(other.train, bits=16)) == PRESETS["h200"]


def test_the_papers_variants_are_all_there_and_every_rule_can_be_voted_by():
    assert set(ablate.PAPER) <= {*ablate.VARIANTS, *ablate.REPLAYS}
    assert set(ablate.REPLAYS.values()) == {*RULES, "oracle"}
    assert not set(ablate.VARIANTS) & set(ablate.REPLAYS)


@dataclass
class FakeRun:
    """A `Run` that answers each test input by its task's rule in one view of three, and records that."""

    plan: Plan
    deadline: Deadline

    def execute(self) -> int:
        ran.append(self.plan.output.stem)
        if self.plan.output.stem in broken:
            return 130
        file = answers.AnswerFile(self.plan.output, self.plan.task_set.tests)
        file.start(answers.placeholders_for(self.plan.task_set))
        with record.Recorder(record.directory_of(self.plan.output), fresh=True) as recorder:
            for task in self.plan.task_set.tasks:
                found = [self._candidates(task, cells) for cells in task.tests]
                saved = [[record.candidate_to_json(c) for c in them] for them in found]
                result = {"kind": "result", "task_id": task.id, "candidates": saved}
                recorder.write({**result, "seconds": {"train": 1.5, "sample": 0.5}})
                file.fill(task.id, [(them[0].grid, them[1].grid) for them in found])
        return 0

    def _candidates(self, task: Task, cells: Grid) -> list[Candidate]:
        right = TASK_RULES[task.id](cells) if self.plan.config.train.steps else cells
        grids = (right, WRONG, WRONG)
        return [Candidate(shown, View(at), -1.0 - at) for at, shown in enumerate(grids)]


ran: list[str] = []
broken: set[str] = set()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two sources, as arguments: two tasks of three test inputs, and one task of one."""
    ran.clear()
    broken.clear()
    monkeypatch.setattr(ablate, "Run", FakeRun)
    made = []
    for name, shown in (("two", TASKS[:2]), ("one", TASKS[2:])):
        right = {t.id: [TASK_RULES[t.id](cells).tolist() for cells in t.tests] for t in shown}
        (tmp_path / f"{name}.json").write_text(json.dumps(challenges(list(shown))))
        (tmp_path / f"{name}_solutions.json").write_text(json.dumps(right))
        made += ["--tasks", str(tmp_path / f"{name}.json"), str(tmp_path / f"{name}_solutions.json")]
    return [*made, "--output", str(tmp_path / "runs" / "o.json")]


def column(printed: str, name: str, place: int) -> list[str]:
    """A column of a variant's lines, one a table."""
    return [line.split(" | ")[place] for line in printed.splitlines() if line.startswith(f"| {name} |")]


def test_one_call_covers_several_sources_with_a_table_over_all_and_one_each(files, tmp_path, capsys):
    assert ablate.main([*files, "--variants", "full", "no-ttt", "vote-none", "vote-flat", "oracle"]) == 0
    printed = capsys.readouterr().out
    assert ran == ["full", "no-ttt"]
    assert column(printed, "full", 1) == ["4 of 4", "3 of 3", "1 of 1"]
    assert column(printed, "no-ttt", 1) == ["0 of 4", "0 of 3", "0 of 1"]
    assert column(printed, "vote-flat", 1) == ["4 of 4", "3 of 3", "1 of 1"]
    assert column(printed, "vote-flat", 4) == ["0.0%", "0.0%", "0.0%"]  # two views of three are wrong
    assert column(printed, "vote-none", 4) == ["100.0%", "100.0%", "100.0%"]
    assert column(printed, "oracle", 4) == ["100.0%", "100.0%", "100.0%"]
    assert column(printed, "no-ttt", 5) == ["0 of 4", "0 of 3", "0 of 1"]
    assert column(printed, "full", 6) == ["2.0", "2.0", "2.0"]
    assert column(printed, "no-ttt", 7) == ["+0 −4", "+0 −3", "+0 −1"]
    assert printed.splitlines()[-1].startswith("Seed 0; minutes: full 0.0, no-ttt 0.0.")
    assert (tmp_path / "runs" / "table.md").read_text() in printed


def test_a_variant_that_has_finished_is_not_run_again_and_the_table_is_the_same(files, tmp_path, capsys):
    call = [*files, "--variants", "full", "no-ttt", "oracle"]
    broken.add("no-ttt")
    assert ablate.main(call) == 130
    broken.clear()
    assert ablate.main(call) == 0
    assert ran == ["full", "no-ttt", "no-ttt"]
    first = (tmp_path / "runs" / "table.md").read_text()
    capsys.readouterr()
    assert ablate.main(call) == 0
    assert ran == ["full", "no-ttt", "no-ttt"]
    assert "== full: finished before, not run again" in capsys.readouterr().out
    assert (tmp_path / "runs" / "table.md").read_text() == first


@pytest.mark.parametrize("change", [["--seed", "1"], ["--time-limit", "9m"], ["--limit", "1"], ["--views", "3"]])
def test_a_variant_under_other_settings_is_run_again(files, change):
    assert ablate.main([*files, "--variants", "full"]) == 0
    assert ablate.main([*files, "--variants", "full", *change]) == 0
    assert ran == ["full", "full"]


def test_a_variant_whose_answers_were_changed_is_run_again(files, tmp_path):
    assert ablate.main([*files, "--variants", "full"]) == 0
    with (tmp_path / "runs" / "full.json").open("a") as file:
        file.write("\n")
    assert ablate.main([*files, "--variants", "full"]) == 0
    assert ran == ["full", "full"]


def test_a_limit_holds_for_each_source_and_ids_for_all_of_them(files, capsys):
    assert ablate.main([*files, "--variants", "full", "--limit", "1"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["2 of 2", "1 of 1", "1 of 1"]
    assert ablate.main([*files, "--variants", "full", "--task-ids", "stack", "single"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["3 of 3", "2 of 2", "1 of 1"]
    assert ablate.main([*files, "--variants", "full", "--task-ids", "stack"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["2 of 2"]


def test_no_solution_is_written_by_the_oracle(files, tmp_path):
    assert ablate.main([*files, "--variants", "no-ttt", "full", "oracle"]) == 0
    written = {p.name for p in (tmp_path / "runs").iterdir()}
    assert "oracle.json" not in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "no-ttt", "oracle"], "--variants is 'oracle': expected full to be among them"),
        (["--split", "comparison"], "--tasks is '--split': expected no --split beside it: name that source with"),
        (["--tasks", "a", "b", "c"], "--tasks is 'a b c': expected an embedded set, or a challenges file and its"),
        (["--tasks", "no-such-split"], 'unknown split "no-such-split"'),
        (
            ["--variants", "qlora", "--devices", "cpu"],
            "bits is 4: expected 16, as there is no CUDA GPU to hold 4-bit weights",
        ),
        (["--task-ids", "stak"], 'unknown task id "stak"'),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_before_anything_runs(files, capsys, arguments, message):
    assert ablate.main([*files, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert ran == []


def test_a_task_in_two_sources_is_refused(files, capsys):
    assert ablate.main([*files, *files[:3]]) == 2
    assert "expected each once; leave one of them out" in capsys.readouterr().err
    assert ran == []


def test_a_set_without_solutions_is_refused(capsys, tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"00000000": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}}')
    assert ablate.main(["--challenges", str(file), "--output", str(tmp_path / "o.json")]) == 2
    assert "--solutions" in capsys.readouterr().err


def test_challenges_and_solutions_still_come_by_their_own_flags(files, tmp_path, capsys):
    single = ["--challenges", files[1], "--solutions", files[2], *files[-2:]]
    assert ablate.main([*single, "--variants", "full"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["3 of 3"]
