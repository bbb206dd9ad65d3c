"""Training data from demonstrations: what is left out, what is shown, what the loss is on, and that it always fits."""

from __future__ import annotations

import time

import numpy as np
from fakes import MIRROR, SINGLE, STACK, pairs_of, random_task
from hypothesis import example, given, settings
from hypothesis import strategies as st

from solver import augment, formats
from solver.core import COLOURS, Example, Grid, Pair, Task, View
from solver.examples import leave_one_out, to_example

ROOM = 6144  # tokens: the context the engine is given by default


def spelled(examples: list[Example]) -> list[tuple[list[int], list[bool]]]:
    return [(e.tokens.tolist(), e.loss.tolist()) for e in examples]


def view_between(own: list[Pair], shown: list[Pair]) -> View | None:
    """The one view under which these pairs look like those, or None."""
    for element in range(augment.DIHEDRALS):
        back = [augment.undo_dihedral(g, element) for p in shown for g in (p.input, p.output)]
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


@given(seed=st.integers(0, 2**32 - 1), cap=st.integers(0, 20))
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
    assert [len(leave_one_out(MIRROR, cap, 0, ROOM)) for cap in (0, 1, 5, 250)] == [0, 1, 5, 250]


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
            pair += token == formats.IN
            wanted.append(answering and pair > 0)
            answering = token == formats.OUT or (answering and token != formats.END)
        assert made.loss.tolist() == wanted
        assert (made.tokens.dtype, made.loss.dtype) == (np.int32, np.bool_)


def test_a_single_demonstration_is_trained_on_end_to_end() -> None:
    for made in leave_one_out(SINGLE, 10, 0, ROOM):
        tokens = made.tokens.tolist()
        assert len(pairs_of(tokens)) == 1
        asked = tokens.index(formats.OUT)
        assert made.loss.tolist() == [i > asked for i in range(len(tokens))]


def test_an_example_of_one_pair_has_its_loss_on_that_pair_and_one_of_two_on_the_second() -> None:
    one, two = (to_example(list(MIRROR.demonstrations[:count])) for count in (1, 2))
    assert int(one.loss.sum()) == formats.encoded_length(MIRROR.demonstrations[0].output) + 1
    assert int(two.loss.sum()) == formats.encoded_length(MIRROR.demonstrations[1].output) + 1


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
    room = 3 * formats.pair_length(flat.demonstrations[0])  # three flat pairs fit exactly; tall ones are longer
    for task in (tall, flat):
        assert all(e.tokens.size <= room for e in leave_one_out(task, 24, 0, room))


def test_the_longest_of_the_others_gives_way_where_the_room_is_short() -> None:
    task = random_task([(2, 2), (6, 6), (3, 3)])
    room = sum(formats.pair_length(task.demonstrations[i]) for i in (0, 2))
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
