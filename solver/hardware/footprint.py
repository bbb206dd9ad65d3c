"""Bytes that a model's training step, its adapter's optimizer and an engine's step take beside the weights.

Knows nothing of cards, layouts or torch; the numbers a token leaves behind were counted in transformers and peft
(`test_memory_plan.py` counts them again). Law: every estimate is of the worst step, never of the mean one.
"""

from __future__ import annotations

from dataclasses import dataclass

from solver.model.architecture import GRID, HALF, KEY_NORMS, Model

BATCHED = 4096  # tokens the engine computes in one step at least (`vllm_sampler`)
LOGPROBS_BYTES = 12  # of one logit in the engine: float32, its log-softmax, and a copy to sort
LOSS_BYTES = 16  # of one logit in training: in 16 bits with its gradient; in float32 itself, its log-softmax, gradient
LOSS_PIECE = 512  # tokens whose logits are computed at a time in training (`trainer`): a vocabulary may be wide
HEAD_LORA_BYTES = 6  # of one logit, added by a LoRA on the head in training: its product, scaled, and its gradient
FACTORED_BYTES = 24  # of one output of the factored head in training: float32, three parts, their sums, gradient
LORA_BYTES = 4  # of one LoRA weight, which is float32 under Unsloth
OPTIMIZER_BYTES = 20  # of one while it is trained: master, gradient twice, AdamW's two moments, float32 each


@dataclass(frozen=True)
class Parts:
    """Bytes by what they are for. `work`: the larger of both sides' working memory, which they take turns in."""

    context: int
    engine_weights: int
    engine_adapters: int
    engine_graphs: int
    cache: int
    trainer_weights: int
    lora: int
    optimizer: int
    trainer_work: int
    engine_work: int

    @property
    def engine(self) -> int:
        """All that the engine has to itself."""
        return self.engine_weights + self.engine_adapters + self.engine_graphs + self.cache

    @property
    def trainer(self) -> int:
        """All that training has to itself between its steps."""
        return self.trainer_weights + self.lora


def layer_activations(model: Model, rank: int) -> int:
    """Numbers a layer keeps of each token for the way back, as transformers and peft compute it (fused attention).

    Six hidden-wide (both norms' float32 copies are two each), four as wide as the inner layer, two as wide as queries
    and keys together and, where those are normalised, two more; and the LoRAs' inner values.
    """
    attention = (4 if model.kind in KEY_NORMS else 2) * (model.heads + model.key_heads) * model.head_dim
    return 6 * model.hidden + 4 * model.intermediate + attention + 7 * rank


def activations(model: Model, tokens: int, rank: int, checkpointing: bool) -> int:
    """Bytes kept of a training step's tokens for the way back: all layers', or each layer's input and one layer's."""
    layer = layer_activations(model, rank)
    every = model.layers * layer + 2 * model.head_dim  # with the rotary tables
    kept = model.layers * model.hidden + layer if checkpointing else every
    return HALF * tokens * (kept + 2 * model.hidden)  # with the last norm's float32 copy


def trainer_work(model: Model, tokens: int, rank: int, checkpointing: bool) -> int:
    """Bytes of a training step: what is kept, one layer's gradients, and the loss over the vocabulary."""
    loss = tokens * FACTORED_BYTES if model.kind == GRID else min(tokens, LOSS_PIECE) * LOSS_BYTES
    gradients = HALF * tokens * layer_activations(model, rank)
    return activations(model, tokens, rank, checkpointing) + gradients + model.head_outputs * loss


def beyond_work(model: Model, tokens: int, rank: int, embedding: bool, head: bool) -> int:
    """Bytes that LoRAs on `embedding` and `head`, as far as they are there, add to a training step.

    The inner values of each; the embedding's product beside its sum, and its A's gradient before it is added; another
    product for each of the head's logits.
    """
    inner = HALF * tokens * rank
    lookups = inner + HALF * (2 * tokens * model.hidden + model.vocabulary * rank)
    logits = inner + min(tokens, LOSS_PIECE) * model.vocabulary * HEAD_LORA_BYTES
    return lookups * embedding + logits * head


def engine_work(model: Model, context: int, logits: int) -> int:
    """Bytes of an engine's step: a layer's values for its tokens, and logits for so many places."""
    width = 4 * model.hidden + 3 * model.intermediate + 2 * (model.heads + 2 * model.key_heads) * model.head_dim
    return max(BATCHED, context) * width * HALF + logits * model.vocabulary * LOGPROBS_BYTES
