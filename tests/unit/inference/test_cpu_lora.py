"""The CPU LoRA operator: equal to a plain loop and, for rows with an adapter, to the operator it replaces."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solver.inference import cpu_operators

pytestmark = pytest.mark.usefixtures("one_thread")

ADAPTERS, RANK, INTO = 3, 4, 10
SIZES = (6, 8, 5)
TIGHT = {"rtol": 1e-5, "atol": 1e-4}
LENGTHS = st.sampled_from([1, 2, 3, cpu_operators.LONG - 1, cpu_operators.LONG, cpu_operators.LONG + 3])

runs_of = st.lists(st.tuples(st.integers(-1, ADAPTERS - 1), LENGTHS), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    """The module of the engine installed here whose operator is replaced (importing it takes seconds, once)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        try:
            return import_module("vllm.lora.punica_wrapper.punica_cpu")
        except ImportError as error:
            pytest.skip(f"vLLM cannot be imported here, so its operators are not compared: {error}")


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def matrices(dtype: torch.dtype = torch.float32) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """A and B of every slice, as the engine keeps them."""
    down = tuple(draw(ADAPTERS, 1, RANK, INTO, seed=n, dtype=dtype) for n in range(len(SIZES)))
    return down, tuple(draw(ADAPTERS, 1, size, RANK, seed=9 + n, dtype=dtype) for n, size in enumerate(SIZES))


def told(runs: list[tuple[int, int]], prompts: bool) -> Any:
    """The engine's wrapper, as far as the operator reads it: of prompts it has the runs, else the rows."""
    ids, lengths = (torch.tensor([run[n] for run in runs]) for n in (0, 1))
    rows = torch.repeat_interleave(ids, lengths)
    metadata = (None, lengths, ids, len(runs), int(lengths.max()), len(rows))
    return SimpleNamespace(is_prefill=prompts, prefill_metadata=metadata, token_lora_indices=rows)


def plain(y: Tensor, x: Tensor, index: list[int], scale: float, down: Any, up: Any) -> Tensor:
    """Row by row, slice by slice."""
    result = y.clone()
    for row, adapter in enumerate(index[: len(x)]):
        made = [x[row] @ a[adapter, 0].T @ b[adapter, 0].T for a, b in zip(down, up, strict=True)]
        result[row] += scale * torch.cat(made) if adapter >= 0 else 0
    return result


@given(runs=runs_of, prompts=st.booleans(), scale=st.sampled_from([1.0, 0.5]), missing=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_row_gets_its_own_adapter_s_products_and_no_other_row_changes(
    runs: list[tuple[int, int]], prompts: bool, scale: float, missing: int
) -> None:
    index = [slot for slot, length in runs for _ in range(length)]
    rows = max(1, len(index) - missing)  # the engine may ask for fewer rows than it told of
    x, y = draw(rows, INTO, seed=20), draw(rows, sum(SIZES), seed=21)
    expected = plain(y, x, index, scale, *matrices())
    before = y.clone()
    cpu_operators.add_lora_linear(told(runs, prompts), y, x, *matrices(), scale, SIZES)
    torch.testing.assert_close(y, expected, **TIGHT)
    without = torch.tensor(index[:rows]) < 0
    assert torch.equal(y[without], before[without])


@given(runs=runs_of, rows=st.integers(0, 400))
def test_blocks_hold_every_row_with_an_adapter_once_and_long_runs_alone(runs: list[tuple[int, int]], rows: int) -> None:
    index = [slot for slot, length in runs for _ in range(length)][:rows]
    found = cpu_operators.blocks(tuple(s for s, _ in runs), tuple(n for _, n in runs), rows)
    seen = [-1] * len(index)
    for block in found:
        span = range(block.rows.start, block.rows.stop)
        slots = block.slots or (block.one,) * len(span)
        assert len(slots) == len(span) > 0
        assert any(slot >= 0 for slot in slots)
        assert block.one is None or set(slots) == {block.one}
        for row, slot in zip(span, slots, strict=True):
            assert seen[row] == -1
            seen[row] = slot
    assert seen == index


def stock(wrapper: Any, y: Tensor, x: Tensor, down: Any, up: Any, scale: float) -> None:
    """The engine's own operator, put together as its `add_lora_linear` does, which may be replaced in this process."""
    between = tuple(torch.zeros(len(x), RANK) for _ in SIZES)
    wrapper.add_shrink(between, x, down, scale)
    wrapper.add_expand(y, between, up, SIZES, add_inputs=True)


def wrapped(engine: ModuleType, index: list[int], prompts: bool) -> Any:
    """The engine's own wrapper, told of the rows' adapters (numbers from 1, in slots of the same order)."""
    mapping = import_module("vllm.lora.layers").LoRAMapping
    wrapper = engine.PunicaWrapperCPU(1024, 256, "cpu")
    numbers = tuple(slot + 1 for slot in index)
    wrapper.update_metadata(mapping(numbers, numbers, is_prefill=prompts), [1, 2, 3], ADAPTERS, 100)
    return wrapper


@pytest.mark.slow
@given(index=st.lists(st.integers(0, ADAPTERS - 1), min_size=1, max_size=90), prompts=st.booleans())
@settings(max_examples=40, deadline=None)
def test_rows_with_an_adapter_are_as_the_replaced_operator_makes_them(
    engine: ModuleType, index: list[int], prompts: bool
) -> None:
    x, y = draw(len(index), INTO, seed=20), draw(len(index), sum(SIZES), seed=21)
    ours, theirs, wrapper = y.clone(), y.clone(), wrapped(engine, index, prompts)
    cpu_operators.add_lora_linear(wrapper, ours, x, *matrices(), 0.5, SIZES)
    stock(wrapper, theirs, x, *matrices(), 0.5)
    torch.testing.assert_close(ours, theirs, **TIGHT)


@pytest.mark.slow
def test_in_bfloat16_the_replaced_operator_agrees_up_to_rounding(engine: ModuleType) -> None:
    index, half = [0, 2, 2, 1, 0, 1], torch.bfloat16
    wrapper = wrapped(engine, index, False)
    x, y = draw(6, INTO, seed=20, dtype=half), draw(6, sum(SIZES), seed=21, dtype=half)
    ours, theirs = y.clone(), y.clone()
    cpu_operators.add_lora_linear(wrapper, ours, x, *matrices(half), 1.0, SIZES)
    stock(wrapper, theirs, x, *matrices(half), 1.0)
    torch.testing.assert_close(ours.float(), theirs.float(), rtol=0.03, atol=0.2)


@given(runs=runs_of, prompts=st.booleans())
@settings(max_examples=40, deadline=None)
def test_an_embedding_gets_each_row_s_own_adapter_and_no_other_row_changes(
    runs: list[tuple[int, int]], prompts: bool
) -> None:
    index = [slot for slot, length in runs for _ in range(length)]
    x, y, up = draw(len(index), RANK, seed=20), draw(len(index), 6, seed=21), draw(ADAPTERS, 1, 6, RANK, seed=22)
    expected = torch.stack(
        [row + (x[n] @ up[slot, 0].T if slot >= 0 else 0) for n, (row, slot) in enumerate(zip(y, index, strict=True))]
    )
    before = y.clone()
    assert cpu_operators.add_lora_embedding(told(runs, prompts), y, x, up, add_input=True) is None
    torch.testing.assert_close(y, expected, **TIGHT)
    without = torch.tensor(index) < 0
    assert torch.equal(y[without], before[without])


@given(index=st.lists(st.integers(-1, ADAPTERS - 1), min_size=1, max_size=90))
@settings(max_examples=40, deadline=None)
def test_a_head_gets_each_request_s_own_adapter_and_no_other_row_changes(index: list[int]) -> None:
    (down, *_), (up, *_) = matrices()
    x, y = draw(len(index), INTO, seed=20), draw(len(index), SIZES[0] + 3, seed=21)  # the engine pads a vocabulary
    wrapper = SimpleNamespace(sampler_indices=torch.tensor(index))
    expected, before = y.clone(), y.clone()
    expected[:, : SIZES[0]] = plain(y[:, : SIZES[0]], x, index, 1.0, (down,), (up,))
    cpu_operators.add_lora_logits(wrapper, y, x, down, up, 1.0)
    torch.testing.assert_close(y, expected, **TIGHT)
    without = torch.tensor(index) < 0
    assert torch.equal(y[without], before[without])


@given(index=st.lists(st.integers(0, ADAPTERS - 1), min_size=2, max_size=20), prompts=st.booleans())
@settings(max_examples=20, deadline=None)
def test_embedding_and_head_are_as_the_replaced_operators_make_them(
    engine: ModuleType, index: list[int], prompts: bool
) -> None:
    wrapper, up = wrapped(engine, index, prompts), draw(ADAPTERS, 1, 6, RANK, seed=22)
    x, y = draw(len(index), RANK, seed=20), draw(len(index), 6, seed=21)
    ours, theirs = y.clone(), y.clone()
    cpu_operators.add_lora_embedding(wrapper, ours, x, up)
    (wrapper._expand_prefill if prompts else wrapper._expand_decode)(theirs, x, up, True)
    torch.testing.assert_close(ours, theirs, **TIGHT)
    (down, *_), x = matrices()[0], draw(len(index), INTO, seed=23)
    ours, theirs, between = y.clone(), y.clone(), torch.zeros(len(x), RANK)
    cpu_operators.add_lora_logits(wrapper, ours, x, down, up, 1.0)
    engine.bgmv_shrink(x, down, between, wrapper.sampler_indices, 1.0)
    engine.bgmv_expand(between, up, theirs, wrapper.sampler_indices, add_inputs=True)
    torch.testing.assert_close(ours, theirs, **TIGHT)


def test_a_prompt_s_rows_under_the_head_of_one_adapter_are_given_and_of_several_refused() -> None:
    (down, *_), (up, *_) = matrices()
    x, y = draw(5, INTO, seed=20), draw(5, SIZES[0], seed=21)
    for slot in (-1, 2):
        found = y.clone()
        cpu_operators.add_lora_logits(
            SimpleNamespace(sampler_indices=torch.tensor([slot] * 2)), found, x, down, up, 1.0
        )
        torch.testing.assert_close(found, plain(y, x, [slot] * 5, 1.0, (down,), (up,)), **TIGHT)
    with pytest.raises(ValueError, match="a prompt's log-probabilities beside other adapters"):
        cpu_operators.add_lora_logits(SimpleNamespace(sampler_indices=torch.tensor([0, 1])), y, x, down, up, 1.0)


@pytest.mark.parametrize("version", ["0.31.4", "0.33.0", "0.3.2", "1.32.0", "dev"])
def test_another_version_of_the_engine_keeps_its_own_operators_and_that_is_said(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(cpu_operators, "import_module", refuse)
    said = cpu_operators.install_lora(version)
    assert said.startswith(
        f"vLLM {version}'s own CPU LoRA operators are used: the faster ones were tested with 0.32.x only; beware"
    )


def test_the_tested_version_gets_its_operators_replaced(engine: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("add_lora_linear", "add_lora_logits", "add_lora_embedding")
    for name in names:  # so that they are put back afterwards
        monkeypatch.setattr(engine.PunicaWrapperCPU, name, getattr(engine.PunicaWrapperCPU, name))
    assert cpu_operators.install_lora("0.32.0") == "CPU LoRA operators: few matrix products a layer"
    assert all(getattr(engine.PunicaWrapperCPU, name) is getattr(cpu_operators, name) for name in names)


def test_an_operator_missing_from_the_tested_version_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cpu_operators, "import_module", lambda name: SimpleNamespace(PunicaWrapperCPU=SimpleNamespace())
    )
    with pytest.raises(AttributeError, match="add_lora_linear"):
        cpu_operators.install_lora("0.32.0")
