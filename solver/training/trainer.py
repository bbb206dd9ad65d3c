"""Examples to an adapter on disk, with peft or Unsloth; what is frozen never changes.

Laws: an adapter is a function of (weights, recipe, examples, seed, the adapter it started from) alone unless the
seconds ran short; what was learned before the deadline is kept.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from solver.config.settings import TrainRecipe, require_machine
from solver.interfaces import Stop
from solver.training import base_model, packed_attention
from solver.training.adapter_kinds import adapters_of
from solver.training.adapters import Adapters
from solver.training.backends import PLAIN_HEADS, UNSLOTH, Setup, setup
from solver.training.pace import Pace, Share, batches
from solver.types import Adapter, Example, TrainJob, TrainReport, seed_for

FIRST_SCALE = 2.0**10  # of the loss in float16: it is halved where gradients overflow, which costs a step


class LoraTrainer:
    """One base model with adapters that are set back to their start for every training.

    Sequences lie end to end, where the architecture allows it, and each attends to itself alone. With the shipped one
    each has its own adapter, too, so that several tasks' can be trained in one batch (`recipe.adapters_per_batch`).
    Where the card holds this or the engine, whichever is asked for something takes it and calls `before_reload` first,
    which sends the other away.
    """

    def __init__(self, weights: Path, recipe: TrainRecipe, directory: Path, context: int, planned: Setup | None = None):
        from solver.model import grid_qwen3

        grid_qwen3.register()
        self.recipe, self.directory = recipe, directory
        cuda = torch.cuda.is_available()
        require_machine(recipe, cuda, importlib.util.find_spec("bitsandbytes") is not None)
        self.how = planned or setup(weights, recipe, context, cuda)
        self.notes = (self.how.note,)
        self.device = "cuda" if cuda else "cpu"
        self.model: Any = self.load(weights).to(self.device)
        self.causal: Any = getattr(self.model, "get_base_model", lambda: self.model)()  # without peft around it
        self.offloaded = False
        self.before_reload: Callable[[], None] = lambda: None
        self.padded = not self.how.packed or packed_attention.pads(self.model, self.device)
        plain = self.how.bits == 16 and not self.how.checkpointing
        several = self.how.packed and plain and hasattr(self.causal, "token_losses")
        kind = self.kind()
        self.adapters = kind(kind.trained(self.model), recipe.adapters_per_batch if several else 1, recipe)
        if several:
            self.adapters.fuse(self.model)

    def load(self, weights: Path) -> Any:
        """The base model with what is trained in or beside it."""
        load = base_model.with_unsloth if self.how.library == UNSLOTH else base_model.with_peft
        return load(weights, self.recipe, self.how)

    def kind(self) -> type[Adapters]:
        """The class of what is trained."""
        return adapters_of(self.recipe)

    def train(self, job: TrainJob, stop: Stop, steps: int | None = None) -> TrainReport:
        """Train until the recipe's steps, or so many `steps`, are done or `stop` has no seconds left; save the adapter.

        ValueError: what it is to start from is not of this recipe's shape. FloatingPointError: what came is not finite.
        """
        [report] = self.train_together([job], stop, steps)
        if report.failure:
            raise FloatingPointError(report.failure)
        return report

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop, steps: int | None = None) -> list[TrainReport]:
        """`train` for several adapters, which share the seconds: as many in one batch as the trainer has room for.

        What is not finite fails alone, as its report says.
        """
        recipe = replace(self.recipe, steps=self.recipe.affordable_steps if steps is None else steps)
        room, reports = len(self.adapters.masters), list[TrainReport]()
        while left := jobs[len(reports) :]:
            reports += self._train(left[:room], recipe, Share(stop, room / len(left)) if room < len(left) else stop)
        return reports

    def _train(self, jobs: Sequence[TrainJob], recipe: TrainRecipe, stop: Stop) -> list[TrainReport]:
        """`train` for as many adapters as fit one batch; those without examples have no part in it."""
        present = [job for job in jobs if job.examples]
        self.begin()
        streams = []
        for place, job in enumerate(present):
            self.adapters.draw(place, seed_for(job.seed, job.name, "adapter"))
            if job.start_from is not None:
                self.adapters.load(place, job.start_from.path)
            seed = seed_for(job.seed, job.name, "batches")
            streams.append(batches(job.examples, recipe.tokens, seed, padded=self.padded))
        pace, losses, failed = Pace(recipe, stop), list[list[float]](), set[int]()
        while len(failed) < len(present) and (share := pace.next_share()) is not None:
            groups = [[] if place in failed else next(stream) for place, stream in enumerate(streams)]
            losses.append(self.step(groups, recipe.rate * share))
            failed |= {place for place, loss in enumerate(losses[-1]) if not math.isfinite(loss)}
        reports = {job.name: TrainReport(None, 0, recipe.steps) for job in jobs}
        for place, job in enumerate(present if losses else ()):
            try:
                reports[job.name] = self._saved(place, job.name, [row[place] for row in losses], recipe.steps)
            except FloatingPointError as error:
                reports[job.name] = replace(reports[job.name], failure=str(error))
        return list(reports.values())

    def _saved(self, place: int, name: str, losses: Sequence[float], planned: int) -> TrainReport:
        """The report of a training whose adapter is saved now; FloatingPointError: what came is not finite."""
        if not all(map(math.isfinite, losses)):
            raise FloatingPointError("the loss is not finite: the learning rate is too high for this task")
        path = self.directory / name
        self.adapters.save(place, self.model, path, getattr(torch, self.how.dtype))
        return TrainReport(Adapter(name, path), len(losses), planned, tuple(losses))

    def begin(self) -> None:
        """Take the card and forget what was trained before."""
        self.reload()
        self.adapters.start()
        self.scaler = torch.amp.GradScaler(self.device, init_scale=FIRST_SCALE, enabled=self.how.scaled)

    def step(self, groups: Sequence[Sequence[Example]], rate: float) -> list[float]:
        """One step of each adapter on its own group of examples; their losses.

        What is not finite has no gradient, nor has an adapter without examples: it may be one that is not finite.
        AdamW's momentum moves them all the same.
        """
        self.adapters.grads.zero_()
        losses = self.losses(groups)
        finite = torch.isfinite(losses)
        self.scaler.scale(losses.where(finite, 0).sum()).backward()
        kept = finite & torch.tensor([bool(group) for group in groups], device=finite.device)
        self.adapters.grads[: len(groups)].masked_fill_(~kept[:, None], 0)
        self.adapters.step(len(groups), rate, self.recipe.clip, self.scaler)
        nats: list[float] = losses.tolist()
        return nats

    def losses(self, groups: Sequence[Sequence[Example]]) -> Tensor:
        """Mean nats a token over the wanted tokens of each adapter's group, with the LoRAs as they stand; [groups].

        0 for a group without examples, of which at least one has some.
        """
        if not self.how.packed:
            return torch.stack([self._padded(group) for group in groups])
        batch = packed_attention.pack(groups, even=self.device != "cpu" and len(groups) > 1).to(self.device)
        self.adapters.rows = {len(batch.chosen): batch.asked, len(batch.tokens): batch.rows}
        own = {"packed_seq_lengths": batch.starts.diff()} if self.how.library == UNSLOTH else {"packed": batch}
        where: dict[str, Any] = {"position_ids": batch.positions[None], **own}
        if hasattr(self.causal, "token_losses"):  # the factored head's
            nats: Tensor = self.causal.token_losses(batch.tokens, batch.chosen, batch.targets, **where)
        else:
            nats = self._nats(batch.tokens[None], batch.chosen, batch.targets, **where)
        sums: Tensor = nats.new_zeros(len(groups) + 1).index_add(0, batch.owner, nats)[:-1]
        return sums / batch.counts.clamp(min=1)

    def _padded(self, group: Sequence[Example]) -> Tensor:
        """The same for one group of sequences padded to the longest."""
        tokens = pad_sequence([torch.from_numpy(e.tokens).long() for e in group], True).to(self.device)
        wanted = pad_sequence([torch.from_numpy(e.loss) for e in group], True).to(self.device)[:, 1:]
        return self._nats(tokens[:, :-1], wanted.flatten(), tokens[:, 1:][wanted]).mean()

    def _nats(self, tokens: Tensor, chosen: Tensor, targets: Tensor, **where: Any) -> Tensor:
        """Nats of `targets` [n] after the places `chosen` of `tokens` [batch, length], one row after another."""
        if self.how.pieces:
            hidden = self._hidden(tokens, **where).flatten(0, 1)[chosen]
            return base_model.piecewise_nats(self.causal.get_output_embeddings(), hidden, targets)
        logits = self.model(input_ids=tokens, **where).logits.flatten(0, 1)[chosen]
        return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="none")

    def logits(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Logits of what follows these places [n] of `tokens` [1, length], with the adapter as it is; [n, ids]."""
        self.adapters.rows = {tokens.shape[1]: ((0, tokens.shape[1]),)}
        if self.causal.config.model_type not in PLAIN_HEADS:
            whole: Tensor = self.model(input_ids=tokens).logits
            return whole[0, places]
        head = self.causal.get_output_embeddings()
        said: Tensor = head(self._hidden(tokens)[0, places].to(head.weight.dtype))
        return said

    def _hidden(self, tokens: Tensor, **where: Any) -> Tensor:
        """The last hidden states, [batch, length, hidden]; Unsloth gives them in the logits' place (`backends`)."""
        if self.how.library == UNSLOTH:
            with torch.autocast(self.device, getattr(torch, self.how.dtype)):  # its LoRA matrices are float32
                hidden: Tensor = self.model(input_ids=tokens, **where).logits
            return hidden
        inner: Tensor = self.causal.model(input_ids=tokens, **where).last_hidden_state
        return inner

    def offload(self) -> None:
        """Leave the card to the engine: the weights wait in the machine's memory; of the adapters nothing does."""
        if not self.offloaded:
            self._move("cpu")
            self.offloaded = True

    def reload(self) -> None:
        if self.offloaded:
            self.before_reload()
            self._move(self.device)
            self.adapters.bind()
            self.offloaded = False

    def _move(self, device: str) -> None:
        if device == self.device:
            self.adapters.allocate()
        self.model.to(device)
        if device != self.device:
            self.adapters.free()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
