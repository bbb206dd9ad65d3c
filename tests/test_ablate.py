"""Comparing variants: the paired test, the table, and what a variant may change."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from solver import ablate, evaluate
from solver.config import PRESETS


def test_mcnemar_is_the_exact_two_sided_binomial():
    first = (True,) * 6 + (False,) * 4
    assert evaluate.mcnemar(first, first) == 1.0
    assert evaluate.mcnemar(first, (False,) * 10) == pytest.approx(2 / 2**6)
    one_each = (True, False), (False, True)
    assert evaluate.mcnemar(*one_each) == 1.0
    assert evaluate.mcnemar((True,) * 8 + (False,), (False,) * 8 + (True,)) == pytest.approx(2 * (1 + 9) / 2**9)


def test_solved_outputs_takes_either_attempt_and_keeps_the_order_of_the_solutions():
    right = np.array([[1, 2]], dtype=np.uint8)
    wrong = [[0]]
    entry = {"attempt_1": wrong, "attempt_2": [[1, 2]]}
    submission = {"a": [entry, {"attempt_1": wrong, "attempt_2": wrong}], "b": [entry]}
    solutions = {"b": (right,), "a": (right, right), "missing": (right,)}
    assert evaluate.solved_outputs(submission, solutions) == (True, True, False, False)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_ttt_changes_the_training_and_nothing_else(preset):
    full, without = PRESETS[preset], ablate.VARIANTS["no-ttt"](PRESETS[preset])
    assert without.train.steps == 0
    same = replace(without, train=full.train, train_share=full.train_share)
    assert asdict(same) == asdict(full)


def test_the_table_compares_each_variant_with_the_first():
    scores = evaluate.Scores(2, 2, 1, 1, 0.5, 0.5, 0.1, 0.9)
    rows = [ablate.Row("full", scores, (True, False), 3.0), ablate.Row("no-ttt", scores, (True, False), 1.0)]
    lines = ablate.table(rows).splitlines()
    assert lines[2] == "| full | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 3.0 |  |"
    assert lines[3] == "| no-ttt | 1 of 2 | 50.0% | 10.0% to 90.0% | 50.0% | 1.0 | 1.000 |"


def test_a_set_without_solutions_is_refused(capsys, tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"00000000": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}}')
    assert ablate.main(["--challenges", str(file), "--output", str(tmp_path / "o.json")]) == 2
    assert "--solutions" in capsys.readouterr().err
