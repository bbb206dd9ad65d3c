"""The command that scores: its tables, the data it names, and what it refuses."""

import json
from hashlib import sha256
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from solver.analysis.diagnose import Overlap
from solver.analysis.evaluate import main, overlap_section
from solver.analysis.solutions import digest, read_solutions
from solver.data import tasks
from solver.data.splits import VERSIONS, Version
from solver.data.tasks import load_split
from solver.types import Grid
from tests.support import runs


def grid(rows: list[list[int]]) -> Grid:
    return np.array(rows, dtype=np.uint8)


def entry(one: object, two: object) -> dict[str, object]:
    return {"attempt_1": one, "attempt_2": two}


ONE, TWO, OTHER = [[1]], [[2, 2]], [[9], [9]]
PERFECT = {"a": [entry(ONE, OTHER), entry(TWO, OTHER)], "b": [entry(ONE, OTHER)]}

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
    truth = {task_id: [g.tolist() for g in outputs] for task_id, outputs in read_solutions("dry-run").items()}
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
    assert told["run"]["oracle"] >= told["score"] == told["run"]["stages"][-1]["score"]
    assert sum(told["run"]["ranks"].values()) == told["outputs"] == 20
    assert main(["--run", str(run)]) == 0
    printed = capsys.readouterr().out
    for words in ("oracle@all", "refinement 1", "right shape found", "calibration error", "placeholders        2"):
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


@pytest.mark.slow
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
    outputs = {i: [g.tolist() for g in grids] for i, grids in read_solutions(split).items()}
    file, submission = tmp_path / "solutions.json", tmp_path / "submission.json"
    file.write_text(json.dumps(dict(reversed(outputs.items())), indent=1))
    submission.write_text(json.dumps({i: [entry(g, g) for g in grids] for i, grids in outputs.items()}))
    assert main([str(submission), "--solutions", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["score"] == 1.0
    assert told["data"]["version"].startswith(version)


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS.values(), ids=lambda v: v.name[:40])
def test_every_known_version_has_the_outputs_of_its_data_files(version: Version) -> None:
    own = next(key for key, value in VERSIONS.items() if value is version)
    for part in version.parts:
        found = json.loads(tasks.data_file(part, part.part).read_bytes())[part.part]
        outputs = {i: [grid(test["output"]) for test in value["test"]] for i, value in found.items()}
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


@pytest.mark.slow
def test_four_hundred_tasks_are_scored_in_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs.of_split(tmp_path / "x.run", "arc1-evaluation", views=2)
    started = process_time()  # seconds of work: other jobs on the machine do not count
    assert main([str(run.with_suffix(".json")), "--split", "arc1-evaluation"]) == 0
    assert process_time() - started < 10  # about 1 s; the bound minds slower machines
