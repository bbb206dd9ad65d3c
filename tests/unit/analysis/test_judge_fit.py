"""The judge's coefficients, fitted to runs."""

import json
import shutil

import numpy as np
import pytest

from solver.analysis import judge_fit
from solver.data.tasks import load_split
from solver.types import BadInput
from solver.voting import judge
from tests.support import runs

NAMES = list(judge.FEATURES)


def drawn(table: judge.Coefficients, number: int, seed: int = 0) -> list[judge_fit.Case]:
    """Cases whose right answers are drawn by a table."""
    rng = np.random.default_rng(seed)
    cases = []
    for at in range(number):
        worths = rng.normal(size=(4, len(NAMES)))
        chances = judge.probabilities(worths, table)
        right = int(rng.choice(5, p=[*chances, 1 - chances.sum()]))
        cases.append(judge_fit.Case(f"{at:08x}", 1.0, worths, None if right == 4 else right, {}))
    return cases


def test_coefficients_that_answers_were_drawn_by_are_found_again():
    truth = judge.Coefficients((*np.linspace(0.2, 1.5, len(NAMES) - 1), -0.8), 0.7)
    table = judge_fit.fit(drawn(truth, 6000))
    assert table.coefficients == pytest.approx(truth.coefficients, abs=0.15)
    assert table.none == pytest.approx(truth.none, abs=0.15)


def test_a_broken_limit_never_raises_an_answer_and_evidence_never_lowers_one():
    truth = judge.Coefficients(tuple({"breaks": 1.0, "support": -1.0}.get(name, 0.3) for name in NAMES), 0.0)
    table = dict(zip(NAMES, judge_fit.fit(drawn(truth, 500)).coefficients, strict=True))
    assert (table["breaks"], table["support"]) == (0.0, 0.0)
    assert table["generalises"] > 0.1


def test_a_task_is_judged_by_coefficients_that_were_not_fitted_to_it(monkeypatch):
    cases = drawn(judge.Coefficients((0.0,) * len(NAMES), 0.0), 40)
    fitted = []
    whole = judge_fit.fit
    monkeypatch.setattr(judge_fit, "fit", lambda them: fitted.append({c.task_id for c in them}) or whole(them))
    assert len(judge_fit.cross_validated(cases)) == len(cases)
    for fold in {case.fold for case in cases}:
        own = {case.task_id for case in cases if case.fold == fold}
        assert sum(not own & others for others in fitted) == 1


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A made-up run over training tasks, its record naming their split."""
    task_set = load_split("held-out")
    from solver.analysis.solutions import read_solutions

    start = {"split": "held-out", "data_sha256": task_set.sha256}
    directory = tmp_path_factory.mktemp("judge") / "x.run"
    return runs.write(directory, task_set.tasks[:40], read_solutions("held-out"), start=start)


@pytest.mark.slow
def test_the_command_shows_coefficients_gains_and_reliability_and_writes_what_runs_read(
    run, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(judge, "TABLE", tmp_path / "judge.json")
    assert judge_fit.main([str(run)]) == 0
    assert not judge.TABLE.exists()
    assert judge_fit.main([str(run), str(run), "--write"]) == 0
    printed = capsys.readouterr().out
    for words in ("Coefficients, in nats", "Outputs solved, by task cross-validated", "Reliability: Brier score"):
        assert words in printed
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line.startswith("  ")}
    solved = {rule: float(lines[rule][1]) for rule in ("judge", "flat", "oracle")}
    assert 0 < solved["judge"] <= solved["oracle"]
    table = judge.read_table(judge.TABLE)
    assert dict(zip(NAMES, table.coefficients, strict=True))["adapters"] > 0
    fitted = json.loads(judge.TABLE.read_text())["fitted to"]
    assert [one["fingerprint"] for one in fitted["runs"]] == ["0123456789ab"] * 2
    assert fitted["weights"] == ["0"]


def test_the_same_run_twice_weighs_as_much_as_once(run):
    once, twice = judge_fit.read_cases([run]), judge_fit.read_cases([run, run])
    assert sum(case.weight for case in once) == pytest.approx(sum(case.weight for case in twice))
    assert judge_fit.fit(once).coefficients == pytest.approx(judge_fit.fit(twice).coefficients, abs=1e-6)


def test_evaluation_tasks_and_runs_without_answers_are_refused_in_one_line(tmp_path, capsys):
    task_set = load_split("arc1-evaluation")
    from solver.analysis.solutions import read_solutions

    right = read_solutions("arc1-evaluation")
    start = {"split": "arc1-evaluation", "data_sha256": task_set.sha256}
    evaluated = runs.write(tmp_path / "e.run", task_set.tasks[:3], right, start=start)
    assert judge_fit.main([str(evaluated)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "expected training tasks alone" in line
    assert judge_fit.main([str(evaluated), "--split", "arc2-training"]) == 2  # most of them are there, too
    assert "expected training tasks alone" in capsys.readouterr().err
    assert judge_fit.main([str(tmp_path / "nowhere.run")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    with pytest.raises(BadInput, match="expected runs that answered something"):
        judge_fit.fit([])
    with pytest.raises(BadInput, match="1 tasks came: expected more to cross-validate"):
        judge_fit.cross_validated(drawn(judge.Coefficients((0.0,) * len(NAMES), 0.0), 1))


def test_a_run_without_its_tasks_and_a_table_without_room_are_refused(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(judge, "TABLE", tmp_path / "nowhere" / "judge.json")
    assert judge_fit.main([str(run), "--write"]) == 2
    assert capsys.readouterr().err.endswith(
        "could not be written: No such file or directory; expected a folder with room\n"
    )
    bare = tmp_path / "bare.run"
    shutil.copytree(run, bare)
    (bare / "challenges.json").unlink()
    assert judge_fit.main([str(bare)]) == 2
    assert "challenges.json lacks" in capsys.readouterr().err
