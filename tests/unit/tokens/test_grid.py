"""Token ids: the laws of encoding and decoding on random grids, and a sequence written down by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.tokens.grid import (
    END,
    GRID,
    IN,
    INPUT,
    LONGEST_REPLY,
    OUT,
    OUTPUT,
    PAD,
    ROLE_SPAN,
    ROW_SPAN,
    SPECIALS,
    VOCABULARY,
    Written,
    WrittenGrid,
    coordinates,
    encode,
    encoded_length,
    fit,
    pair_length,
)
from solver.types import COLOURS, MAX_SIDE, Grid, Pair, key, same
from tests.support.fakes import any_grid, grid, pairs_of, random_task, reply_of

decode, encode_pairs, encode_prompt = GRID.decode, GRID.encode_pairs, GRID.encode_prompt
PAIR = Pair(grid([[1, 2]]), grid([[3], [0]]))
GOLDEN = [1, 16, 18, 29, 2, 9046, 9050, 9347, 9348, 3]  # IN, marker, cells 1 2, OUT, marker, 3, marker, 0, END

token = st.integers(0, VOCABULARY - 1)
pair_lists = st.lists(st.builds(Pair, input=any_grid(8), output=any_grid(8)), min_size=1, max_size=4)


def never_repaired(reply: list[int]) -> Grid | None:
    """Decode, and check that nothing but the exact spelling of the result was accepted."""
    found = decode(reply)
    assert found is None or list(reply_of(found)) == reply
    return found


def test_a_small_pair_has_the_ids_written_down_here() -> None:
    tokens, owner = encode_pairs([PAIR])
    assert tokens.tolist() == GOLDEN
    assert owner.tolist() == [-1, -1, -1, -1, -1, 0, 0, 0, 0, 0]
    assert tokens.dtype == owner.dtype == np.int32


def test_a_prompt_is_the_demonstrations_and_then_the_question_up_to_out() -> None:
    assert encode_prompt([PAIR], grid([[9]])).tolist() == [*GOLDEN, 1, 16, 26, 2]
    assert encode_prompt([], grid([[9]])).tolist() == [1, 16, 26, 2]


def test_the_ids_are_numbered_as_the_shipped_weights_know_them() -> None:
    assert (PAD, IN, OUT, END, SPECIALS, VOCABULARY) == (0, 1, 2, 3, 16, 18076)
    last = np.full((MAX_SIDE, MAX_SIDE), COLOURS - 1, dtype=np.uint8)
    assert encode(last, INPUT)[-1] == SPECIALS + ROLE_SPAN - 1
    assert encode(last, OUTPUT)[-1] == VOCABULARY - 1


@given(cells=any_grid())
def test_decoding_gives_back_the_grid_that_was_encoded(cells: Grid) -> None:
    found = decode(reply_of(cells))
    assert found is not None
    assert same(found, cells)
    assert found.dtype == np.uint8


@given(cells=any_grid())
def test_the_encoded_length_is_what_it_is_said_to_be(cells: Grid) -> None:
    assert encode(cells, INPUT).size == encoded_length(cells) <= LONGEST_REPLY - 1


@given(pairs=pair_lists)
def test_every_token_of_a_sequence_belongs_to_the_output_it_stands_in(pairs: list[Pair]) -> None:
    tokens, owner = encode_pairs(pairs)
    assert tokens.size == owner.size == sum(map(pair_length, pairs))
    for index, pair in enumerate(pairs):
        assert tuple(tokens[owner == index].tolist()) == reply_of(pair.output)
    back = pairs_of(tokens.tolist())
    assert [(key(p.input), key(p.output)) for p in back] == [(key(p.input), key(p.output)) for p in pairs]


@given(pairs=pair_lists, test=any_grid(8))
def test_a_prompt_is_as_long_as_its_parts(pairs: list[Pair], test: Grid) -> None:
    prompt = encode_prompt(pairs, test)
    assert prompt.size == sum(map(pair_length, pairs)) + encoded_length(test) + 2
    assert prompt[-1] == OUT


@given(cells=any_grid(8), data=st.data())
def test_a_reply_with_any_one_token_changed_is_rejected_or_spells_another_grid_exactly(
    cells: Grid, data: st.DataObject
) -> None:
    reply = list(reply_of(cells))
    place = data.draw(st.integers(0, len(reply) - 1))
    near = st.integers(-2 * ROW_SPAN, 2 * ROW_SPAN).map(lambda step: reply[place] + step)
    reply[place] = data.draw(st.one_of(token, near, st.integers(-(10**6), 10**6)))
    never_repaired(reply)


@given(cells=any_grid(5), data=st.data())
def test_a_reply_with_any_one_token_missing_doubled_or_added_is_never_repaired(
    cells: Grid, data: st.DataObject
) -> None:
    reply = list(reply_of(cells))
    place = data.draw(st.integers(0, len(reply) - 1))
    never_repaired(reply[:place] + reply[place + 1 :])
    never_repaired([*reply[:place], data.draw(token), *reply[place:]])
    assert decode([*reply[: place + 1], *reply[place:]]) is None


@given(reply=st.lists(st.one_of(token, st.integers(-30_000, 30_000), st.integers(9046, 9100)), max_size=12))
def test_tokens_at_random_are_never_repaired_into_a_grid(reply: list[int]) -> None:
    never_repaired(reply)


@given(cells=any_grid(6), rest=st.lists(token, min_size=1, max_size=4))
def test_what_follows_the_end_of_a_reply_is_not_overlooked(cells: Grid, rest: list[int]) -> None:
    assert decode([*reply_of(cells), *rest]) is None


@given(cells=any_grid(6))
def test_a_grid_in_the_role_of_an_input_is_no_reply(cells: Grid) -> None:
    assert decode([*encode(cells, INPUT).tolist(), END]) is None


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ([], "nothing"),
        ([END], "no rows"),
        ([9046, END], "a row without cells"),
        ([9046, 9050], "no end"),
        ([9050, END], "a cell without a marker"),
        ([9047, 9046, END], "a cell before its marker"),
        ([9046, 9050, 9347, END], "a ragged second row"),
        ([9046, 9047, 9057, 9347, 9348, END], "rows of different lengths"),
        ([9347, 9348, END], "a first row that says it is the second"),
        ([9046, 9047, 9648, 9649, END], "a second row that says it is the third"),
        ([9046, 9057, END], "a first cell that says it is in column two"),
        ([9046, 9348, END], "a cell of another row"),
        ([16, 17, END], "an input's tokens"),
        ([9046, 9050, END, END], "an end too many"),
        ([9046, PAD, END], "padding for a cell"),
        ([VOCABULARY, VOCABULARY + 1, END], "a 31st row"),
        ([9046 - ROLE_SPAN * 2, 9047, END], "a negative id"),
    ],
)
def test_a_reply_that_is_no_grid_is_rejected(reply: list[int], why: str) -> None:
    assert decode(reply) is None, why


def test_a_grid_of_31_rows_or_31_columns_is_rejected() -> None:
    tall = [SPECIALS + ROLE_SPAN + row * ROW_SPAN + step for row in range(31) for step in (0, 1)]
    wide = [9046, *(9047 + 10 * column for column in range(31))]
    assert decode([*tall[:-2], END]) is not None
    assert decode([*tall, END]) is None
    assert decode([*wide[:-1], END]) is not None
    assert decode([*wide, END]) is None


def test_everything_is_kept_where_it_fits_exactly_and_the_longest_goes_where_one_token_is_missing() -> None:
    one = random_task([(2, 2), (5, 4), (3, 3)])
    test = one.tests[0]
    whole = sum(map(pair_length, one.demonstrations)) + encoded_length(test) + 2 + 5 * 5 + 1
    assert fit(one.demonstrations, test, whole, GRID) == (one.demonstrations, 0)
    assert fit(one.demonstrations, test, whole - 1, GRID) == ((one.demonstrations[0], one.demonstrations[2]), 1)


@given(shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6), room=st.integers(0, 1200))
def test_what_is_kept_fits_in_its_order_and_what_is_dropped_is_no_shorter(
    shapes: list[tuple[int, int]], room: int
) -> None:
    one = random_task(shapes)
    kept, dropped = fit(one.demonstrations, one.tests[0], room, GRID)
    places = [one.demonstrations.index(p) for p in kept]
    gone = [p for p in one.demonstrations if p not in kept]
    assert places == sorted(places)
    assert dropped == len(gone)
    if kept:
        assert max(map(pair_length, kept)) <= min(map(pair_length, gone), default=10**6)
        reply = max(encoded_length(p.output) for p in kept) + 1
        assert encode_prompt(kept, one.tests[0]).size + reply <= room


def test_the_coordinates_of_every_token_are_those_it_was_encoded_from() -> None:
    role, row, column, colour = coordinates()
    assert role.shape == row.shape == column.shape == colour.shape == (VOCABULARY,)
    cells = np.random.default_rng(0).integers(0, COLOURS, (MAX_SIDE, MAX_SIDE)).astype(np.uint8)
    for side in (INPUT, OUTPUT):
        ids = encode(cells, side).reshape(MAX_SIDE, MAX_SIDE + 1)
        assert (role[ids] == 1 + side).all()
        assert (row[ids] == np.arange(1, MAX_SIDE + 1)[:, None]).all()
        assert (column[ids] == np.arange(MAX_SIDE + 1)[None, :]).all()
        assert (colour[ids[:, 1:]] == cells).all()
        assert (colour[ids[:, 0]] == COLOURS).all()


def test_no_two_tokens_have_the_same_coordinates() -> None:
    together = np.stack(coordinates(), axis=1)
    assert len(np.unique(together, axis=0)) == VOCABULARY


def test_special_tokens_have_no_place_in_a_grid() -> None:
    role, row, column, colour = (values[:SPECIALS] for values in coordinates())
    assert not role.any()
    assert not row.any()
    assert not column.any()
    assert colour.tolist() == [COLOURS + 1 + i for i in range(SPECIALS)]


def written(reply: list[int]) -> Written | None:
    """How far a reply has come, token by token; None from the first impossible one on."""
    so_far: Written | None = GRID.written
    for said in reply:
        so_far = so_far.then(said) if so_far else None
    return so_far


@given(cells=any_grid())
def test_every_reply_that_spells_a_grid_can_be_written_token_by_token(cells: Grid) -> None:
    so_far: Written | None = GRID.written
    for said in reply_of(cells):
        so_far = so_far.then(said)
        assert so_far is not None
    assert so_far == WrittenGrid(cells.shape[0], cells.shape[1], cells.shape[1], ended=True)


@given(cells=any_grid(4), at=st.integers(0, 25), data=st.data())
def test_a_reply_can_be_written_exactly_when_a_grid_can_begin_so(cells: Grid, at: int, data: st.DataObject) -> None:
    """One token of a reply is changed: what may follow the rest of it is known from the grid's shape alone."""
    reply = list(reply_of(cells))
    place = min(at, len(reply) - 1)
    row, column = divmod(place, cells.shape[1] + 1)
    first = encode(np.zeros((MAX_SIDE, MAX_SIDE), np.uint8), OUTPUT).reshape(MAX_SIDE, -1)
    possible: set[int] = set()
    if column and row < cells.shape[0]:  # a cell of the row, and in the first one the end of it
        possible = {*range(first[row, column], first[row, column] + COLOURS)}
        possible |= {END, int(first[1, 0])} if row == 0 and column > 1 else set()
    else:  # a row begins
        possible = {int(first[row, 0])} | ({END} if row else set())
        possible |= (
            {*range(first[0, column + cells.shape[1] + 1], first[0, column + cells.shape[1] + 1] + COLOURS)}
            if row == 1
            else set()
        )
    nearby = st.integers(max(0, reply[place] - 20), min(VOCABULARY, reply[place] + 320))
    said = data.draw(st.sampled_from(sorted(possible)) | token | nearby)
    assert (written([*reply[:place], said]) is not None) == (said in possible)


@given(reply=st.lists(token, max_size=8))
def test_what_is_written_to_its_end_is_exactly_what_is_decoded(reply: list[int]) -> None:
    so_far = written([*reply, END])
    assert (so_far is not None and so_far.ended) == (decode([*reply, END]) is not None)


def test_no_row_is_written_after_the_thirtieth_and_nothing_after_the_end() -> None:
    tallest = list(reply_of(np.zeros((MAX_SIDE, 1), np.uint8)))
    assert written(tallest[:-1]) == WrittenGrid(MAX_SIDE, 1, 1)
    assert written([*tallest[:-1], int(encode(np.zeros((1, 1), np.uint8), OUTPUT)[0])]) is None
    assert all(written([*tallest, said]) is None for said in (END, PAD, tallest[0]))
