"""Voting again from a run's directory: what is taken from the record, what is written, and how fast."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import history, replay
from solver.data import codec, tasks
from solver.data.codec import candidate_to_json
from solver.data.tasks import TaskSet
from solver.runtime import submission_file
from solver.runtime.placeholders import placeholders, placeholders_for, proven_for
from solver.runtime.record import CHALLENGES
from solver.runtime.recorder import Recorder
from solver.types import Candidate, Grid, Program, Task, View
from solver.voting.candidates import SOURCES, Ledger
from solver.voting.rules import RULES
from tests.support.fakes import MIRROR, STACK

RIGHT = np.array([[4, 4, 0], [4, 4, 0]], np.uint8)  # for the first test input of STACK


def candidate(cells: Grid, dihedral: int = 0, logprob: float = -1.0, scores: tuple[float, ...] = ()) -> Candidate:
    return Candidate(cells, View(dihedral), logprob, scores)


def task_set(shown: list[Task]) -> TaskSet:
    """These tasks as if read from a file."""
    inputs = {task.id: task.tests for task in shown}
    return TaskSet(tuple(shown), inputs, (), "made", "0")


def run_directory(folder: Path, shown: list[Task], results: list[tuple[str, int, list[list[Candidate]]]]) -> Path:
    """What a run leaves behind, as far as voting again needs it: (task, stage, candidates)."""
    with Recorder(folder, fresh=True) as recorder:
        (folder / CHALLENGES).write_text(codec.challenges(task_set(shown)))
        recorder.write({"kind": "run", "fingerprint": "none"})
        for task_id, number, found in results:
            saved = [[candidate_to_json(c) for c in them] for them in found]
            recorder.write({"kind": "result", "task_id": task_id, "stage": number, "candidates": saved})
    return folder


def voted(directory: Path, rule: str, output: Path) -> dict[str, list[dict[str, list[list[int]]]]]:
    assert replay.main([str(directory), "--rule", rule, "--output", str(output)]) == 0
    submission = json.loads(output.read_text())
    tests = tasks.load_challenges(directory / CHALLENGES).tests
    assert submission_file.validate(submission, tests) == []
    return submission


def test_each_rule_gives_its_own_answers_to_the_same_candidates(tmp_path, capsys):
    one, two = np.array([[1]], np.uint8), np.array([[2]], np.uint8)
    them = [candidate(one, 0, -3, (-1,)), candidate(two, 1, -2, (-1.5,)), candidate(two, 1, -2.5, (-1.5,))]
    directory = run_directory(tmp_path / "run", [MIRROR], [("mirror", 3, [them])])
    first = {rule: voted(directory, rule, tmp_path / f"{rule}.json")["mirror"][0]["attempt_1"] for rule in RULES}
    expected = {
        "judge": 2,
        "none": 1,
        "flat": 2,
        "hierarchical": 1,
        "logprob": 2,
        "product_of_experts": 1,
        "count_minus_nll": 2,
    }
    assert first == {rule: [[cell]] for rule, cell in expected.items()}
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path / 'judge.json'}: 1 tasks, voted on by judge"


def test_a_repeated_stage_counts_once_and_the_base_model_fills_what_the_adapters_leave(tmp_path):
    one, two = candidate(np.array([[1]], np.uint8)), candidate(np.array([[2]], np.uint8), 1)
    stages = [("mirror", 1, [[one]]), ("mirror", 3, [[two]]), ("mirror", 3, [[two, two]]), ("mirror", 1, [[one]])]
    directory = run_directory(tmp_path / "run", [MIRROR], stages)
    entry = voted(directory, "flat", tmp_path / "o.json")["mirror"][0]
    assert entry == {"attempt_1": [[2]], "attempt_2": [[1]]}
    [[found]] = replay.candidates_of(history.load(directory)).values()
    assert {n: [c.grid.tolist() for c in them] for n, them in found.items()} == {1: [[[1]]], 3: [[[2]], [[2]]]}


def _read(cells: Grid, dihedral: int) -> Candidate:
    """A candidate that was re-read under a view, which finds ones unlikely."""
    return candidate(cells, dihedral, -dihedral, (-float(cells.sum()),))


@pytest.mark.parametrize("rule", RULES)
def test_a_vote_by_the_runs_own_rule_gives_the_runs_own_answers(tmp_path, rule):
    draw = np.random.default_rng(1)
    results = [
        (
            task.id,
            number,
            [[_read(draw.integers(0, 2, (1, 2), np.uint8), d) for d in range(6)] for _ in task.tests],
        )
        for task in (MIRROR, STACK)
        for number in (1, 3, 4)
    ]
    tasks = task_set([MIRROR, STACK])
    ledger = Ledger([MIRROR, STACK], placeholders_for(tasks), rule, proven_for(tasks))
    for task_id, number, found in results:
        ledger.add(task_id, number, found)
    submission = voted(run_directory(tmp_path / "run", [MIRROR, STACK], results), rule, tmp_path / "o.json")
    for task in (MIRROR, STACK):
        own = [{"attempt_1": a.tolist(), "attempt_2": b.tolist()} for a, b in ledger.standing(task.id).attempts]
        assert submission[task.id] == own


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_goes_by_re_reading_is_refused_where_nothing_was_re_read(tmp_path, capsys, rule):
    """Where there is one answer alone, nothing is re-read, as there is nothing to choose."""
    one, two = (candidate(np.array([[cell]], np.uint8)) for cell in (1, 2))
    alike = run_directory(tmp_path / "alike", [MIRROR], [("mirror", 1, [[one, two]]), ("mirror", 3, [[one, one]])])
    assert voted(alike, rule, tmp_path / "o.json")["mirror"][0]["attempt_1"] == [[1]]
    divided = run_directory(tmp_path / "divided", [MIRROR], [("mirror", 3, [[one, two]])])
    plain = rule not in ("product_of_experts", "count_minus_nll")
    assert replay.main([str(divided), "--rule", rule]) == (0 if plain else 2)
    refused = (
        f"error: --rule is {rule!r}: {divided} has no candidates that were re-read: expected the directory of a run "
    )
    refused += "with --reread, or one of judge, none, flat, hierarchical, logprob\n"
    assert capsys.readouterr().err == ("" if plain else refused)
    assert (divided / f"{rule}.json").exists() == plain


def test_one_mind_alone_can_be_heard(tmp_path):
    one, two, three = (np.array([[n]], np.uint8) for n in (1, 2, 3))
    program = Candidate(three, View(), 0.0, program=Program("p", 3.0, 1.0))
    stages = [("mirror", 0, [[program]]), ("mirror", 3, [[candidate(one), candidate(one, 1), candidate(two, 2)]])]
    directory = run_directory(tmp_path / "run", [MIRROR], stages)
    written = {}
    for whose in SOURCES:
        assert replay.main([str(directory), "--rule", "flat", "--source", whose]) == 0
        name = "flat.json" if whose == "both" else f"flat-{whose}.json"
        written[whose] = list(json.loads((directory / name).read_text())["mirror"][0].values())
    assert written["both"] == [[[3]], [[1]]]
    assert written["model"] == [[[1]], [[2]]]
    assert written["programs"][0] == [[3]]


def test_tasks_and_test_inputs_without_candidates_get_the_placeholders_a_run_starts_with(tmp_path):
    directory = run_directory(tmp_path / "run", [MIRROR, STACK], [("stack", 3, [[candidate(RIGHT)], []])])
    submission = voted(directory, "hierarchical", tmp_path / "o.json")
    assert submission["stack"][0]["attempt_1"] == RIGHT.tolist()
    waiting = placeholders(STACK.tests, STACK.demonstrations)
    assert submission["stack"][1] == {f"attempt_{i + 1}": g.tolist() for i, g in enumerate(waiting[1])}
    assert [list(entry) for entry in submission["mirror"]] == [["attempt_1", "attempt_2"]]


def test_a_torn_line_costs_its_own_task_alone(tmp_path):
    answer = np.array([[9, 9, 9, 9]], np.uint8)  # no placeholder
    results = [("mirror", 3, [[candidate(answer)]]), ("stack", 3, [[candidate(answer)], []])]
    directory = run_directory(tmp_path / "run", [MIRROR, STACK], results)
    whole = (directory / "record.jsonl").read_bytes()
    (directory / "record.jsonl").write_bytes(whole[:-20])
    submission = voted(directory, "flat", tmp_path / "o.json")
    assert submission["mirror"][0]["attempt_1"] == answer.tolist()
    assert answer.tolist() not in submission["stack"][0].values()


def test_without_an_output_the_file_lies_in_the_directory_under_the_name_of_the_rule(tmp_path):
    directory = run_directory(tmp_path / "run", [MIRROR], [])
    assert replay.main([str(directory)]) == 0
    assert (directory / "judge.json").is_file()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "--rule", "best"], f"error: --rule is 'best': expected one of {', '.join(RULES)}\n"),
        (["none"], "error: none/challenges.json cannot be read"),
        (["bare"], "error: bare/record.jsonl cannot be read (No such file or directory): expected the directory of a"),
    ],
)
def test_what_cannot_be_replayed_is_said_in_one_line(tmp_path, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(tmp_path)
    run_directory(Path("run"), [MIRROR], [])
    Path("bare").mkdir()
    Path("bare", CHALLENGES).write_bytes(Path("run", CHALLENGES).read_bytes())
    assert replay.main(argv) == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_the_candidates_of_a_hundred_tasks_are_read_voted_on_and_written_in_under_a_second(tmp_path, rule):
    """The largest grids, 16 views, mostly agreeing: two answers in each transformation, as runs leave them."""
    draw = np.random.default_rng(0)
    shown = [Task(f"{at:08x}", MIRROR.demonstrations, MIRROR.tests) for at in range(100)]
    results = []
    for task in shown:
        grids = [draw.integers(0, 10, (30, 30), dtype=np.uint8) for _ in range(2)]
        results.append((task.id, 3, [[candidate(grids[at // 8], at % 8, -1.0 - at, (-1.0,)) for at in range(16)]]))
    directory = run_directory(tmp_path / "run", shown, results)
    assert min(_seconds(directory, rule, tmp_path / f"{at}.json") for at in range(3)) < 1.0


def _seconds(directory, rule, output):
    """Of the processor, for one replay; what else runs on the core's other half disturbs it now and then."""
    started = time.process_time()
    replay.replay(directory, rule, output)
    return time.process_time() - started
