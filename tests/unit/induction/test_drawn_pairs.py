"""Generators in the sandbox: pairs drawn with seeds, their twins, and what is said of those that fail."""

from __future__ import annotations

import numpy as np
import pytest

from solver import clock
from solver.induction.sandbox.sandbox import CALLING, LAYERS, LOADING, READING, DrawnPair, Limits, Sandbox
from solver.types import BadInput
from tests.support.hostile_generators import GENERATORS

LIMITS = Limits(wall=0.6, seconds=1, memory=128 << 20, output=1 << 16)
SOON = 15.0  # seconds for an honest program on a busy machine
SEEDS = range(4)
MIRROR = """
def generate(rng, lower, upper):
    row = [rng.randint(0, 9) for _ in range(rng.randint(3, 9))]
    return {"input": [row], "output": [row[::-1]]}
"""
ONE_LATE_COLOUR = """
def generate(rng, lower, upper):
    shown = [[rng.randint(0, 9) for _ in range(9)]]
    return shown, [[rng.randint(1, 9)]]
"""
ONE_EARLY_COLOUR = """
def generate(rng, lower, upper):
    colour = rng.randint(1, 9)
    return [[rng.randint(0, 9) for _ in range(9)]], [[colour]]
"""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(LIMITS, unsafe=True) as one:
        yield one


ITS_OWN_WAY = ONE_LATE_COLOUR.replace("rng.randint", "randint").replace("\ndef", "\nfrom random import randint\ndef")


def grids(draws: tuple[DrawnPair, ...]) -> list[tuple[object, object]]:
    return [(draw.pair.input.tolist(), draw.pair.output.tolist()) for draw in draws if draw.pair]


def test_a_generator_draws_a_pair_with_each_seed_and_the_same_ones_again(sandbox):
    draws, twins = sandbox.draw(MIRROR, SEEDS)
    assert len(draws) == len(twins) == len(SEEDS)
    assert all(shown[0] == answer[0][::-1] for shown, answer in grids(draws))
    assert len({str(pair) for pair in grids(draws)}) == len(SEEDS)
    assert {draw.pair.input.dtype for draw in draws} == {np.dtype(np.uint8)}
    assert grids(sandbox.draw(MIRROR, SEEDS)[0]) == grids(draws)
    assert grids(sandbox.draw(MIRROR, [9, 2])[0])[1] == grids(draws)[2]


def test_a_generator_that_draws_from_python_s_module_gets_the_seed_s_numbers_as_well(sandbox):
    assert grids(sandbox.draw(ITS_OWN_WAY, SEEDS)[0]) == grids(sandbox.draw(ONE_LATE_COLOUR, SEEDS)[0])
    assert grids(sandbox.draw(ITS_OWN_WAY, [9, 2])[0])[1] == grids(sandbox.draw(ITS_OWN_WAY, SEEDS)[0])[2]
    seeding = "import random\n" + MIRROR.replace("    row", "    random.seed(0)\n    row")
    assert grids(sandbox.draw(seeding, SEEDS)[0]) == grids(sandbox.draw(MIRROR, SEEDS)[0])


def test_pairs_may_come_as_tuples_lists_arrays_or_by_name(sandbox):
    by_name = "{'output': [[2]], 'input': [[1]]}"
    for value in ("([[1]], [[2]])", "[((1,),), ((2,),)]", "np.array([[[1]], [[2]]])", by_name):
        source = f"import numpy as np\ndef generate(rng, lower, upper):\n    return {value}\n"
        assert grids(sandbox.draw(source, [0])[0]) == [([[1]], [[2]])]


@pytest.mark.parametrize("source", [ONE_LATE_COLOUR, ONE_EARLY_COLOUR, ITS_OWN_WAY])
def test_twins_bring_an_input_again_with_another_output_where_that_is_drawn_by_itself(sandbox, source):
    draws, twins = sandbox.draw(source, range(60))
    assert sum(a[0] == b[0] and a[1] != b[1] for a, b in zip(grids(draws), grids(twins), strict=True)) >= 2


def test_twins_of_a_generator_whose_output_follows_from_the_input_keep_to_its_rule(sandbox):
    draws, twins = sandbox.draw(MIRROR, range(20))
    assert all(shown[0] == answer[0][::-1] for shown, answer in grids(twins))
    assert grids(draws) != grids(twins)


def test_generators_are_told_how_large_grids_may_be_as_re_arc_s_are(sandbox):
    source = "def generate(rng, lower, upper):\n    return [[int(lower == 0.0), int(100 * upper) // 11]], [[0]]\n"
    shown = [pair[0][0] for pair in grids(sandbox.draw(source, range(30))[0])]
    assert {first for first, _ in shown} == {1}
    assert len({second for _, second in shown}) > 5


@pytest.mark.parametrize(
    ("source", "failed", "reason"),
    [
        ("def generate(rng:\n", LOADING, "SyntaxError"),
        ("def transform(grid):\n    return grid\n", LOADING, "the program defines no function generate"),
        ("def generate():\n    return [[1]], [[2]]\n", CALLING, "TypeError"),
        ("def generate(rng, lower, upper):\n    return missing\n", CALLING, "NameError"),
        ("def generate(rng, lower, upper):\n    return [[1]], [[10]]\n", READING, "integers 0 to 9 were expected"),
        ("def generate(rng, lower, upper):\n    return {'input': [[1]]}\n", READING, "KeyError: 'output'"),
        ("def generate(rng, lower, upper):\n    while True: pass\n", CALLING, "ran longer than 0.6 s"),
        ("#" * 200_000, CALLING, "the program has 200000 characters"),
    ],
)
def test_where_a_generator_failed_is_said_with_the_reason(sandbox, source, failed, reason):
    draws, twins = sandbox.draw(source, SEEDS)
    assert {draw.failed for draw in (*draws, *twins)} == {failed}
    assert all(reason in draw.reason and draw.pair is None for draw in (*draws, *twins))


def test_a_generator_that_fails_with_one_seed_is_heard_with_the_others(sandbox):
    source = "def generate(rng, lower, upper):\n    assert rng.random() < 0.5\n    return [[1]], [[2]]\n"
    draws, _ = sandbox.draw(source, range(20))
    assert 0 < len(grids(draws)) < 20


def test_a_stop_ends_a_generator_before_its_own_time_is_over(sandbox):
    draws, _ = sandbox.draw("while True: pass", [0], clock.Deadline.after(0.05))
    assert draws[0].reason.startswith("ran longer than 0.0")


def test_modules_may_lie_in_a_folder_of_their_own(tmp_path):
    (tmp_path / "palette_of_mine").mkdir()
    (tmp_path / "palette_of_mine" / "shades.py").write_text("RED = 2\n")
    source = "from palette_of_mine.shades import *\ndef generate(rng, lower, upper):\n    return [[1]], [[RED]]\n"
    modules = ["palette_of_mine.shades"]
    with Sandbox(LIMITS, unsafe=True, modules=modules, folders=[str(tmp_path)]) as sandbox:
        assert grids(sandbox.draw(source, [0])[0]) == [([[1]], [[2]])]


@pytest.fixture(scope="module")
def contained():
    """With all layers, and with what hostile generators import."""
    try:
        with Sandbox(LIMITS, wanted=LAYERS, modules=("ctypes",)) as one:
            yield one
    except BadInput as error:
        pytest.skip(f"NOT TESTED: {error}")


def test_there_are_at_least_fifteen_hostile_generators():
    assert len(GENERATORS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATORS)
def test_a_hostile_generator_is_contained_and_the_next_honest_one_served(contained, tmp_path, name):
    secret = tmp_path / "solutions.json"
    secret.write_text("[[7]]")
    started = clock.now()
    draws, twins = contained.draw(GENERATORS[name][0].format(secret=str(secret)), SEEDS)
    assert clock.now() - started < LIMITS.wall + SOON
    assert len(draws) == len(twins) == len(SEEDS)
    for draw in (*draws, *twins):
        assert draw.pair is None, "it did what it tried"
        assert draw.failed in (LOADING, CALLING, READING)
        assert draw.reason.isprintable()
        assert draw.reason
    assert len(grids(contained.draw(MIRROR, SEEDS)[0])) == len(SEEDS)
    assert contained.starts == 1, "it ended the runner"
    assert secret.read_text() == "[[7]]"
