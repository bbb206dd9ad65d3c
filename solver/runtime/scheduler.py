"""What runs next, where, and for how many seconds: a pure state machine over stages, tasks and devices.

The seconds left are passed in, the seconds used come back. Laws: no grant goes past the seconds left less the reserve;
every task that is due a stage is offered it before any is offered the next one; a task gets at most two batches in a
stage, so every run ends.

Stages. A `Stage` is either for every task (the base model's quick answers, then adapters) or, with
`refinement`, for those whose vote is split, the most split first. Stages of refinement use the time that the others
leave; a task takes part by its own vote alone, whatever becomes of others, so that no device's speed matters. A stage
for every task may go `by_need`: it begins when all earlier batches are back; what is settled then (a trusted program
and the base model agree) is left out for as long as it is, and tasks that need it little (a trusted program answers)
come after the others, which share the seconds among themselves.

Shares. A batch gets the part of the usable device seconds that its predicted cost, times its stage's weight, is of all
pending ones. Shares are worked out anew at each batch, so what cheap tasks leave over flows to the later ones. No batch
is granted less than its stage's minimum, and none so much that a later first batch of its stage would get less. A stage
may want `enough` of what its batches are predicted to cost: a batch that would get less would train and have no time to
answer, so fewer tasks have it, each with enough, and the costliest none. What would be too little for any other batch
goes to the last ones.

Order. Groups of tasks of similar size share a batch (little padding, no small task waiting for a large one); the groups
at the end that is served last are smaller, so that the devices end a stage at about the same time. When the
budget is tight (predicted cost above the usable seconds), the small end comes first: a second spent there yields most
answers, and it is the costly few that go short. Otherwise the large end comes first: an estimate that was too low
shows while there is time to correct it, and the last batches are short.

Failures. A batch that failed is run once more at the end of its stage, its tasks one at a time, so that one bad task
can't take its neighbours along twice; one that fails again is retired: it keeps the answers it has.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

from solver.runtime.time_slices import Costs, Stage, TaskSize, TimeSlice, check, check_measured
from solver.voting.ensemble import TRUSTED

Choice: TypeAlias = tuple[Stage, tuple[str, ...], float, bool]
"""A batch's stage, tasks and seconds, and whether it is a retry."""

STRETCH = 1.5  # a batch of refinement may take so many times what is predicted for it
SCARCE = 1.5  # times what is predicted for it: a batch with less is in a hurry


class Scheduler:
    """Hands out batches until nothing is left to do or the budget is spent; one batch a device is out at a time."""

    def __init__(
        self,
        jobs: Sequence[TaskSize],
        stages: Sequence[Stage],
        group: int,
        reserve: float,
        devices: int = 1,
        disagreement_threshold: float = 0.0,
    ) -> None:
        """Plan for `jobs`, at most `group` tasks a batch, `stages` in order, refinement last.

        `reserve`: seconds kept for the end. `disagreement_threshold`: a task whose need (0: all agree, 1: no answer) is
        not above it gets no refinement. ValueError: a task twice or without tokens, or a setting out of its range.
        """
        check(jobs, stages, group, reserve, devices, disagreement_threshold)
        self.devices = devices
        self._group, self._reserve, self._disagreement_threshold = group, reserve, disagreement_threshold
        self._tokens = {job.task_id: job.tokens for job in jobs}
        self._places = {stage.number: at for at, stage in enumerate(stages)}
        self._for_all = tuple(s for s in stages if not s.refinement)
        self._refinement = tuple(s for s in stages if s.refinement)
        tasks = self._by_size(self._tokens)
        groups = self._groups(tasks, smallest_first=True)
        parts = [part for at in range(devices) if (part := tuple(tasks[at::devices]))]  # alike in size and in number
        self._queue = {stage.number: list(parts if stage.whole else groups) for stage in self._for_all}
        self._later: dict[int, list[str]] = {stage.number: [] for stage in self._for_all}  # those that need it little
        self._set_aside: dict[int, list[str]] = {stage.number: [] for stage in self._for_all}  # till their need rises
        self._again: dict[int, list[str]] = {stage.number: [] for stage in stages}
        self._reached = dict.fromkeys(self._tokens, -1)  # task → index of the last stage it was offered
        self._need = dict.fromkeys(self._tokens, 1.0)
        self.retired: tuple[str, ...] = ()  # tasks that failed twice in one stage
        self._costs = Costs(self._tokens, stages)
        self._out: dict[str, TimeSlice] = {}
        self._retrying: set[str] = set()  # devices whose running batch is a retry

    def resume(self, done: Iterable[tuple[str, int]], need: Mapping[str, float]) -> None:
        """Leave out the (task, stage) pairs an earlier process finished; KeyError: an unknown task."""
        finished = {pair for pair in done if pair[1] in self._places}
        self._leave_out(finished)
        for task_id, number in finished:
            self._reached[task_id] = max(self._reached[task_id], self._places[number])
        self._need.update(need)

    def needs(self, need: Mapping[str, float]) -> None:
        """Take in how much tasks need more work by what is known from elsewhere; KeyError: an unknown task."""
        if unknown := need.keys() - self._need.keys():
            raise KeyError(", ".join(sorted(unknown)))
        self._need.update(need)

    @property
    def pending(self) -> tuple[str, ...]:
        """Tasks waiting for a batch that every task gets, or for its repetition, each once."""
        return tuple(dict.fromkeys(task_id for _, task_id in self._waiting()))

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do. If not, and `next` gives nothing with no batch out: budget spent."""
        return not self._out and not self.pending and self._next_refinement() is None

    def predicted(self) -> float:
        """Predicted device seconds of all pending batches that every task gets."""
        return math.fsum(self._costs.of_task(stage, task_id) for stage, task_id in self._waiting())

    def expected(self, remaining: float) -> float:
        """Seconds from now to the expected end of the run: refinement included, never past the limit."""
        needy = [i for i in self._tokens if self._split(i) and i not in self.retired]
        due = [(stage, i) for stage in self._refinement for i in needy if self._reached[i] < self._places[stage.number]]
        work = self.predicted() + math.fsum(self._costs.of_task(stage, task_id) for stage, task_id in due)
        return max(0.0, min(remaining - self._reserve, (work + self._running(remaining)) / max(1, self.devices)))

    def next(self, device: str, remaining: float) -> TimeSlice | None:
        """The device's next batch, if any; `remaining`: seconds to the limit. RuntimeError: one is still out."""
        if device in self._out:
            raise RuntimeError(f"the batch of {', '.join(self._out[device].task_ids)} has not been returned yet")
        usable = remaining - self._reserve
        chosen = self._choose(usable, remaining)
        if chosen is None:
            return None
        stage, task_ids, share, retry = chosen
        if retry:
            self._retrying.add(device)
        self._reached.update({i: max(self._places[stage.number], self._reached[i]) for i in task_ids})
        seconds = min(self._to_the_end(share, usable), stage.most * len(task_ids))
        cost, parts = self._costs.of_batch(stage, task_ids), dict.fromkeys(task_ids, 0.0)
        if stage.train_share:  # 0 × inf is no number
            train = seconds * stage.train_share
            parts = {i: train * self._costs.of_task(stage, i) / cost for i in task_ids}
        hurried = seconds < SCARCE * cost
        self._out[device] = TimeSlice(device, stage, task_ids, seconds, parts, remaining - seconds, hurried)
        return self._out[device]

    def returned(
        self,
        time_slice: TimeSlice,
        measured: Mapping[str, float],
        ok: bool,
        need: Mapping[str, float] | None = None,
        excused: bool = False,
    ) -> None:
        """Take a batch back: the seconds each answered task used, and whether it ended without a fault.

        Of a task that was stopped on the way `measured` may say what it would have used. Of a batch that failed only
        the tasks not `measured` are tried again; with `excused` (whoever runs it will do so in another way) that does
        not count as a failure. `need`: by task, 0 where all views agree to 1 where there is no answer. ValueError:
        another batch than the device's own, a task that was not in it, or seconds that are negative or not finite.
        """
        if time_slice is not self._out.get(time_slice.device):
            batch = ", ".join(time_slice.task_ids)
            raise ValueError(f"the batch of {batch} is not the one that is out on {time_slice.device}")
        check_measured(time_slice, measured)
        del self._out[time_slice.device]
        retry = time_slice.device in self._retrying
        self._retrying.discard(time_slice.device)
        self._need.update(need or {})
        stage, unanswered = time_slice.stage, [i for i in time_slice.task_ids if i not in measured]
        if ok:
            self._costs.learn(time_slice, measured)
        elif stage.whole and not excused:
            pass  # later stages do without it
        elif excused and not retry and unanswered and not stage.refinement:
            self._queue[stage.number].append(tuple(unanswered))
        elif excused or not retry:
            self._again[stage.number] = self._by_size((*self._again[stage.number], *unanswered))
        else:
            self.retired += tuple(unanswered)
            self._leave_out({(i, number) for i in unanswered for number in self._queue})

    def _choose(self, usable: float, remaining: float) -> Choice | None:
        """The next batch, if there is one; its tasks are no longer pending then."""
        for stage in self._for_all:
            if stage.by_need:
                self._sort_by_need(stage)
            if not (self._queue[stage.number] or self._again[stage.number]):
                continue
            place = self._places[stage.number]
            before = [out.stage for out in self._out.values() if self._places[out.stage.number] < place]
            if not usable >= stage.minimum or any(other.whole or stage.by_need for other in before):
                return None
            chosen = self._from_queue(stage, usable, remaining)
            if chosen is None and (later := self._later[stage.number]):  # too little for those before them
                self._queue[stage.number][:0], self._later[stage.number] = self._groups(later, True), []
                chosen = self._from_queue(stage, usable, remaining)
            return chosen
        for stage in self._refinement:
            if self._again[stage.number] and usable >= stage.minimum:
                task_ids = (self._again[stage.number].pop(0),)
                return stage, task_ids, self._stretched(stage, task_ids, usable), True
        refinement = self._next_refinement()
        if refinement is not None:  # as many first tasks of a group as there are enough seconds for
            stage, groups = refinement
            for at in range(len(groups)):
                if first := self._affordable(stage, groups, at, usable):
                    return stage, first, self._stretched(stage, first, usable), False
        return None

    def _from_queue(self, stage: Stage, usable: float, remaining: float) -> Choice | None:
        """The next batch of a stage that every task gets, or None where no task of it has enough seconds."""
        later = {(number, i) for number, ids in self._later.items() for i in ids}
        waiting = [(s, i) for s, i in self._waiting() if (s.number, i) not in later]
        total = math.fsum(s.weight * self._costs.of_task(s, i) for s, i in waiting)
        small = self.predicted() > usable * self.devices
        task_ids, batches, retry = self._take(stage, small, usable)
        if not task_ids and not small:
            task_ids, batches, retry = self._take(stage, True, usable)
        if not task_ids:
            return None
        cost = self._costs.of_batch(stage, task_ids)
        free = usable * self.devices - self._running(remaining) if remaining < math.inf else math.inf
        share = max(0.0, free) * stage.weight * cost / total
        most = max(stage.minimum, usable - (batches - 1) // self.devices * stage.minimum)  # later batches need it, too
        seconds = max(stage.enough * cost, min(max(share, stage.minimum), most))
        return stage, task_ids, min(usable, seconds), retry

    def _affordable(self, stage: Stage, groups: list[tuple[str, ...]], at: int, usable: float) -> tuple[str, ...]:
        """Take the first tasks of a group off it, as many as there are enough seconds for."""
        task_ids = groups[at]
        costs = accumulate(self._costs.of_task(stage, i) for i in task_ids)
        count = sum(usable >= max(stage.minimum, stage.enough * cost) for cost in costs)
        if count:
            groups[at : at + 1] = [task_ids[count:]] if task_ids[count:] else []
        return task_ids[:count]

    def _waiting(self) -> list[tuple[Stage, str]]:
        """The tasks of all pending batches that every task gets, with their stages."""
        waiting = [
            (stage, i)
            for stage in self._for_all
            for ids in (
                *self._queue[stage.number],
                self._later[stage.number],
                filter(self._split, self._set_aside[stage.number]),
            )
            for i in ids
        ]
        return waiting + [(s, i) for s in (*self._for_all, *self._refinement) for i in self._again[s.number]]

    def _running(self, remaining: float) -> float:
        """Device seconds that running batches may still use."""
        return math.fsum(max(0.0, remaining - time_slice.ends) for time_slice in self._out.values())

    def _take(self, stage: Stage, small_end: bool, usable: float) -> tuple[tuple[str, ...], int, bool]:
        """The stage's next tasks, how many of its first batches are left with this one, and whether it is a retry."""
        groups, again = self._queue[stage.number], self._again[stage.number]
        if not groups:
            return (again.pop(0),), len(again) + 1, True
        batches = len(groups)
        return self._affordable(stage, groups, 0 if small_end else batches - 1, usable), batches, False

    def _next_refinement(self) -> tuple[Stage, list[tuple[str, ...]]] | None:
        """The stage of the next batch for split votes, and the groups that are due it, the most split first."""
        away = {i for out in self._out.values() for i in out.task_ids}.union(self.retired, *self._again.values())
        split = [i for i in self._tokens if self._split(i) and i not in away]
        split.sort(key=lambda i: (-self._need[i], self._tokens[i], i))
        for stage in self._refinement:
            if due := [i for i in split if self._reached[i] == self._places[stage.number] - 1]:
                return stage, self._groups(due, smallest_first=False)
        return None

    def _to_the_end(self, seconds: float, usable: float) -> float:
        """A batch's seconds, or all there are, if what it leaves would do for no other batch that there may be."""
        left = [i for i in self._tokens if i not in self.retired]
        others = [
            max(stage.minimum, stage.enough * self._costs.of_task(stage, i))
            for stage in (*self._for_all, *self._refinement)
            for i in left
            if self._reached[i] < self._places[stage.number]
        ]
        return usable if others and usable - seconds < min(others) else seconds

    def _stretched(self, stage: Stage, task_ids: Sequence[str], usable: float) -> float:
        return min(usable, max(stage.minimum, STRETCH * self._costs.of_batch(stage, task_ids)))

    def _leave_out(self, pairs: Collection[tuple[str, int]]) -> None:
        """Take these (task, stage) pairs out of the queues."""
        for number, groups in self._queue.items():
            left = [tuple(i for i in ids if (i, number) not in pairs) for ids in groups]
            self._queue[number] = [ids for ids in left if ids]
        for number, task_ids in (*self._later.items(), *self._set_aside.items()):
            task_ids[:] = [i for i in task_ids if (i, number) not in pairs]

    def _sort_by_need(self, stage: Stage) -> None:
        """Set aside what is settled, for as long as it is; put off what needs it little while anything else waits."""
        number = stage.number
        queued = [i for ids in self._queue[number] for i in ids]
        waiting = (*queued, *self._later[number], *self._set_aside[number])
        self._set_aside[number] = [i for i in waiting if not self._split(i)]
        due = list(filter(self._split, waiting))
        little = [i for i in due if self._need[i] <= TRUSTED]
        self._later[number] = self._by_size(little) if len(little) < len(due) else []
        due = [i for i in due if i not in self._later[number]]
        if set(due) != set(queued):
            self._queue[number] = self._groups(self._by_size(due), smallest_first=True)

    def _split(self, task_id: str) -> bool:
        """Whether the task needs more work."""
        return self._need[task_id] > self._disagreement_threshold

    def _by_size(self, task_ids: Iterable[str]) -> list[str]:
        return sorted(task_ids, key=lambda task_id: (self._tokens[task_id], task_id))

    def _groups(self, task_ids: Sequence[str], smallest_first: bool) -> list[tuple[str, ...]]:
        """Groups of neighbours, none larger than a device's part of the tasks that are in no larger group.

        So a stage's last batches are short and no device waits long for another's (guided self-scheduling,
        Polychronopoulos and Kuck 1987).
        """
        sizes: list[int] = []
        while left := len(task_ids) - sum(sizes):
            sizes.append(min(self._group, math.ceil(left / self.devices)))
        if smallest_first:
            sizes.reverse()
        return [tuple(task_ids[end - size : end]) for end, size in zip(accumulate(sizes), sizes, strict=True)]
