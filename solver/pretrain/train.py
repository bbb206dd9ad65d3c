"""The training loop: bf16 forward and backward over float32 masters, Muon for matrices and AdamW for the rest.

Knows nothing of tasks. Laws: a run killed anywhere and resumed gives the same weights as one left alone (bit for bit on
a CPU; a GPU's sums have no fixed order); a checkpoint is replaced atomically. Muon: Jordan et al. 2024, with the update
scaled to AdamW's (arXiv 2502.16982).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, distributed

from solver.clock import now
from solver.model.architecture import HEAD
from solver.model.grid_qwen3 import GridQwen3Config, GridQwen3ForCausalLM, spread_logits
from solver.pretrain import checkpoint_file, losses
from solver.pretrain.ahead import Round
from solver.pretrain.batches import ROUND
from solver.pretrain.gauge import Logits, held_out_figures
from solver.pretrain.recipe import Recipe, rate
from solver.pretrain.rows import Row, places
from solver.tokens import grid
from solver.types import BadInput, Example

CHECKPOINT = checkpoint_file.NAME
MAY_CHANGE = ("steps", "decay", "workers")  # of a recipe: a run goes on, or is annealed from any checkpoint of it


def build(recipe: Recipe) -> GridQwen3ForCausalLM:
    """The untrained model, float32."""
    torch.manual_seed(recipe.seed)
    third = recipe.head_size // 2 // 3
    config = GridQwen3Config(
        vocab_size=grid.VOCABULARY,
        hidden_size=recipe.width,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        head_dim=recipe.head_size,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        rotary_pairs=(recipe.head_size // 2 - 2 * third, third, third),
        tie_word_embeddings=False,
        pad_token_id=grid.PAD,
        eos_token_id=grid.END,
        bos_token_id=None,
        dtype="bfloat16",
        architectures=["GridQwen3ForCausalLM"],
    )
    return GridQwen3ForCausalLM(config)


def operations(recipe: Recipe, lengths: Sequence[int]) -> float:
    """Floating-point operations of a step over sequences of these lengths, forwards and back: 6 a weight and token,
    and causal attention's; what padding costs is not counted, nor the optimizer."""
    wide = recipe.heads * recipe.head_size
    weights = recipe.layers * recipe.width * (4 * wide + 3 * recipe.inner) + recipe.width * sum(HEAD)
    return 6.0 * weights * sum(lengths) + 6.0 * recipe.layers * wide * sum(n * n for n in lengths)


def check(directory: Path, recipe: Recipe, pool: str = "") -> dict[str, str]:
    """What the directory's checkpoint says of itself, once it can be gone on from.

    `pool`: sha256 of the pool's file, "": not known. Raises `BadInput` where the checkpoint is none, its recipe is
    another (number of steps, their decay and workers aside), or its pool is.
    """
    counters = checkpoint_file.counters(directory)
    try:
        stored = json.loads(counters["recipe"])
    except ValueError as error:
        raise BadInput(
            f"{directory / CHECKPOINT} is no checkpoint ({error}); delete it to begin anew, or use another --directory"
        ) from None
    own = asdict(recipe)
    differing = [n for n in own if n not in MAY_CHANGE and stored.get(n) != own[n]]
    if differing:
        name = differing[0]
        raise BadInput(
            f"the checkpoint was made with {name} {stored.get(name)}, this run has {own[name]}: "
            "resume with the same recipe, or use another --directory"
        )
    known = counters.get("pool", "")  # older checkpoints do not say
    if pool and known and pool != known:
        raise BadInput(
            f"the checkpoint in {directory} was trained on another pool (sha256 {known[:12]}) than its train.npz is "
            f"({pool[:12]}); expected the same: put that one back, or use another --directory, with --start-from"
        )
    return counters


def check_start(weights: Path, recipe: Recipe) -> None:
    """Raise `BadInput` where the folder holds no exported model of the recipe's shape."""
    path = weights / "model.safetensors"
    try:
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path} is no exported model ({error}); expected a folder that --export wrote") from None
    with torch.device("meta"):  # shapes alone: nothing is computed in a process that may be forked
        expected = build(recipe)
    for name, parameter in expected.named_parameters():
        if shapes.get(name) != tuple(parameter.shape):
            shown = f"{name} {shapes.get(name, 'missing')}, this recipe {tuple(parameter.shape)}"
            raise BadInput(
                f"the weights in {weights} are of another shape: {shown}; give --width, --layers, ... as theirs"
            )


class Training:
    """A model in training: `step` takes one batch; `save` and `load` carry all of it through a directory.

    `masters`: the weights in float32, which the optimizers move; `model` has them in bfloat16. `averages`: their
    running averages, where the recipe keeps some. `compiled`: torch.compile's part on a CPU (`row_model`). `pool`:
    sha256 of the pool's file, "": not known; a checkpoint says it, and one of another pool is not loaded.
    """

    def __init__(self, recipe: Recipe, device: str = "cpu", compiled: bool = False, pool: str = ""):
        self.pool = pool
        self.recipe, self.done, self.tokens, self.shared = recipe, 0, 0, distributed.is_initialized()
        self.work = 0.0  # operations of all steps since it was made
        self.model = build(recipe).to(device, torch.bfloat16)
        on_cpu = device == "cpu"
        self.sums = losses.by_rows(self.model, recipe.row, compiled) if on_cpu else losses.by_parts(self.model)
        source = dict(build(recipe).named_parameters())
        self.masters = {n: source[n].detach().float().to(device).requires_grad_() for n in source}
        self.averages = {n: p.detach().clone() for n, p in self.masters.items()} if recipe.average else {}
        inside = [n for n, p in self.masters.items() if p.ndim == 2 and "layers." in n]
        self.matrices = [self.masters[n] for n in inside]
        self.rank, self.world = (distributed.get_rank(), distributed.get_world_size()) if self.shared else (0, 1)
        others = [p for n, p in self.masters.items() if n not in inside]
        own = self.matrices[self.rank :: self.world]  # each worker updates its part of the matrices, then all get all
        self.muon = torch.optim.Muon(own, weight_decay=recipe.weight_decay, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, batch: Sequence[Row], stop: Callable[[], bool] = lambda: False) -> tuple[Tensor, Tensor]:
        """One optimizer step on this worker's share of the batch.

        Returns the whole batch's loss in nats a token, and how many workers want to stop after this step: all workers
        get the same number, so that all stop at the same step. `stop`: asked once this worker's sums are there.
        """
        examples = [example for row in batch for example in row]
        wanted = sum(int(example.loss[1:].sum()) for example in examples)
        size = sum(master.numel() for master in self.masters.values())
        flat = torch.zeros(size + 2, device=self.model.device)  # gradients, the loss, and who wants to stop
        for nats in self.sums(batch[self.rank :: self.world]):
            loss = nats / wanted
            loss.backward()
            flat[:-1] += self._taken(loss.detach())
        flat[-1] = float(stop())
        if self.shared:
            distributed.all_reduce(flat)
        self._hand_out(flat)
        torch.nn.utils.clip_grad_norm_(self.masters.values(), self.recipe.clip)
        share = rate(self.done, self.recipe)
        self._update(self.muon, share * self.recipe.matrix_rate)
        self._exchange(self.matrices)
        self._update(self.adam, share * self.recipe.other_rate)
        self.done += 1
        self._follow()
        self.tokens += sum(map(places, examples))
        self.work += operations(self.recipe, [example.tokens.size for example in examples])
        return flat[-2].clone(), flat[-1].clone()  # views would keep all gradients

    @torch.no_grad()
    def _follow(self) -> None:
        """Bring the model's weights and the running averages up to the masters."""
        for name, parameter in self.model.named_parameters():
            parameter.copy_(self.masters[name])
        kept = min(self.recipe.average, self.done / (self.done + 10))
        for name, average in self.averages.items():
            average.lerp_(self.masters[name], 1 - kept)

    @contextmanager
    def averaged(self) -> Iterator[GridQwen3ForCausalLM]:
        """The model with the averages as its weights, where there are some; with its own again afterwards."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.averages.get(name, self.masters[name]))
            yield self.model
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.masters[name])

    @torch.no_grad()
    def _exchange(self, tensors: Sequence[Tensor]) -> None:
        """Give every worker the tensors, one for each matrix, that the others hold; all workers at once."""
        if not self.shared:
            return
        flat = torch.zeros(sum(map(Tensor.numel, tensors)), device=self.model.device)
        parts = [p.view_as(t) for p, t in zip(flat.split([t.numel() for t in tensors]), tensors, strict=True)]
        for part, tensor in zip(parts[self.rank :: self.world], tensors[self.rank :: self.world], strict=True):
            part.copy_(tensor)
        distributed.all_reduce(flat)
        for part, tensor in zip(parts, tensors, strict=True):
            tensor.copy_(part)

    def _taken(self, loss: Tensor) -> Tensor:
        """The model's gradients as one float32 vector, the loss behind them; the model has none any more."""
        parameters = list(self.model.parameters())
        found = [(p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten()).float() for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        return torch.cat([*found, loss.float().view(1)])

    def _hand_out(self, flat: Tensor) -> None:
        """Give the masters their gradients."""
        start = 0
        for name, parameter in self.model.named_parameters():
            self.masters[name].grad = flat[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()

    def _update(self, optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()

    def save(self, directory: Path) -> None:
        """Write a checkpoint: masters, averages, optimizer state, counters; the old one stays until it is whole.

        All workers call it at the same step, the first one writes. Raises `OSError` where it cannot be written.
        """
        momenta = [torch.zeros_like(matrix) for matrix in self.matrices]
        for momentum, matrix in zip(
            momenta[self.rank :: self.world], self.matrices[self.rank :: self.world], strict=True
        ):
            momentum.copy_(self.muon.state[matrix].get("momentum_buffer", momentum))
        self._exchange(momenta)
        if self.rank:
            return
        state: dict[str, Tensor] = {f"master.{n}": p.detach() for n, p in self.masters.items()}
        state |= {f"average.{n}": p for n, p in self.averages.items()}
        state |= {f"muon.{index}.momentum_buffer": momentum for index, momentum in enumerate(momenta)}
        for index, entry in self.adam.state_dict()["state"].items():
            state |= {f"adam.{index}.{k}": torch.as_tensor(v) for k, v in entry.items()}
        counters = {"done": self.done, "tokens": self.tokens, "recipe": json.dumps(asdict(self.recipe))}
        checkpoint_file.write(directory, state, {**counters, "pool": self.pool})

    def load(self, directory: Path) -> None:
        """Continue from a checkpoint; what `MAY_CHANGE` names of the recipe may differ.

        Raises `BadInput` as `check` does.
        """
        counters = check(directory, self.recipe, self.pool)
        state = load_file(directory / CHECKPOINT)
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(state[f"master.{name}"])
            for name, average in self.averages.items():
                average.copy_(state[f"average.{name}"])
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.masters[name])
        for label, optimizer in (("muon", self.muon), ("adam", self.adam)):
            whole, entries = optimizer.state_dict(), dict[int, dict[str, Tensor]]()
            for name, tensor in state.items():
                head, _, rest = name.partition(".")
                if head == label:
                    index, _, field = rest.partition(".")
                    entries.setdefault(int(index), {})[field] = tensor
            if label == "muon":
                entries = dict(enumerate(entries[i] for i in range(self.rank, len(entries), self.world)))
            optimizer.load_state_dict({"state": entries, "param_groups": whole["param_groups"]})
        self.done, self.tokens = int(counters["done"]), int(counters["tokens"])

    def start_from(self, weights: Path) -> None:
        """Take the weights of an exported model of the same shape; optimizer and counters start anew."""
        stored = load_file(weights / "model.safetensors", device=str(self.model.device))
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                self.masters[name].copy_(stored[name])
                parameter.copy_(self.masters[name])
            for name, average in self.averages.items():
                average.copy_(self.masters[name])


def run(
    training: Training,
    rounds: Iterator[Round],
    report: Callable[[float, dict[str, float]], None],
    every: int = 100,
    peak: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Train to the recipe's last step, or until a worker is told to stop, and report in between.

    `rounds`: the first is the one that the next step belongs to. `report`: given the mean loss since the last report
    and the speeds, every `every` steps and after the last one, in all workers. `peak`: operations a second that the
    devices can do, all together; 0: not known. `stop`: asked within each step; where any worker's is true all stop
    after it.
    """
    recipe, recent, meter, stopping = training.recipe, list[Tensor](), Meter(training, peak), False
    while training.done < recipe.steps and not stopping:
        for batch in next(rounds)[training.done % ROUND :]:
            loss, told = training.step(batch, stop)
            recent.append(loss)
            stopping = bool(told)
            if training.done % every == 0 or training.done == recipe.steps or stopping:
                report(float(torch.stack(recent).mean()), meter.read())
                recent.clear()
                meter = Meter(training, peak)
            if training.done == recipe.steps or stopping:
                break


def tell(
    training: Training, directory: Path, held_out: Sequence[Example], loss: float, speeds: dict[str, float]
) -> None:
    """Save a checkpoint, and print a line of figures, which is also the next of the curve.

    Held-out figures are those of the running averages, and, as `now_`, those of the weights as they are.
    """
    training.save(directory)
    line: dict[str, float] = {"step": training.done, "tokens": training.tokens, "loss": round(loss, 4), **speeds}
    with training.averaged() as model:
        line |= held_out_figures(logits_of(model), held_out, model.device)
    if training.averages:
        now_figures = held_out_figures(logits_of(training.model), held_out, training.model.device)
        line |= {f"now_{name}": value for name, value in now_figures.items()}
    print(json.dumps(line), flush=True)
    with (directory / "curve.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def logits_of(model: GridQwen3ForCausalLM) -> Logits:
    """What the figures of held-out tasks are computed from."""

    def logits(ids: Tensor, places: Tensor) -> Tensor:
        return spread_logits(model.parts(model.model(ids).last_hidden_state[0][places]))

    return logits


class Meter:
    """Speed since it was made."""

    def __init__(self, training: Training, peak: float):
        self.training, self.peak = training, peak
        self.started, self.tokens, self.work = now(), training.tokens, training.work

    def read(self) -> dict[str, float]:
        """Tokens a second; and where the device's peak is known, the share of it that was made use of (MFU)."""
        seconds, training = now() - self.started, self.training
        found: dict[str, float] = {"tokens_per_second": round((training.tokens - self.tokens) / seconds)}
        if not self.peak:
            return found
        return found | {"mfu": round((training.work - self.work) / seconds / self.peak, 4)}
