"""A run directory reads as what happened: stages pooled, clocks joined, torn and unfinished runs as far as they go."""

import json
from pathlib import Path
from typing import Any

import pytest

from solver.analysis import history
from solver.runtime.recorder import Recorder
from solver.types import BadInput, stage_name
from tests.support import runs

VIEW = {"dihedral": 0, "colours": list(range(10)), "order": []}
GOOD, OTHER, THIRD = [[1]], [[2]], [[3, 3]]


def result(task_id: str, number: int, at: float, first: Any = GOOD, second: Any = OTHER, **more: Any) -> dict[str, Any]:
    found = [{"grid": first, "logprob": -0.1, **VIEW}, {"grid": second, "logprob": -2.0, **VIEW}]
    told = {"kind": "result", "at": at, "stage": number, "task_id": task_id, "attempts": [[first, second]]}
    told |= {"from_model": [2], "votes": [[1, 2]], "candidates": [found], "seconds": {"sample": 1.5}}
    return told | more


def written(directory: Path, *messages: dict[str, Any]) -> history.History:
    with Recorder(directory, fresh=True) as recorder:
        for message in messages:
            recorder.write(message)
    return history.load(directory)


START = {"kind": "run", "at": 0.0, "version": 1, "tests": {"a": 1, "b": 2}}


def test_every_task_of_the_run_has_a_story_even_if_nothing_became_of_it(tmp_path: Path) -> None:
    run = written(tmp_path / "x.run", START, result("a", 1, 2.0))
    assert {i: (s.tests, len(s.results)) for i, s in run.stories.items()} == {"a": (1, 1), "b": (2, 0)}
    assert run.stories["b"].answers == (None, None)
    assert (run.stories["a"].is_placeholder, run.stories["b"].is_placeholder) == (False, True)


def test_stages_are_pooled_and_the_last_result_s_attempts_stand(tmp_path: Path) -> None:
    story = written(tmp_path / "x.run", START, result("a", 1, 2.0), result("a", 3, 4.0, THIRD, GOOD)).stories["a"]
    assert [(number, c.grid.tolist()) for number, c in story.candidates(0)] == [
        (1, GOOD),
        (1, OTHER),
        (3, THIRD),
        (3, GOOD),
    ]
    assert [answer.votes for answer in story.ranked(0, "flat")] == [1, 2, 1]  # the adapter's order, all stages' counts
    assert story.answers[0] is not None
    assert story.answers[0][0].tolist() == THIRD
    assert story.seconds == {"sample": 3.0}


def test_each_task_bears_its_part_of_training_an_adapter_it_shares(tmp_path: Path) -> None:
    shared = {"kind": "shared", "at": 1.0, "task_ids": ["a", "b", "unknown"], "seconds": 30.0}
    run = written(tmp_path / "x.run", START, shared, result("a", 3, 2.0, seconds={"train": 2.0}))
    assert run.stories["a"].seconds == {"train": 2.0, "shared": 10.0}
    assert run.dropped == 0


def test_a_stage_recorded_twice_counts_once(tmp_path: Path) -> None:
    story = written(tmp_path / "x.run", START, result("a", 3, 2.0), result("a", 3, 4.0, THIRD)).stories["a"]
    assert [c.grid.tolist() for _, c in story.candidates(0)] == [THIRD, OTHER]


def test_a_resumed_run_goes_on_where_its_clock_stopped(tmp_path: Path) -> None:
    ended = {"kind": "end", "at": 6.0, "status": 0}
    run = written(tmp_path / "x.run", START, result("a", 1, 20.0), START, result("b", 1, 5.0), ended)
    assert run.stories["b"].results[0].at == 25.0
    assert (run.seconds, run.status) == (26.0, 0)


def test_an_unfinished_run_has_no_status(tmp_path: Path) -> None:
    assert written(tmp_path / "x.run", START, result("a", 1, 2.0)).status is None
    ended = {"kind": "end", "at": 3.0, "status": 0}
    assert written(tmp_path / "y.run", START, ended, START).status is None  # resumed, and not ended again


def test_failures_are_told_to_the_tasks_they_cost(tmp_path: Path) -> None:
    failure = {"kind": "failure", "at": 3.0, "stage": 3, "task_ids": ["b", "unknown"], "why": "killed"}
    run = written(tmp_path / "x.run", START, failure)
    assert [f.why for f in run.stories["b"].failures] == ["killed"]
    assert run.stories["a"].failures == ()
    assert len(run.failures) == 1


@pytest.mark.parametrize(
    "strange",
    [
        {"kind": "nonsense"},
        {"kind": "result", "stage": 1},
        result("a", 1, 2.0, attempts=[[[[10]], GOOD]]),
        result("a", 1, 2.0, attempts=7),
        result("a", 1, 2.0, seconds=None),
        result("a", 1, 2.0, candidates=[[{"grid": [[1], [1, 2]], "logprob": 0, **VIEW}]]),
        {"kind": "failure", "at": 1.0},
        {"kind": "shared", "at": 1.0, "task_ids": []},
    ],
)
def test_a_line_that_is_not_understood_is_counted_and_left_out(strange: dict[str, Any], tmp_path: Path) -> None:
    run = written(tmp_path / "x.run", START, strange, result("b", 1, 2.0))
    assert run.dropped == 1
    assert run.stories["a"].results == ()
    assert len(run.stories["b"].results) == 1


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_record_torn_anywhere_opens_with_what_is_whole(keep: float, tmp_path: Path) -> None:
    run = runs.of_split(tmp_path / "x.run", "dry-run", 6, views=4)
    whole = history.load(run)
    record = run / "record.jsonl"
    record.write_bytes(record.read_bytes()[: int(keep * record.stat().st_size)])
    torn = history.load(run)
    assert set(torn.stories) <= set(whole.stories)
    for task_id, story in torn.stories.items():
        assert [t.at for t in story.results] == [t.at for t in whole.stories[task_id].results][: len(story.results)]
    assert torn.dropped <= 1


def test_without_results_only_what_the_run_set_out_to_do_is_read(tmp_path: Path) -> None:
    run = runs.of_split(tmp_path / "x.run", "dry-run", 6, views=4)
    opened = history.load(run, results=False)
    assert opened.start == history.load(run).start
    assert all(story.task is not None and not story.results for story in opened.stories.values())


def test_what_the_record_never_reached_is_read_from_the_answer_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"b": [{"attempt_1": GOOD, "attempt_2": OTHER}, {"attempt_1": "?"}]}))
    first, second = written(tmp_path / "x.run", START).stories["b"].answers
    assert first is not None
    assert (first[0].tolist(), second) == (GOOD, None)


@pytest.mark.parametrize("results", [True, False])
def test_what_is_no_run_directory_is_refused(results: bool, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        history.load(tmp_path / "nowhere.run", results)


def searched(task_id: str, at: float, cell: int, **more: Any) -> dict[str, Any]:
    """A stage of programs that found one, as a run writes it down."""
    program = {"text": "a program", "cost": 3.0, "generalises": 1.0, "support": 2}
    found = [[{"grid": [[cell]], "program": program}]]
    return result(task_id, 0, at, [[cell]], OTHER, candidates=found, from_model=[1], from_programs=[1], **more)


def test_a_stage_of_programs_is_read_with_its_programs_and_adds_no_vote(tmp_path: Path) -> None:
    story = written(tmp_path / "x.run", START, searched("a", 1.0, 7), result("a", 3, 2.0)).stories["a"]
    assert [n for n, _ in story.candidates(0)] == [0, 3, 3]
    assert story.candidates(0)[0][1].program is not None
    assert [(a.grid.tolist(), a.votes) for a in story.ranked(0, "flat")] == [([[7]], 0), (GOOD, 1), (OTHER, 1)]
    assert [a.grid.tolist() for a in story.ranked(0, "flat", "model")] == [GOOD, OTHER]
    assert [a.grid.tolist() for a in story.ranked(0, "flat", "programs")] == [[[7]]]
    assert [a.grid.tolist() for a in story.ranked(0, "flat", last=0)] == [[[7]]]
    assert story.results[0].from_programs == (1,)
    assert (story.given(0)[1], story.sources(0, "flat")) == (0, ("model", "model"))  # those that stand


def test_stages_have_names_people_know() -> None:
    assert [stage_name(n) for n in (-1, 0, 1, 2, 3, 4, 6)] == [
        "induction",
        *("programs", "base model", "shared adapter", "adapter"),
        *("refinement 1", "refinement 3"),
    ]
