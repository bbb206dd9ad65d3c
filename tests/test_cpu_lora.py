"""The CPU LoRA operators: equal to a plain loop and, for rows with an adapter, to the operators they replace."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from solver import cpu_lora

pytestmark = pytest.mark.usefixtures("one_thread")

ADAPTERS, RANK, WIDE, NARROW = 3, 4, 10, 6
TIGHT = {"rtol": 1e-5, "atol": 1e-5}

rows_of = st.lists(st.integers(-1, ADAPTERS - 1), min_size=1, max_size=12)
runs_of = st.lists(st.tuples(st.integers(-1, ADAPTERS - 1), st.integers(1, 5)), min_size=1, max_size=5)
stacked = st.booleans()  # the engine's weights are [adapters, 1, out, in]; its operators take [adapters, out, in] too


@pytest.fixture(scope="module")
def replaced() -> ModuleType:
    """The operators of the engine installed here (importing them takes seconds, once)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        try:
            return import_module("vllm.lora.ops.torch_ops.lora_ops")
        except ImportError as error:
            pytest.skip(f"vLLM cannot be imported here, so its operators are not compared: {error}")


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def weights(out: int, into: int, four: bool, dtype: torch.dtype = torch.float32) -> Tensor:
    made = draw(ADAPTERS, out, into, seed=1, dtype=dtype)
    return made[:, None] if four else made


def plain_shrink(inputs: Tensor, weight: Tensor, output: Tensor, index: list[int], scaling: float) -> Tensor:
    """Row by row: what `shrink` should leave in the output."""
    result = output.clone()
    for row, adapter in enumerate(index):
        made = inputs[row] @ weight.flatten(0, -3)[adapter].T * scaling if adapter >= 0 else None
        result[row] = 0 if made is None else torch.cat([made, result[row, len(made) :]])
    return result


def plain_expand(
    inputs: Tensor, weight: Tensor, output: Tensor, index: list[int], offset: int, size: int, add: bool
) -> Tensor:
    """Row by row: what `expand_slice` should leave in the output."""
    result = output.clone()
    for row, adapter in enumerate(index):
        if adapter >= 0:
            made = inputs[row] @ weight.flatten(0, -3)[adapter].T
            result[row, offset : offset + size] = made + (result[row, offset : offset + size] if add else 0)
    return result


def exploded(runs: list[tuple[int, int]]) -> list[int]:
    return [adapter for adapter, length in runs for _ in range(length)]


def metadata(runs: list[tuple[int, int]]) -> tuple[Any, ...]:
    """What the engine hands over for prompts: starts, lengths, adapters, batches, longest, tokens."""
    lengths = torch.tensor([length for _, length in runs])
    starts = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)[:-1]])
    ids = torch.tensor([adapter for adapter, _ in runs])
    return starts, lengths, ids, len(runs), int(lengths.max()), int(lengths.sum())


def served(index: list[int]) -> Tensor:
    """The rows that have an adapter."""
    return torch.tensor(index) >= 0


@given(index=rows_of, four=stacked, scaling=st.sampled_from([1.0, 0.5, 5.657]))
def test_shrinking_is_a_product_a_row_and_zero_where_there_is_no_adapter(
    index: list[int], four: bool, scaling: float
) -> None:
    inputs, weight, output = draw(len(index), WIDE, seed=2), weights(RANK, WIDE, four), draw(len(index), RANK, seed=3)
    expected = plain_shrink(inputs, weight, output, index, scaling)
    cpu_lora.shrink(inputs, weight, output, torch.tensor(index), scaling)
    torch.testing.assert_close(output, expected, **TIGHT)


@given(index=rows_of, four=stacked, add=st.booleans())
def test_expanding_is_a_product_a_row_and_nothing_where_there_is_no_adapter(
    index: list[int], four: bool, add: bool
) -> None:
    inputs, weight, output = draw(len(index), RANK, seed=2), weights(WIDE, RANK, four), draw(len(index), WIDE, seed=3)
    before = output.clone()
    expected = plain_expand(inputs, weight, output, index, 0, WIDE, add)
    cpu_lora.expand(inputs, weight, output, torch.tensor(index), add)
    torch.testing.assert_close(output, expected, **TIGHT)
    assert torch.equal(output[~served(index)], before[~served(index)])


@given(index=rows_of, four=stacked, add=st.booleans(), offset=st.integers(0, WIDE - NARROW))
def test_expanding_into_a_slice_touches_that_slice_alone(index: list[int], four: bool, add: bool, offset: int) -> None:
    inputs, weight, output = draw(len(index), RANK, seed=2), weights(NARROW, RANK, four), draw(len(index), WIDE, seed=3)
    before = output.clone()
    expected = plain_expand(inputs, weight, output, index, offset, NARROW, add)
    cpu_lora.expand_slice(inputs, weight, output, torch.tensor(index), offset, NARROW, add)
    torch.testing.assert_close(output, expected, **TIGHT)
    assert torch.equal(output[:, :offset], before[:, :offset])
    assert torch.equal(output[:, offset + NARROW :], before[:, offset + NARROW :])
    assert torch.equal(output[~served(index)], before[~served(index)])


@given(runs=runs_of, four=stacked, add=st.booleans(), by_name=st.booleans())
def test_the_operators_for_prompts_are_those_for_rows_with_each_adapter_repeated(
    runs: list[tuple[int, int]], four: bool, add: bool, by_name: bool
) -> None:
    index, told = exploded(runs), metadata(runs)
    narrow, wide = draw(len(index), RANK, seed=2), draw(len(index), WIDE, seed=3)
    last, named = ((), {"add_inputs": add}) if by_name else ((add,), {})

    output = narrow.clone()
    cpu_lora.shrink_runs(wide, weights(RANK, WIDE, four), output, *told, 0.5)
    torch.testing.assert_close(output, plain_shrink(wide, weights(RANK, WIDE, four), narrow, index, 0.5), **TIGHT)

    output = wide.clone()
    cpu_lora.expand_runs(narrow, weights(WIDE, RANK, four), output, *told, *last, **named)
    expected = plain_expand(narrow, weights(WIDE, RANK, four), wide, index, 0, WIDE, add)
    torch.testing.assert_close(output, expected, **TIGHT)

    output = wide.clone()
    cpu_lora.expand_slice_runs(narrow, weights(NARROW, RANK, four), output, *told, 3, NARROW, *last, **named)
    expected = plain_expand(narrow, weights(NARROW, RANK, four), wide, index, 3, NARROW, add)
    torch.testing.assert_close(output, expected, **TIGHT)


@given(index=rows_of, four=stacked, add=st.booleans())
@settings(max_examples=40)
def test_rows_with_an_adapter_are_as_the_replaced_row_operators_make_them(
    replaced: ModuleType, index: list[int], four: bool, add: bool
) -> None:
    narrow, wide, chosen = draw(len(index), RANK, seed=2), draw(len(index), WIDE, seed=3), torch.tensor(index)
    for name, inputs, weight, start, rest in (
        ("bgmv_shrink", wide, weights(RANK, WIDE, four), narrow, (0.5,)),
        ("bgmv_expand", narrow, weights(WIDE, RANK, four), wide, (add,)),
        ("bgmv_expand_slice", narrow, weights(NARROW, RANK, four), wide, (2, NARROW, add)),
    ):
        ours, theirs = start.clone(), start.clone()
        cpu_lora.REPLACED[name](inputs, weight, ours, chosen, *rest)
        getattr(replaced, name)(inputs, weight, theirs, chosen, *rest)
        torch.testing.assert_close(ours[served(index)], theirs[served(index)], **TIGHT)


@given(runs=runs_of, add=st.booleans())
@settings(max_examples=40)
def test_rows_with_an_adapter_are_as_the_replaced_prompt_operators_make_them(
    replaced: ModuleType, runs: list[tuple[int, int]], add: bool
) -> None:
    index, told = exploded(runs), metadata(runs)
    narrow, wide = draw(len(index), RANK, seed=2), draw(len(index), WIDE, seed=3)
    for name, inputs, weight, start, rest in (
        ("sgmv_shrink", wide, weights(RANK, WIDE, True), narrow, (0.5,)),
        ("sgmv_expand", narrow, weights(WIDE, RANK, True), wide, (add,)),
        ("sgmv_expand_slice", narrow, weights(NARROW, RANK, True), wide, (2, NARROW, add)),
    ):
        ours, theirs = start.clone(), start.clone()
        cpu_lora.REPLACED[name](inputs, weight, ours, *told, *rest)
        getattr(replaced, name)(inputs, weight, theirs, *told, *rest)
        torch.testing.assert_close(ours[served(index)], theirs[served(index)], **TIGHT)


def test_in_bfloat16_with_float32_in_between_the_replaced_operators_agree_up_to_rounding(replaced: ModuleType) -> None:
    index = torch.tensor([0, 2, 2, 1, 0, 1])
    inputs, half = draw(6, 64, seed=2, dtype=torch.bfloat16), torch.bfloat16
    down, up = draw(ADAPTERS, 1, 16, 64, seed=4, dtype=half) / 8, draw(ADAPTERS, 1, 64, 16, seed=5, dtype=half) / 4
    results = []
    for shrink, expand in ((cpu_lora.shrink, cpu_lora.expand), (replaced.bgmv_shrink, replaced.bgmv_expand)):
        between, output = torch.zeros(6, 16), draw(6, 64, seed=6, dtype=half)
        shrink(inputs, down, between, index, 2.0)
        expand(between, up, output, index, True)
        results.append(output.float())
    torch.testing.assert_close(results[0], results[1], rtol=0.03, atol=0.05)


def test_more_indices_than_rows_are_no_error() -> None:
    index = torch.tensor([1, 0, -1, 2, 2])
    inputs, output = draw(2, WIDE, seed=2), torch.ones(2, RANK)
    expected = plain_shrink(inputs, weights(RANK, WIDE, True), output, [1, 0], 1.0)
    cpu_lora.shrink(inputs, weights(RANK, WIDE, True), output, index)
    torch.testing.assert_close(output, expected, **TIGHT)


def test_the_padding_of_a_wider_output_is_left_as_it_was() -> None:
    inputs, output = draw(2, RANK, seed=2), draw(2, WIDE + 2, seed=3)
    before = output.clone()
    cpu_lora.expand(inputs, weights(WIDE, RANK, True), output, torch.tensor([0, 1]))
    assert torch.equal(output[:, WIDE:], before[:, WIDE:])
    assert not torch.equal(output[:, :WIDE], before[:, :WIDE])


@pytest.mark.parametrize("version", ["0.31.4", "0.33.0", "0.3.2", "1.32.0", "dev"])
def test_another_version_of_the_engine_keeps_its_own_operators_and_that_is_said(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(cpu_lora, "import_module", refuse)
    said = cpu_lora.install(version)
    assert said.startswith(
        f"vLLM {version}'s own CPU LoRA operators are used: the faster ones were tested with 0.32.x only; beware"
    )


def test_the_tested_version_gets_every_operator_replaced(replaced: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = import_module("vllm.lora.punica_wrapper.punica_cpu")
    for name in cpu_lora.REPLACED:
        monkeypatch.setattr(wrapper, name, getattr(replaced, name))  # so that they are put back afterwards
    assert cpu_lora.install("0.32.0") == "CPU LoRA operators: one matrix product an adapter"
    assert {name: getattr(wrapper, name) for name in cpu_lora.REPLACED} == cpu_lora.REPLACED
    operators = {n for n in dir(wrapper) if n.startswith(("bgmv_", "sgmv_"))}
    assert operators == set(cpu_lora.REPLACED), "the engine has LoRA operators that are not replaced"


def test_an_operator_missing_from_the_tested_version_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_lora, "import_module", lambda name: ModuleType(name))
    with pytest.raises(AttributeError, match="bgmv_shrink"):
        cpu_lora.install("0.32.0")
