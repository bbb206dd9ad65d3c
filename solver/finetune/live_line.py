"""How far a fine-tuning is, in one line: redrawn on a terminal, printed with each report elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TextIO

from solver.clock import now
from solver.runtime.live import span

SECOND = 1.0  # between two pictures at least


@dataclass(frozen=True)
class Figures:
    """How far a run is: `loss` in nats a token, of the last steps; `speed` in tokens a second; `left` in seconds."""

    done: int
    planned: int
    loss: float
    speed: float
    left: float
    held_out: Mapping[str, float]

    def text(self) -> str:
        """All of it on one line."""
        parts = [f"step {self.done} of {self.planned}", f"{self.speed:.0f} tokens/s", f"loss {self.loss:.3f}"]
        if self.held_out:
            parts.append(f"held-out loss {self.held_out['held_out_loss']:.3f}")
            parts.append(f"exact match {100 * self.held_out['held_out_outputs_right']:.1f} %")
        return ", ".join([*parts, f"{span(self.left)} left" if math.isfinite(self.left) else "time left not known yet"])


class LiveLine(AbstractContextManager["LiveLine"]):
    """Shows figures on a stream until it is closed."""

    def __init__(self, stream: TextIO):
        self.stream, self.drawn, self.shown = stream, -math.inf, None
        if stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self.shown = Live(console=Console(file=stream, highlight=False), auto_refresh=False, transient=True)
            self.shown.start()

    def update(self, figures: Figures) -> None:
        """Redraw the line on a terminal, at most once a second."""
        if self.shown is not None and now() - self.drawn >= SECOND:
            from rich.text import Text

            self.shown.update(Text(figures.text(), no_wrap=True, overflow="ellipsis"), refresh=True)
            self.drawn = now()

    def report(self, figures: Figures) -> None:
        """Print the line to stay."""
        if self.shown is not None:
            self.shown.console.print(figures.text(), markup=False)
        else:
            print(figures.text(), file=self.stream, flush=True)

    def __exit__(self, *_: object) -> None:
        if self.shown is not None:
            self.shown.stop()
