"""Where pretraining pairs come from, and the pool made of them: generators, ARC's own tasks, users' files.

Sources: RE-ARC's generators (Hodel, arXiv 2404.07353; through reasoning-gym) and ARC-AGI-1 training; ARC-GEN's
generators (Moffitt, arXiv 2511.00162) and ARC-AGI-2 training; JSON files of tasks; compositions of primitives. Laws:
no pair, and no grid of 16 cells and more, that stands in an evaluation task up to the square's symmetries and a
renaming of colours is in a pool to train on, nor a pair of a held-out task; the same (seed, sources, count) gives the
same pool.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from solver.data.json_files import read_json
from solver.data.tasks import Fault, load_challenges, parse_grid
from solver.pretrain import compose, split
from solver.pretrain.arc_gen import ArcGen, open_arc_gen
from solver.pretrain.content import Index
from solver.pretrain.data import COMPOSED, Pool, sound
from solver.runtime.tables import Section
from solver.types import BadInput, Pair, Task, seed_for

TRIES = 20  # draws a generator gets for one pair before the pair is given up
ARC1, ARC2, USER = "arc1", "arc2", "tasks"  # sources of tasks, beside `COMPOSED`
ARC_GEN = "ARC-GEN"


@dataclass(frozen=True)
class Request:
    """What a pool is to be made of.

    `pairs`: at most so many from each generator. `arc_gen`: a checkout of ARC-GEN, or a file of its pairs. `tasks`:
    files of tasks. `composed`: composed tasks.
    """

    pairs: int
    seed: int = 0
    arc_gen: Path | None = None
    tasks: tuple[Path, ...] = ()
    composed: int = 0


@dataclass(frozen=True, eq=False)
class Offer:
    """A task's pairs before they are tested: `generated` and ARC's `own`, under the names that the table has for them.

    `source`: of the task. `whole`: all of its pairs are left out if one is.
    """

    task_id: str
    source: str
    generated: tuple[str, Sequence[Pair]]
    own: tuple[str, Sequence[Pair]]
    whole: bool = False


@dataclass
class Row:
    """Of one source: tasks and pairs that came in, pairs that the split test left out, generators cut off."""

    tasks: int = 0
    pairs: int = 0
    left_out: int = 0
    cut_off: int = 0


@dataclass(frozen=True)
class Report:
    """How much of each source is in a pool."""

    rows: dict[str, Row] = field(default_factory=dict)

    def row(self, name: str) -> Row:
        """The row of a source, made where there is none."""
        return self.rows.setdefault(name, Row())

    def section(self) -> Section:
        """The table for people."""
        rows = [(name, *map(str, (r.tasks, r.pairs, r.left_out, r.cut_off))) for name, r in self.rows.items()]
        total = [sum(getattr(r, name) for r in self.rows.values()) for name in ("pairs", "left_out", "cut_off")]
        columns = ("source", "tasks", "pairs", "left out by the split test", "generators cut off")
        return Section("The pool", columns, (*rows, ("all", "", *map(str, total))))


def re_arc_pairs(task_id: str, count: int, seed: int) -> Iterator[Pair]:
    """`count` generated pairs of a training task, at difficulties spread over RE-ARC's whole range."""
    from reasoning_gym.arc.rearc_utils import generators

    generate = getattr(generators, f"generate_{task_id}")
    rng = Random(seed_for(seed, task_id, "re-arc"))
    drawn = 0
    for _ in range(count * TRIES):
        if drawn == count:
            return
        raw = generate(rng, 0.0, rng.uniform(0.02, 1.0))
        pair = Pair(np.array(raw["input"], dtype=np.uint8), np.array(raw["output"], dtype=np.uint8))
        if sound(pair.input) and sound(pair.output):
            drawn += 1
            yield pair


def collect(ids: Sequence[str], count: int, seed: int) -> Pool:
    """Pairs of ARC-AGI-1 training tasks to measure by, not to train on: `count` RE-ARC pairs and the tasks' own.

    Of evaluation tasks' content whole pairs alone are left out: some held-out tasks share a grid with one.
    """
    index = Index.of([], whole_only=split.evaluation_pairs())
    return tested(arc1_offers(ids, count, seed), index, Report())


def training_pool(
    request: Request, tell: Callable[[str], None] = lambda _: None, executor: Executor | None = None
) -> tuple[Pool, Report]:
    """The pool to train on, and how much of it is from where. `tell` hears what is being done; `executor` draws pairs.

    Raises `BadInput`: a file or a checkout that is none, or a task that is in two of the sources.
    """
    parts, index = split.arc1_split(), training_index()
    report = Report()
    own = list(user_offers(request.tasks, report))  # read first: what is wrong is said before all the generating
    arc_gen = open_arc_gen(request.arc_gen) if request.arc_gen else None
    later = split.arc2_split().clean
    _check_distinct([*parts.train, *later, *(offer.task_id for offer in own), *composed_ids(request.composed)])
    tell(f"drawing {request.pairs} pairs from each of {len(parts.train)} RE-ARC generators")
    pools = [tested(arc1_offers(parts.train, request.pairs, request.seed, executor), index, report)]
    tell(f"reading {len(later)} tasks of ARC-AGI-2 training" + (f" and {request.arc_gen}" if arc_gen else ""))
    pools.append(tested(arc2_offers(later, arc_gen, request, report), index, report))
    pools.append(tested(own, index, report))
    known = joined(pools)
    if not request.composed:
        return known, report
    tell(f"composing {request.composed} tasks")
    return joined([known, tested(composed_offers(known, request), index, report)]), report


def training_index() -> Index:
    """What no pair to train on may hold: content of evaluation tasks, and whole pairs of held-out ones."""
    return Index.of(split.evaluation_pairs(), whole_only=chain.from_iterable(held_out_pairs().values()))


def held_out_pairs() -> dict[str, list[Pair]]:
    """ARC's own pairs of each held-out task, by its id."""
    training = split.raw(split.ARC1)["train"]
    return {task_id: split.own_pairs(training[task_id]) for task_id in split.arc1_split().held_out}


def user_pool(path: Path) -> Pool:
    """A pool of users' tasks alone. Raises `BadInput` for a malformed task, or where none is left to train on."""
    report = Report()
    pool = tested(user_offers([path], report), training_index(), report)
    if not pool.ids:
        raise BadInput(
            f"{path} holds no task to train on; expected some that are neither held out nor of an evaluation set"
        )
    return pool


def refuse_held_out(pool: Pool, name: str, ids_alone: bool = False) -> None:
    """Raises `BadInput` where a held-out task or, unless `ids_alone`, a whole pair of one is in a pool to train on.

    `name`: of the pool's file.
    """
    held_out = held_out_pairs()
    index = Index.of([], whole_only=() if ids_alone else chain.from_iterable(held_out.values()))
    for task_id, pairs in zip(pool.ids, pool.pairs, strict=True):
        if task_id in held_out or index.holds(pairs).any():
            raise BadInput(
                f"{name} holds the held-out task {task_id}, or a pair of one in it; expected none, as the loss is "
                "measured on them; leave it out"
            )


def tested(offers: Iterable[Offer], index: Index, report: Report) -> Pool:
    """The offered tasks, with those of their pairs that the index does not hold; a task without any is left out.

    Of a whole offer (a user's task) either no pair is held, or none is taken.
    """
    ids, pairs, originals, sources = list[str](), list[tuple[Pair, ...]](), list[int](), list[str]()
    for offer in offers:
        clean = []
        for name, offered in (offer.generated, offer.own):
            held = index.holds(offered)
            if offer.whole and held.any():
                held[:] = True
            kept = [pair for pair, bad in zip(offered, held, strict=True) if not bad]
            if offered:
                row = report.row(name)
                row.tasks += bool(kept)
                row.pairs += len(kept)
                row.left_out += int(held.sum())
            clean.append(kept)
        if any(clean):
            ids.append(offer.task_id)
            pairs.append((*clean[0], *clean[1]))
            originals.append(len(clean[1]))
            sources.append(offer.source)
    return Pool(tuple(ids), tuple(pairs), tuple(originals), tuple(sources))


def joined(pools: Sequence[Pool]) -> Pool:
    """Pools without a task in common as one, in order."""
    return Pool(
        tuple(chain.from_iterable(pool.ids for pool in pools)),
        tuple(chain.from_iterable(pool.pairs for pool in pools)),
        tuple(chain.from_iterable(pool.originals for pool in pools)),
        tuple(chain.from_iterable(pool.sources for pool in pools)),
    )


def _check_distinct(ids: Iterable[str]) -> None:
    """Raises `BadInput` where a task is in two sources."""
    twice = [task_id for task_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise BadInput(f"task id {twice[0]!r} comes from two sources; expected each once; rename it or leave one out")


def drawn(task_id: str, count: int, seed: int) -> list[Pair]:
    """`re_arc_pairs`, all of them."""
    return list(re_arc_pairs(task_id, count, seed))


def arc1_offers(ids: Sequence[str], count: int, seed: int, pool: Executor | None = None) -> Iterator[Offer]:
    """ARC-AGI-1 training tasks: `count` RE-ARC pairs and their own. `pool`: draws them, in place of this process."""
    training = split.raw(split.ARC1)["train"]
    run: Callable[..., Iterator[list[Pair]]] = pool.map if pool else map
    for task_id, generated in zip(ids, run(drawn, ids, repeat(count), repeat(seed)), strict=True):
        own = split.own_pairs(training[task_id])
        yield Offer(task_id, ARC1, ("RE-ARC", generated), ("ARC-AGI-1 training", own))


def arc2_offers(ids: Sequence[str], arc_gen: ArcGen | None, request: Request, report: Report) -> Iterator[Offer]:
    """ARC-AGI-2 training tasks: their ARC-GEN pairs, where there are any, and their own."""
    training = split.raw(split.ARC2)["train"]
    if arc_gen:
        report.row(ARC_GEN).left_out += arc_gen.foreign_pairs(ids)
    for task_id in ids:
        generated, cut_off = arc_gen.pairs(task_id, request.pairs, request.seed) if arc_gen else ([], False)
        if cut_off:
            report.row(ARC_GEN).cut_off += 1
        yield Offer(task_id, ARC2, (ARC_GEN, generated), ("ARC-AGI-2 training", split.own_pairs(training[task_id])))


def user_offers(paths: Sequence[Path], report: Report) -> Iterator[Offer]:
    """The tasks of challenges files, or folders of task files, with the test pairs whose outputs stand there.

    Tasks with the id of an evaluation task are left out. Raises `BadInput` at the first task that is malformed.
    """
    for path in paths:
        tasks = load_challenges(path)
        if tasks.problems:
            raise BadInput(f"{path}: {tasks.problems[0]}; expected sound tasks alone; mend it or leave it out")
        contents = {f.stem: read_json(f) for f in path.glob("*.json")} if path.is_dir() else read_json(path)
        row = f"tasks of {path.name}"
        for task in tasks.tasks:
            pairs = [*task.demonstrations, *_test_pairs(contents, task, path)]
            if task.id in split.evaluation_ids():
                report.row(row).left_out += len(pairs)
                continue
            yield Offer(task.id, USER, (row, pairs), (row, []), whole=True)


def _test_pairs(contents: Any, task: Task, path: Path) -> list[Pair]:
    """The task's test pairs that have an output. Raises `BadInput` where it is no grid."""
    pairs = []
    for number, (test, shown) in enumerate(zip(contents[task.id]["test"], task.tests, strict=True)):
        if "output" in test:
            try:
                pairs.append(Pair(shown, parse_grid(test["output"], f"test[{number}].output")))
            except Fault as fault:
                raise BadInput(f"{path}: task {task.id}: {fault}; expected a grid; mend it or leave it out") from None
    return pairs


def composed_ids(count: int) -> list[str]:
    """What composed tasks are called."""
    return [f"{COMPOSED}-{number:05}" for number in range(count)]


def composed_offers(known: Pool, request: Request) -> Iterator[Offer]:
    """Tasks whose rules are compositions of primitives, on grids of the known tasks."""
    for task_id in composed_ids(request.composed):
        rng = np.random.default_rng(seed_for(request.seed, task_id, "compose"))
        pairs = compose.compose(known, rng)
        yield Offer(task_id, COMPOSED, (COMPOSED, pairs), (COMPOSED, []))
