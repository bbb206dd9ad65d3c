"""The seams: Protocols behind which models and engines stay out of sight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

from solver.types import Adapter, Prompt, Reply, TrainJob, TrainReport


class Stop(Protocol):
    """Says when to stop; a `clock.Deadline` is one."""

    def remaining(self) -> float:
        """Seconds left, never below 0."""


class Grammar(Protocol):
    """What has been said of a reply so far, as far as it matters for what may follow."""

    def then(self, token: int) -> Grammar | None:
        """The same with one token more; None where it is certain that nothing wanted begins so."""


class Trainer(Protocol):
    """Trains one adapter on one task's examples."""

    def train(self, job: TrainJob, stop: Stop, steps: int | None = None) -> TrainReport:
        """Train until the recipe ends, or so many `steps` are done, or `stop` has no seconds left; keep the adapter."""


@runtime_checkable
class GroupTrainer(Protocol):
    """A trainer of several adapters at once, each as if it were trained alone."""

    def train_together(self, jobs: Sequence[TrainJob], stop: Stop) -> list[TrainReport]:
        """`Trainer.train` for each job, in order; they share the seconds."""


class Sampler(Protocol):
    """Completes prompts, each with its own adapter or with none."""

    def sample(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop) -> list[Reply | None]:
        """One reply a request, greedy or drawn as its prompt says, in order; None where `stop` came first."""

    def forget(self, adapters: Sequence[Adapter]) -> None:
        """These adapters will not be asked for again: their memory and files may be freed."""


OnTokens: TypeAlias = "Callable[[int, Reply], tuple[bool, Sequence[tuple[Prompt, Adapter | None]]]]"
"""Told what the reply to a request (by number, as they were handed in) has said since; says whether it should go on,
and what else is asked, numbered on."""


@runtime_checkable
class Streamer(Protocol):
    """A sampler that can be listened to, and asked for more, while it speaks."""

    def stream(self, requests: Sequence[tuple[Prompt, Adapter | None]], stop: Stop, on_tokens: OnTokens) -> None:
        """Complete requests greedily, and those `on_tokens` adds, piece by piece, until all ended or `stop` came."""


ScoringRequest: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], Adapter | None]
"""What a scorer is asked: a prompt's tokens, the tokens of a reply to it, and the adapter to read it with."""


@runtime_checkable
class Scorer(Protocol):
    """Says how likely given replies are."""

    def score(self, requests: Sequence[ScoringRequest], stop: Stop) -> list[float | None]:
        """Nats of each whole reply given its prompt, in order; None where `stop` came first."""
