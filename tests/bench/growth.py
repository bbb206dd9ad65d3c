"""How cost grows: seconds against views, candidates and prompt tokens, as a chart; memory over many adapters."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from solver.clock import Deadline, now
from solver.data.views import apply
from solver.inference import threshold_search
from solver.tokens.grid import END, GRID, OUTPUT, encode
from solver.types import Adapter, Prompt, TrainJob
from tests.bench.setting import FAR, ROOM, Bench, fitting, views_of

SAID = 8  # tokens of a reply where the cost of the prompt is what counts
STEP = 50  # adapters between two looks at the memory


@dataclass(frozen=True)
class Growth:
    """Medians of `seconds` at `sizes` of something; `spread`: how far they lie from the line through them, of 1."""

    what: str
    sizes: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def line(self) -> tuple[float, float]:
        """(seconds a unit, seconds at none) of the straight line nearest to them."""
        slope, start = np.polyfit(self.sizes, self.seconds, 1)
        return float(slope), float(start)

    @property
    def fit(self) -> float:
        """Share of the variance the line explains, R²."""
        slope, start = self.line
        rest = np.array(self.seconds) - slope * np.array(self.sizes) - start
        return float(1 - rest.var() / max(1e-12, np.var(self.seconds)))

    def text(self) -> str:
        """For people."""
        slope, start = self.line
        points = ", ".join(f"{size:g}: {seconds:.2f}" for size, seconds in zip(self.sizes, self.seconds, strict=True))
        return f"{self.what}: {points} s; {slope:.5f} s each and {start:.2f} s in any case, R² {self.fit:.4f}"


def linearity(bench: Bench) -> list[Growth]:
    """Search against views, scoring against candidates, short replies against prompt tokens."""
    options = bench.options
    views = [n for n in (2, 4, 8, 12, 16) if n <= options.views]
    candidates = [n for n in (2, 4, 6, 8, 10) if n <= 2 * options.candidates]
    prompts = {n: bench.requests(options.tasks, n) for n in views}
    far = Deadline.after(FAR)
    seconds = [
        timed(bench, lambda n=n: threshold_search.search(prompts[n], bench.sampler, far, 0.09, GRID)) for n in views
    ]
    made = [Growth("views a task, search at 0.09", tuple(views), tuple(seconds))]
    readings = {n: read(bench, n) for n in candidates}
    seconds = [timed(bench, lambda n=n: bench.sampler.score(readings[n], far)) for n in candidates]
    made.append(Growth("candidates a task, scoring", tuple(candidates), tuple(seconds)))
    short = sorted(bench.requests(options.tasks, 4), key=lambda r: len(r[0].tokens))
    sizes, seconds = [], []
    for count in range(4, len(short) + 1, 4):
        few = [(replace(prompt, max_reply=SAID), adapter) for prompt, adapter in short[:count]]
        sizes.append(sum(len(prompt.tokens) for prompt, _ in few))
        seconds.append(timed(bench, lambda few=few: bench.sampler.sample(few, far)))
    return [*made, Growth(f"prompt tokens in all, {SAID} tokens said", tuple(sizes), tuple(seconds))]


def timed(bench: Bench, work: Callable[[], Any]) -> float:
    """Median seconds of it, each time with an empty prefix cache; a first time, which warms up, does not count."""
    found = []
    for _ in range(bench.options.pairs + 1):
        bench.sampler.llm.reset_prefix_cache()
        started = now()
        work()
        found.append(now() - started)
    return statistics.median(found[1:])


def read(bench: Bench, count: int) -> list[Any]:
    """Readings of so many candidates under each scoring view of each task."""
    made = []
    for task in bench.tasks[: bench.options.tasks]:
        grids = [((task.demonstrations[0].output + number) % 10).astype("uint8") for number in range(count)]
        for prompt in views_of(task, bench.options.scoring_views):
            for grid in grids:
                shown = encode(apply(prompt.view, grid), OUTPUT).tolist()
                made.append((prompt.tokens, (*shown, END), bench.adapters[task.id]))
    return made


def chart(growths: Sequence[Growth], path: Path) -> None:
    """The points and their lines side by side, as SVG or PNG by the path's ending."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(growths), figsize=(4 * len(growths), 3), layout="constrained", squeeze=False)
    for axis, growth in zip(axes[0], growths, strict=True):
        slope, start = growth.line
        ends = np.array([0, max(growth.sizes)])
        axis.plot(ends, slope * ends + start, color="0.7")
        axis.plot(growth.sizes, growth.seconds, "o", color="C0")
        axis.set(xlabel=growth.what, ylabel="seconds", ylim=(0, None), title=f"R² {growth.fit:.4f}")
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else {})
    pyplot.close(figure)


def memory(bench: Bench, say: Callable[[str], None] = print) -> list[tuple[int, float]]:
    """(adapters so far, MiB resident): for each an adapter is trained for a step, two views sampled, all forgotten.

    Each is of another task as far as the split has so many whose prompts fit.
    """
    bench.trainer.recipe = replace(bench.recipe, steps=1, tokens=512)
    found, own = [], fitting(bench.options.split, ROOM - SAID)[: bench.options.memory]
    say(f"{len(own)} tasks of {bench.options.split}")
    for number in range(1, bench.options.memory + 1):
        task = own[number % len(own)]
        made = bench.trainer.train(TrainJob(f"memory-{number}", bench.examples(task)[:2], number), Deadline.after(FAR))
        assert made.adapter is not None
        bench.sampler.sample(asked(views_of(task, 2), made.adapter), Deadline.after(FAR))
        bench.sampler.forget([made.adapter])
        shutil.rmtree(made.adapter.path, ignore_errors=True)
        if number % STEP == 0:
            found.append((number, resident()))
            say(f"{number} adapters: {found[-1][1]:.0f} MiB resident")
    return found


def asked(prompts: Sequence[Prompt], adapter: Adapter) -> list[tuple[Prompt, Adapter | None]]:
    """Requests for short replies."""
    return [(replace(prompt, max_reply=SAID), adapter) for prompt in prompts]


def resident() -> float:
    """MiB of this process's memory that is in use (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
