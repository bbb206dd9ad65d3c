"""GridQwen3 for the engine: the model of `grid_qwen3` as a vLLM model class, LoRA and prefix caching included.

Imported by vLLM alone, through `register`'s lazy name. Law: it gives the log-probabilities that `grid_qwen3` gives.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional
from vllm.config import VllmConfig
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM

from solver.model.architecture import HEAD
from solver.model.grid_qwen3 import GridAngles, embedding_rows, spread_logits


class AngleRotary(nn.Module):
    """Turns queries and keys by ready-made cosines and sines, which arrive in the place of positions: [head_dim, n].

    On a CPU by vLLM's own kernel, which is given them as its table: for 4,096 tokens 0.2 ms instead of 5.5.
    """

    def __init__(self, head_size: int):
        super().__init__()
        self.head_size = head_size

    def forward(self, angles: Tensor, query: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        if angles.device.type == "cpu":
            places = torch.arange(angles.shape[1])
            torch.ops._C.rotary_embedding(places, query, keys, self.head_size, angles.t().contiguous(), True)
            return query, keys
        cosine, sine = angles.t()[:, None, :].chunk(2, dim=-1)
        return self._turn(query, cosine, sine), self._turn(keys, cosine, sine)

    def _turn(self, states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        first, second = states.view(states.shape[0], -1, self.head_size).chunk(2, dim=-1)
        turned = torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)
        return turned.view_as(states)


class VllmGridQwen3(Qwen3ForCausalLM):  # type: ignore[misc]
    """Qwen3 whose embedding is composed on loading, whose rotary angles come from token ids, with the factored head."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = ""):
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        config = self.config
        self.model.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, sum(HEAD), bias=False)
        for layer in self.model.layers:
            layer.self_attn.rotary_emb = AngleRotary(config.head_dim)
        most = vllm_config.scheduler_config.max_num_batched_tokens
        self.angles = GridAngles(config, most, vllm_config.model_config.dtype)

    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        intermediate_tensors: object = None,
        inputs_embeds: Tensor | None = None,
    ) -> Tensor:
        hidden: Tensor = self.model(input_ids, self.angles(positions, input_ids), intermediate_tensors, inputs_embeds)
        return hidden

    def compute_logits(self, hidden_states: Tensor) -> Tensor:
        return spread_logits(functional.linear(hidden_states.float(), self.lm_head.weight.float()))

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load a checkpoint of `grid_qwen3`, summing its small embedding tables into one row a token."""
        own = {"model.embed_tokens.weight": self.model.embed_tokens.weight, "lm_head.weight": self.lm_head.weight}
        rest, loaded = list[tuple[str, Tensor]](), set[str]()
        for name, tensor in weights:
            if name not in own:
                rest.append((name, tensor))
                continue
            exact = tensor.to(own[name].dtype)  # first, so that in float32 the sum is not rounded to the file's type
            ready = exact[embedding_rows().to(tensor.device)].sum(-2) if "embed" in name else exact
            own[name].data.copy_(ready)
            loaded.add(name)
        return loaded | set(super().load_weights(rest))
