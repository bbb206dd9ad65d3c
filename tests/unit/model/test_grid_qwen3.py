"""The model in transformers, tiny and untrained: its cheap loss, its cache, its files and its coordinates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from solver.model import grid_qwen3
from solver.model.architecture import HEAD
from solver.model.grid_qwen3 import (
    NEVER,
    GridAngles,
    GridEmbedding,
    GridQwen3Config,
    GridQwen3ForCausalLM,
    GridRotary,
    spread_logits,
    token_loss,
)
from solver.tokens import grid
from solver.tokens.grid import GRID
from solver.training.examples import to_example
from solver.types import Task
from tests.support.fakes import MIRROR, STACK, random_task
from tests.support.tiny import mean_loss, tiny_model

pytestmark = pytest.mark.usefixtures("one_thread")

FIRST_OUTPUT = grid.SPECIALS + grid.ROLE_SPAN
SAYABLE = [*range(grid.SPECIALS), *range(FIRST_OUTPUT, grid.VOCABULARY)]


@pytest.fixture(scope="module")
def model() -> GridQwen3ForCausalLM:
    return tiny_model()


@pytest.fixture(scope="module")
def prompt() -> Tensor:
    tokens = grid.GRID.encode_prompt(MIRROR.demonstrations, MIRROR.tests[0])
    return torch.from_numpy(tokens).long()[None]


def batch(*sequences: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Sequences of (tokens, wanted) padded at the end."""
    longest = max(len(t) for t, _ in sequences)
    pairs = [(functional.pad(t, (0, longest - len(t))), functional.pad(w, (0, longest - len(w)))) for t, w in sequences]
    return torch.stack([t for t, _ in pairs]), torch.stack([w for _, w in pairs])


def sequence(task: Task = MIRROR) -> tuple[Tensor, Tensor]:
    example = to_example(list(task.demonstrations), GRID)
    return torch.from_numpy(example.tokens).long(), torch.from_numpy(example.loss)


def test_the_cheap_loss_is_the_cross_entropy_over_the_spread_logits() -> None:
    parts = torch.randn(len(SAYABLE[::31]) + 40, sum(HEAD), generator=torch.Generator().manual_seed(0)) * 3
    targets = torch.tensor([*SAYABLE[::31], *SAYABLE[:20], *SAYABLE[-20:]])
    expected = functional.cross_entropy(spread_logits(parts), targets, reduction="none")
    torch.testing.assert_close(token_loss(parts, targets), expected, rtol=1e-5, atol=1e-5)


def test_the_cheap_loss_has_the_gradient_of_the_cross_entropy() -> None:
    targets = torch.tensor([grid.END, FIRST_OUTPUT, FIRST_OUTPUT + 1, FIRST_OUTPUT + 333, grid.VOCABULARY - 1])
    parts = torch.randn(len(targets), sum(HEAD), generator=torch.Generator().manual_seed(1), requires_grad=True)
    (cheap,) = torch.autograd.grad(token_loss(parts, targets).sum(), parts)
    (dear,) = torch.autograd.grad(functional.cross_entropy(spread_logits(parts), targets, reduction="sum"), parts)
    torch.testing.assert_close(cheap, dear, rtol=1e-4, atol=1e-6)


def test_the_logit_of_a_cell_is_the_sum_of_its_row_column_and_colour() -> None:
    parts = torch.randn(sum(HEAD), generator=torch.Generator().manual_seed(2))
    row, column, colour, marker, special = parts.split(HEAD)
    logits = spread_logits(parts)
    assert logits.shape == (grid.VOCABULARY,)
    for token, (role, r, c, hue) in enumerate(np.stack(grid.coordinates(), axis=1).tolist()):
        if role == 0:
            expected = special[token]
        elif role == 1:
            expected = torch.tensor(NEVER)
        elif c == 0:
            expected = marker[r - 1]
        else:
            expected = row[r - 1] + column[c - 1] + colour[hue]
        if token % 13 == 0 or token < 40:
            assert float(logits[token]) == pytest.approx(float(expected))


def test_the_tokens_of_an_input_are_never_predicted(model: GridQwen3ForCausalLM, prompt: Tensor) -> None:
    with torch.no_grad():
        chances = model(prompt).logits.softmax(-1)
    inputs = chances[..., grid.SPECIALS : FIRST_OUTPUT]
    assert float(inputs.max()) == 0.0
    torch.testing.assert_close(chances.sum(-1), torch.ones(prompt.shape))
    assert bool(chances.isfinite().all())


def test_the_loss_of_the_model_is_the_cross_entropy_of_its_logits(model: GridQwen3ForCausalLM) -> None:
    tokens, wanted = batch(sequence(MIRROR), sequence(STACK))
    with torch.no_grad():
        logits = model(tokens).logits[:, :-1][wanted[:, 1:]]
        expected = functional.cross_entropy(logits, tokens[:, 1:][wanted[:, 1:]])
        torch.testing.assert_close(mean_loss(model, tokens, wanted), expected, rtol=1e-5, atol=1e-5)


def test_padding_at_the_end_does_not_change_the_loss(model: GridQwen3ForCausalLM) -> None:
    tokens, wanted = sequence()
    with torch.no_grad():
        alone = mean_loss(model, tokens[None], wanted[None])
        padded = mean_loss(model, functional.pad(tokens, (0, 37))[None], functional.pad(wanted, (0, 37))[None])
    torch.testing.assert_close(padded, alone, rtol=1e-5, atol=1e-6)


def test_a_token_sees_nothing_of_what_follows_it(model: GridQwen3ForCausalLM, prompt: Tensor) -> None:
    changed = prompt.clone()
    changed[0, -3:] = grid.END
    with torch.no_grad():
        before, after = model(prompt).logits[:, :-3], model(changed).logits[:, :-3]
    torch.testing.assert_close(before, after)


def test_decoding_with_a_cache_gives_the_logits_of_a_whole_forward(model: GridQwen3ForCausalLM) -> None:
    tokens = sequence(STACK)[0][None]
    cache, pieces = DynamicCache(config=model.config), []
    with torch.no_grad():
        whole = model(tokens).logits
        for start, end in [(0, 7), *((i, i + 1) for i in range(7, 20)), (20, tokens.shape[1])]:
            pieces.append(model(tokens[:, start:end], past_key_values=cache, use_cache=True).logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_generation_says_what_a_greedy_loop_without_a_cache_says(model: GridQwen3ForCausalLM, prompt: Tensor) -> None:
    with torch.no_grad():
        said = model.generate(prompt, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(prompt))
        tokens = prompt
        while tokens.shape[1] < said.shape[1]:
            tokens = torch.cat([tokens, model(tokens, logits_to_keep=1).logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    assert said.tolist() == tokens.tolist()
    assert said.shape[1] > prompt.shape[1] + 1


def test_only_as_many_logits_are_made_as_are_asked_for(model: GridQwen3ForCausalLM, prompt: Tensor) -> None:
    with torch.no_grad():
        whole, last = model(prompt).logits, model(prompt, logits_to_keep=2).logits
    assert last.shape == (1, 2, grid.VOCABULARY)
    torch.testing.assert_close(last, whole[:, -2:])


def test_row_column_and_place_in_the_sequence_all_turn_the_attention(model: GridQwen3ForCausalLM) -> None:
    rotary = model.model.rotary_emb
    cells = torch.from_numpy(grid.encode(random_task([(3, 3)]).tests[0], grid.OUTPUT)).long()[None]
    places = torch.arange(cells.shape[1])[None]
    cosine, sine = rotary(places, cells)
    assert cosine.shape == sine.shape == (1, cells.shape[1], 32)
    by_index, by_row, by_column = (slice(0, 6), slice(6, 11), slice(11, 16))
    shifted = rotary(places + 5, cells)[1]
    assert not torch.equal(sine[..., by_index], shifted[..., by_index])
    assert torch.equal(sine[..., 6:16], shifted[..., 6:16])
    torch.testing.assert_close(sine[0, [1, 5, 9], by_row][:, 0], torch.tensor([1.0, 2.0, 3.0]).sin())
    torch.testing.assert_close(sine[0, [5, 6, 7], by_column][:, 0], torch.tensor([1.0, 2.0, 3.0]).sin())


def test_the_embedding_of_a_token_is_the_sum_of_its_tables(model: GridQwen3ForCausalLM) -> None:
    embedding = model.model.embed_tokens
    starts = np.cumsum([0, *grid_qwen3.TABLES[:-1]])
    for token in (grid.END, 16, 9046, 9050, grid.VOCABULARY - 1):
        rows = [int(values[token]) + int(start) for values, start in zip(grid.coordinates(), starts, strict=True)]
        torch.testing.assert_close(embedding(torch.tensor([token]))[0], embedding.weight[rows].sum(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_saved_and_loaded_through_the_auto_classes_the_logits_are_equal(
    dtype: torch.dtype, prompt: Tensor, tmp_path: Path
) -> None:
    before = tiny_model(seed=3).to(dtype)
    before.save_pretrained(tmp_path, safe_serialization=True)
    grid_qwen3.register()
    grid_qwen3.register()  # a second time is no error
    after = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype, local_files_only=True).eval()
    assert type(after) is GridQwen3ForCausalLM
    assert next(after.parameters()).dtype == dtype
    with torch.no_grad():
        assert torch.equal(before(prompt).logits, after(prompt).logits)
    assert {p.suffix for p in tmp_path.iterdir()} == {".json", ".safetensors"}


def test_the_configuration_comes_back_with_its_own_fields(tmp_path: Path) -> None:
    grid_qwen3.register()
    GridQwen3Config(rotary_pairs=(8, 4, 4), grid_theta=50.0).save_pretrained(tmp_path)
    back = AutoConfig.from_pretrained(tmp_path, local_files_only=True)
    assert type(back) is GridQwen3Config
    assert (tuple(back.rotary_pairs), back.grid_theta) == ((8, 4, 4), 50.0)


def test_a_change_of_dtype_leaves_the_lookup_tables_exact() -> None:
    model = tiny_model().to(torch.bfloat16)
    assert torch.equal(model.model.rotary_emb.lookup, grid_qwen3.lookup())
    assert torch.equal(model.model.embed_tokens.rows, grid_qwen3.embedding_rows())


def test_frequencies_are_float32_whatever_the_default_type_is() -> None:
    """An engine loads a model with the default type set to the model's."""
    expected = grid_qwen3.frequencies((12, 10, 10), 10000.0, 100.0)
    torch.set_default_dtype(torch.bfloat16)
    try:
        rounded = grid_qwen3.frequencies((12, 10, 10), 10000.0, 100.0)
    finally:
        torch.set_default_dtype(torch.float32)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, expected)


def test_tables_lie_on_the_device_that_a_model_is_built_on() -> None:
    with torch.device("meta"):
        config = GridQwen3Config(head_dim=32)
        modules = [GridAngles(config, 8, torch.bfloat16), GridRotary(config), GridEmbedding(16, 0.02)]
    assert {b.device.type for module in modules for b in module.buffers()} == {"meta"}


def test_the_engines_angles_are_those_of_the_model_and_always_at_one_address(prompt: Tensor) -> None:
    """A CUDA graph that was recorded with them replays without copying its inputs."""
    config = GridQwen3Config(head_dim=32)
    angles, rotary, ids = GridAngles(config, 4096, torch.float32), GridRotary(config), prompt[0]
    for start in (0, 3000):
        positions = torch.arange(len(ids)) + start
        table = angles(positions, ids)
        cosine, sine = (x[0, :, :16] for x in rotary(positions[None], ids[None]))
        torch.testing.assert_close(table.t(), torch.cat([cosine, sine], -1), rtol=0, atol=2e-4)
        assert table.data_ptr() == angles(positions[:5], ids[:5]).data_ptr() == angles.table.data_ptr()


def test_in_bfloat16_the_loss_is_near_that_in_float32() -> None:
    tokens, wanted = batch(sequence(MIRROR))
    with torch.no_grad():
        exact = float(mean_loss(tiny_model(spread=0.05), tokens, wanted))
        rounded = float(mean_loss(tiny_model(spread=0.05).to(torch.bfloat16), tokens, wanted))
    assert rounded == pytest.approx(exact, rel=0.01)
