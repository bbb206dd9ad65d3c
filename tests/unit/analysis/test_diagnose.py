"""What a run's record tells against the solutions, on a run small enough to count by hand."""

from pathlib import Path
from typing import Any

import pytest

from solver.analysis import diagnose, evaluate, history
from solver.data.codec import grid
from solver.runtime.recorder import Recorder
from solver.types import Grid

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
        "stage": number,
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
    assert m.oracle == pytest.approx((1 + 0.5 + 1 + 0 + 0) / 5)  # "lost" had it in the first stage
    assert m.shape_right == pytest.approx((1 + 1 + 1 + 0 + 0) / 5)
    assert m.cell_accuracy == pytest.approx((1 + (1 + 0) / 2 + 0.5 + 0 + 0) / 5)
    assert m.ranks == {"1": 2, "2": 0, "3": 1, "4": 0, "later": 0, "not found": 3}
    assert m.wall == 3.0
    assert m.spent == {"": {"start-up": 0.0, "train": 5.0, "sample": 2.5, "rest": -4.5}}


def test_each_device_s_seconds_are_told_by_stage_and_add_up_to_the_run_s(tmp_path: Path) -> None:
    with Recorder(tmp_path / "x.run", fresh=True) as recorder:
        recorder.write({"kind": "run", "at": 0.0, "tests": {"first": 1, "later": 2}})
        for device in ("cpu 0", "cpu 1"):
            recorder.write({"kind": "started", "at": 10.0, "device": device, "seconds": 9.0})
        shared = {"kind": "shared", "at": 20.0, "task_ids": ["first", "later"], "device": "cpu 1", "seconds": 4.0}
        recorder.write(shared)
        recorder.write(line("first", 1, [RIGHT, WRONG], seconds=5.0) | {"at": 40.0, "device": "cpu 1"})
        recorder.write({"kind": "end", "at": 50.0, "status": 0})
    run = history.load(tmp_path / "x.run")
    assert run.dropped == 0
    assert diagnose.spent(run) == {
        "cpu 0": {"start-up": 9.0, "shared": 0.0, "train": 0.0, "sample": 0.0, "rest": 41.0},
        "cpu 1": {"start-up": 9.0, "shared": 4.0, "train": 5.0, "sample": 0.5, "rest": 31.5},
    }
    assert diagnose.worked(run) == 9.5
    section = evaluate.spent_section(diagnose.measure(run, {"first": (grid(RIGHT),)}))
    assert section.columns == ("device", "start-up", "shared", "train", "sample", "rest", "in all")
    assert section.rows[1][3] == "5.0 s (10.0%)"


def test_what_an_engine_did_in_a_batch_counts_once_however_many_tasks_shared_it(tmp_path: Path) -> None:
    did = {"said_tokens": 90, "seconds": 2.0, "prompt_tokens": 400, "cached_tokens": 100, "adapters": 2}
    with Recorder(tmp_path / "x.run", fresh=True) as recorder:
        recorder.write({"kind": "run", "at": 0.0, "tests": {"first": 1, "later": 1}})
        for at, task_id, device, engine in (
            (1.0, "first", "cpu 1", did),
            (2.0, "later", "cpu 1", did),
            (3.0, "first", "cpu 0", did),
            (4.0, "later", "cpu 1", {**did, "seconds": 1.0}),
        ):
            number = 3 if at > 2 else 1
            recorder.write(line(task_id, number, [RIGHT, WRONG]) | {"at": at, "device": device, "engine": engine})
    run = history.load(tmp_path / "x.run")
    assert run.dropped == 0
    found = diagnose.engines(run)
    assert list(found) == ["cpu 0", "cpu 1"]
    assert found["cpu 1"] == {**{name: 2 * value for name, value in did.items()}, "seconds": 3.0}
    section = evaluate.engine_section(diagnose.measure(run, {"first": (grid(RIGHT),)}).engines)
    assert section.rows[1] == ("cpu 1", "180", "60", "800", "25.0%", "4", "0.00 s")


def test_each_stage_is_scored_as_if_it_had_been_the_last(run: history.History) -> None:
    base, adapter = diagnose.by_stage(run, SOLUTIONS)
    assert (base.name, base.tasks, base.outputs_solved, base.gained, base.lost) == ("base model", 3, 2, 2, 0)
    assert (adapter.name, adapter.tasks, adapter.outputs_solved) == ("adapter", 2, 2)
    assert (adapter.gained, adapter.lost) == (1, 1)
    assert base.score == pytest.approx(2 / 5)
    assert adapter.score == pytest.approx(1.5 / 5)
    assert (base.seconds, adapter.seconds) == (4.5, 3.0)


def test_the_stages_tell_where_outputs_were_lost(run: history.History) -> None:
    assert list(diagnose.measure(run, SOLUTIONS).reached.values()) == [6, 4, 4, 3, 2, 2]


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


def test_the_judge_s_attempts_are_counted_by_the_chance_it_gives_them(run: history.History) -> None:
    assert diagnose.measure(run, SOLUTIONS).judged == ()  # the run's rule is another
    found = diagnose.outputs(run, SOLUTIONS, "judge")
    answered = [output for output in found if output.candidates]
    assert all(0.0 < output.chance <= 1.0 for output in answered)  # type: ignore[operator]
    assert [output.chance for output in found if not output.candidates] == [None] * (len(found) - len(answered))
    bins = diagnose.judged(found)
    assert sum(b.outputs for b in bins) == len(answered)
    hits = [output.rank is not None and output.rank <= 2 for output in answered]
    assert sum(b.right * b.outputs for b in bins) == pytest.approx(sum(hits))


def test_without_solutions_there_is_nothing_to_measure(run: history.History) -> None:
    with pytest.raises(ValueError, match="no solutions came"):
        diagnose.measure(run, {})


def searched(task_id: str, at: float, *tests: list[Any], attempts: Any = None) -> dict[str, Any]:
    """A search for programs whose answers to each test input are given, the best first."""
    program = {"text": "a program", "cost": 3.0, "generalises": 1.0, "support": 1}
    found = [[{"grid": g, "program": program | {"cost": 3.0 + n}} for n, g in enumerate(test)] for test in tests]
    given = attempts or [[*_first_two(test), WRONG, SHAPE][:2] for test in tests]
    told = {"attempts": given, "from_model": [0 for _ in tests], "from_programs": [min(2, len(t)) for t in tests]}
    return {"kind": "result", "at": at, "stage": 0, "task_id": task_id, "candidates": found} | told


@pytest.fixture
def both(tmp_path: Path) -> history.History:
    """Four tasks: solved by both minds, by programs, by the model, by none; beside a GPU, so in any order of time."""
    with Recorder(tmp_path / "x.run", fresh=True) as recorder:
        start = {"kind": "run", "at": 0.0, "tests": dict.fromkeys(("a", "b", "c", "d"), 1), "config": {"rule": "flat"}}
        recorder.write(start)
        recorder.write(searched("a", 0.1, [RIGHT]))
        recorder.write(line("a", 1, [RIGHT, RIGHT, WRONG]) | {"attempts": [[RIGHT, WRONG]]})
        recorder.write(line("b", 1, [WRONG, WRONG, NEAR]))
        recorder.write(line("c", 1, [RIGHT, NEAR]))
        recorder.write(line("b", 3, [WRONG, WRONG, NEAR]))
        recorder.write(searched("b", 4.0, [SHAPE, RIGHT], attempts=[[SHAPE, WRONG]]))
        recorder.write(searched("c", 4.1, [WRONG], attempts=[[WRONG, RIGHT]]))
        recorder.write(searched("d", 4.2, []))
    return history.load(tmp_path / "x.run")


TRUTH: dict[str, tuple[Grid, ...]] = {name: (grid(RIGHT),) for name in ("a", "b", "c", "d", "e")}


def test_the_overlap_of_the_two_minds_is_over_all_tasks(both: history.History) -> None:
    found = diagnose.measure(both, TRUTH).overlap
    assert found == diagnose.Overlap(tasks=5, both=1, only_programs=1, only_model=1, neither=2, together=2)
    assert found is not None
    assert found.shared == 0.5
    assert diagnose.Overlap(5, 0, 0, 1, 4, 1).shared is None


def test_a_run_without_programs_has_no_overlap(run: history.History) -> None:
    assert diagnose.measure(run, SOLUTIONS).overlap is None


def test_programs_found_late_count_in_their_own_row_for_what_they_are(both: history.History) -> None:
    rows = diagnose.by_stage(both, TRUTH)
    assert [(row.name, row.tasks, row.outputs_solved, row.gained, row.lost) for row in rows] == [
        ("programs", 4, 2, 2, 0),
        ("base model", 3, 2, 1, 1),  # with the vote's answer beside it, the program's second one is no attempt
        ("adapter", 1, 2, 0, 0),
    ]


def test_the_vote_is_measured_by_itself_beside_programs(both: history.History) -> None:
    outputs = {o.task_id: o for o in diagnose.outputs(both, TRUTH)}
    assert (outputs["c"].vote, outputs["c"].voted, outputs["c"].first, outputs["c"].rank) == (0.5, True, False, 2)
    assert (outputs["b"].from_model, outputs["b"].from_programs) == (0, 2)
    assert diagnose.measure(both, TRUTH).placeholders == 2
