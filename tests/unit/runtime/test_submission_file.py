"""The file on disk is at every moment the old one or a complete, valid one; the validator misses nothing."""

import copy
import json
import os
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.data.tasks import TaskSet, load_split
from solver.runtime.placeholders import placeholders_for
from solver.runtime.submission_file import AnswerFile, main, validate
from solver.types import Attempts, BadInput, Grid


def grid(rows: Sequence[Sequence[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def full(rows: int, columns: int, colour: int = 0) -> Grid:
    return np.full((rows, columns), colour, dtype=np.uint8)


A, B, C = grid([[1]]), grid([[2, 3]]), grid([[4], [5]])
TESTS = {"bbbbbbbb": 1, "aaaaaaaa": 2}
START: dict[str, tuple[Attempts, ...]] = {"bbbbbbbb": ((A, B),), "aaaaaaaa": ((A, B), (A, C))}


def started(folder: Path) -> AnswerFile:
    answers = AnswerFile(folder / "submission.json", TESTS)
    answers.start(START)
    return answers


def content(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def evaluation() -> TaskSet:
    return load_split("arc1-evaluation")


# ---- the file --------------------------------------------------------------------------------------------------------


def test_the_file_is_complete_and_valid_from_the_start(tmp_path: Path) -> None:
    answers = started(tmp_path)
    assert validate(content(answers.path), TESTS) == []
    assert content(answers.path) == {
        "bbbbbbbb": [{"attempt_1": [[1]], "attempt_2": [[2, 3]]}],
        "aaaaaaaa": [
            {"attempt_1": [[1]], "attempt_2": [[2, 3]]},
            {"attempt_1": [[1]], "attempt_2": [[4], [5]]},
        ],
    }


def test_filling_a_task_replaces_its_answers_alone(tmp_path: Path) -> None:
    answers = started(tmp_path)
    answers.fill("bbbbbbbb", ((C, B),))
    assert content(answers.path)["bbbbbbbb"] == [{"attempt_1": [[4], [5]], "attempt_2": [[2, 3]]}]
    assert len(content(answers.path)["aaaaaaaa"]) == 2


def test_a_task_may_be_filled_again_and_counts_once(tmp_path: Path) -> None:
    answers = started(tmp_path)
    answers.fill("bbbbbbbb", ((C, B),))
    answers.fill("bbbbbbbb", ((B, A),))
    assert content(answers.path)["bbbbbbbb"] == [{"attempt_1": [[2, 3]], "attempt_2": [[1]]}]


def test_the_order_of_filling_leaves_no_trace_in_the_file(tmp_path: Path) -> None:
    texts = []
    for order in (["aaaaaaaa", "bbbbbbbb"], ["bbbbbbbb", "aaaaaaaa"]):
        answers = started(tmp_path)
        for task_id in order:
            answers.fill(task_id, [(B, C)] * TESTS[task_id])
        texts.append(answers.path.read_bytes())
    assert texts[0] == texts[1]


BAD_ANSWERS: dict[str, tuple[Any, str]] = {
    "too few entries": ((), "bbbbbbbb: 0 answers came, 1 were expected"),
    "too many entries": (((A, B), (A, B)), "bbbbbbbb: 2 answers came, 1 were expected"),
    "one attempt": (((A,),), r"bbbbbbbb\[0\]: 1 attempts came, 2 were expected"),
    "equal attempts": (((A, A.copy()),), "two equal attempts came, two different grids were expected"),
    "colour 10": (((A, full(2, 2, 10)),), r"bbbbbbbb\[0\]\.attempt_2: colours 10 to 10 came, 0 to 9"),
    "colour -1": (((np.array([[-1, 3]]), B),), r"bbbbbbbb\[0\]\.attempt_1: colours -1 to 3 came, 0 to 9"),
    "31 rows": (((A, full(31, 2)),), r"shape \(31, 2\) came, sides of 1 to 30 were expected"),
    "0 columns": (((A, full(2, 0)),), r"shape \(2, 0\) came, sides of 1 to 30 were expected"),
    "three dimensions": (((A, np.zeros((1, 1, 1), np.uint8)),), "no grid came, a two-dimensional array of integers"),
    "truths": (((A, np.array([[True]])),), "no grid came, a two-dimensional array of integers"),
    "floats": (((A, np.array([[1.0]])),), "no grid came, a two-dimensional array of integers"),
    "a list": (((A, [[1]]),), "no grid came, a two-dimensional array of integers"),
    "nothing": (((A, None),), "no grid came, a two-dimensional array of integers"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_answers_that_are_not_two_different_grids_are_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    attempts, message = BAD_ANSWERS[name]
    answers = started(tmp_path)
    before = answers.path.stat()
    with pytest.raises(ValueError, match=message):
        answers.fill("bbbbbbbb", attempts)
    assert answers.path.stat() == before
    with pytest.raises(ValueError, match=message):
        AnswerFile(tmp_path / "other.json", TESTS).start({**START, "bbbbbbbb": attempts})
    assert not (tmp_path / "other.json").exists()


def test_answers_to_an_unknown_task_or_before_the_start_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'answers to "cccccccc" came, which is not a task of submission\.json'):
        started(tmp_path).fill("cccccccc", ((A, B),))
    with pytest.raises(ValueError, match=r"came before start\(\) had written placeholders"):
        AnswerFile(tmp_path / "other.json", TESTS).fill("bbbbbbbb", ((A, B),))


def test_placeholders_for_other_tasks_leave_an_existing_file_untouched(tmp_path: Path) -> None:
    path = tmp_path / "submission.json"
    path.write_text("precious")
    with pytest.raises(ValueError, match="placeholders for 1 tasks came, for these 2 were expected"):
        AnswerFile(path, TESTS).start({"bbbbbbbb": ((A, B),)})
    assert path.read_text() == "precious"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file_whole_and_no_litter(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "submission.json"
    path.write_text("precious")
    with monkeypatch.context() as patched:
        patched.setattr(os, step, refuse)
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); expected a file in a"):
            started(tmp_path)
    assert os.listdir(tmp_path) == ["submission.json"]
    assert path.read_text() == "precious"


def test_an_answer_the_disk_refused_is_in_the_next_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    answers = started(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="No space left"):
            answers.fill("bbbbbbbb", ((C, B),))
    assert validate(content(answers.path), TESTS) == []
    answers.fill("aaaaaaaa", ((C, B), (C, B)))
    assert content(answers.path)["bbbbbbbb"][0]["attempt_1"] == [[4], [5]]
    assert os.listdir(tmp_path) == ["submission.json"]


def test_what_a_killed_run_left_over_is_cleaned_and_nothing_else(tmp_path: Path) -> None:
    for name in (".submission.json.123.partial", ".submission.json.x.partial", ".other.json.123.partial"):
        (tmp_path / name).write_text("{")
    started(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".other.json.123.partial", ".submission.json.x.partial", "submission.json"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    assert started(tmp_path / "runs" / "1").path.is_file()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.mkdir(), "it is not a regular file"),
        (lambda path: os.mkfifo(path), "it is not a regular file"),
    ],
    ids=["a folder", "a pipe"],
)
def test_what_is_not_a_regular_file_is_not_replaced(make: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    make(tmp_path / "submission.json")
    mode = (tmp_path / "submission.json").stat().st_mode
    with pytest.raises(BadInput, match=reason):
        started(tmp_path)
    assert stat.S_IFMT((tmp_path / "submission.json").stat().st_mode) == stat.S_IFMT(mode)


def test_a_file_where_a_folder_should_be_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        started(tmp_path / "runs")


def test_a_link_stays_a_link_to_the_new_content(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "submission.json").symlink_to(tmp_path / "real" / "there.json")
    started(tmp_path)
    assert (tmp_path / "submission.json").is_symlink()
    assert validate(content(tmp_path / "real" / "there.json"), TESTS) == []


def test_an_id_that_is_no_text_survives_the_way_through_the_file(tmp_path: Path) -> None:
    AnswerFile(tmp_path / "submission.json", {"\ud800\n": 1}).start({"\ud800\n": ((A, B),)})
    assert validate(content(tmp_path / "submission.json"), {"\ud800\n": 1}) == []


def test_rewriting_four_hundred_tasks_costs_little(
    evaluation: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)  # the disk's part is not ours to time
    answers = AnswerFile(tmp_path / "submission.json", evaluation.tests)
    made = placeholders_for(evaluation)
    answers.start(made)
    assert validate(content(answers.path), evaluation.tests) == []
    costs = []
    for task_id in list(made)[:20]:
        begin = time.process_time()
        answers.fill(task_id, made[task_id])
        costs.append(time.process_time() - begin)
    assert sorted(costs)[10] < 0.020


# ---- validation ------------------------------------------------------------------------------------------------------

VALID: dict[str, Any] = {
    "bbbbbbbb": [{"attempt_1": [[1]], "attempt_2": [[1]]}],
    "aaaaaaaa": [{"attempt_1": [[0, 9]], "attempt_2": [[1]]}, {"attempt_1": [[1]], "attempt_2": [[0] * 30] * 30}],
}


def put(*path_and_value: Any) -> Any:
    """VALID with the value at the path replaced; with `...` as the value, removed."""
    *path, last, value = path_and_value
    submission = target = copy.deepcopy(VALID)
    for step in path:
        target = target[step]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return submission


FAULTS: dict[str, tuple[Any, list[str]]] = {
    "a list": ([], ["an empty list came, an object of task ids was expected"]),
    "a missing id": (put("aaaaaaaa", ...), ['"aaaaaaaa": is missing']),
    "an id too many": (put("cccccccc", []), ['"cccccccc": is not in the challenges']),
    "another order": (dict(reversed(VALID.items())), ["the ids come in another order than in the challenges"]),
    "too few entries": (put("aaaaaaaa", 1, ...), ['"aaaaaaaa": a list of 1 came, a list of 2 (one entry a test']),
    "entries that are no list": (put("aaaaaaaa", {}), ['"aaaaaaaa": an object came, a list of 2']),
    "an entry that is no object": (put("bbbbbbbb", 0, [[1]]), ['"bbbbbbbb"[0]: a list of 1 came, an object of']),
    "a missing attempt": (put("bbbbbbbb", 0, "attempt_2", ...), ['"bbbbbbbb"[0].attempt_2: is missing']),
    "an attempt too many": (put("bbbbbbbb", 0, "attempt_3", [[1]]), ['"bbbbbbbb"[0]."attempt_3": is not an attempt']),
    "no attempt at all": (
        put("bbbbbbbb", 0, {}),
        ['"bbbbbbbb"[0].attempt_1: is missing', '"bbbbbbbb"[0].attempt_2: is missing'],
    ),
    "null": (put("bbbbbbbb", 0, "attempt_1", None), ['"bbbbbbbb"[0].attempt_1: null came, a list of rows']),
    "an empty grid": (put("bbbbbbbb", 0, "attempt_1", []), ['"bbbbbbbb"[0].attempt_1: 0 rows came']),
    "31 rows": (put("bbbbbbbb", 0, "attempt_1", [[1]] * 31), ['"bbbbbbbb"[0].attempt_1: 31 rows came']),
    "31 columns": (put("bbbbbbbb", 0, "attempt_1", [[1] * 31]), ['"bbbbbbbb"[0].attempt_1[0]: 31 cells came']),
    "a ragged grid": (
        put("bbbbbbbb", 0, "attempt_1", [[1], [1, 2]]),
        ['"bbbbbbbb"[0].attempt_1[1]: a row of 2 cells came, 1 as in row 0'],
    ),
    "colour 10": (put("bbbbbbbb", 0, "attempt_1", [[10]]), ['"bbbbbbbb"[0].attempt_1[0][0]: 10 came, a colour']),
    "true": (put("bbbbbbbb", 0, "attempt_1", [[True]]), ['"bbbbbbbb"[0].attempt_1[0][0]: true came, a colour']),
    "1.0": (put("bbbbbbbb", 0, "attempt_1", [[1.0]]), ['"bbbbbbbb"[0].attempt_1[0][0]: 1.0 came, a colour']),
}


def test_a_valid_submission_has_no_fault() -> None:
    assert validate(VALID, TESTS) == []


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_a_submission_is_named_with_its_place(name: str) -> None:
    submission, expected = FAULTS[name]
    found = validate(submission, TESTS)
    assert len(found) == len(expected)
    assert all(fault.startswith(start) for fault, start in zip(found, expected, strict=True))


def test_all_faults_are_named_at_once() -> None:
    submission = put("bbbbbbbb", 0, "attempt_1", [[10]])
    submission["aaaaaaaa"].pop()
    submission["cccccccc"] = 1
    assert len(validate(submission, TESTS)) == 3


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 11) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "attempt_1", "attempt_2"]), inner, max_size=3)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON_VALUES)
def test_no_json_value_makes_the_validator_fail(value: object) -> None:
    faults = validate({"a": value}, {"a": 1})
    assert all(fault.isprintable() for fault in [*faults, *validate(value, {"a": 1})])


# ---- the command line ------------------------------------------------------------------------------------------------

CHALLENGES = {
    task_id: {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}] * tests}
    for task_id, tests in TESTS.items()
}


@pytest.fixture
def challenges(tmp_path: Path) -> Path:
    path = tmp_path / "challenges.json"
    path.write_text(json.dumps(CHALLENGES))
    return path


def check(submission: Path, *source: object) -> int:
    return main([str(submission), *map(str, source)])


def test_a_valid_file_exits_0_and_says_what_it_holds(challenges: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(started(challenges.parent).path, "--challenges", challenges) == 0
    assert capsys.readouterr().out == "valid: 2 tasks, 3 test inputs\n"


def test_a_faulty_file_exits_1_with_a_line_for_each_fault(challenges: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = challenges.parent / "submission.json"
    path.write_text(
        '{"bbbbbbbb": [{"attempt_1": [[1]], "attempt_1": [[2]], "attempt_2": [[3]]}], "bbbbbbbb": [], "c": 1}'
    )
    assert check(path, "--challenges", challenges) == 1
    assert capsys.readouterr().out.splitlines() == [
        '"bbbbbbbb": appears more than once',
        '"aaaaaaaa": is missing',
        '"c": is not in the challenges',
        '"bbbbbbbb"[0]."attempt_1": appears more than once',
    ]


def test_a_file_against_an_embedded_set_is_checked_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dry_run = load_split("dry-run")
    AnswerFile(tmp_path / "submission.json", dry_run.tests).start(placeholders_for(dry_run))
    assert check(tmp_path / "submission.json", "--split", "dry-run") == 0
    assert capsys.readouterr().out == "valid: 20 tasks, 20 test inputs\n"


@pytest.mark.parametrize(
    ("text", "source", "message"),
    [
        (None, ["--split", "dry-run"], "cannot be read (No such file or directory)"),
        ("{", ["--split", "dry-run"], "is not valid JSON"),
        ("{}", ["--split", "nonsense"], 'unknown split "nonsense"; expected one of'),
        ("{}", ["--challenges", "/nowhere"], "/nowhere cannot be read"),
    ],
)
def test_what_cannot_be_read_exits_2_with_one_line(
    text: str | None, source: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "submission.json"
    if text is not None:
        path.write_text(text)
    assert check(path, *source) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
