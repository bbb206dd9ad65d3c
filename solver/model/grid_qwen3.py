"""GridQwen3 for transformers: a Qwen3 whose tokens carry coordinates (`grid`), small enough for two CPU cores.

Three things differ from Qwen3. The embedding is a sum of five small tables (special, role, row, column, colour); the
head scores row, column and colour apart and adds them up, so a vocabulary of 18,076 costs 116 outputs; and the rotary
angles of a head are split over (sequence index, row, column), the last two looked up from the token id.
`grid_qwen3_vllm` is the same model for the engine. Law: both give the same log-probabilities.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.qwen3.modeling_qwen3 import Qwen3Model

from solver.model.architecture import GRID, HEAD, TABLES
from solver.tokens import grid
from solver.types import COLOURS

NEVER = -1e9  # logit of a token the head cannot say (input cells): a number, not −inf, so that sums stay finite


class GridQwen3Config(Qwen3Config):  # type: ignore[misc]
    """Qwen3's configuration plus the rotary split.

    `rotary_pairs`: pairs of head dimensions given to (sequence index, row, column); they add up to head_dim / 2.
    `grid_theta`: rotary base of the row and column angles (sides are at most 30, so it is small).
    """

    model_type = GRID
    rotary_pairs: tuple[int, int, int] = (6, 5, 5)
    grid_theta: float = 100.0


def frequencies(pairs: tuple[int, ...], theta: float, grid_theta: float) -> Tensor:
    """Angle per step, float32 [3, head_dim / 2]: each column belongs to one axis, the other two axes are 0 there.

    float32 whatever the default type is: an engine that loads a model sets it to the model's, and in bfloat16 the
    angles of a position in the thousands are wrong by whole turns.
    """
    table = torch.zeros(3, sum(pairs), dtype=torch.float32)
    start = 0
    for axis, (count, base) in enumerate(zip(pairs, (theta, grid_theta, grid_theta), strict=True)):
        table[axis, start : start + count] = base ** -(torch.arange(count, dtype=torch.float32) / count)
        start += count
    return table


def lookup() -> Tensor:
    """Row and column of every token id, shape [2, vocabulary], int64 (which no change of dtype rounds).

    On torch's current device, as an engine builds its models: `torch.from_numpy` would stay on the CPU.
    """
    _, row, column, _ = grid.coordinates()
    return torch.tensor(np.stack([row, column]))


def embedding_rows() -> Tensor:
    """Rows of the stacked tables that make up each id's embedding, shape [vocabulary, 4]."""
    starts = np.cumsum((0, *TABLES[:-1]))
    return torch.tensor(np.stack(grid.coordinates(), axis=1) + starts)


def spread_logits(parts: Tensor) -> Tensor:
    """Logits over the vocabulary, [..., 18076], from the head's outputs, [..., 116]; input tokens are never said."""
    row, column, colour, marker, special = parts.split(HEAD, dim=-1)
    cells = row[..., :, None, None] + column[..., None, :, None] + colour[..., None, None, :]
    rows = torch.cat([marker[..., :, None], cells.flatten(-2)], dim=-1).flatten(-2)
    never = parts.new_full((*parts.shape[:-1], grid.ROLE_SPAN), NEVER)
    return torch.cat([special, never, rows], dim=-1)


def token_loss(parts: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of each target in nats, without the vocabulary-wide logits.

    `parts`: [n, 116] float32; `targets`: ids [n] of output cells, output row markers or specials. Because a cell's
    logit is row + column + colour, the cells' log-sum-exp is the sum of three small ones.
    """
    row, column, colour, marker, special = parts.split(HEAD, dim=-1)
    cells = row.logsumexp(-1) + column.logsumexp(-1) + colour.logsumexp(-1)
    total = torch.stack([cells, marker.logsumexp(-1), special.logsumexp(-1)]).logsumexp(0)
    body = (targets - grid.SPECIALS - grid.ROLE_SPAN).clamp(min=0)
    at_row, in_row = body // grid.ROW_SPAN, body % grid.ROW_SPAN
    at_column, hue = (in_row - 1).clamp(min=0) // COLOURS, (in_row - 1).clamp(min=0) % COLOURS
    cell = row.gather(-1, at_row[:, None]) + column.gather(-1, at_column[:, None]) + colour.gather(-1, hue[:, None])
    mark = marker.gather(-1, at_row[:, None])
    said = special.gather(-1, targets.clamp(max=grid.SPECIALS - 1)[:, None])
    logit = torch.where((in_row > 0)[:, None], cell, mark)
    logit = torch.where((targets < grid.SPECIALS)[:, None], said, logit)
    return total - logit[:, 0]


class GridEmbedding(nn.Module):
    """Token ids [...] to vectors [..., width]: the sum of the tables for role, row, column and colour."""

    rows: Tensor

    def __init__(self, width: int, spread: float):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(sum(TABLES), width) * spread)
        self.register_buffer("rows", embedding_rows(), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(self.rows[ids], self.weight).sum(-2)


class GridRotary(nn.Module):
    """Cosine and sine tables [batch, length, head_dim] for sequence indices and token ids [batch, length]."""

    lookup: Tensor

    def __init__(self, config: GridQwen3Config):
        super().__init__()
        self.pairs = tuple(config.rotary_pairs)
        self.bases = (float(config.rope_parameters["rope_theta"]), config.grid_theta)
        self.register_buffer("lookup", lookup(), persistent=False)

    def forward(self, positions: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        row, column = self.lookup[:, ids]
        steps = torch.stack([positions.expand_as(row), row, column], dim=-1).float()
        angles = steps @ frequencies(self.pairs, *self.bases).to(ids.device)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()


class GridAngles(nn.Module):
    """The engine's `GridRotary`: cosines above sines, [head_dim, n], for sequence indices and token ids [n].

    What it returns is a view of one buffer of `most` tokens, at the same address each time: a CUDA graph that was
    recorded with it replays without copying its inputs (vLLM #53915).
    """

    steps: Tensor
    lookup: Tensor
    table: Tensor

    def __init__(self, config: GridQwen3Config, most: int, dtype: torch.dtype):
        super().__init__()
        bases = float(config.rope_parameters["rope_theta"]), config.grid_theta
        self.register_buffer("steps", frequencies(tuple(config.rotary_pairs), *bases), persistent=False)
        self.register_buffer("lookup", lookup(), persistent=False)
        self.register_buffer("table", torch.zeros(most, config.head_dim, dtype=dtype), persistent=False)

    def forward(self, positions: Tensor, ids: Tensor) -> Tensor:
        axes = torch.cat([positions[None], self.lookup[:, ids]]).float()
        angles = self.steps.t() @ axes
        own = self.table[: ids.shape[0]].t()
        own.copy_(torch.cat([angles.cos(), angles.sin()]))
        return own


class GridQwen3Model(Qwen3Model):  # type: ignore[misc]
    """Qwen3's stack of layers between the factored embedding and the final norm."""

    config_class = GridQwen3Config
    embed_tokens: GridEmbedding
    rotary_emb: GridRotary

    def _init_weights(self, module: nn.Module) -> None:
        """Transformers calls this to fill what a checkpoint does not hold: the lookup tables."""
        super()._init_weights(module)
        if isinstance(module, GridEmbedding):
            module.rows.copy_(embedding_rows())
        if isinstance(module, GridRotary):
            module.lookup.copy_(lookup())

    def __init__(self, config: GridQwen3Config):
        super().__init__(config)
        self.embed_tokens = GridEmbedding(config.hidden_size, config.initializer_range)
        self.rotary_emb = GridRotary(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        only: Tensor | None = None,
        **options: Any,
    ) -> BaseModelOutputWithPast:
        """Final hidden states [batch, length, width]; with `only`, of those places [n] alone, [batch, n, width]."""
        hidden = self.embed_tokens(input_ids).to(self.norm.weight.dtype)
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = seen + torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        mask = create_causal_mask(self.config, hidden, attention_mask, past_key_values, position_ids=position_ids)
        cosine, sine = self.rotary_emb(position_ids, input_ids)
        rotary = (cosine.to(hidden.dtype), sine.to(hidden.dtype))
        options |= {"attention_mask": mask, "position_embeddings": rotary, "position_ids": position_ids}
        options |= {"past_key_values": past_key_values, "use_cache": use_cache}
        for layer in self.layers[:-1]:
            hidden = layer(hidden, **options)
        hidden = _narrowed(self.layers[-1], hidden, only, **options)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden), past_key_values=past_key_values if use_cache else None
        )


def _narrowed(layer: Any, hidden: Tensor, only: Tensor | None, **options: Any) -> Tensor:
    """A layer whose MLP is computed for the places `only` alone."""
    if only is None:
        whole: Tensor = layer(hidden, **options)
        return whole
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden), **options)
    chosen = (hidden + attended)[:, only]
    narrow: Tensor = chosen + layer.mlp(layer.post_attention_layernorm(chosen))
    return narrow


class GridQwen3ForCausalLM(Qwen3ForCausalLM):  # type: ignore[misc]
    """The language model. `forward` gives logits over the vocabulary; `token_losses` is the cheap way to train."""

    config_class = GridQwen3Config
    _tied_weights_keys: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, config: GridQwen3Config):
        super().__init__(config)
        self.model = GridQwen3Model(config)
        self.lm_head = nn.Linear(config.hidden_size, sum(HEAD), bias=False)
        self.post_init()

    def parts(self, hidden: Tensor) -> Tensor:
        """The head's outputs in float32, [..., 116], from final hidden states."""
        return functional.linear(hidden.float(), self.lm_head.weight.float())

    def forward(self, input_ids: Tensor, logits_to_keep: int = 0, **options: Any) -> CausalLMOutputWithPast:
        output = self.model(input_ids, **options)
        logits = spread_logits(self.parts(output.last_hidden_state[:, -logits_to_keep:]))
        return CausalLMOutputWithPast(logits=logits, past_key_values=output.past_key_values)

    def summed_loss(self, input_ids: Tensor, wanted: Tensor) -> Tensor:
        """Nats over the tokens marked in `wanted`, summed up; both [batch, length]; padding goes at the end.

        Computed for every place: its shapes depend on those of what is given alone.
        """
        hidden = self.model(input_ids[:, :-1]).last_hidden_state
        nats = token_loss(self.parts(hidden.flatten(0, 1)), input_ids[:, 1:].flatten())
        return (nats * wanted[:, 1:].flatten()).sum()

    def token_losses(self, tokens: Tensor, chosen: Tensor, targets: Tensor, **options: Any) -> Tensor:
        """Nats of `targets` [n] after the rows `chosen` [n] of packed sequences `tokens` [T] (`packed_attention`)."""
        hidden = self.model(tokens[None], only=chosen, **options).last_hidden_state[0]
        return token_loss(self.parts(hidden), targets)


def register() -> None:
    """Make transformers' Auto classes know the model type. May be called again."""
    AutoConfig.register(GRID, GridQwen3Config, exist_ok=True)
    AutoModelForCausalLM.register(GridQwen3Config, GridQwen3ForCausalLM, exist_ok=True)
