"""Recipes compared by what they do to the right answers' probability."""

from __future__ import annotations

import math

import pytest

from solver.analysis.solutions import read_solutions
from solver.config.settings import TrainRecipe
from solver.data import tasks, views
from solver.tokens.grid import GRID
from solver.training.examples import to_example
from solver.types import BadInput, Pair, Task
from tests.bench import recipes
from tests.bench.recipes import Read


def test_a_recipe_is_the_default_with_what_is_tried():
    tried = recipes.recipe_of("tokens=1024,rate=0.004,rslora=false,data.form=shuffled", TrainRecipe())
    assert (tried.tokens, tried.rate, tried.rslora, tried.data.form) == (1024, 0.004, False, "shuffled")
    assert recipes.recipe_of("", TrainRecipe()) == TrainRecipe()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speed=3", "--try 'speed=3': expected NAME=VALUE"),
        ("targets=q_proj", "expected NAME=VALUE"),
        ("tokens=many", "expected a value such as 2048"),
        ("rank=33", "LoRA rank is 33"),
        ("data.form=pairs", "form of the training data is 'pairs'"),
    ],
)
def test_what_is_no_recipe_is_refused(text, message, capsys):
    with pytest.raises(BadInput, match=message):
        recipes.recipe_of(text, TrainRecipe())
    assert recipes.main(["--try", text]) == 2
    assert message in capsys.readouterr().err


def test_a_question_shows_the_demonstrations_and_asks_for_the_right_output_under_a_view():
    [task], right = tasks.select(tasks.load_split("held-out"), None, 1).tasks, read_solutions("held-out")
    made = recipes.questions(task, right[task.id], 3, 0)
    view = views.views(task, 3, 0, "views 3")[2]
    seen = views.apply_task(view, task)
    answer = Pair(seen.tests[0], views.apply(view, right[task.id][0]))
    wanted = to_example([*seen.demonstrations, answer], GRID, "test")
    assert len(made) == 3 * len(task.tests)
    assert (made[2 * len(task.tests)].tokens == wanted.tokens).all()
    assert (made[2 * len(task.tests)].loss == wanted.loss).all()
    large = Task("large", tuple(task.demonstrations) * 100, task.tests)
    assert recipes.questions(large, right[task.id], 1, 0) == []


def test_the_table_holds_means_and_differences_over_the_same_tasks():
    nats = {"a": (0.5, 0.3), "b": (0.7, 0.3)}
    found = [Read(t, n, 10 * (n + 1), 2.0, both[n], 0.5) for t, both in nats.items() for n in range(2)]
    rows = recipes.table(["", "tokens=1"], found).splitlines()
    assert rows[0] == "2 tasks"
    assert rows[3] == "| default | 10 | 2.0 | 0.6000 | 50.0% |  |"
    assert rows[4] == "| tokens=1 | 20 | 2.0 | 0.3000 | 50.0% | -0.3000 ± 0.1000 |"
    assert math.isclose(recipes.HALF, -math.log(0.5))


@pytest.mark.engine
def test_training_makes_the_right_answers_likelier(tmp_path, capsys):
    """With the shipped weights, a few steps on two tasks against none; the third is too long."""
    given = "--limit 3 --workers 1 --seconds 8 --views 2 --try steps=14 --try steps=0".split()
    assert recipes.main([*given, "--output", str(tmp_path / "o.jsonl")]) == 0
    rows = [row.split("|") for row in capsys.readouterr().out.splitlines() if row.startswith("| ")]
    assert [float(row[2]) > 0 for row in rows[1:]] == [True, True, False]
    assert float(rows[3][4]) > float(rows[2][4])
    assert len((tmp_path / "o.jsonl").read_text().splitlines()) == 6
