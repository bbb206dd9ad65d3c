"""Rows of digits as token ids: sequences written down by hand, and the laws of every such format on random grids."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.tokens.grid import GRID, LONGEST_REPLY, Format, encoded_length, fit
from solver.tokens.rows import NVARC, Lines, WrittenLines
from solver.types import MAX_SIDE, Grid, Pair, same
from tests.support.fakes import any_grid, grid, random_task

ARCHITECTS = Lines("architects", (0, 10), (16,), 1, (10,), cells=tuple(range(28, 38)), newline=38, closed=True)
CHAT = Lines("text", (), (90, 7), 60, (7, 91, 7), cells=tuple(range(59, 49, -1)), newline=7, closed=False)
LINES = [NVARC, ARCHITECTS, CHAT]
PAIRS = [Pair(grid([[0, 1], [2, 3]]), grid([[9]])), Pair(grid([[5, 5]]), grid([[5], [0]]))]

# <|im_start|>user\n01\n23<|im_end|><|im_start|>assistant\n9<|im_end|>
# <|im_start|>user\n55<|im_end|><|im_start|>assistant\n5\n0<|im_end|>
NVARC_FIRST = [14, 11, 10, 0, 1, 10, 2, 3, 15, 14, 12, 10, 9, 15]
NVARC_SECOND = [14, 11, 10, 5, 5, 15, 14, 12, 10, 5, 10, 0, 15]
# <s>I01\n23\nO9\n</s>I55\nO5\n0\n</s>, where <s> is 0, </s> 1, I 10, O 16, the digits 28 to 37, \n 38
ARCHITECTS_FIRST = [0, 10, 28, 29, 38, 30, 31, 38, 16, 37, 38, 1]
ARCHITECTS_SECOND = [10, 33, 33, 38, 16, 33, 38, 28, 38, 1]

every_format = pytest.mark.parametrize("format", LINES, ids=["nvarc-16", "architects", "chat"])
any_format: st.SearchStrategy[Format] = st.sampled_from([*LINES, GRID])
pair_lists = st.lists(st.builds(Pair, input=any_grid(6), output=any_grid(6)), min_size=1, max_size=4)


@pytest.mark.parametrize(
    ("format", "first", "second"),
    [(NVARC, NVARC_FIRST, NVARC_SECOND), (ARCHITECTS, ARCHITECTS_FIRST, ARCHITECTS_SECOND)],
    ids=["nvarc-16", "architects"],
)
def test_two_pairs_have_the_ids_written_down_here(format: Lines, first: list[int], second: list[int]) -> None:
    tokens, owner = format.encode_pairs(PAIRS)
    assert tokens.tolist() == first + second
    replies = len(format.encode_reply(PAIRS[0].output)), len(format.encode_reply(PAIRS[1].output))
    assert owner.tolist() == [
        *[-1] * (len(first) - replies[0]),
        *[0] * replies[0],
        *[-1] * (len(second) - replies[1]),
        *[1] * replies[1],
    ]
    assert tokens.dtype == owner.dtype == np.int32


def test_a_prompt_in_nvarcs_format_ends_with_the_newline_after_assistant() -> None:
    question = [14, 11, 10, 7, 8, 15, 14, 12, 10]
    assert NVARC.encode_prompt(PAIRS[:1], grid([[7, 8]])).tolist() == NVARC_FIRST + question
    assert NVARC.encode_prompt([], grid([[7, 8]])).tolist() == question
    assert NVARC.encode_reply(grid([[7], [8]])) == (7, 10, 8, 15)
    assert (NVARC.end, NVARC.vocabulary) == (15, 16)


def test_a_prompt_in_architects_format_ends_with_o_and_begins_with_bos_once() -> None:
    question = [10, 35, 36, 38, 16]
    assert ARCHITECTS.encode_prompt(PAIRS[:1], grid([[7, 8]])).tolist() == ARCHITECTS_FIRST + question
    assert ARCHITECTS.encode_prompt([], grid([[7, 8]])).tolist() == [0, *question]
    assert ARCHITECTS.encode_reply(grid([[7], [8]])) == (35, 38, 36, 38, 1)


@given(cells=any_grid(), format=any_format)
def test_decoding_gives_back_the_grid_that_was_encoded(cells: Grid, format: Format) -> None:
    found = format.decode(format.encode_reply(cells))
    assert found is not None
    assert same(found, cells)
    assert found.dtype == np.uint8


@given(cells=any_grid(), format=any_format)
def test_a_reply_takes_a_token_a_cell_at_most_one_a_row_and_one_for_its_end(cells: Grid, format: Format) -> None:
    length = len(format.encode_reply(cells))
    assert cells.size + cells.shape[0] <= length <= encoded_length(cells) + 1 <= LONGEST_REPLY


@given(pairs=pair_lists, test=any_grid(6), format=any_format)
def test_lengths_are_those_of_what_is_written(pairs: list[Pair], test: Grid, format: Format) -> None:
    tokens, owner = format.encode_pairs(pairs)
    assert tokens.size == owner.size == format.pairs_length(pairs)
    assert format.encode_prompt(pairs, test).size == format.prompt_length(pairs, test)
    assert format.encode_prompt([], test).size == format.prompt_length([], test)
    assert format.pairs_length([]) == 0


@given(pairs=pair_lists, format=any_format)
def test_every_output_with_its_end_belongs_to_its_pair_and_nothing_else_does(pairs: list[Pair], format: Format) -> None:
    tokens, owner = format.encode_pairs(pairs)
    for index, pair in enumerate(pairs):
        assert tuple(tokens[owner == index].tolist()) == format.encode_reply(pair.output)
    assert set(owner.tolist()) == {-1, *range(len(pairs))}
    assert 0 <= tokens.min() <= tokens.max() < format.vocabulary


@given(pairs=pair_lists, format=any_format)
def test_a_training_sequence_is_the_prompt_for_its_last_pair_with_the_reply(pairs: list[Pair], format: Format) -> None:
    *shown, asked = pairs
    prompt = format.encode_prompt(shown, asked.input).tolist()
    assert format.encode_pairs(pairs)[0].tolist() == [*prompt, *format.encode_reply(asked.output)]


def spells(format: Lines, reply: list[int]) -> bool:
    """Whether a reply is a grid's, read as text: rows of one width, apart by newlines, in the limits, and the end."""
    signs = {**dict(zip(format.cells, "0123456789", strict=True)), format.newline: "\n", format.end: "."}
    written = "".join(signs.get(token, "?") for token in reply)
    rows = written[:-1].split("\n")
    if format.closed and rows.pop() != "":
        return False
    sound = (
        1 <= len(rows) <= MAX_SIDE and 1 <= len(rows[0]) <= MAX_SIDE and {len(row) for row in rows} == {len(rows[0])}
    )
    return written.endswith(".") and sound and set("".join(rows)) <= set("0123456789")


def near(format: Lines) -> st.SearchStrategy[int]:
    """Mostly tokens that matter to the format."""
    return st.sampled_from([*format.cells[:2], format.newline, format.end]) | st.integers(-2, 100)


@every_format
@given(data=st.data())
def test_exactly_the_replies_that_spell_a_grid_are_decoded_and_none_is_repaired(
    format: Lines, data: st.DataObject
) -> None:
    reply = data.draw(st.lists(near(format), max_size=9))
    found = format.decode(reply)
    assert (found is not None) == spells(format, reply)
    assert found is None or list(format.encode_reply(found)) == reply


@every_format
@given(cells=any_grid(5), data=st.data())
def test_a_reply_with_a_token_changed_missing_or_added_is_another_grid_or_none(
    format: Lines, cells: Grid, data: st.DataObject
) -> None:
    reply = list(format.encode_reply(cells))
    place, token = data.draw(st.integers(0, len(reply) - 1)), data.draw(near(format))
    before, after = reply[:place], reply[place + 1 :]
    for spoiled in (
        [*before, token, *after],
        [*before, *after],
        [*before, token, reply[place], *after],
        [*reply, token],
    ):
        found = format.decode(spoiled)
        assert (found is not None) == spells(format, spoiled)
        assert found is None or list(format.encode_reply(found)) == spoiled


def completed(format: Lines, said: list[int], state: WrittenLines) -> list[int]:
    """A whole reply that begins so."""
    width = state.width or max(state.cells, 1)
    open_row = state.cells > 0 or not format.closed or state.rows == 0
    row = [format.cells[0]] * (width - state.cells) + [format.newline] * format.closed if open_row else []
    return said if state.ended else [*said, *row, format.end]


@every_format
@given(data=st.data())
def test_what_the_grammar_allows_begins_a_reply_and_what_it_does_not_begins_none(
    format: Lines, data: st.DataObject
) -> None:
    said: list[int] = []
    state = format.written
    for token in data.draw(st.lists(near(format), max_size=12)):
        following = state.then(token)
        if following is None:
            endings = [[], [format.end], [format.newline, format.end], [format.cells[0], format.end]]
            assert not any(spells(format, [*said, token, *ending]) for ending in endings)
            continue
        said, state = [*said, token], following
        assert spells(format, completed(format, said, state)), said


@every_format
def test_thirty_rows_and_columns_can_be_written_and_not_one_more(format: Lines) -> None:
    largest = list(format.encode_reply(np.zeros((MAX_SIDE, MAX_SIDE), np.uint8)))
    state: WrittenLines | None = format.written
    for token in largest:
        assert state is not None
        state = state.then(token)
    assert state is not None
    assert state.ended
    tall, wide = [format.cells[0], format.newline] * 31, [format.cells[0]] * 31
    ending = [format.end] if format.closed else []
    assert format.decode([*tall[:60], *ending] if format.closed else [*tall[:59], format.end]) is not None
    assert format.decode([*tall, *ending] if format.closed else [*tall[:61], format.end]) is None
    assert format.decode([*wide, *([format.newline] if format.closed else []), format.end]) is None


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ([], "nothing"),
        ([15], "no cell"),
        ([3], "no end"),
        ([3, 13], "another end"),
        ([3, 10, 15], "a newline after the last row"),
        ([10, 3, 15], "a newline first"),
        ([3, 10, 10, 3, 15], "an empty row"),
        ([3, 4, 10, 3, 15], "a short row"),
        ([3, 10, 3, 4, 15], "a long row"),
        ([3, 15, 15], "an end too many"),
        ([3, 11, 15], "a role for a cell"),
        ([-6, 15], "a negative id"),
        ([3, 10, 4, 15, 14], "something after the end"),
    ],
)
def test_a_reply_in_nvarcs_format_that_is_no_grid_is_rejected(reply: list[int], why: str) -> None:
    assert NVARC.decode(reply) is None, why


@given(
    shapes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=6),
    room=st.integers(0, 1200),
    format=any_format,
)
def test_what_is_kept_of_the_demonstrations_fits_however_it_is_turned(
    shapes: list[tuple[int, int]], room: int, format: Format
) -> None:
    one = random_task(shapes)
    kept, dropped = fit(one.demonstrations, one.tests[0], room, format)
    assert len(kept) + dropped == len(shapes)
    if kept:
        turned = [Pair(p.input.T, p.output.T) for p in kept]
        reply = max(len(format.encode_reply(p.output)) for p in [*kept, *turned])
        for pairs, test in ((kept, one.tests[0]), (turned, one.tests[0].T)):
            assert format.encode_prompt(pairs, test).size + reply <= room


@pytest.mark.parametrize("wrong", [{"end": 10}, {"newline": 3}, {"cells": tuple(range(9))}, {"cells": (1,) * 10}])
def test_ids_that_cannot_be_told_apart_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected twelve ids"):
        Lines(**({name: getattr(NVARC, name) for name in NVARC.__dataclass_fields__} | wrong))
