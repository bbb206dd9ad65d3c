"""The stages of a run as its settings have them: what each costs, and when it makes no sense."""

import math
from dataclasses import dataclass, replace

from solver.config.settings import Config, Cost
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS, SHARED


@dataclass(frozen=True)
class Stage:
    """A stage. Stages of one `prior` share their measurements."""

    number: int
    prior: Cost  # predicted before anything was measured
    train_share: float  # of a batch's seconds, 0 to 1, for training
    minimum: float  # seconds below which a batch makes no sense
    refinement: bool = False  # only for tasks that need it
    by_need: bool = False  # begins when earlier batches are back; not for settled tasks, last for those in little need
    whole: bool = False  # a batch a device, each with its part of all tasks; all end before the next stage begins
    weight: float = 1.0  # of its batches where seconds are shared
    enough: float = 0.0  # of what a batch is predicted to cost: it is not begun with less
    most: float = math.inf  # seconds that a batch can use for each of its tasks


QUICK = 2.0  # seconds below which a batch of quick answers makes no sense
QUICK_WEIGHT = 100.0  # of quick answers where seconds are short: they are few, and every task is to have one
ENOUGH = 0.6  # of what a task's adapter and views are expected to cost: with less it has no time to answer
PROGRAMS_SHARE = 0.4  # of the usable seconds, at most, for programs where they and the model take turns on the cores
LEAST_SEARCH = 0.1  # seconds below which a search for programs makes no sense


def programs_stage(config: Config) -> Stage:
    """The stage of programs, which has a schedule of its own: it competes with no stage of the model's."""
    seconds = config.programs.seconds
    return Stage(PROGRAMS, Cost(seconds, 0.0), 0.0, min(LEAST_SEARCH, seconds), most=seconds)


WRITTEN_COST = Cost(20.0, 0.01)  # of a task's programs, before any was timed: a guess, of which only the shape matters
LEAST_WRITING = 10.0  # seconds below which hardly a reply would end
REPORTING = 2.0  # seconds before its share ends at which the last batch of the code model ends, and is reported


def induction_stage() -> Stage:
    """The stage of the code model, which has a schedule of its own, too: the model of grids waits for it."""
    return Stage(INDUCTION, WRITTEN_COST, 0.0, LEAST_WRITING)


def stages(config: Config, tasks: int = 1, devices: int = 1) -> tuple[Stage, ...]:
    """The stages of a run over so many tasks. Without training the base model's views are sampled in its place."""
    adapter = Stage(ADAPTER, config.cost, config.train_share, config.minimum, by_need=True, enough=ENOUGH)
    if config.train.scope == "shared":  # sampled as the base model is, only under more views
        scale = config.views / max(1, config.quick_views)
        cost = Cost(scale * config.quick_cost.fixed, scale * config.quick_cost.per_token)
        adapter = replace(adapter, prior=cost, train_share=0.0)
    base = Stage(BASE, config.quick_cost, 0.0, min(QUICK, config.minimum), weight=QUICK_WEIGHT)
    # a device with the most tasks has the share of the limit for its shared adapter, none has more
    each = config.shared_share * config.time_limit / max(1, math.ceil(tasks / devices))
    least = min(config.minimum, each * max(1, tasks // devices))
    shared = Stage(SHARED, Cost(each, 0.0), 1.0, least, whole=True, most=each)
    further = replace(adapter, refinement=True, by_need=False)
    more = tuple(replace(further, number=ADAPTER + n) for n in range(1, config.refinement_stages + 1))
    first = (base,) if config.quick_views and config.train.steps else ()
    return (*first, *((shared,) if config.train.scope != "task" and config.train.steps else ()), adapter, *more)
