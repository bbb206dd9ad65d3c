"""Scores follow Kaggle's rule over the full set of solutions; what is missing or malformed is unsolved."""

import json
import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.analysis.diagnose import Overlap
from solver.analysis.evaluate import main, overlap_section
from solver.analysis.scoring import compare, mcnemar, score, wilson
from solver.analysis.solutions import digest
from solver.data import tasks
from solver.data.splits import VERSIONS, Version
from solver.data.tasks import load_solutions, load_split
from solver.types import Grid
from tests.support import runs


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


# ---- many random submissions, and cases counted by hand --------------------------------------------------------------


def random_submissions(count: int) -> Iterator[tuple[dict[str, Any], dict[str, list[Any]]]]:
    """Submissions with right, wrong, missing, extra, malformed and placeholder-like entries, and their solutions."""
    draw = random.Random(0)

    def some_grid() -> list[list[int]]:
        rows, columns = draw.randint(1, 3), draw.randint(1, 3)
        return [[draw.randint(0, 2) for _ in range(columns)] for _ in range(rows)]

    def attempt(right: list[list[int]]) -> Any:
        almost = [row[:] for row in right]
        almost[-1][-1] = (almost[-1][-1] + 1) % 10
        broken = [None, "1", [], [[]], [[1.0]], [[10]], [[True]], [*right, [0] * (len(right[0]) + 1)], [right]]
        return draw.choice([right, right, almost, some_grid(), draw.choice(broken)])

    for _ in range(count):
        truth = {f"t{n}": [some_grid() for _ in range(draw.choice([1, 1, 1, 2, 3]))] for n in range(draw.randint(1, 8))}
        submission: dict[str, Any] = {}
        for task_id, outputs in truth.items():
            entries: list[Any] = [{"attempt_1": attempt(o), "attempt_2": attempt(o)} for o in outputs]
            entries = draw.choice([entries, entries, entries, entries[:-1], [*entries, {}], entries[::-1]])
            if entries and draw.random() < 0.1:
                entries[0] = draw.choice([None, [], "x", {"attempt_2": outputs[0]}])
            if draw.random() < 0.9:
                submission[task_id] = entries
        if draw.random() < 0.2:
            submission["extra"] = [{"attempt_1": [[0]], "attempt_2": [[1]]}]
        yield submission, truth


def by_the_rule(submission: dict[str, Any], truth: dict[str, list[Any]], names: Sequence[str]) -> Fraction:
    """Kaggle's rule in exact fractions: each task's share of outputs that a named attempt equals."""
    shares = []
    for task_id, outputs in truth.items():
        right = 0
        for at, output in enumerate(outputs):
            entries = submission.get(task_id, [])
            entry = entries[at] if at < len(entries) else None
            tried = [entry.get(name) for name in names] if type(entry) is dict else []
            right += any(repr(one) == repr(output) for one in tried)  # repr tells 1, 1.0 and True apart
        shares.append(Fraction(right, len(outputs)))
    return sum(shares, Fraction(0)) / len(shares)


def test_an_independent_scorer_agrees_on_a_thousand_random_submissions() -> None:
    seen = set()
    for submission, truth in random_submissions(1000):
        scores = score(submission, {i: tuple(map(grid, outputs)) for i, outputs in truth.items()})
        both, one = (by_the_rule(submission, truth, n) for n in (("attempt_1", "attempt_2"), ("attempt_1",)))
        assert scores.score == pytest.approx(float(both), abs=1e-12)
        assert scores.pass_at_1 == pytest.approx(float(one), abs=1e-12)
        seen.add(both)
    assert len(seen) > 50  # the cases are not all alike


@pytest.mark.parametrize(
    ("solved_by_first", "solved_by_second", "pass_at_2", "pass_at_1", "tasks_solved", "outputs_solved"),
    [
        # One string a task, one letter an output: x where that attempt is right.
        (["x", "x"], [".", "."], 1.0, 1.0, 2, 2),
        (["x.", "."], [".x", "x"], 1.0, 0.25, 2, 3),
        (["x.", "x"], ["..", "."], 0.75, 0.75, 1, 2),
        (["x..", "."], [".x.", "."], 1 / 3, 1 / 6, 0, 2),
        (["...", "xx", "x"], ["..x", "..", "."], (1 / 3 + 2) / 3, 2 / 3, 2, 4),
    ],
)
def test_tasks_with_several_outputs_are_scored_as_counted_by_hand(
    solved_by_first: list[str],
    solved_by_second: list[str],
    pass_at_2: float,
    pass_at_1: float,
    tasks_solved: int,
    outputs_solved: int,
) -> None:
    pairs = dict(enumerate(zip(solved_by_first, solved_by_second, strict=True)))
    outputs = {str(n): tuple(grid([[at, 7]]) for at in range(len(one))) for n, (one, _) in pairs.items()}
    submission = {
        str(n): [
            entry([[at, 7]] if one[at] == "x" else [[8]], [[at, 7]] if two[at] == "x" else [[9]])
            for at in range(len(one))
        ]
        for n, (one, two) in pairs.items()
    }
    scores = score(submission, outputs)
    assert scores.score == pytest.approx(pass_at_2)
    assert scores.pass_at_1 == pytest.approx(pass_at_1)
    assert (scores.tasks_solved, scores.outputs_solved) == (tasks_solved, outputs_solved)


# ---- two submissions -------------------------------------------------------------------------------------------------


def test_a_comparison_pairs_the_same_outputs() -> None:
    other = {"a": [entry(OTHER, OTHER), entry(TWO, OTHER)], "b": [entry(OTHER, OTHER)]}
    paired = compare(PERFECT, other, SOLUTIONS)
    assert (paired.both, paired.only_first, paired.only_second, paired.neither) == (1, 2, 0, 0)
    assert paired.difference == pytest.approx(0.25 - 1.0)
    assert paired.p == pytest.approx(2 * 0.5**2)


def test_a_submission_does_not_differ_from_itself() -> None:
    paired = compare(PERFECT, PERFECT, SOLUTIONS)
    assert (paired.difference, paired.p, paired.both) == (0.0, 1.0, 3)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"), [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 0.0625), (6, 0, 0.03125), (8, 1, 0.0390625)]
)
def test_mcnemar_s_p_is_the_exact_one(only_first: int, only_second: int, p: float) -> None:
    first = [True] * only_first + [False] * only_second + [True, False]
    second = [False] * only_first + [True] * only_second + [True, False]
    assert mcnemar(first, second) == pytest.approx(p)
    assert mcnemar(second, first) == pytest.approx(p)


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


# ---- a run, and the data it belongs to -------------------------------------------------------------------------------


def test_a_run_is_measured_with_the_solutions_its_record_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.of_split(tmp_path / "x.run", "dry-run", views=4)
    assert main(["--run", str(run), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["data"]["name"] == "dry-run"
    assert told["data"]["sha256"] == load_split("dry-run").sha256
    assert told["data"]["version"].startswith("ARC-AGI-1 evaluation, GitHub aa922be")
    assert told["faults"] == []
    assert told["placeholders"] == told["run"]["placeholders"] == 2
    assert told["run"]["oracle"] >= told["score"] == told["run"]["rounds"][-1]["score"]
    assert sum(told["run"]["ranks"].values()) == told["outputs"] == 20
    assert main(["--run", str(run)]) == 0
    printed = capsys.readouterr().out
    for words in ("oracle@all", "further adapter 1", "right shape found", "calibration error", "placeholders        2"):
        assert words in printed


def test_what_each_mind_solves_alone_is_told_of_all_tasks() -> None:
    section = overlap_section(Overlap(tasks=50, both=3, only_programs=7, only_model=2, neither=38, together=11))
    assert section.rows == (
        ("solved by both", "3", "6.0%"),
        ("only by programs", "7", "14.0%"),
        ("only by the model", "2", "4.0%"),
        ("by neither", "38", "76.0%"),
        ("programs alone", "10", "20.0%"),
        ("the model alone", "5", "10.0%"),
        ("the run's attempts", "11", "22.0%"),
        ("of the programs' tasks the model's, too", "", "30.0%"),
    )


def test_solutions_of_another_dataset_are_refused_with_both_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.of_split(tmp_path / "x.run", "dry-run", views=4)
    own, other = load_split("dry-run").sha256[:12], load_split("arc2-training").sha256[:12]
    for scored in (["--run", str(run)], [str(tmp_path / "x.json")]):  # the run lies beside its submission
        assert main([*scored, "--split", "arc2-training"]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert len(printed.err.splitlines()) == 1
        assert own in printed.err
        assert other in printed.err


def test_solutions_with_another_number_of_outputs_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs.of_split(tmp_path / "x.run", "dry-run", 3, views=4)
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({i: [[[0]], [[1]], [[2]]] for i in load_split("dry-run").tests}))
    assert main(["--run", str(run), "--solutions", str(wrong)]) == 2
    assert sha256(wrong.read_bytes()).hexdigest()[:12] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("split", "version"),
    [
        ("arc1-evaluation", "ARC-AGI-1 evaluation, GitHub aa922be"),
        ("arc2-evaluation", "ARC-AGI-2 evaluation, GitHub f3283f7 (6 tasks differ from Kaggle 2025-08)"),
    ],
)
def test_a_solutions_file_is_known_by_its_outputs_however_it_was_written(
    split: str, version: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = {i: [g.tolist() for g in grids] for i, grids in load_solutions(split).items()}
    file, submission = tmp_path / "solutions.json", tmp_path / "submission.json"
    file.write_text(json.dumps(dict(reversed(outputs.items())), indent=1))
    submission.write_text(json.dumps({i: [entry(g, g) for g in grids] for i, grids in outputs.items()}))
    assert main([str(submission), "--solutions", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == 1.0
    assert told["data"]["version"].startswith(version)


@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda v: v.name[:40])
def test_every_known_version_has_the_outputs_of_its_data_files(version: Version) -> None:
    own = next(key for key, value in VERSIONS.items() if value is version)
    for part in version.parts:
        found, _ = tasks._embedded(part, part.part)
        outputs = {i: [grid(test["output"]) for test in value["test"]] for i, value in found.items()}  # type: ignore[index]
        assert digest(outputs)[:16] == own


def test_each_fault_of_a_submission_is_listed_and_the_denominator_stays_full(
    files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    files[0].write_text(json.dumps({"b": [entry([[1, "2"]], [[1], [1, 2]])]}))
    assert main([str(files[0]), "--solutions", str(files[1]), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["outputs"], told["score"]) == (3, 0.0)
    assert len(told["faults"]) == 3
    assert all(
        any(words in fault for fault in told["faults"]) for words in ('"a": is missing', "attempt_1", "attempt_2")
    )


def test_two_submissions_are_compared_on_the_command_line(
    files: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps(PERFECT))
    assert main(["--compare", str(files[0]), str(other), "--solutions", str(files[1]), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["both"], told["only_first"], told["only_second"]) == (1, 0, 2)
    assert told["difference"] == 0.5
    assert main(["--compare", str(files[0]), str(other), "--solutions", str(files[1])]) == 0
    assert "p = 0.5000 (McNemar, exact)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "given", [[], ["x.json"], ["--compare", "a", "b"], ["x", "--compare", "a", "b", "--split", "y"]]
)
def test_a_command_that_says_too_little_or_too_much_is_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(given)
    assert stopped.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_four_hundred_tasks_are_scored_in_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs.of_split(tmp_path / "x.run", "arc1-evaluation", views=2)
    started = process_time()  # seconds of work: other jobs on the machine do not count
    assert main([str(run.with_suffix(".json")), "--split", "arc1-evaluation"]) == 0
    assert process_time() - started < 10  # about 1 s; the bound minds slower machines
