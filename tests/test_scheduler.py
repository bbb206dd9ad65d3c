"""The scheduler: its laws over simulated runs (no clock, no model), and its choices one by one."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from solver.scheduler import Cost, Grant, Job, Scheduler, fit

SIMULATIONS = 1500
ROUNDING = 1e-6  # seconds


def jobs_of(*tokens: int) -> list[Job]:
    return [Job(f"task{at}", size) for at, size in enumerate(tokens)]


def plan(
    jobs: list[Job], group: int = 1, train_share: float = 0.5, minimum: float = 1.0, prior: Cost | None = None
) -> Scheduler:
    return Scheduler(jobs, group, train_share, reserve=10.0, minimum=minimum, prior=prior or Cost(0.0, 1.0))


@dataclass
class World:
    """A machine with costs of its own, noise and faults; `overrun` is the worst a turn exceeds its seconds by."""

    draw: random.Random
    jobs: list[Job]
    group: int
    overrun: float = 0.0
    turns: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.truth = Cost(self.draw.uniform(0, 20), self.draw.choice([0.0, 0.001, 0.01, 0.1]))
        self.noise, self.faults = self.draw.choice([0.0, 0.3, 1.5]), self.draw.choice([0.0, 0.05, 0.5, 1.0])
        self.tokens = {job.task_id: job.tokens for job in self.jobs}

    def run(self, grant: Grant) -> tuple[dict[str, float], bool, float]:
        """Seconds by task, whether it went well, and seconds in all."""
        costs = {
            i: self.truth.seconds(self.tokens[i]) * self.draw.lognormvariate(0, self.noise) for i in grant.task_ids
        }
        ok = self.draw.random() >= self.faults
        total = sum(costs.values()) if ok else grant.seconds * self.draw.choice([0.0, 0.3, 1.0])
        used = min(total, grant.seconds * (1 + self.draw.uniform(0, self.overrun)))
        scale = used / max(sum(costs.values()), 1e-9)
        return {i: cost * scale for i, cost in costs.items()}, ok, used


def simulate(seed: int, overrun: float = 0.0) -> None:
    """Run one random world to its end and check every law on the way."""
    draw = random.Random(seed)
    jobs = [Job(f"{at:08x}", draw.randint(1, draw.choice([300, 3000, 9000]))) for at in range(draw.randint(1, 40))]
    world = World(draw, jobs, draw.randint(1, 8), overrun)
    reserve, minimum = draw.choice([0.0, 5.0, 60.0]), draw.choice([0.5, 5.0, 30.0])
    budget = remaining = reserve + draw.choice([1.0, 30.0, 300.0, 3000.0, 40000.0]) * draw.random()
    prior = Cost(draw.uniform(0.1, 20), draw.uniform(0, 0.1))
    scheduler = Scheduler(jobs, world.group, draw.random(), reserve, minimum, prior)
    while (grant := scheduler.next(remaining)) is not None:
        assert minimum - ROUNDING <= grant.seconds <= remaining - reserve
        assert sum(grant.train_seconds.values()) <= grant.seconds + ROUNDING
        assert set(grant.train_seconds) == set(grant.task_ids)
        assert grant.task_ids, "a turn for nobody: the run would never end"
        assert len(grant.task_ids) <= (1 if world.turns.keys() & set(grant.task_ids) else world.group)
        assert not (world.turns.keys() & set(grant.task_ids) and scheduler.unserved), "a retry before a first turn"
        world.turns.update(grant.task_ids)
        assert max(world.turns.values()) <= 2
        measured, ok, used = world.run(grant)
        remaining = max(0.0, remaining - used)
        scheduler.returned(grant, measured, ok)
    if not overrun and budget - reserve >= minimum * math.ceil(len(jobs) / world.group):
        assert set(world.turns) == {job.task_id for job in jobs}, "a task was starved"
    assert not scheduler.pending or remaining - reserve < minimum, "stopped with time and work left"


def test_laws_hold_in_every_simulated_run() -> None:
    for seed in range(SIMULATIONS):
        try:
            simulate(seed)
        except AssertionError as error:
            raise AssertionError(f"simulate({seed}): {error}") from error


def test_runs_end_and_grants_stay_inside_the_budget_when_turns_take_longer_than_granted() -> None:
    for seed in range(300):
        simulate(seed, overrun=0.5)


def test_seconds_are_shared_by_predicted_cost() -> None:
    scheduler = plan(jobs_of(100, 300))
    first = scheduler.next(210.0)  # 200 usable, 400 predicted: tight, so the small one is first
    assert first == Grant(("task0",), 50.0, {"task0": 25.0})
    scheduler.returned(first, {"task0": 50.0}, ok=True)
    second = scheduler.next(160.0)
    assert second is not None
    assert (second.task_ids, second.seconds) == (("task1",), 150.0)


def test_time_left_over_flows_to_later_tasks() -> None:
    scheduler = plan(jobs_of(100, 300))
    first = scheduler.next(210.0)
    assert first is not None
    scheduler.returned(first, {}, ok=True)  # it took no time at all
    second = scheduler.next(210.0)
    assert second is not None
    assert second.seconds == 200.0


def test_tight_budget_takes_small_tasks_first_and_an_ample_one_large_tasks() -> None:
    sizes = jobs_of(300, 100, 200)
    tight, ample = plan(sizes).next(100.0), plan(sizes).next(10_000.0)
    assert tight is not None
    assert ample is not None
    assert tight.task_ids == ("task1",)
    assert ample.task_ids == ("task0",)


def test_tasks_of_similar_size_share_a_turn_and_its_seconds() -> None:
    grant = plan(jobs_of(400, 10, 390, 11), group=2, train_share=0.6).next(10 + 8110.0)
    assert grant is not None
    assert grant.task_ids == ("task2", "task0")
    assert grant.seconds == pytest.approx(7900)
    assert grant.train_seconds == pytest.approx({"task2": 0.6 * 3900, "task0": 0.6 * 4000})


def test_no_training_share_means_no_training_seconds_even_without_a_limit() -> None:
    grant = plan(jobs_of(5, 6), group=2, train_share=0.0).next(math.inf)
    assert grant == Grant(("task0", "task1"), math.inf, {"task0": 0.0, "task1": 0.0})


def test_a_turn_is_never_shorter_than_the_minimum_while_time_allows() -> None:
    scheduler = plan(jobs_of(1, 1000), minimum=20.0)
    seconds: list[float] = []
    while (grant := scheduler.next(50.0 - sum(seconds))) is not None:
        seconds.append(grant.seconds)
        scheduler.returned(grant, dict.fromkeys(grant.task_ids, grant.seconds), ok=True)
    assert seconds == [20.0, 20.0]


def test_too_little_time_for_a_turn_ends_the_run_and_names_who_waits() -> None:
    scheduler = plan(jobs_of(200, 100), minimum=5.0)
    assert scheduler.next(14.9) is None
    assert scheduler.unserved == scheduler.pending == ("task1", "task0")


def test_failed_turn_is_tried_once_more_with_its_tasks_alone_after_all_others() -> None:
    scheduler = plan(jobs_of(10, 20, 30, 40), group=2)
    served = []
    while (grant := scheduler.next(10_000.0)) is not None:
        served.append(grant.task_ids)
        scheduler.returned(grant, {}, ok="task3" not in grant.task_ids)
    assert served == [("task2", "task3"), ("task0", "task1"), ("task3",), ("task2",)]
    assert scheduler.retired == ("task3",)
    assert scheduler.pending == ()


def test_measurements_correct_the_prediction() -> None:
    """A prior that is five times too low, noise of 20 %: after 20 tasks the rest is predicted within 20 %."""
    draw, truth = random.Random(1), Cost(10.0, 0.05)
    jobs = jobs_of(*(draw.randint(200, 8000) for _ in range(60)))
    tokens = {job.task_id: job.tokens for job in jobs}
    scheduler = plan(jobs, prior=Cost(2.0, 0.01))
    for _ in range(20):
        grant = scheduler.next(1e6)
        assert grant is not None
        (task_id,) = grant.task_ids
        scheduler.returned(grant, {task_id: truth.seconds(tokens[task_id]) * draw.lognormvariate(0, 0.2)}, ok=True)
    expected = sum(truth.seconds(tokens[task_id]) for task_id in scheduler.pending)
    assert scheduler.predicted() == pytest.approx(expected, rel=0.2)


def test_a_turn_cut_short_never_lowers_the_prediction() -> None:
    scheduler = plan(jobs_of(100, 100, 100))
    grant = scheduler.next(40.0)  # 30 usable for 300 predicted
    assert grant is not None
    scheduler.returned(grant, dict.fromkeys(grant.task_ids, grant.seconds), ok=True)
    assert scheduler.predicted(["task1"]) == pytest.approx(100.0)


def test_failed_turns_teach_nothing_about_costs() -> None:
    scheduler = plan(jobs_of(100, 100))
    grant = scheduler.next(1000.0)
    assert grant is not None
    scheduler.returned(grant, dict.fromkeys(grant.task_ids, 0.001), ok=False)
    assert scheduler.predicted(["task1"]) == 100.0


def test_fit_finds_the_line_and_forgives_an_outlier() -> None:
    sizes = range(100, 2100, 100)
    line = [(size, 3 + 0.02 * size) for size in sizes]
    found = fit([*line, (500, 5000.0), (600, 0.0)], Cost(1.0, 0.01), sizes)
    assert found.per_token == pytest.approx(0.02, rel=0.05)
    assert found.seconds(1000) == pytest.approx(23.0, rel=0.05)


def test_fit_without_measurements_is_the_prior_and_with_one_scales_it() -> None:
    assert fit([], Cost(1.0, 0.1), [10, 90]) == Cost(1.0, 0.1)
    doubled = fit([(10, 4.0)], Cost(1.0, 0.1), [10, 90])
    assert doubled.seconds(90) == pytest.approx(20.0)
    same_size = fit([(10, 4.0)], Cost(1.0, 0.1), [10, 10])
    assert same_size.seconds(10) == pytest.approx(4.0)


def test_tasks_that_take_no_time_leave_shares_above_zero() -> None:
    scheduler = plan(jobs_of(10, 10, 10))
    for _ in range(3):
        grant = scheduler.next(1000.0)
        assert grant is not None
        assert grant.seconds > 0
        scheduler.returned(grant, dict.fromkeys(grant.task_ids, 0.0), ok=True)
    assert scheduler.next(1000.0) is None


def test_the_order_of_the_jobs_makes_no_difference() -> None:
    sizes = jobs_of(5, 5, 5, 9, 9, 1)
    assert plan(sizes, group=2).next(math.inf) == plan(sizes[::-1], group=2).next(math.inf)


def test_a_second_turn_while_one_is_out_is_refused() -> None:
    scheduler = plan(jobs_of(10, 10))
    scheduler.next(1000.0)
    with pytest.raises(RuntimeError, match="the turn of task1 has not been returned yet"):
        scheduler.next(1000.0)


def test_a_turn_that_was_not_out_is_refused() -> None:
    with pytest.raises(ValueError, match="the turn of nobody is not the one that is out"):
        plan(jobs_of(10)).returned(Grant(("nobody",), 1.0, {}), {}, ok=True)


@pytest.mark.parametrize("measured", [{"other": 1.0}, {"task0": -1.0}, {"task0": math.nan}, {"task0": math.inf}])
def test_seconds_that_cannot_be_are_refused_and_the_turn_stays_out(measured: dict[str, float]) -> None:
    scheduler = plan(jobs_of(10))
    grant = scheduler.next(1000.0)
    assert grant is not None
    with pytest.raises(ValueError, match=r"not in the turn|finite number"):
        scheduler.returned(grant, measured, ok=True)
    scheduler.returned(grant, {"task0": 1.0}, ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobs": [Job("a", 1), Job("a", 2)]}, "tasks listed twice: a"),
        ({"jobs": [Job("a", 0)]}, "a job without tokens: expected at least 1"),
        ({"group": 0}, "group is 0: expected at least 1 task"),
        ({"train_share": 1.5}, "train_share is 1.5: expected 0 to 1"),
        ({"reserve": -1.0}, "reserve is -1.0: expected at least 0 seconds"),
        ({"minimum": 0.0}, "minimum is 0.0: expected more than 0 seconds"),
        ({"prior": Cost(0.0, 0.0)}, "prior is .*: expected neither part below 0, and not both 0"),
    ],
)
def test_impossible_settings_are_named(change: dict[str, object], message: str) -> None:
    settings = {"jobs": [Job("a", 1)], "group": 1, "train_share": 0.5, "reserve": 0.0, "minimum": 1.0} | change
    with pytest.raises(ValueError, match=message):
        Scheduler(**settings)  # type: ignore[arg-type]


def test_no_jobs_is_done_at_once() -> None:
    assert plan([]).next(1000.0) is None
