"""A GridQwen3 of some 20,000 numbers, untrained: for what has to hold of any weights."""

from __future__ import annotations

import torch
from torch import Tensor

from solver.model.grid_qwen3 import GridQwen3Config, GridQwen3ForCausalLM, token_loss
from solver.tokens import grid


def tiny_model(seed: int = 0, spread: float = 0.3) -> GridQwen3ForCausalLM:
    """The model in float32, drawn widely enough (`spread`) that no two of its logits are alike."""
    torch.manual_seed(seed)
    config = GridQwen3Config(
        vocab_size=grid.VOCABULARY,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        pad_token_id=grid.PAD,
        eos_token_id=grid.END,
        bos_token_id=None,
        initializer_range=spread,
    )
    return GridQwen3ForCausalLM(config).eval()


def mean_loss(model: GridQwen3ForCausalLM, input_ids: Tensor, wanted: Tensor) -> Tensor:
    """Mean nats a token over the tokens marked in `wanted`; both [batch, length]; padding goes at the end."""
    hidden = model.model(input_ids[:, :-1]).last_hidden_state
    chosen = wanted[:, 1:]
    return token_loss(model.parts(hidden[chosen]), input_ids[:, 1:][chosen]).mean()
