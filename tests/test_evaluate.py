"""Scores follow Kaggle's rule over the full set of solutions; what is missing or malformed is unsolved."""

import json
import math
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.core import Grid
from solver.evaluate import main, score, wilson
from solver.tasks import load_solutions


def grid(rows: list[list[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def entry(one: object, two: object) -> dict[str, object]:
    return {"attempt_1": one, "attempt_2": two}


ONE, TWO, OTHER = [[1]], [[2, 2]], [[9], [9]]
SOLUTIONS = {"a": (grid(ONE), grid(TWO)), "b": (grid(ONE),)}
PERFECT = {"a": [entry(ONE, OTHER), entry(TWO, OTHER)], "b": [entry(ONE, OTHER)]}


def test_everything_solved_by_first_attempts_is_one() -> None:
    scores = score(PERFECT, SOLUTIONS)
    assert (scores.score, scores.pass_at_1, scores.high) == (1.0, 1.0, 1.0)
    assert (scores.tasks, scores.outputs, scores.tasks_solved, scores.outputs_solved) == (2, 3, 2, 3)


def test_each_task_counts_the_same_whatever_its_outputs() -> None:
    scores = score({**PERFECT, "a": [entry(ONE, OTHER), entry(OTHER, OTHER)]}, SOLUTIONS)
    assert scores.score == pytest.approx((0.5 + 1) / 2)
    assert (scores.tasks_solved, scores.outputs_solved) == (1, 2)


def test_the_second_attempt_counts_for_the_score_and_not_for_pass_at_1() -> None:
    scores = score({**PERFECT, "b": [entry(OTHER, ONE)]}, SOLUTIONS)
    assert (scores.score, scores.pass_at_1) == (1.0, 0.5)


def test_an_answer_to_the_other_test_input_is_no_answer() -> None:
    assert score({"a": [entry(TWO, TWO), entry(ONE, ONE)]}, SOLUTIONS).outputs_solved == 0


def test_a_missing_task_stays_in_the_denominator() -> None:
    assert score({"b": PERFECT["b"]}, SOLUTIONS).score == 0.5


def test_tasks_without_a_solution_are_ignored() -> None:
    assert score({**PERFECT, "c": []}, SOLUTIONS) == score(PERFECT, SOLUTIONS)


@pytest.mark.parametrize(
    "bad", [None, 7, "x", [], {}, [None], [7], [[]], [{}], [entry(None, None)], [entry("1", 1)], [entry([], [[]])]]
)
def test_a_malformed_entry_is_unsolved(bad: object) -> None:
    assert score({**PERFECT, "b": bad}, SOLUTIONS).score == 0.5


@pytest.mark.parametrize("almost", [[[True]], [[1.0]], [["1"]], [1], [[1], [1]], [[1, 1]], [[[1]]]])
def test_what_is_almost_the_output_is_not_the_output(almost: object) -> None:
    assert score({"b": [entry(almost, almost)]}, {"b": (grid(ONE),)}).score == 0


def test_a_malformed_attempt_leaves_the_other_one_standing() -> None:
    assert score({"b": [entry("?", ONE)]}, {"b": (grid(ONE),)}).score == 1


@pytest.mark.parametrize("submission", [None, [], 7, "x"])
def test_a_submission_that_is_no_object_solves_nothing(submission: object) -> None:
    assert score(submission, SOLUTIONS).score == 0


@pytest.mark.parametrize("solutions", [{}, {"a": ()}])
def test_no_solutions_is_an_error(solutions: Any) -> None:
    with pytest.raises(ValueError, match="no solutions came"):
        score({}, solutions)


def kaggle_score(submission: dict[str, Any], truth: dict[str, list[Any]], attempts: tuple[str, ...]) -> float:
    """The rule once more, written over plain lists: the mean over tasks of the mean over outputs of any attempt."""
    total = 0.0
    for task_id in truth:
        right = 0
        for index, expected in enumerate(truth[task_id]):
            try:
                given_here = submission[task_id][index]
            except (KeyError, IndexError):
                continue
            right += int(any(json.dumps(given_here.get(name)) == json.dumps(expected) for name in attempts))
        total += right / len(truth[task_id])
    return total / len(truth)


SMALL = st.sampled_from([[[0]], [[1]], [[0, 1]], [[0], [1]]])
OUTPUTS = st.lists(SMALL, min_size=1, max_size=3)
TRUTH = st.dictionaries(st.sampled_from("abcdef"), OUTPUTS, min_size=1)
ENTRIES = st.dictionaries(st.sampled_from(["attempt_1", "attempt_2"]), SMALL)
SUBMISSION = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(ENTRIES, max_size=4))


@settings(deadline=None, max_examples=300)
@given(SUBMISSION, TRUTH)
def test_a_second_implementation_agrees_on_random_submissions(
    submission: dict[str, Any], truth: dict[str, list[Any]]
) -> None:
    scores = score(submission, {task_id: tuple(map(grid, outputs)) for task_id, outputs in truth.items()})
    assert math.isclose(scores.score, kaggle_score(submission, truth, ("attempt_1", "attempt_2")), abs_tol=1e-12)
    assert math.isclose(scores.pass_at_1, kaggle_score(submission, truth, ("attempt_1",)), abs_tol=1e-12)
    assert scores.pass_at_1 <= scores.score
    assert 0 <= scores.low <= scores.score + 1e-12
    assert scores.score - 1e-12 <= scores.high <= 1
    assert scores.outputs == sum(map(len, truth.values()))


@settings(deadline=None)
@given(SUBMISSION, TRUTH, st.randoms(use_true_random=False))
def test_the_order_of_tasks_does_not_matter(submission: dict[str, Any], truth: dict[str, list[Any]], draw: Any) -> None:
    solutions = {task_id: tuple(map(grid, outputs)) for task_id, outputs in truth.items()}
    shuffled = list(solutions.items())
    draw.shuffle(shuffled)
    assert score(submission, solutions) == score(submission, dict(shuffled))


def test_wilson_s_interval_is_the_published_one() -> None:
    assert wilson(0.1, 100) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    submission, solutions = tmp_path / "submission.json", tmp_path / "solutions.json"
    submission.write_text(json.dumps({"b": PERFECT["b"], "unknown": []}))
    solutions.write_text(json.dumps({"a": [ONE, TWO], "b": [ONE]}))
    return submission, solutions


def test_the_table_is_short_and_says_what_counted(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(files[0]), "--solutions", str(files[1])]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"data             {files[1]}, sha256 {sha256(files[1].read_bytes()).hexdigest()[:12]}: "
        "no published set that is known here",
        "score (pass@2)    50.00%   95 % interval 9.45% to 90.55%",
        "pass@1            50.00%",
        "outputs solved      1 of 3      33.33%",
        "tasks solved        1 of 2      50.00%",
        'fault            "a": is missing',
        'fault            "unknown": is not in the challenges',
    ]
    assert printed.err == "1 submitted tasks have no solution here and are ignored\n"


def test_only_submitted_tasks_count_where_asked(files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(files[0]), "--solutions", str(files[1]), "--only-submitted", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["tasks"], told["score"]) == (1, 1.0)


def test_an_embedded_set_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {task_id: [g.tolist() for g in outputs] for task_id, outputs in load_solutions("dry-run").items()}
    submission = {task_id: [entry(g, g) for g in outputs] for task_id, outputs in truth.items()}
    spoiled = {**submission, next(iter(submission)): [entry([[0]], [[1]])]}
    path = tmp_path / "submission.json"
    for content, solved in ((submission, 20), (spoiled, 19)):
        path.write_text(json.dumps(content))
        assert main([str(path), "--split", "dry-run", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["tasks_solved"] == solved


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read (No such file or directory); expected a JSON file"),
        ("{", "is not valid JSON"),
        ("[]", "holds an empty list; expected an object {id: [...]}; pass a submission"),
        ('{"x": []}', "answers none of the 2 tasks with a solution in "),
    ],
)
def test_a_submission_that_cannot_be_scored_exits_2_with_one_line(
    text: str | None, message: str, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[0].unlink() if text is None else files[0].write_text(text)
    assert main([str(files[0]), "--solutions", str(files[1])]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1


def test_solutions_that_cannot_be_read_exit_2_with_one_line(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(files[0]), "--solutions", "/nowhere"]) == 2
    assert main([str(files[0]), "--split", "nonsense"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("/nowhere cannot be read")
    assert second.startswith('unknown split "nonsense"; expected one of')
