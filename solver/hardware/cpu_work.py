"""What a training step and a reply take on a CPU, by kind of work, counted from a config.json's numbers.

Seconds are the counts (`CpuWork`) over the rates (`CpuRates`, measured by `training.machine_rates`) and nothing else,
so that the model of cost holds for other weights and other machines. Law: more of anything never takes less.
"""

import math
from dataclasses import astuple, dataclass

from solver.model.architecture import GRID, HALF, KEY_NORMS, Model

# Bytes that elementwise operations read and write in training, counted in transformers' and peft's code.
NORM = 36  # of a number in an RMS norm: to float32, its square, the mean, the product, back, the weight
ADD = 6  # of a number of a sum in 16 bits: two read, one written
ROTARY = 20  # of a number of queries and keys: two products, a half turned round, a sum
HEADS = 24  # of a number of the queries: scaled, and laid out by heads and back, keys and values as well
GATE = 10  # of an inner number of the MLP: its activation, and the product with the other half
SCALED = 10  # of an output of one of peft's LoRAs: scaled, and added
BACKWARD = 2  # the same of the backward pass, in times: most operations have two inputs, each with a gradient
LOGIT = 4  # of any logit of a plain head: written, and its gradient set to zero
CHOSEN = 50  # more of a logit the loss is on: taken out, float32, log-softmax, their gradients, put back
WANTED = 0.4  # share of a sequence's tokens the loss is on: the outputs of all demonstrations but the first
OPTIMIZED = 54  # of an adapter's number: its gradient, the norm and the cut, the master, AdamW's moments, as served
ATTENDED = 128  # queries that attend together (`packed_attention.CHUNK`), to all tokens up to the last of them
KEPT = 2048  # tokens up to which attention is kept for the backward pass (`packed_attention.KEPT`), not computed again
STEP_LAUNCHES = 250  # operations of a layer, forward and backward, in small products' worth of starting them

# The same of vLLM's CPU engine, whose kernels do several operations at once.
FUSED_NORM = 8  # bytes of a hidden number: residual and input, read and written
FUSED_ROTARY = 4  # of a number of queries and keys
FUSED_GATE = 6  # of an inner number of the MLP
CACHED = 8  # of a number of keys and values that are laid into the cache
SAMPLED = 30  # of a logit: float32, log-softmax, the largest, its rank
LORA_LAUNCHES, LAYER_LAUNCHES = 35, 12  # small operations of a layer's LoRAs (five for each of seven), and the others
ENGINE_LAUNCHES, ROW_LAUNCHES = 150, 4  # of a step besides, and of each of its rows: scheduling, sampling, outputs


@dataclass(frozen=True)
class CpuRates:
    """How much of each kind of `CpuWork` a process does a second, while as many as in a run do the same."""

    layers: float
    lora: float
    attention: float
    elementwise: float
    weights: float
    launches: float

    def __post_init__(self) -> None:
        for name, rate in vars(self).items():
            if not 0 < rate < math.inf:
                raise ValueError(f"{name} is {rate} a second: expected a number above 0")


@dataclass(frozen=True)
class CpuWork:
    """What is to be done, by kind.

    `layers`: operations of products of many rows with the matrices of layers or head. `lora`: the same with a LoRA's.
    `attention`: of queries with keys and values, by heads; the softmax between goes with them. `elementwise`: bytes
    that elementwise operations read and write. `weights`: bytes of matrices that a batch's few rows are multiplied
    with, which have to be read. `launches`: operations so small that starting them is what takes time.
    """

    layers: float = 0.0
    lora: float = 0.0
    attention: float = 0.0
    elementwise: float = 0.0
    weights: float = 0.0
    launches: float = 0.0

    def seconds(self, rates: CpuRates) -> float:
        """Seconds of one process."""
        return math.fsum(count / rate for count, rate in zip(astuple(self), astuple(rates), strict=True))


def attended(model: Model, length: int, together: int) -> float:
    """Pairs of a query and a key that are multiplied for a sequence, in all heads and layers.

    `together` queries at a time, each with the keys up to the last of them: half a square and half a row more.
    """
    return model.layers * model.heads * length * (length + min(together, length)) / 2


def training_step(model: Model, rank: int, sequences: int, length: int) -> CpuWork:
    """A step of packed sequences of this length: forward, backward and AdamW.

    Of a frozen weight two operations a token forward and two backward; of a LoRA's two forward, two for its own
    gradient and two for that of its input. A plain head gives logits for every token; the factored one, and the last
    MLP before it, for those wanted alone. Attention is two products forward, four backward, and one more where it is
    computed again.
    """
    tokens, own = sequences * length, model.kind == GRID
    chosen = WANTED * tokens
    queries, keys = model.heads * model.head_dim, model.key_heads * model.head_dim
    normed = 2 * model.hidden + (queries + keys if model.kind in KEY_NORMS else 0)
    scaled = 0 if own else queries + 2 * keys + 2 * model.hidden + 2 * model.intermediate
    forward = NORM * normed + 2 * ADD * model.hidden + ROTARY * (queries + keys) + HEADS * queries
    forward += GATE * model.intermediate + SCALED * scaled
    spared = (tokens - chosen) * 3 * model.hidden * model.intermediate if own else 0
    logits = (chosen if own else tokens) * model.head_outputs
    loss = LOGIT * (0 if own else logits) + CHOSEN * chosen * model.head_outputs
    products = 6 if length <= KEPT else 7
    return CpuWork(
        layers=4 * (tokens * model.projections - spared + logits * model.hidden),
        lora=6 * tokens * model.adapter(rank),
        attention=2 * products * model.head_dim * sequences * attended(model, length, ATTENDED),
        elementwise=(1 + BACKWARD) * model.layers * tokens * forward + loss + OPTIMIZED * model.adapter(rank),
        launches=STEP_LAUNCHES * model.layers,
    )


def prefill(model: Model, rank: int, tokens: int) -> CpuWork:
    """A prompt read by the engine with an adapter (of rank 0: none), and the logits after it."""
    queries, keys = model.heads * model.head_dim, model.key_heads * model.head_dim
    numbers = 2 * FUSED_NORM * model.hidden + FUSED_ROTARY * (queries + keys)
    numbers += 2 * CACHED * keys + FUSED_GATE * model.intermediate
    return CpuWork(
        layers=2 * (tokens * model.projections + model.head_outputs * model.hidden),
        lora=2 * tokens * model.adapter(rank),
        attention=4 * model.head_dim * attended(model, tokens, 1),
        elementwise=model.layers * tokens * numbers + SAMPLED * model.vocabulary,
    )


def decoding_step(model: Model, rank: int, adapters: int, rows: int, context: int) -> CpuWork:
    """A step of the engine that gives one token of each of `rows` replies, after `context` tokens each.

    All matrices are read once; so are those of all `adapters` in the batch, whose second halves are laid out anew.
    Attention goes through all keys and values of every row.
    """
    loras = adapters * model.adapter(rank)
    small = LAYER_LAUNCHES + (LORA_LAUNCHES if adapters else 0)
    return CpuWork(
        attention=4 * model.head_dim * rows * model.layers * model.heads * context,
        elementwise=SAMPLED * rows * model.vocabulary + HALF * loras,
        weights=HALF * (model.projections + model.head_outputs * model.hidden + loras),
        launches=ENGINE_LAUNCHES + ROW_LAUNCHES * rows + model.layers * small,
    )
