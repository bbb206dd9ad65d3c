"""The scheduler: its laws over simulated runs (no clock, no model), and its choices one by one."""

from __future__ import annotations

import heapq
import math
import random
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from solver.config.settings import Config, Cost, TrainRecipe
from solver.runtime.phases import stages
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import Stage, TaskSize, TimeSlice, fit

SIMULATIONS = 1500
ROUNDING = 1e-6  # seconds
IDLE = 0.02  # of the device seconds may go by unused while there is work


def jobs_of(*tokens: int) -> list[TaskSize]:
    return [TaskSize(f"task{at}", size) for at, size in enumerate(tokens)]


def adapter(train_share: float = 0.5, minimum: float = 1.0, prior: Cost | None = None) -> Stage:
    return Stage(3, prior or Cost(0.0, 1.0), train_share, minimum)


def plan(
    jobs: list[TaskSize], group: int = 1, train_share: float = 0.5, minimum: float = 1.0, prior: Cost | None = None
) -> Scheduler:
    """A scheduler of one stage on one device."""
    return Scheduler(jobs, [adapter(train_share, minimum, prior)], group, reserve=10.0)


def several_stages(
    jobs: list[TaskSize], group: int = 1, devices: int = 1, refinement: int = 2, settled: float = 0.25
) -> Scheduler:
    """A scheduler of the base stage, the adapter stage, and so many of refinement."""
    stages = [Stage(1, Cost(0.0, 0.1), 0.0, 1.0), adapter()]
    stages += [replace(adapter(), number=4 + at, refinement=True) for at in range(refinement)]
    return Scheduler(jobs, stages, group, reserve=10.0, devices=devices, disagreement_threshold=settled)


@dataclass
class World:
    """A machine with costs of its own, noise and faults; `overrun` is the worst a batch exceeds its seconds by."""

    draw: random.Random
    jobs: list[TaskSize]
    devices: int
    overrun: float = 0.0
    batches: Counter[tuple[int, str]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.truth = {n: Cost(self.draw.uniform(0, 20), self.draw.choice([0.0, 0.001, 0.01, 0.1])) for n in (0, 1)}
        self.noise, self.faults = self.draw.choice([0.0, 0.3, 1.5]), self.draw.choice([0.0, 0.05, 0.5, 1.0])
        self.tokens = {job.task_id: job.tokens for job in self.jobs}

    def run(self, time_slice: TimeSlice) -> tuple[dict[str, float], bool, float]:
        """Seconds by task, whether it went well, and seconds in all."""
        truth = self.truth[min(1, time_slice.stage.number // 3)]
        costs = {
            i: truth.seconds(self.tokens[i]) * self.draw.lognormvariate(0, self.noise) for i in time_slice.task_ids
        }
        ok = self.draw.random() >= self.faults
        total = sum(costs.values()) if ok else time_slice.seconds * self.draw.choice([0.0, 0.3, 1.0])
        used = min(total, time_slice.seconds * (1 + self.draw.uniform(0, self.overrun)))
        scale = used / max(sum(costs.values()), 1e-9)
        answered = costs if ok else dict(list(costs.items())[: self.draw.randint(0, len(costs) - 1)])
        return {i: cost * scale for i, cost in answered.items()}, ok, used


def simulate(seed: int, overrun: float = 0.0) -> None:
    """Run one random world to its end and check every law on the way."""
    draw = random.Random(seed)
    jobs = [TaskSize(f"{at:08x}", draw.randint(1, draw.choice([300, 3000, 9000]))) for at in range(draw.randint(1, 40))]
    world = World(draw, jobs, draw.choice([1, 1, 2, 4]), overrun)
    reserve, minimum, group = draw.choice([0.0, 5.0, 60.0]), draw.choice([0.5, 5.0, 30.0]), draw.randint(1, 8)
    budget = reserve + draw.choice([1.0, 30.0, 300.0, 3000.0, 40000.0]) * draw.random()
    prior, refinement = Cost(draw.uniform(0.1, 20), draw.uniform(0, 0.1)), draw.randint(0, 3)
    each = Stage(3, prior, draw.random(), minimum, enough=draw.choice([0.0, 0.6]), by_need=draw.random() < 0.5)
    first = Stage(1, Cost(draw.uniform(0.1, 5), 0.001), 0.0, min(1.0, minimum), weight=draw.choice([1.0, 8.0]))
    stages = [replace(first, most=draw.choice([math.inf, first.minimum, 10.0])), each]
    if draw.random() < 0.3:
        stages.insert(1, Stage(2, Cost(draw.uniform(0.1, 20), 0.0), 1.0, minimum, whole=True))
    always = len(stages)
    stages += [replace(each, number=4 + at, refinement=True, by_need=False) for at in range(refinement)]
    scheduler = Scheduler(jobs, stages, group, reserve, world.devices, disagreement_threshold=0.25)
    clock = idle = 0.0
    running: list[tuple[float, str, TimeSlice, dict[str, float], bool]] = []
    free = {f"device {n}": 0.0 for n in range(world.devices)}
    while True:
        for device in sorted(free):
            time_slice = scheduler.next(device, budget - clock)
            if time_slice is None:
                late = budget - clock - reserve < enough(scheduler, each)
                waits = any(out.stage.whole or (each.by_need and out.stage.number < 3) for _, _, out, _, _ in running)
                assert late or waits or not scheduler.pending, "a device stands idle while tasks wait"
                continue
            idle += clock - free.pop(device)
            assert time_slice.stage.number < 3 or not any(out.stage.whole for _, _, out, _, _ in running)
            check(time_slice, world, budget - clock, reserve, group, scheduler, each)
            measured, ok, used = world.run(time_slice)
            heapq.heappush(running, (clock + used, device, time_slice, measured, ok))
        if not running:
            break
        clock, device, time_slice, measured, ok = heapq.heappop(running)
        need = {i: draw.choice([0.0, 0.2, 0.5, 1.0]) for i in measured}
        scheduler.needs({job.task_id: draw.random() for job in jobs if draw.random() < 0.1})  # told from elsewhere
        scheduler.returned(time_slice, measured, ok, need)
        free[device] = clock
    ended = budget - clock - reserve < (least := enough(scheduler, each))
    assert scheduler.finished or ended, "stopped with time and work left"
    if overrun:
        return
    assert clock <= max(0.0, budget - reserve) + ROUNDING, "a batch went past the limit"
    batches = math.ceil(len(jobs) / group)
    needed = math.ceil(batches / world.devices) * sum(stage.minimum for stage in stages[:always])
    if world.faults == 0.0 and budget - reserve >= needed + minimum:
        served = {task_id for number, task_id in world.batches if number == 1}
        assert served == {job.task_id for job in jobs}, "a task was starved"
    if not scheduler.finished and world.devices == 1 and budget > 100 * least:
        idle += sum(max(0.0, budget - reserve - at) for at in free.values())
        assert idle <= IDLE * budget * world.devices, "devices stood idle"


def contest(seed: int) -> tuple[float, float]:
    """A run of contest size with the real settings and costs: idle device seconds, and all of them.

    Without faults: while a worker that hangs sits its last batch out, the others have nothing left to do.
    """
    draw = random.Random(seed)
    jobs = [TaskSize(f"{at:08x}", draw.randint(100, 6000)) for at in range(draw.randint(60, 240))]
    devices, config = draw.choice([1, 2, 4]), Config(time_limit=draw.choice([600, 3600, 10800, 37800]))
    world = World(draw, jobs, devices)
    world.faults, world.noise = 0.0, 0.3
    world.truth = {n: stage.prior for n, stage in zip((0, 1), stages(config, len(jobs), devices), strict=False)}
    scheduler = Scheduler(jobs, stages(config, len(jobs), devices), draw.choice([4, 8]), config.reserve, devices)
    running: list[tuple[float, str, TimeSlice, dict[str, float], bool]] = []
    free, clock, idle = {f"device {n}": 0.0 for n in range(devices)}, 0.0, 0.0
    while True:
        for device in sorted(free):
            if (time_slice := scheduler.next(device, config.time_limit - clock)) is not None:
                idle += clock - free.pop(device)
                measured, ok, used = world.run(time_slice)
                heapq.heappush(running, (clock + used, device, time_slice, measured, ok))
        if not running:
            break
        clock, device, time_slice, measured, ok = heapq.heappop(running)
        scheduler.returned(time_slice, measured, ok, {i: draw.choice([0.0, 0.1, 0.5, 0.9]) for i in measured})
        free[device] = clock
    end = clock if scheduler.finished else config.time_limit - config.reserve
    return idle + sum(max(0.0, end - at) for at in free.values()), end * devices


@pytest.mark.slow
def test_devices_of_runs_of_contest_size_stand_idle_for_under_two_percent() -> None:
    idle, seconds = map(sum, zip(*map(contest, range(30)), strict=True))
    assert idle <= IDLE * seconds


def enough(scheduler: Scheduler, each: Stage) -> float:
    """Seconds that suffice for some batch that waits."""
    _, refinement = scheduler._next_refinement() or (None, [])
    groups = [*scheduler._queue[each.number], *refinement]
    return max(each.minimum, each.enough * max((scheduler._costs.of_task(each, ids[0]) for ids in groups), default=0.0))


def check(
    time_slice: TimeSlice, world: World, remaining: float, reserve: float, group: int, scheduler: Scheduler, each: Stage
) -> None:
    """The laws of one grant."""
    number = time_slice.stage.number
    assert time_slice.stage.minimum - ROUNDING <= time_slice.seconds <= remaining - reserve + ROUNDING
    assert sum(time_slice.train_seconds.values()) <= time_slice.seconds + ROUNDING
    assert time_slice.seconds <= time_slice.stage.most * len(time_slice.task_ids) + ROUNDING
    assert set(time_slice.train_seconds) == set(time_slice.task_ids)
    assert time_slice.task_ids, "a batch for nobody: the run would never end"
    assert len(time_slice.task_ids) <= (len(world.jobs) if time_slice.stage.whole else group)
    world.batches.update((number, i) for i in time_slice.task_ids)
    assert max(world.batches.values()) <= 2
    if number > 1:
        everyone = {job.task_id for job in world.jobs} - set(scheduler.retired)
        assert all(world.batches[1, i] for i in everyone), "an adapter before everybody's quick answer"
    if number > each.number:
        assert all(world.batches[3, i] for i in everyone - {*scheduler._set_aside[3]}), (
            "refinement before everybody's adapter"
        )


def test_laws_hold_in_every_simulated_run() -> None:
    for seed in range(SIMULATIONS):
        try:
            simulate(seed)
        except AssertionError as error:
            raise AssertionError(f"simulate({seed}): {error}") from error


def test_runs_end_and_grants_stay_inside_the_budget_when_batches_take_longer_than_granted() -> None:
    for seed in range(300):
        simulate(seed, overrun=0.5)


def test_seconds_are_shared_by_predicted_cost() -> None:
    scheduler = plan(jobs_of(100, 300))
    first = scheduler.next("cpu", 210.0)  # 200 usable, 400 predicted: tight, so the small one is first
    assert first == TimeSlice("cpu", adapter(), ("task0",), 50.0, {"task0": 25.0}, 160.0, hurried=True)
    scheduler.returned(first, {"task0": 50.0}, ok=True)
    second = scheduler.next("cpu", 160.0)
    assert second is not None
    assert (second.task_ids, second.seconds) == (("task1",), 150.0)


def test_time_left_over_flows_to_later_tasks() -> None:
    scheduler = plan(jobs_of(100, 300))
    first = scheduler.next("cpu", 210.0)
    assert first is not None
    scheduler.returned(first, {}, ok=True)  # it took no time at all
    second = scheduler.next("cpu", 210.0)
    assert second is not None
    assert second.seconds == 200.0


def test_tight_budget_takes_small_tasks_first_and_an_ample_one_large_tasks() -> None:
    sizes = jobs_of(300, 100, 200)
    tight, ample = plan(sizes).next("cpu", 100.0), plan(sizes).next("cpu", 10_000.0)
    assert tight is not None
    assert ample is not None
    assert tight.task_ids == ("task1",)
    assert ample.task_ids == ("task0",)


def test_tasks_of_similar_size_share_a_batch_and_its_seconds() -> None:
    time_slice = plan(jobs_of(400, 10, 390, 11), group=2, train_share=0.6).next("cpu", 10 + 8110.0)
    assert time_slice is not None
    assert time_slice.task_ids == ("task2", "task0")
    assert time_slice.seconds == pytest.approx(7900)
    assert time_slice.train_seconds == pytest.approx({"task2": 0.6 * 3900, "task0": 0.6 * 4000})


def test_no_training_share_means_no_training_seconds_even_without_a_limit() -> None:
    time_slice = plan(jobs_of(5, 6), group=2, train_share=0.0).next("cpu", math.inf)
    assert time_slice is not None
    assert (time_slice.task_ids, time_slice.seconds) == (("task0", "task1"), math.inf)
    assert time_slice.train_seconds == {"task0": 0.0, "task1": 0.0}


def test_a_batch_is_never_shorter_than_the_minimum_while_time_allows() -> None:
    scheduler = plan(jobs_of(1, 1000), minimum=20.0)
    seconds: list[float] = []
    while (time_slice := scheduler.next("cpu", 50.0 - sum(seconds))) is not None:
        seconds.append(time_slice.seconds)
        scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, time_slice.seconds), ok=True)
    assert seconds == [20.0, 20.0]


def test_too_little_time_for_a_batch_ends_the_run_and_names_who_waits() -> None:
    scheduler = plan(jobs_of(200, 100), minimum=5.0)
    assert scheduler.next("cpu", 14.9) is None
    assert scheduler.pending == ("task1", "task0")
    assert not scheduler.finished


def test_failed_batch_is_tried_once_more_with_its_tasks_alone_after_all_others() -> None:
    scheduler = plan(jobs_of(10, 20, 30, 40), group=2)
    served = []
    while (time_slice := scheduler.next("cpu", 10_000.0)) is not None:
        served.append(time_slice.task_ids)
        ok = "task3" not in time_slice.task_ids
        scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, 1.0) if ok else {}, ok)
    assert served == [("task2", "task3"), ("task0", "task1"), ("task2",), ("task3",)]
    assert scheduler.retired == ("task3",)
    assert scheduler.finished


def test_of_a_batch_that_failed_only_the_tasks_without_an_answer_are_tried_again() -> None:
    scheduler = plan(jobs_of(10, 20), group=2)
    first = scheduler.next("cpu", 10_000.0)
    assert first is not None
    scheduler.returned(first, {"task1": 3.0}, ok=False)
    assert scheduler.pending == ("task0",)


def test_a_batch_that_is_excused_comes_back_whole_and_has_all_its_tries() -> None:
    scheduler = plan(jobs_of(10, 20), group=2)
    for _ in range(5):
        time_slice = scheduler.next("cpu", 10_000.0)
        assert time_slice is not None
        assert time_slice.task_ids == ("task0", "task1")
        scheduler.returned(time_slice, {}, ok=False, excused=True)
    assert scheduler.retired == ()


def serve(scheduler: Scheduler, need: dict[str, float], remaining: float = 10_000.0) -> list[list[tuple[int, str]]]:
    """Serve every batch at once; the batches in order, each as its (stage, task) pairs."""
    served = []
    while (time_slice := scheduler.next("cpu", remaining)) is not None:
        served.append([(time_slice.stage.number, i) for i in time_slice.task_ids])
        scheduler.returned(
            time_slice, dict.fromkeys(time_slice.task_ids, 1.0), True, {i: need[i] for i in time_slice.task_ids}
        )
    return served


def test_stages_follow_each_other_and_split_votes_get_refinement_the_most_split_first() -> None:
    need = {"task0": 0.3, "task1": 0.25, "task2": 1.0}
    served = [pair for batch in serve(several_stages(jobs_of(1, 2, 3)), need) for pair in batch]
    assert [i for i in served if i[0] == 1] == served[:3]
    assert [i for i in served if i[0] == 3] == served[3:6]
    assert served[6:] == [(4, "task2"), (4, "task0"), (5, "task2"), (5, "task0")]


def test_a_task_that_settles_on_the_way_gets_no_more_batches() -> None:
    scheduler, asked = several_stages(jobs_of(1, 2)), []
    while (time_slice := scheduler.next("cpu", 10_000.0)) is not None:
        asked += [(time_slice.stage.number, i) for i in time_slice.task_ids]
        need = 0.0 if time_slice.stage.number == 4 else 1.0
        scheduler.returned(
            time_slice, dict.fromkeys(time_slice.task_ids, 1.0), True, dict.fromkeys(time_slice.task_ids, need)
        )
    assert {number for number, _ in asked} == {1, 3, 4}


def by_need(jobs: list[TaskSize], **more: int) -> Scheduler:
    """A scheduler as `several_stages` has it, in which adapters go by need."""
    stages = [Stage(1, Cost(0.0, 0.1), 0.0, 1.0), replace(adapter(), by_need=True)]
    stages += [replace(adapter(), number=4, refinement=True)]
    return Scheduler(jobs, stages, more.pop("group", 1), reserve=10.0, disagreement_threshold=0.25, **more)


def test_adapters_go_by_need_none_to_what_is_settled_and_last_to_those_a_trusted_program_answers() -> None:
    need = {"task0": 0.3, "task1": 0.9, "task2": 0.0, "task3": 0.5, "task4": 1.0, "task5": 0.25}
    scheduler = by_need(jobs_of(1, 2, 3, 4, 5, 6))
    served = [pair for batch in serve(scheduler, need) for pair in batch]
    assert served[6:] == [(3, i) for i in ("task4", "task1", "task3", "task0")] + [
        (4, i) for i in ("task4", "task1", "task3", "task0")
    ]
    assert scheduler.finished
    scheduler.needs({"task2": 0.9})  # what programs say later may contradict
    assert scheduler.pending == ("task2",)
    assert not scheduler.finished
    late = scheduler.next("cpu", 10_000.0)
    assert late is not None
    assert (late.stage.number, late.task_ids) == (3, ("task2",))


def test_those_that_need_little_take_no_seconds_from_the_others() -> None:
    scheduler = by_need(jobs_of(100, 100, 100))
    for _ in range(3):
        base = scheduler.next("cpu", 1000.0)
        assert base is not None
        need = 0.4 if base.task_ids == ("task0",) else 1.0
        scheduler.returned(base, {base.task_ids[0]: 1.0}, True, {base.task_ids[0]: need})
    first = scheduler.next("cpu", 110.0)
    assert first is not None
    assert first.task_ids == ("task1",)
    assert first.seconds == pytest.approx(50.0)  # a half, not a third of 100
    assert "task0" in scheduler.pending


def test_where_the_needy_are_too_costly_a_cheap_task_that_needs_little_has_the_seconds() -> None:
    stages = [Stage(1, Cost(0.0, 0.1), 0.0, 1.0), replace(adapter(), by_need=True, enough=0.6)]
    scheduler = Scheduler(jobs_of(1000, 10), stages, 1, reserve=0.0, disagreement_threshold=0.25)
    for _ in range(2):
        base = scheduler.next("cpu", 1000.0)
        assert base is not None
        scheduler.returned(
            base, {base.task_ids[0]: 1.0}, True, {base.task_ids[0]: 1.0 if base.task_ids == ("task0",) else 0.5}
        )
    little = scheduler.next("cpu", 100.0)
    assert little is not None
    assert little.task_ids == ("task1",)


def test_adapters_wait_until_all_quick_answers_are_in_where_they_go_by_need() -> None:
    scheduler = by_need(jobs_of(1, 2), devices=2)
    first, second = scheduler.next("a", 1000.0), scheduler.next("b", 1000.0)
    done(scheduler, first, 1.0)
    assert scheduler.next("a", 1000.0) is None
    assert not scheduler.finished
    done(scheduler, second, 1.0)
    assert scheduler.next("a", 1000.0) is not None


def test_where_all_is_settled_the_run_is_over() -> None:
    scheduler = by_need(jobs_of(1, 2))
    assert {number for batch in serve(scheduler, {"task0": 0.0, "task1": 0.1}) for number, _ in batch} == {1}
    assert scheduler.finished
    assert scheduler.pending == ()


def test_a_resumed_plan_leaves_out_what_was_done_and_goes_on_as_the_undisturbed_one() -> None:
    need = {f"task{at}": at / 5 for at in range(5)}
    whole = serve(several_stages(jobs_of(1, 2, 3, 4, 5), group=2), need)
    assert len(whole) == 3 + 3 + 2 + 2
    for cut in range(len(whole) + 1):
        done = [pair for batch in whole[:cut] for pair in batch]
        resumed = several_stages(jobs_of(1, 2, 3, 4, 5), group=2)
        resumed.resume([(i, number) for number, i in done], {i: need[i] for _, i in done})
        assert serve(resumed, need) == whole[cut:]


def test_devices_share_the_seconds_and_no_task_is_out_twice() -> None:
    scheduler = several_stages(jobs_of(*(10 + at for at in range(9))), devices=3, refinement=0)
    time_slices = [scheduler.next(f"gpu {n}", 1000.0) for n in range(3)]
    assert all(time_slice is not None for time_slice in time_slices)
    assert len({i for time_slice in time_slices if time_slice for i in time_slice.task_ids}) == 3


def sharing(jobs: list[TaskSize], devices: int = 2) -> Scheduler:
    """A scheduler of the base stage, shared adapters and the adapter stage, a task a batch."""
    shared = Stage(2, Cost(30.0, 0.0), 1.0, 1.0, whole=True)
    return Scheduler(jobs, [Stage(1, Cost(0.0, 0.1), 0.0, 1.0), shared, adapter()], 1, reserve=10.0, devices=devices)


def test_a_whole_stage_gives_each_device_its_part_of_all_tasks_and_the_next_one_waits_for_both() -> None:
    scheduler = sharing(jobs_of(1, 2, 3, 4, 5))
    for _ in range(5):
        done(scheduler, scheduler.next("a", 1000.0))
    first, second = scheduler.next("a", 1000.0), scheduler.next("b", 1000.0)
    assert first is not None
    assert second is not None
    assert sorted([first.task_ids, second.task_ids]) == [("task0", "task2", "task4"), ("task1", "task3")]
    done(scheduler, first)
    assert scheduler.next("a", 900.0) is None
    done(scheduler, second)
    follows = scheduler.next("a", 900.0)
    assert follows is not None
    assert follows.stage.number == 3


def test_a_whole_batch_that_fails_is_done_without_unless_it_is_excused() -> None:
    for excused, stages_after in ((False, 3), (True, 2)):
        scheduler = sharing(jobs_of(1, 2), devices=1)
        for _ in range(2):
            done(scheduler, scheduler.next("a", 1000.0))
        time_slice = scheduler.next("a", 1000.0)
        assert time_slice is not None
        scheduler.returned(time_slice, {}, ok=False, excused=excused)
        again = scheduler.next("a", 900.0)
        assert again is not None
        assert (again.stage.number, scheduler.retired) == (stages_after, ())


@pytest.mark.parametrize("scope", ["shared", "shared-then-task"])
@pytest.mark.parametrize(("tasks", "devices"), [(1, 1), (2, 2), (5, 2), (20, 1), (20, 3), (400, 4)])
@pytest.mark.parametrize("limit", [20.0, 120.0, 600.0, 36000.0])
def test_a_batch_of_a_shared_adapter_gets_no_more_than_its_share_of_the_limit(scope, tasks, devices, limit):
    """Also where hardly anything else is left to do, and what was measured would have given it more."""
    config = Config(time_limit=limit, train=TrainRecipe(scope=scope))
    scheduler = Scheduler(
        jobs_of(*[100] * tasks), stages(config, tasks, devices), config.group, reserve=0.0, devices=devices
    )
    shared, left = [], limit
    while not shared and (time_slice := scheduler.next("a", left)) is not None:
        measured = dict.fromkeys(time_slice.task_ids, 1e-3)
        if time_slice.stage.whole:
            shared += [time_slice, *filter(None, (scheduler.next(f"other {n}", left) for n in range(1, devices)))]
        else:
            scheduler.returned(time_slice, measured, True)
    assert len(shared) == devices
    assert sum(len(time_slice.task_ids) for time_slice in shared) == tasks
    assert max(time_slice.seconds for time_slice in shared) <= config.shared_share * limit * (1 + 1e-9)


def test_refinement_is_not_begun_with_too_few_seconds_and_smaller_tasks_take_its_place() -> None:
    stages = [replace(adapter(), enough=0.6), replace(adapter(), number=4, refinement=True, enough=0.6)]
    scheduler = Scheduler(jobs_of(100, 10), stages, 1, reserve=10.0)
    for _ in range(2):
        done(scheduler, scheduler.next("cpu", 1000.0), 1.0)
    assert scheduler.next("cpu", 10.0 + 0.5 * 0.6 * 10) is None
    time_slice = scheduler.next("cpu", 10.0 + 1.1 * 0.6 * 10)
    assert time_slice is not None
    assert time_slice.task_ids == ("task1",)


def test_where_seconds_are_short_fewer_tasks_have_a_batch_each_with_enough() -> None:
    scheduler = Scheduler(jobs_of(*[20] * 12), [replace(adapter(), enough=0.6)], 4, reserve=0.0)
    time_slice = scheduler.next("cpu", 50.0)
    assert time_slice is not None
    assert (len(time_slice.task_ids), time_slice.seconds) == (4, 50.0)  # 48 are enough; 2 would do for nobody
    assert time_slice.hurried
    done(scheduler, time_slice)
    assert scheduler.next("cpu", 2.0) is None
    assert len(scheduler.pending) == 8
    time_slice = scheduler.next("cpu", 25.0)
    assert time_slice is not None
    assert (len(time_slice.task_ids), time_slice.seconds) == (2, 25.0)


def test_where_the_largest_task_has_too_few_seconds_smaller_ones_have_their_batches() -> None:
    stage = replace(adapter(), enough=0.6)
    scheduler = Scheduler(jobs_of(90, 24, 24, 24, 24), [stage], 1, reserve=10.0, devices=4)
    granted = [scheduler.next(f"gpu {n}", 60.0) for n in range(4)]  # 200 s in all for 186, but 54 of the 90 are no 50
    assert [time_slice.task_ids if time_slice else None for time_slice in granted] == [
        (f"task{n}",) for n in (1, 2, 3, 4)
    ]


def test_tasks_stopped_on_the_way_teach_what_they_would_have_used_so_that_later_ones_get_enough() -> None:
    scheduler = Scheduler(jobs_of(*[20] * 40), [replace(adapter(), enough=0.6)], 1, reserve=0.0)
    left, granted = 300.0, []
    while (time_slice := scheduler.next("cpu", left)) is not None:
        granted.append(time_slice.seconds)
        left -= time_slice.seconds
        scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, 60.0), ok=True)
    assert granted[0] == 12.0
    assert all(seconds > 0.6 * 50 for seconds in granted[1:])


def test_a_batch_with_seconds_to_spare_is_in_no_hurry() -> None:
    time_slice = plan(jobs_of(20)).next("cpu", 1000.0)
    assert time_slice is not None
    assert not time_slice.hurried


def test_a_stage_of_more_weight_gets_more_of_what_is_short() -> None:
    granted = []
    for weight in (1.0, 8.0):
        stages = [Stage(1, Cost(1.0, 0.0), 0.0, 0.1, weight=weight), Stage(3, Cost(9.0, 0.0), 0.5, 0.1)]
        time_slice = Scheduler(jobs_of(1, 2), stages, 1, reserve=0.0).next("cpu", 2.0)
        assert time_slice is not None
        granted.append(time_slice.seconds)
    assert granted == pytest.approx([2.0 * 1 / 20, 2.0 * 8 / 34])


def test_a_batch_gets_no_more_seconds_than_its_tasks_can_use() -> None:
    stage = Stage(0, Cost(3.0, 0.0), 0.0, 0.1, most=3.0)
    ample = Scheduler(jobs_of(1, 2, 3), [stage], 1, reserve=0.0).next("cpu", 1000.0)
    tight = Scheduler(jobs_of(1, 2, 3, 4), [stage], 2, reserve=0.0).next("cpu", 8.0)
    assert ample is not None
    assert tight is not None
    assert (len(ample.task_ids), ample.seconds) == (1, 3.0)
    assert (len(tight.task_ids), tight.seconds) == (2, pytest.approx(4.0))


def test_a_need_told_from_elsewhere_decides_who_gets_refinement() -> None:
    scheduler = several_stages(jobs_of(1, 2), refinement=1)
    for _ in range(4):
        done(scheduler, scheduler.next("cpu", 1000.0), 1.0)
    scheduler.needs({"task0": 0.1})
    time_slice = scheduler.next("cpu", 1000.0)
    assert time_slice is not None
    assert (time_slice.stage.number, time_slice.task_ids) == (4, ("task1",))
    done(scheduler, time_slice)
    assert scheduler.finished
    with pytest.raises(KeyError, match="nobody"):
        scheduler.needs({"nobody": 0.0})


def done(scheduler: Scheduler, time_slice: TimeSlice | None, need: float = 0.0) -> None:
    """The batch ended well, each task having taken what was predicted."""
    assert time_slice is not None
    measured = {i: scheduler._costs.of_task(time_slice.stage, i) for i in time_slice.task_ids}
    scheduler.returned(time_slice, measured, True, dict.fromkeys(time_slice.task_ids, need))


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_expected_end_is_right_within_a_fifth_after_a_fifth_of_the_run(factor: float) -> None:
    """Costs are `factor` times what the settings expect, noise of 20 %; votes stay as split as the base model's."""
    draw, limit, config = random.Random(1), 1e5, Config()
    jobs = jobs_of(*(draw.randint(200, 6000) for _ in range(60)))
    tokens = {job.task_id: job.tokens for job in jobs}
    need = {task_id: draw.choice([0.0, 0.1, 0.5, 0.9]) for task_id in tokens}
    scheduler, clock, told = Scheduler(jobs, stages(config), 4, reserve=8.0, disagreement_threshold=0.25), 0.0, []
    while (time_slice := scheduler.next("cpu", limit - clock)) is not None:
        prior = time_slice.stage.prior
        costs = {i: factor * prior.seconds(tokens[i]) * draw.lognormvariate(0, 0.2) for i in time_slice.task_ids}
        clock += sum(costs.values())
        scheduler.returned(time_slice, costs, True, {i: need[i] for i in time_slice.task_ids})
        told.append((clock, scheduler.expected(limit - clock)))
    late = [at + left for at, left in told if at > clock / 5]
    assert len(late) > 5
    assert all(abs(end - clock) <= 0.2 * clock for end in late)


def test_the_expected_end_is_never_past_the_limit() -> None:
    assert several_stages(jobs_of(*[1000] * 50)).expected(100.0) == 90.0


def test_measurements_correct_the_prediction() -> None:
    """A prior that is five times too low, noise of 20 %: after 20 tasks the rest is predicted within 20 %."""
    draw, truth = random.Random(1), Cost(10.0, 0.05)
    jobs = jobs_of(*(draw.randint(200, 8000) for _ in range(60)))
    tokens = {job.task_id: job.tokens for job in jobs}
    scheduler = plan(jobs, prior=Cost(2.0, 0.01))
    for _ in range(20):
        time_slice = scheduler.next("cpu", 1e6)
        assert time_slice is not None
        (task_id,) = time_slice.task_ids
        scheduler.returned(time_slice, {task_id: truth.seconds(tokens[task_id]) * draw.lognormvariate(0, 0.2)}, ok=True)
    expected = sum(truth.seconds(tokens[task_id]) for task_id in scheduler.pending)
    assert scheduler.predicted() == pytest.approx(expected, rel=0.2)


def test_a_batch_cut_short_never_lowers_the_prediction() -> None:
    scheduler = plan(jobs_of(100, 100, 100))
    time_slice = scheduler.next("cpu", 40.0)  # 30 usable for 300 predicted
    assert time_slice is not None
    scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, time_slice.seconds), ok=True)
    assert scheduler.predicted() == pytest.approx(200.0)


def test_failed_batches_teach_nothing_about_costs() -> None:
    scheduler = plan(jobs_of(100, 100))
    time_slice = scheduler.next("cpu", 1000.0)
    assert time_slice is not None
    scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, 0.001), ok=False)
    assert scheduler.predicted() == 100.0


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
        time_slice = scheduler.next("cpu", 1000.0)
        assert time_slice is not None
        assert time_slice.seconds > 0
        scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, 0.0), ok=True)
    assert scheduler.next("cpu", 1000.0) is None


def test_the_order_of_the_jobs_makes_no_difference() -> None:
    sizes = jobs_of(5, 5, 5, 9, 9, 1)
    first, second = plan(sizes, group=2).next("cpu", 1e6), plan(sizes[::-1], group=2).next("cpu", 1e6)
    assert first == second


def test_a_second_batch_while_one_is_out_is_refused() -> None:
    scheduler = plan(jobs_of(10, 10))
    scheduler.next("cpu", 1000.0)
    with pytest.raises(RuntimeError, match="the batch of task1 has not been returned yet"):
        scheduler.next("cpu", 1000.0)


def test_a_batch_that_was_not_out_is_refused() -> None:
    with pytest.raises(ValueError, match="the batch of nobody is not the one that is out on cpu"):
        plan(jobs_of(10)).returned(TimeSlice("cpu", adapter(), ("nobody",), 1.0, {}, 0.0), {}, ok=True)


@pytest.mark.parametrize("measured", [{"other": 1.0}, {"task0": -1.0}, {"task0": math.nan}, {"task0": math.inf}])
def test_seconds_that_cannot_be_are_refused_and_the_batch_stays_out(measured: dict[str, float]) -> None:
    scheduler = plan(jobs_of(10))
    time_slice = scheduler.next("cpu", 1000.0)
    assert time_slice is not None
    with pytest.raises(ValueError, match=r"not in the batch|finite number"):
        scheduler.returned(time_slice, measured, ok=True)
    scheduler.returned(time_slice, {"task0": 1.0}, ok=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"jobs": [TaskSize("a", 1), TaskSize("a", 2)]}, "tasks listed twice: a"),
        ({"jobs": [TaskSize("a", 0)]}, "a job without tokens: expected at least 1"),
        ({"group": 0}, "group is 0: expected at least 1 task"),
        ({"devices": 0}, "devices is 0: expected at least 1"),
        ({"disagreement_threshold": 1.5}, "disagreement_threshold is 1.5: expected 0 to 1"),
        ({"reserve": -1.0}, "reserve is -1.0: expected at least 0 seconds"),
        ({"stages": [adapter(), adapter()]}, r"stages are \[3, 3\]: expected each once"),
        (
            {"stages": [replace(adapter(), refinement=True), replace(adapter(), number=4)]},
            "refinement comes before",
        ),
        ({"stages": [adapter(train_share=1.5)]}, "train_share is 1.5: expected 0 to 1"),
        ({"stages": [adapter(minimum=0.0)]}, "minimum is 0.0: expected more than 0 seconds"),
        ({"stages": [replace(adapter(), most=0.5)]}, "most is 0.5: expected at least the minimum, 1.0"),
        ({"stages": [adapter(prior=Cost(0.0, 0.0))]}, "prior is .*: expected neither part below 0, and not both 0"),
    ],
)
def test_impossible_settings_are_named(change: dict[str, object], message: str) -> None:
    settings = {"jobs": [TaskSize("a", 1)], "stages": [adapter()], "group": 1, "reserve": 0.0} | change
    with pytest.raises(ValueError, match=message):
        Scheduler(**settings)  # type: ignore[arg-type]


def test_no_jobs_is_done_at_once() -> None:
    scheduler = plan([])
    assert scheduler.finished
    assert scheduler.next("cpu", 1000.0) is None
