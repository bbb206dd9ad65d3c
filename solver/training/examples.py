"""Training data for a task from its own demonstrations (arXiv 2411.07279, section 3), and the training on it.

Laws: the examples are a function of (task, recipe, seed, room) alone, and of the tasks it learns from, if any; no
example is longer than the room, no grid larger than 30 × 30; nothing of the test inputs and outputs is in reach.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from solver.batch import Models, TaskState
from solver.config.settings import Config, DataRecipe, TrainRecipe
from solver.data import transforms, views
from solver.data.views import DIHEDRALS, IDENTITY
from solver.interfaces import GroupTrainer, Stop
from solver.tokens.grid import Format, pair_length
from solver.types import ADAPTER, Example, Pair, Task, TrainJob, TrainReport, View, seed_for

NONE_FIT = "no example of the nearest tasks fits the context: trained on its own"
KEEP_BLACK = 0.7  # share of the colour permutations that leave colour 0, the usual background, as it is
LEAVE_TWO_OUT = "leave-two-out"  # what fills up leave-one-out; not a form of its own


def train(states: Sequence[TaskState], stage: int, models: Models, stop: Stop) -> list[TrainReport]:
    """Have the trainer make an adapter for each task from examples of it; they share the seconds until `stop`.

    Raises what the trainer raises.
    """
    jobs = [train_job(state, stage, models.config) for state in states]
    if len(jobs) > 1 and isinstance(models.trainer, GroupTrainer):
        return models.trainer.train_together(jobs, stop)
    return [models.trainer.train(job, stop) for job in jobs]


def train_job(state: TaskState, stage: int, config: Config) -> TrainJob:
    """What the task's adapter is trained on; the notes say where that is something else than the recipe's.

    Building it takes less than a hundredth of what training on it does.
    """
    context = config.engine.context
    why = fallback(state.task, config.train, context, state.format)
    if why and why not in state.notes:
        state.notes.append(why)
    own = build(state.task, config.train, state.seed, context, state.format)
    examples = with_neighbours(state, own, config)
    return TrainJob(adapter_name(state.task, stage), examples, state.seed, state.start)


def adapter_name(task: Task, stage: int) -> str:
    """Under which name a task's adapter of a stage is served: no other adapter of the run has it."""
    return task.id if stage == ADAPTER else f"{task.id}-{stage}"


def build(
    task: Task, recipe: TrainRecipe, seed: int, room: int, format: Format, left_out: int | None = None
) -> list[Example]:
    """At most `recipe.examples` examples, each of at most `room` tokens, in the order they should be trained on.

    `left_out`: the one demonstration that is asked for last, counted from 0; None: each in turn. A form that leaves
    none out is then leave-one-out.
    """
    data, cap = recipe.data, recipe.examples
    form = "leave-one-out" if left_out is not None and data.form == "shuffled" else data.form
    examples = _drawn(task, data, Draws(form, cap, left_out), seed, room, format)
    if not data.leave_two_out:
        return list(examples)
    distinct = {e.tokens.tobytes(): e for e in examples}
    for example in _drawn(task, data, Draws(LEAVE_TWO_OUT, cap, left_out), seed, room, format):
        if len(distinct) == cap:
            break
        distinct.setdefault(example.tokens.tobytes(), example)
    return list(distinct.values())


def in_turns(several: Iterable[Sequence[Example]]) -> list[Example]:
    """A first example of each, then a second one, and so on."""
    return [example for one_each in zip_longest(*several) for example in one_each if example is not None]


def with_neighbours(state: TaskState, own: Sequence[Example], config: Config) -> Sequence[Example]:
    """A task's own examples mixed with those of its nearest, each of which has an equal part in as many as the recipe.

    The own ones alone where no other task is learnt from.
    """
    if not state.near or not config.near.count:
        return own
    some = replace(config.train, examples=math.ceil(config.train.examples / len(state.near)))
    context = config.engine.context
    others = in_turns(build(n.task, some, state.seed, context, state.format, n.left_out) for n in state.near)
    if not others and NONE_FIT not in state.notes:
        state.notes.append(NONE_FIT)
    return mixed(own, others, config.near.share, config.train.examples)


def mixed(own: Sequence[Example], others: Sequence[Example], share: float, cap: int) -> list[Example]:
    """At most `cap` examples in turns, `share` of them the others', until the task's own have run out.

    Where the others' run out first, or there are none, its own go on, but not if it was to learn from others alone.
    """
    if not own or not others:
        return list(own or others)[:cap]
    taken: list[Example] = []
    first, second = iter(own), iter(others)
    for at in range(cap):
        theirs = int((at + 1) * share) > int(at * share)
        example = next(second, None) if theirs else None
        example = next(first, None) if example is None and share < 1 else example
        if example is None:
            break
        taken.append(example)
    return taken


def plain(task: Task, room: int, format: Format) -> dict[int, Example]:
    """Each demonstration asked for last after the others, once, as they are: what tasks are compared by.

    By the demonstration's number; those that don't fit `room` tokens have none.
    """
    data = DataRecipe(leave_two_out=False, transformations=())
    every = range(len(task.demonstrations))
    return {n: example for n in every for example in _drawn(task, data, Draws(data.form, 1, n), 0, room, format)}


def fallback(task: Task, recipe: TrainRecipe, room: int, format: Format) -> str | None:
    """What this task's examples are made of instead of what the recipe says, and why; None where nothing differs."""
    count, form = len(task.demonstrations), recipe.data.form
    if count == 1 and form != "end-to-end":
        return f"one demonstration leaves no context for {form}: trained end to end on that pair"
    why = []
    if count == 2 and recipe.data.leave_two_out:
        why.append("two demonstrations leave no context for leave-two-out: trained on leave-one-out alone")
    alone = 0  # demonstrations that fit, but with no other before them; as they are, which turning changes a little
    for asked in task.demonstrations if form != "end-to-end" else ():
        shortest = min((p for p in task.demonstrations if p is not asked), key=pair_length)
        alone += format.pairs_length([asked]) <= room < format.pairs_length([shortest, asked])
    if alone:
        why.append(f"{alone} of {count} demonstrations leave no room for another before them: trained on alone")
    return "; ".join(why) or None


@dataclass(frozen=True)
class Draws:
    """`cap` examples of a form; `only`: the demonstration left out in all, counted from 0; None: each in turn."""

    form: str
    cap: int
    only: int | None = None


def _drawn(task: Task, data: DataRecipe, draws: Draws, seed: int, room: int, format: Format) -> Iterator[Example]:
    """The examples of the draws, in order; one whose last pair does not fit the room gives none."""
    form, only, count = draws.form, draws.only, len(task.demonstrations)
    rng = np.random.default_rng(seed_for(seed, task.id, form.replace("-", " ")))
    for index in range(draws.cap if form != LEAVE_TWO_OUT or count > 2 else 0):
        each, place = divmod(index, count if only is None else 1)
        left_out, turn = place if only is None else only, each % DIHEDRALS
        if place == 0 and turn == 0:
            turns = rng.permutation(DIHEDRALS)
        view = _view(data, int(turns[turn]), rng)
        shown = [task.demonstrations[i] for i in _order(form, data, count, left_out, rng)]
        if pairs := _fitting(_seen(shown, view, data, rng), room, format):
            yield to_example(pairs, format, data.loss)


def _view(data: DataRecipe, dihedral: int, rng: np.random.Generator) -> View:
    """This dihedral under random colours, as far as the recipe has them."""
    colours = IDENTITY.colours
    if "colours" in data.transformations:
        colours = views.draw_colours(rng, bool(rng.random() < KEEP_BLACK))
    return View(dihedral if "dihedral" in data.transformations else IDENTITY.dihedral, colours)


def _order(form: str, data: DataRecipe, count: int, left_out: int, rng: np.random.Generator) -> list[int]:
    """Which demonstrations an example shows, in order; the last is the one asked for."""
    order = [int(i) for i in (rng.permutation(count) if "order" in data.transformations else range(count))]
    if form == "shuffled":
        return order
    if form == "end-to-end":
        return [left_out]
    others = [i for i in order if i != left_out]
    if form == LEAVE_TWO_OUT:
        others.pop(int(rng.integers(len(others))))
    return [*others, left_out]


def _seen(pairs: Sequence[Pair], view: View, data: DataRecipe, rng: np.random.Generator) -> list[Pair]:
    """The pairs in the view's colours and, on the recipe's sides, moved by its dihedral and by steps drawn for all."""
    moved = {"both": ("input", "output"), "input": ("input",), "output": ("output",)}[data.sides]
    still = View(colours=view.colours)
    sides = {
        side: [views.apply(view if side in moved else still, getattr(pair, side)) for pair in pairs]
        for side in ("input", "output")
    }
    if kinds := [kind for kind in transforms.VARIANTS if kind in data.transformations]:
        rows, columns = (max(grid.shape[axis] for side in moved for grid in sides[side]) for axis in (0, 1))
        steps = transforms.draw(rng, kinds, "chains" in data.transformations, rows, columns)
        sides |= {side: [transforms.apply(steps, grid) for grid in sides[side]] for side in moved}
    return [Pair(shown, reply) for shown, reply in zip(sides["input"], sides["output"], strict=True)]


def _fitting(pairs: Sequence[Pair], room: int, format: Format) -> list[Pair]:
    """The pairs without the longest of those before the last, until all fit; [] where the last alone does not."""
    *context, asked = pairs
    while format.pairs_length([*context, asked]) > room:
        if not context:
            return []
        context.remove(max(context, key=pair_length))
    return [*context, asked]


def to_example(pairs: Sequence[Pair], format: Format, loss: str = "after-first") -> Example:
    """Pairs in one sequence; the loss is on the outputs `config.LOSSES` names, and always on an only one."""
    tokens, owner = format.encode_pairs(pairs)
    last = len(pairs) - 1
    return Example(tokens, owner >= {"all": 0, "after-first": min(1, last), "test": last}[loss])
