"""What a run's record tells against the solutions, on a run small enough to count by hand."""

from pathlib import Path
from typing import Any

import pytest

from solver import diagnose, history
from solver.core import Grid
from solver.record import Recorder, grid

VIEW = {"dihedral": 0, "colours": list(range(10)), "order": []}
RIGHT, NEAR, SHAPE, WRONG = [[1, 1]], [[1, 2]], [[1], [1]], [[5, 5]]
SOLUTIONS: dict[str, tuple[Grid, ...]] = {
    "first": (grid(RIGHT),),  # solved by the base model, three votes of four
    "later": (grid(RIGHT), grid(NEAR)),  # its first output is solved by the adapter alone, its second never
    "lost": (grid(RIGHT),),  # solved by the base model, voted away afterwards
    "untouched": (grid(RIGHT),),
    "unknown": (grid(RIGHT),),  # not a task of the run
}


def line(task_id: str, number: int, *tests: list[Any], seconds: float = 1.0) -> dict[str, Any]:
    """A result whose tests are given as candidates: the first two different ones are its attempts."""
    return {
        "kind": "result",
        "at": float(number),
        "round": number,
        "task_id": task_id,
        "attempts": [_first_two(found) for found in tests],
        "from_model": [2 for _ in tests],
        "candidates": [[{"grid": g, "logprob": -1.0, **VIEW} for g in found] for found in tests],
        "seconds": {"train": seconds, "sample": 0.5},
    }


def _first_two(found: list[Any]) -> list[Any]:
    distinct = [g for n, g in enumerate(found) if g not in found[:n]]
    return distinct[:2]


@pytest.fixture
def run(tmp_path: Path) -> history.History:
    with Recorder(tmp_path / "x.run", fresh=True) as recorder:
        recorder.write(
            {"kind": "run", "at": 0.0, "tests": {"first": 1, "later": 2, "lost": 1, "untouched": 1}}
            | {"config": {"rule": "flat"}}
        )
        recorder.write(line("first", 1, [RIGHT, RIGHT, RIGHT, WRONG]))
        recorder.write(line("later", 1, [NEAR, SHAPE], [WRONG, SHAPE]))
        recorder.write(line("lost", 1, [RIGHT, WRONG]))
        recorder.write(line("later", 3, [RIGHT, RIGHT, NEAR], [WRONG, SHAPE]))
        recorder.write(line("lost", 3, [WRONG, NEAR, WRONG, NEAR]))
    return history.load(tmp_path / "x.run")


def test_the_measures_are_those_counted_by_hand(run: history.History) -> None:
    m = diagnose.measure(run, SOLUTIONS)
    assert (m.tasks, m.outputs, m.placeholders) == (5, 6, 2)
    assert m.oracle == pytest.approx((1 + 0.5 + 1 + 0 + 0) / 5)  # "lost" had it in the first round
    assert m.shape_right == pytest.approx((1 + 1 + 1 + 0 + 0) / 5)
    assert m.cell_accuracy == pytest.approx((1 + (1 + 0) / 2 + 0.5 + 0 + 0) / 5)
    assert m.ranks == {"1": 2, "2": 0, "3": 1, "4": 0, "later": 0, "not found": 3}
    assert m.seconds == {"train": 5.0, "sample": 2.5}


def test_each_round_is_scored_as_if_it_had_been_the_last(run: history.History) -> None:
    base, adapter = diagnose.by_round(run, SOLUTIONS)
    assert (base.name, base.tasks, base.outputs_solved, base.gained, base.lost) == ("base model", 3, 2, 2, 0)
    assert (adapter.name, adapter.tasks, adapter.outputs_solved) == ("adapter", 2, 2)
    assert (adapter.gained, adapter.lost) == (1, 1)
    assert base.score == pytest.approx(2 / 5)
    assert adapter.score == pytest.approx(1.5 / 5)
    assert (base.seconds, adapter.seconds) == (4.5, 3.0)


def test_the_stages_tell_where_outputs_were_lost(run: history.History) -> None:
    assert list(diagnose.measure(run, SOLUTIONS).stages.values()) == [6, 4, 4, 3, 2, 2]


def test_statuses_follow_from_the_outputs(run: history.History) -> None:
    by_task: dict[str, list[diagnose.Output]] = {}
    for output in diagnose.outputs(run, SOLUTIONS):
        by_task.setdefault(output.task_id, []).append(output)
    assert {i: diagnose.status(found) for i, found in by_task.items()} == {
        "first": "solved",
        "later": "near miss",  # in part
        "lost": "near miss",  # among the candidates
        "untouched": "placeholder",
        "unknown": "placeholder",
    }


def test_the_reliability_table_counts_every_answer_once_and_in_its_bin(run: history.History) -> None:
    found = diagnose.outputs(run, SOLUTIONS)
    bins = diagnose.reliability(found)
    assert sum(b.outputs for b in bins) == sum(o.candidates > 0 for o in found)
    assert [(b.low, b.high, b.outputs) for b in bins] == [(0.2, 0.4, 2), (0.4, 0.6, 1), (0.6, 0.8, 1)]
    assert [b.vote for b in bins] == pytest.approx([(0.4 + 2 / 6) / 2, 0.5, 0.75])
    assert [b.right for b in bins] == [0.5, 0.0, 1.0]
    told = diagnose.measure(run, SOLUTIONS).calibration_error
    assert told == pytest.approx((2 * (0.5 - (0.4 + 2 / 6) / 2) + 0.5 + 0.25) / 4)


def test_without_solutions_there_is_nothing_to_measure(run: history.History) -> None:
    with pytest.raises(ValueError, match="no solutions came"):
        diagnose.measure(run, {})
