"""Training data from demonstrations: what is left out, what is shown, what the loss is on, and that it always fits."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from solver.config.training import TRANSFORMATIONS, DataRecipe, Form, Loss, Sides, TrainRecipe
from solver.data import views
from solver.data.transforms import VARIANTS
from solver.tokens import grid
from solver.tokens.grid import GRID
from solver.training.examples import build, fallback, in_turns, plain, to_example
from solver.types import COLOURS, MAX_SIDE, Example, Grid, Pair, Task, View, same
from tests.support.each import each
from tests.support.fakes import MIRROR, SINGLE, STACK, leave_one_out, pairs_of, random_task

ROOM = 6144  # tokens: the context the engine is given by default
FOUR = random_task([(2, 2), (3, 4), (5, 2), (1, 7)])
AS_THEY_ARE = DataRecipe(transformations=())
RECIPES = [
    DataRecipe(form, form == "leave-one-out", TRANSFORMATIONS, sides, loss)
    for form, sides, loss in product(get_args(Form), get_args(Sides), get_args(Loss))
]


def made_of(task: Task, data: DataRecipe, cap: int = 40, seed: int = 0, room: int = ROOM) -> list[Example]:
    return build(task, TrainRecipe(examples=cap, data=data), seed, room, GRID)


def shown_in(task: Task, examples: list[Example]) -> list[list[int]]:
    """Which demonstrations each example shows, for tasks whose demonstrations all differ in shape."""
    return [[by_shape(task, pair) for pair in pairs_of(e.tokens.tolist())] for e in examples]


def spelled(examples: list[Example]) -> list[tuple[list[int], list[bool]]]:
    return [(e.tokens.tolist(), e.loss.tolist()) for e in examples]


def view_between(own: list[Pair], shown: list[Pair]) -> View | None:
    """The one view under which these pairs look like those, or None."""
    for element in range(views.DIHEDRALS):
        back = [views.undo_dihedral(g, element) for p in shown for g in (p.input, p.output)]
        sent = recolouring([g for p in own for g in (p.input, p.output)], back)
        if sent is not None:
            return View(element, sent)
    return None


def recolouring(own: list[Grid], shown: list[Grid]) -> tuple[int, ...] | None:
    """The colour each colour is sent to (−1 where it does not occur), or None where no permutation does it."""
    sent: dict[int, int] = {}
    for a, b in zip(own, shown, strict=True):
        if a.shape != b.shape:
            return None
        for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
            if sent.setdefault(x, y) != y:
                return None
    return tuple(sent.get(c, -1) for c in range(COLOURS)) if len(set(sent.values())) == len(sent) else None


def by_shape(task: Task, pair: Pair) -> int:
    """Which demonstration a pair was made of, for tasks whose demonstrations all differ in shape."""
    return [sorted(p.input.shape) for p in task.demonstrations].index(sorted(pair.input.shape))


@given(seed=st.integers(0, 2**32 - 1), cap=st.integers(1, 20))
@settings(max_examples=20)
def test_examples_are_a_function_of_task_seed_cap_and_room_alone(seed: int, cap: int) -> None:
    assert spelled(leave_one_out(MIRROR, cap, seed, ROOM)) == spelled(leave_one_out(MIRROR, cap, seed, ROOM))


def test_examples_differ_by_seed_and_by_task_id() -> None:
    renamed = Task("another", MIRROR.demonstrations, MIRROR.tests)
    first = spelled(leave_one_out(MIRROR, 12, 0, ROOM))
    assert first != spelled(leave_one_out(MIRROR, 12, 1, ROOM))
    assert first != spelled(leave_one_out(renamed, 12, 0, ROOM))


def test_a_smaller_cap_gives_the_first_of_the_same_examples() -> None:
    assert spelled(leave_one_out(STACK, 7, 3, ROOM)) == spelled(leave_one_out(STACK, 30, 3, ROOM))[:7]


def test_there_are_as_many_examples_as_the_cap_says() -> None:
    assert [len(leave_one_out(MIRROR, cap, 0, ROOM)) for cap in (1, 5, 250)] == [1, 5, 250]


def test_the_last_pair_is_the_one_left_out_each_in_turn_and_the_others_come_before_it() -> None:
    task = random_task([(2, 2), (3, 4), (5, 2), (1, 7)])
    for index, made in enumerate(leave_one_out(task, 40, 0, ROOM)):
        sources = [by_shape(task, p) for p in pairs_of(made.tokens.tolist())]
        assert sources[-1] == index % 4
        assert sorted(sources) == [0, 1, 2, 3]


def test_all_pairs_of_an_example_are_seen_through_one_view() -> None:
    task = random_task([(2, 2), (3, 4), (5, 2), (1, 7)])
    used = set()
    for made in leave_one_out(task, 64, 0, ROOM):
        shown = pairs_of(made.tokens.tolist())
        view = view_between([task.demonstrations[by_shape(task, p)] for p in shown], shown)
        assert view is not None
        used.add(view)
    assert {v.dihedral for v in used} == set(range(8))
    assert len({v.colours for v in used}) > 50
    assert 0.5 < np.mean([v.colours[0] == 0 for v in used]) < 0.95


def test_every_demonstration_is_left_out_under_every_dihedral_before_one_comes_again() -> None:
    task = random_task([(2, 2), (3, 4), (5, 2)])
    seen = []
    for made in leave_one_out(task, 24, 0, ROOM):
        shown = pairs_of(made.tokens.tolist())
        view = view_between([task.demonstrations[by_shape(task, p)] for p in shown], shown)
        assert view is not None
        seen.append((by_shape(task, shown[-1]), view.dihedral))
    assert len(set(seen)) == 24


def test_the_others_come_in_more_than_one_order() -> None:
    task = random_task([(2, 2), (3, 4), (5, 2), (1, 7)])
    orders = {tuple(by_shape(task, p) for p in pairs_of(e.tokens.tolist())) for e in leave_one_out(task, 40, 0, ROOM)}
    assert len(orders) > 8


def test_the_loss_is_on_every_output_after_the_first_with_its_end_and_on_nothing_else() -> None:
    for made in leave_one_out(MIRROR, 20, 0, ROOM):
        wanted, pair, answering = [], -1, False
        for token in made.tokens.tolist():
            pair += token == grid.IN
            wanted.append(answering and pair > 0)
            answering = token == grid.OUT or (answering and token != grid.END)
        assert made.loss.tolist() == wanted
        assert (made.tokens.dtype, made.loss.dtype) == (np.int32, np.bool_)


def test_a_single_demonstration_is_trained_on_end_to_end() -> None:
    for made in leave_one_out(SINGLE, 10, 0, ROOM):
        tokens = made.tokens.tolist()
        assert len(pairs_of(tokens)) == 1
        asked = tokens.index(grid.OUT)
        assert made.loss.tolist() == [i > asked for i in range(len(tokens))]


def test_an_example_of_one_pair_has_its_loss_on_that_pair_and_one_of_two_on_the_second() -> None:
    one, two = (to_example(list(MIRROR.demonstrations[:count]), GRID) for count in (1, 2))
    assert int(one.loss.sum()) == grid.encoded_length(MIRROR.demonstrations[0].output) + 1
    assert int(two.loss.sum()) == grid.encoded_length(MIRROR.demonstrations[1].output) + 1


@given(
    shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=5),
    room=st.integers(0, 900),
    seed=st.integers(0, 99),
)
@example(shapes=[(1, 2)], room=9, seed=0)
@settings(max_examples=60)
def test_no_example_is_longer_than_the_room(shapes: list[tuple[int, int]], room: int, seed: int) -> None:
    examples = leave_one_out(random_task(shapes, seed), 12, seed, room)
    assert all(e.tokens.size <= room for e in examples)
    assert all(e.loss.any() for e in examples)


def test_a_turned_example_fits_the_room_as_the_one_it_was_turned_from() -> None:
    tall, flat = (random_task([shape] * 3) for shape in ((12, 1), (1, 12)))
    room = 3 * grid.pair_length(flat.demonstrations[0])  # three flat pairs fit exactly; tall ones are longer
    for task in (tall, flat):
        assert all(e.tokens.size <= room for e in leave_one_out(task, 24, 0, room))


def test_the_longest_of_the_others_gives_way_where_the_room_is_short() -> None:
    task = random_task([(2, 2), (6, 6), (3, 3)])
    room = sum(grid.pair_length(task.demonstrations[i]) for i in (0, 2))
    examples = leave_one_out(task, 9, 0, room)
    sources = [[by_shape(task, p) for p in pairs_of(e.tokens.tolist())] for e in examples]
    assert {tuple(sorted(s)) for s in sources} == {(0, 2)}


def test_a_demonstration_that_does_not_fit_alone_is_never_asked_for() -> None:
    task = random_task([(2, 2), (30, 30)])
    examples = leave_one_out(task, 10, 0, 200)
    assert len(examples) == 5
    assert all(len(pairs_of(e.tokens.tolist())) == 1 for e in examples)
    assert leave_one_out(task, 10, 0, 5) == []


def test_the_test_inputs_play_no_part() -> None:
    other = Task(MIRROR.id, MIRROR.demonstrations, STACK.tests)
    assert spelled(leave_one_out(MIRROR, 10, 0, ROOM)) == spelled(leave_one_out(other, 10, 0, ROOM))


def test_the_largest_task_is_made_into_250_examples_in_half_a_second() -> None:
    task = random_task([(30, 30)] * 4)
    started = time.process_time()
    examples = leave_one_out(task, 250, 0, ROOM)
    assert time.process_time() - started < 0.5
    assert [len(pairs_of(e.tokens.tolist())) for e in examples[:4]] == [3] * 4
    assert max(e.tokens.size for e in examples) <= ROOM


@pytest.mark.parametrize(
    ("task", "room", "digest"),
    [
        (MIRROR, 6144, "9566db9cdabf36c2"),
        (STACK, 6144, "c8809efa459799d8"),
        (SINGLE, 600, "acf576c485ed68bb"),
        (random_task([(30, 30), (4, 7), (12, 3), (9, 9)]), 6144, "8b4aaae64f4e0826"),
        (random_task([(30, 30), (4, 7), (12, 3), (9, 9)]), 600, "66676bebff3836b4"),
    ],
)
def test_the_default_recipe_gives_the_bytes_it_gave_before_there_were_others(task, room, digest):
    digests = hashlib.sha256()
    for made in made_of(task, DataRecipe(), 60, 5, room):
        digests.update(made.tokens.tobytes())
        digests.update(made.loss.tobytes())
    assert digests.hexdigest()[:16] == digest


def test_leave_one_out_is_what_the_default_recipe_builds():
    assert spelled(leave_one_out(STACK, 30, 3, ROOM)) == spelled(made_of(STACK, DataRecipe(), 30, 3))


@pytest.mark.slow
@each("data", RECIPES, lambda d: f"{d.form}-{d.sides}-{d.loss}")
def test_every_recipe_keeps_to_the_cap_the_room_and_thirty_cells_and_can_be_repeated(data):
    task = random_task([(16, 3), (4, 7), (12, 18)])
    for room in (900, 300):
        examples = made_of(task, data, 60, 1, room)
        assert 0 < len(examples) <= 60
        assert all(e.tokens.size <= room and e.loss.any() for e in examples)
        grids = [g for e in examples for p in pairs_of(e.tokens.tolist()) for g in (p.input, p.output)]
        assert max(max(g.shape) for g in grids) <= MAX_SIDE
        assert spelled(examples) == spelled(made_of(task, data, 60, 1, room))
        assert spelled(examples) != spelled(made_of(task, data, 60, 2, room))


@each("data", RECIPES, lambda d: f"{d.form}-{d.sides}-{d.loss}")
def test_the_test_inputs_play_no_part_in_any_recipe(data):
    other = Task(MIRROR.id, MIRROR.demonstrations, STACK.tests)
    assert spelled(made_of(MIRROR, data)) == spelled(made_of(other, data))


def test_end_to_end_examples_are_single_pairs_each_demonstration_in_turn():
    assert shown_in(FOUR, made_of(FOUR, DataRecipe("end-to-end"), 9)) == [[i % 4] for i in range(9)]


def test_shuffled_examples_show_all_demonstrations_in_orders_that_differ():
    orders = shown_in(FOUR, made_of(FOUR, DataRecipe("shuffled"), 60))
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 12


def test_without_transformations_the_demonstrations_stay_as_they_are_and_in_their_order():
    for index, made in enumerate(made_of(FOUR, AS_THEY_ARE, 8)):
        pairs, left_out = pairs_of(made.tokens.tolist()), index % 4
        order = [*(i for i in range(4) if i != left_out), left_out]
        for pair, source in zip(pairs, order, strict=True):
            assert same(pair.input, FOUR.demonstrations[source].input)
            assert same(pair.output, FOUR.demonstrations[source].output)


def test_leave_two_out_comes_in_once_leave_one_out_has_no_other_examples():
    recipe = replace(AS_THEY_ARE, leave_two_out=True)
    sources = shown_in(FOUR, made_of(FOUR, recipe, 250))
    assert [len(shown) for shown in sources] == [4] * 4 + [3] * 12  # each left out, then with each other one missing
    assert len({tuple(shown) for shown in sources}) == 16
    assert shown_in(FOUR, made_of(FOUR, recipe, 4)) == sources[:4]
    assert len(made_of(FOUR, recipe, 6)) == 6


def test_leave_two_out_leaves_out_repeated_examples():
    recipe = DataRecipe(leave_two_out=True)
    examples = made_of(STACK, recipe, 250)
    assert len({e.tokens.tobytes() for e in examples}) == len(examples)
    plain = {e.tokens.tobytes() for e in made_of(STACK, DataRecipe(), 250)}
    assert len(plain) <= len(examples)


def test_leave_two_out_of_two_demonstrations_adds_nothing():
    task = random_task([(2, 2), (3, 4)])
    recipe = replace(AS_THEY_ARE, leave_two_out=True)
    assert shown_in(task, made_of(task, recipe)) == [[1, 0], [0, 1]]


@pytest.mark.parametrize("loss", get_args(Loss))
def test_the_loss_is_on_the_outputs_the_recipe_names_with_their_ends(loss):
    for made in made_of(FOUR, DataRecipe(loss=loss), 8):
        pairs = pairs_of(made.tokens.tolist())
        counted = {"all": pairs, "after-first": pairs[1:], "test": pairs[-1:]}[loss]
        assert int(made.loss.sum()) == sum(grid.encoded_length(p.output) + 1 for p in counted)
        assert not made.loss[made.tokens == grid.IN].any()
        assert not made.loss[made.tokens == grid.OUT].any()
        assert made.loss[-1]


@pytest.mark.parametrize("loss", get_args(Loss))
def test_an_only_pair_has_its_loss_on_its_output_whatever_the_recipe_says(loss):
    pair = MIRROR.demonstrations[0]
    assert int(to_example([pair], GRID, loss).loss.sum()) == grid.encoded_length(pair.output) + 1


@pytest.mark.parametrize("kind", ["dihedral", *VARIANTS])
@pytest.mark.parametrize("side", ["input", "output"])
def test_on_one_side_only_the_other_grids_stay_as_they_are(kind, side):
    recipe = DataRecipe("end-to-end", transformations=(kind,), sides=side)
    moved = 0
    for index, made in enumerate(made_of(FOUR, recipe, 40)):
        [pair] = pairs_of(made.tokens.tolist())
        own = FOUR.demonstrations[index % 4]
        still, changed = (pair.output, pair.input) if side == "input" else (pair.input, pair.output)
        assert same(still, own.output if side == "input" else own.input)
        moved += not same(changed, own.input if side == "input" else own.output)
    assert moved >= 10


def test_on_both_sides_all_grids_of_an_example_are_transformed_alike():
    """Inputs equal to their outputs must stay equal to them."""
    task = Task("equal", tuple(Pair(p.input, p.input) for p in FOUR.demonstrations), FOUR.tests)
    for made in made_of(task, DataRecipe(transformations=TRANSFORMATIONS), 80):
        assert all(same(p.input, p.output) for p in pairs_of(made.tokens.tolist()))


def test_colours_change_on_both_sides_whichever_side_is_moved():
    task = Task("equal", tuple(Pair(p.input, p.input) for p in FOUR.demonstrations), FOUR.tests)
    for made in made_of(task, DataRecipe(transformations=("colours", "dihedral"), sides="input"), 40):
        for pair in pairs_of(made.tokens.tolist()):
            assert Counter(pair.input.ravel().tolist()) == Counter(pair.output.ravel().tolist())


def test_a_single_demonstration_falls_back_to_end_to_end_and_is_said_to():
    recipe = TrainRecipe()
    assert fallback(SINGLE, recipe, 1024, GRID) == (
        "one demonstration leaves no context for leave-one-out: trained end to end on that pair"
    )
    assert fallback(MIRROR, recipe, 1024, GRID) is None
    assert fallback(SINGLE, TrainRecipe(data=DataRecipe("end-to-end")), 1024, GRID) is None
    shuffled = fallback(SINGLE, TrainRecipe(data=DataRecipe("shuffled")), 1024, GRID)
    assert shuffled == "one demonstration leaves no context for shuffled: trained end to end on that pair"


def test_two_demonstrations_without_a_context_for_leave_two_out_are_said():
    recipe = TrainRecipe(data=DataRecipe(leave_two_out=True))
    assert fallback(random_task([(1, 1), (2, 2)]), recipe, 1024, GRID) == (
        "two demonstrations leave no context for leave-two-out: trained on leave-one-out alone"
    )
    assert fallback(MIRROR, recipe, 1024, GRID) is None


@pytest.mark.parametrize("data", RECIPES[::3], ids=lambda d: f"{d.form}-{d.sides}")
@pytest.mark.parametrize("side", [15, 30])
def test_every_recipe_makes_250_examples_of_a_large_task_in_half_a_second(data, side):
    task = random_task([(side, side)] * 4)
    started = time.process_time()
    examples = made_of(task, data, 250, room=8192)
    assert time.process_time() - started < 0.5
    assert len(examples) == 250


@pytest.mark.parametrize("data", RECIPES[::9], ids=lambda d: d.form)
@pytest.mark.parametrize("left_out", [0, 2])
def test_one_demonstration_alone_can_be_the_one_asked_for(data, left_out):
    data = replace(data, transformations=("order",), leave_two_out=data.leave_two_out)
    examples = build(FOUR, TrainRecipe(examples=20, data=data), 0, ROOM, GRID, left_out)
    shown = shown_in(FOUR, examples)
    assert {each[-1] for each in shown} == {left_out}
    sizes = {"end-to-end": {1}, "leave-one-out": {3, 4}, "shuffled": {4}}[data.form]
    assert {len(each) for each in shown} <= sizes
    assert len({tuple(each) for each in shown}) == len(shown) or data.form != "leave-one-out"


def test_under_one_demonstration_left_out_every_dihedral_comes_as_often_as_others():
    data = DataRecipe(transformations=("dihedral",), leave_two_out=False)
    examples = build(FOUR, TrainRecipe(examples=16, data=data), 0, ROOM, GRID, 1)
    assert set(Counter(e.tokens.tobytes() for e in examples).values()) == {2}


def test_tasks_are_compared_by_each_demonstration_after_the_others_that_fits():
    examples = plain(FOUR, ROOM, GRID)
    assert shown_in(FOUR, list(examples.values())) == [[1, 2, 3, 0], [0, 2, 3, 1], [0, 1, 3, 2], [0, 1, 2, 3]]
    assert list(examples) == [0, 1, 2, 3]
    large = random_task([(2, 2), (30, 30), (3, 2)])
    assert list(plain(large, 200, GRID)) == [0, 2]


def test_demonstrations_that_leave_no_room_for_a_context_are_said_to_be_trained_on_alone():
    task = random_task([(2, 2), (9, 9), (10, 10)])
    small, large = (grid.pair_length(task.demonstrations[at]) for at in (0, 2))
    note = "1 of 3 demonstrations leave no room for another before them: trained on alone"
    assert fallback(task, TrainRecipe(), small + large, GRID) is None
    assert fallback(task, TrainRecipe(), small + large - 1, GRID) == note
    assert fallback(task, TrainRecipe(data=DataRecipe("shuffled")), small + large - 1, GRID) == note
    assert fallback(task, TrainRecipe(data=DataRecipe("end-to-end")), small + large - 1, GRID) is None
    assert fallback(task, TrainRecipe(), large - 1, GRID) is None  # it is left out altogether
    lengths = [len(pairs_of(e.tokens.tolist())) for e in leave_one_out(task, 9, 0, small + large - 1)]
    assert lengths == [2, 2, 1] * 3
    both = fallback(random_task([(2, 2), (10, 10)]), TrainRecipe(data=DataRecipe(leave_two_out=True)), large, GRID)
    assert both is not None
    assert both.startswith("two demonstrations leave no context")
    assert both.endswith("; 2 of 2 demonstrations leave no room for another before them: trained on alone")


def test_joint_examples_are_those_of_each_task_in_turn():
    recipe = TrainRecipe(examples=8, data=replace(AS_THEY_ARE, leave_two_out=True))
    apart = [build(task, recipe, 0, ROOM, GRID) for task in (MIRROR, SINGLE)]
    assert [len(them) for them in apart] == [8, 1]
    assert spelled(in_turns(apart)) == spelled([apart[0][0], apart[1][0], *apart[0][1:]])
    assert in_turns([]) == []
