"""Sequences in rows: whole, apart from each other, and with the loss that each has alone."""

from __future__ import annotations

from functools import partial
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from solver.model.grid_qwen3 import GridQwen3ForCausalLM
from solver.pretrain import batches, losses, rows, train
from solver.pretrain.batches import one_round
from solver.pretrain.data import Pool
from solver.pretrain.recipe import CHUNK, Recipe
from solver.pretrain.row_model import RowModel, can_compile
from solver.pretrain.rows import Row, fill, places, to_tensors
from solver.tokens.grid import GRID, PAD
from solver.types import Example
from tests.support.pretraining import SHAPE, TINY
from tests.support.tiny import mean_loss

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTH = 3 * CHUNK
DEEP = Recipe(**{**SHAPE, "layers": 2, "heads": 2}, tokens=LENGTH, row=LENGTH, workers=1)  # type: ignore[arg-type]
sizes = st.lists(st.integers(1, LENGTH + 40), max_size=30)


def example(size: int, seed: int = 0) -> Example:
    """A sequence that takes so many places: tokens from 1 on, about half of them wanted."""
    rng = np.random.default_rng([size, seed])
    return Example(rng.integers(1, 100, size + 1).astype(np.int32), rng.random(size + 1) < 0.5)


@given(sizes, st.integers(1, 5))
def test_sequences_lie_whole_in_rows_no_longer_than_they_may_be(sizes: list[int], count: int) -> None:
    examples = [example(size, number) for number, size in enumerate(sizes)]
    filled = fill(examples, count, LENGTH)
    assert len(filled) == count
    laid = [id(e) for e in chain.from_iterable(filled)]
    assert len(set(laid)) == len(laid)
    assert set(laid) <= set(map(id, examples))
    free = [LENGTH - sum(map(places, row)) for row in filled]
    assert min(free) >= 0
    left_out = [places(e) for e in examples if id(e) not in laid]
    assert all(size > room for size in left_out for room in free), "left out, and yet it would fit"


def test_hardly_a_place_of_a_rounds_rows_stays_empty(large_pool: Pool) -> None:
    recipe = Recipe(tokens=8192)
    steps = one_round(large_pool, recipe, 0)
    used = sum(map(places, chain.from_iterable(chain.from_iterable(steps))))
    assert used > 0.95 * batches.ROUND * recipe.tokens


def laid_out(row_sizes: list[list[int]]) -> list[Row]:
    return [[example(size, number) for number, size in enumerate(row)] for row in row_sizes]


ROWS = st.lists(st.lists(st.integers(1, LENGTH // 3), max_size=3), min_size=1, max_size=3).map(laid_out)


@given(ROWS)
def test_a_row_holds_its_sequences_one_after_another_and_then_padding(some: list[Row]) -> None:
    laid = to_tensors(some, LENGTH)
    assert laid.tokens.shape == laid.positions.shape == (len(some), LENGTH)
    for row, tokens, positions in zip(some, laid.tokens.tolist(), laid.positions.tolist(), strict=True):
        filler = LENGTH - sum(map(places, row))
        assert tokens == [*chain.from_iterable(e.tokens[:-1].tolist() for e in row), *[PAD] * filler]
        assert positions == [*chain.from_iterable(range(places(e)) for e in row), *range(filler)]


@given(ROWS)
def test_a_place_sees_exactly_the_earlier_places_of_its_own_sequence(some: list[Row]) -> None:
    for row, chunks in zip(some, to_tensors(some, LENGTH).chunks, strict=True):
        owners = np.full(LENGTH, len(row))
        owned = list(chain.from_iterable([number] * places(e) for number, e in enumerate(row)))
        owners[: len(owned)] = owned
        seen = np.zeros((LENGTH, LENGTH), bool)
        for chunk in chunks:
            shown = seen[chunk.first : chunk.end, chunk.start : chunk.end]
            shown[:] = True
            for key, mask in chunk.hidden:
                shown[:, key : key + CHUNK] = ~mask.numpy()
        assert [(c.first, c.end, c.start % CHUNK) for c in chunks] == [
            (first, first + CHUNK, 0) for first in range(0, LENGTH, CHUNK)
        ]
        at = np.arange(LENGTH)
        assert (seen == ((owners[:, None] == owners[None, :]) & (at[:, None] >= at[None, :]))).all()


@given(ROWS)
def test_the_wanted_tokens_are_those_after_their_places_and_what_fills_up_counts_nothing(some: list[Row]) -> None:
    laid = to_tensors(some, LENGTH)
    wanted = []
    for number, row in enumerate(some):
        at = number * LENGTH
        for one in row:
            wanted += [(at + i, int(one.tokens[i + 1])) for i in range(places(one)) if one.loss[i + 1]]
            at += places(one)
    assert len(laid.chosen) == len(laid.targets) == len(laid.weights)
    assert len(laid.chosen) % rows.WANTED == 0
    assert len(laid.chosen) - len(wanted) < rows.WANTED
    counted = list(zip(laid.chosen.tolist(), laid.targets.tolist(), strict=True))
    assert counted[: len(wanted)] == wanted
    assert laid.weights.tolist() == [1.0] * len(wanted) + [0.0] * (len(counted) - len(wanted))


def gradients(model: GridQwen3ForCausalLM) -> dict[str, Tensor]:
    """The model's gradients, which it has no more afterwards."""
    taken = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return taken


def one_by_one(model: GridQwen3ForCausalLM, some: list[Row]) -> tuple[float, dict[str, Tensor]]:
    """Summed nats and gradients of each sequence alone, by the model's own padded loss."""
    summed = 0.0
    for one in chain.from_iterable(some):
        ids, mask = torch.from_numpy(one.tokens)[None].long(), torch.from_numpy(one.loss)[None]
        nats = mean_loss(model, ids, mask) * int(mask[:, 1:].sum())
        nats.backward()
        summed += float(nats.detach())
    return summed, gradients(model)


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert set(found) == set(expected)
    for name in found:
        torch.testing.assert_close(found[name], expected[name], atol=1e-3, rtol=1e-4, msg=name)


@pytest.fixture(scope="module")
def some_rows(large_pool: Pool) -> list[Row]:
    """Rows of several sequences, of one across all chunks, and of padding alone."""
    rng = np.random.default_rng(0)
    drawn = [batches.sequence(large_pool, rng, most, GRID) for most in (LENGTH, LENGTH, 120, 120, 120, 120)]
    filled = fill(drawn, 3, LENGTH)
    assert max(map(len, filled)) > 1
    assert max(map(places, chain.from_iterable(filled))) > CHUNK
    return [*filled, []]


def test_in_float32_a_rows_loss_and_gradients_are_those_of_the_models_own_loss(some_rows: list[Row]) -> None:
    model = train.build(DEEP)
    nats = RowModel(model, compiled=False).loss(to_tensors(some_rows, LENGTH))
    nats.backward()
    found = gradients(model)
    summed, expected = one_by_one(model, some_rows)
    assert float(nats.detach()) == pytest.approx(summed, rel=1e-5)
    assert_equal(found, expected)


def test_a_row_of_padding_alone_has_no_loss_and_no_gradients() -> None:
    model = train.build(DEEP)
    nats = RowModel(model, compiled=False).loss(to_tensors([[]], LENGTH))
    nats.backward()
    assert float(nats.detach()) == 0
    assert all(not gradient.any() for gradient in gradients(model).values())


@pytest.mark.engine
def test_fused_by_a_compiler_loss_and_gradients_are_the_same(some_rows: list[Row]) -> None:
    if not can_compile():
        pytest.skip("no C++ compiler here (g++, c++ or clang++): the fused way was not tried")
    model = train.build(DEEP)
    results = []
    for compiled in (False, True):
        nats = RowModel(model, compiled).loss(to_tensors(some_rows, LENGTH))
        nats.backward()
        results.append((float(nats.detach()), gradients(model)))
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-5)
    assert_equal(results[1][1], results[0][1])


@pytest.mark.parametrize("way", ["rows", pytest.param("parts", marks=pytest.mark.slow)])
def test_a_batch_has_the_loss_and_gradients_of_its_sequences_one_by_one(
    pool: Pool, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sum over all wanted tokens, in float32; as a CPU does it and, in padded parts, as a GPU."""
    monkeypatch.setattr(losses, "parts", partial(losses.parts, most=256))
    model = train.build(TINY)
    batch = one_round(pool, Recipe(tokens=1024, row=256, workers=1), 0)[0]
    expected = one_by_one(model, batch)
    sums = losses.by_rows(model, 256, False) if way == "rows" else losses.by_parts(model, "aot_eager")
    summed, parts = 0.0, 0
    for nats in sums(batch):
        nats.backward()
        summed, parts = summed + float(nats.detach()), parts + 1
    assert parts > 1
    assert summed == pytest.approx(expected[0], rel=1e-5)
    assert_equal(gradients(model), expected[1])


def test_parts_hold_every_example_once_and_no_more_tokens_than_they_may(large_pool: Pool) -> None:
    batch = list(chain.from_iterable(one_round(large_pool, Recipe(tokens=8192), 0)[0]))
    parts = losses.parts(batch, most=2048)
    assert sorted(map(id, chain.from_iterable(parts))) == sorted(map(id, batch))
    assert len(parts) > 1
    for part in parts:
        tokens, wanted = losses.padded(part)
        assert tokens.shape == wanted.shape
        assert (tokens.shape[1] - 1) % losses.MULTIPLE == 0
        assert tokens.shape[0] * (tokens.shape[1] - 1) <= 2048 or len(part) == 1
        for one, ids, mask in zip(part, tokens, wanted, strict=True):
            size = one.tokens.size
            assert ids[:size].tolist() == one.tokens.tolist()
            assert mask[:size].tolist() == one.loss.tolist()
            assert set(ids[size:].tolist()) <= {PAD}
            assert not mask[size:].any()
    assert losses.parts([]) == []
