"""What became of every test output of a run, held against its solution: how near, how sure, in which stage.

Knows nothing of files, models or of how results are shown. Law: every output of every solution counts in every
denominator; an output the run never reached is wrong in each measure, never left out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from solver.analysis.history import START, History, Story
from solver.types import Attempts, Grid, by_programs, same, solves, stage_name
from solver.voting.candidates import MODEL_ALONE, PROGRAMS_ALONE

NEAR = 0.9  # share of right cells from which an unsolved task is a near miss
BINS = 5  # of the reliability table, each a fifth of the votes wide
REST = "rest"  # of a device's seconds: no result tells of them
ALONE = PROGRAMS_ALONE, MODEL_ALONE
RANKS = 4  # the right answer's rank is told up to here, then "later"


@dataclass(frozen=True)
class Output:
    """One test output.

    `solved`: by either attempt, `first`: by the first. `cells`: share of right cells in the better attempt, 0 where its
    shape is wrong; `shape`: whether an attempt's shape is right. `rank`: of the right answer by the run's vote, from 1;
    None where nobody gave it. `candidates`: views that found an answer; `shape_found`: whether one, or a program, found
    the right shape. `vote`: the share of them behind the vote's first answer, and `voted`: whether that is right.
    `from_model`: attempts the model gave, 0 to 2, `from_programs`: attempts that programs alone gave.
    """

    task_id: str
    test: int
    solved: bool
    first: bool
    shape: bool
    cells: float
    rank: int | None
    candidates: int
    shape_found: bool
    vote: float
    from_model: int
    voted: bool = False
    from_programs: int = 0

    @property
    def answered(self) -> bool:
        """Whether an attempt is no placeholder."""
        return self.from_model > 0 or self.from_programs > 0


@dataclass(frozen=True)
class Bin:
    """First answers of the vote whose share of the votes is above `low` and at most `high`.

    `vote`: the mean of that share; `right`: how often they were right.
    """

    low: float
    high: float
    outputs: int
    vote: float
    right: float


@dataclass(frozen=True)
class StageScore:
    """What a run that ended after this stage would have been worth.

    `tasks`: worked on in it. `gained`, `lost`: outputs solved and unsolved by it. `seconds`: of work, over all devices.
    """

    stage: int
    name: str
    tasks: int
    score: float
    outputs_solved: int
    gained: int
    lost: int
    seconds: float


@dataclass(frozen=True)
class Overlap:
    """Tasks solved by the two minds, each as if it had been heard alone; of all `tasks` with a solution.

    `together`: by the run's attempts.
    """

    tasks: int
    both: int
    only_programs: int
    only_model: int
    neither: int
    together: int

    @property
    def shared(self) -> float | None:
        """The share of what programs solve that the model solves, too (arXiv 2411.07279 compares so); None: nothing."""
        programs = self.both + self.only_programs
        return self.both / programs if programs else None


@dataclass(frozen=True)
class Measures:
    """A whole run.

    `oracle`, `shape_right`, `cell_accuracy`: shares, averaged over tasks as the score is. `ranks`: of the right answer
    → outputs. `calibration_error`: mean distance of vote and truth. `reached`: outputs that got so far on their way.
    `spent`: as `spent` gives it; `wall`: seconds to the record's last line. `overlap`: of the two minds, where both
    were asked. `engines`: as `engines` gives it.
    """

    tasks: int
    outputs: int
    placeholders: int
    oracle: float
    shape_right: float
    cell_accuracy: float
    ranks: Mapping[str, int]
    reliability: tuple[Bin, ...]
    calibration_error: float
    stages: tuple[StageScore, ...]
    reached: Mapping[str, int]
    spent: Mapping[str, Mapping[str, float]]
    wall: float
    overlap: Overlap | None = None
    engines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def cells(attempt: Grid, right: Grid) -> float:
    """Share of cells that are right; 0 where the shape is not."""
    return float((attempt == right).mean()) if attempt.shape == right.shape else 0.0


def outputs(history: History, solutions: Mapping[str, Sequence[Grid]], rule: str | None = None) -> list[Output]:
    """Every output of the solutions, in their order, whether the run knows its task or not.

    `rule`: ranks the candidates, the run's own where none is given; the attempts stay what they were.
    """
    return [
        _output(_story(history, task_id, all_right), test, right, rule or history.rule)
        for task_id, all_right in solutions.items()
        for test, right in enumerate(all_right)
    ]


def _story(history: History, task_id: str, right: Sequence[Grid]) -> Story:
    """A task's story; an empty one where the run does not know it."""
    return history.stories.get(task_id) or Story(task_id, len(right), None)


def _output(story: Story, test: int, right: Grid, rule: str) -> Output:
    attempts, ranked, voted = story.attempts(test), story.ranked(test, rule), story.voted(test, rule)
    total = sum(answer.votes for answer in voted)
    return Output(
        task_id=story.id,
        test=test,
        solved=solves(attempts, right),
        first=attempts is not None and same(attempts[0], right),
        shape=any(attempt.shape == right.shape for attempt in attempts or ()),
        cells=max((cells(attempt, right) for attempt in attempts or ()), default=0.0),
        rank=next((n for n, answer in enumerate(ranked, 1) if same(answer.grid, right)), None),
        candidates=total,
        shape_found=any(answer.grid.shape == right.shape for answer in ranked),
        vote=voted[0].votes / total if total else 0.0,
        from_model=story.from_model(test),
        voted=bool(voted) and same(voted[0].grid, right),
        from_programs=story.from_programs(test),
    )


def status(outputs: Iterable[Output]) -> str:
    """What to call a task, by its outputs: `solved`, `near miss`, `placeholder` or `failed`.

    A near miss is solved in part, or for every output has the right answer among its candidates or at least `NEAR` of
    the cells right.
    """
    every = list(outputs)
    if all(output.solved for output in every):
        return "solved"
    if not any(output.answered for output in every):
        return "placeholder"
    near = any(o.solved for o in every) or all(o.rank is not None or o.cells >= NEAR for o in every)
    return "near miss" if near else "failed"


def reliability(outputs: Sequence[Output]) -> tuple[Bin, ...]:
    """The first answers of the model's vote, by their share of it; bins that are empty are left out."""
    bins: dict[int, list[Output]] = {n: [] for n in range(BINS)}
    for output in outputs:
        if output.candidates:
            bins[max(0, math.ceil(output.vote * BINS) - 1)].append(output)
    return tuple(
        Bin(n / BINS, (n + 1) / BINS, len(them), _mean(o.vote for o in them), _mean(o.voted for o in them))
        for n, them in bins.items()
        if them
    )


def by_stage(history: History, solutions: Mapping[str, Sequence[Grid]]) -> tuple[StageScore, ...]:
    """The stages in order, each as if it had been the last; a placeholder counts as unsolved here.

    Programs may be found while the model works: a task whose search ended last is voted on anew for each row.
    """
    before: dict[str, list[bool]] = {i: [False] * len(right) for i, right in solutions.items()}
    rows = []
    for number in history.stages:
        stories = {i: s for i, s in history.stories.items() if i in before}
        results = {i: t for i, s in stories.items() for t in s.results if t.stage == number}
        after = before | {i: _after(history, stories[i], number, solutions[i]) for i in results}
        pairs = [(a, b) for i in before for a, b in zip(before[i], after[i], strict=True)]
        rows.append(
            StageScore(
                stage=number,
                name=stage_name(number),
                tasks=len(results),
                score=_mean(_mean(hits) for hits in after.values()),
                outputs_solved=sum(b for _, b in pairs),
                gained=sum(b and not a for a, b in pairs),
                lost=sum(a and not b for a, b in pairs),
                seconds=sum(sum(t.seconds.values()) for t in results.values()),
            )
        )
        before = after
    return tuple(rows)


def _after(history: History, story: Story, number: int, right: Sequence[Grid]) -> list[bool]:
    """Which of a task's outputs were solved by the stages up to this one."""
    last = [result for result in story.results if result.stage <= number][-1]
    if by_programs(last.stage):
        return [_among(story.after(test, history.rule, number), output) for test, output in enumerate(right)]
    return _solved(last.attempts, right)


def _among(grids: Iterable[Grid], right: Grid) -> bool:
    return any(same(grid, right) for grid in grids)


def _solved(attempts: Sequence[Attempts | None], right: Sequence[Grid]) -> list[bool]:
    """Whether each output is solved by its attempts, of which there may be too few."""
    return [solves(two, output) for two, output in zip([*attempts, *[None] * len(right)], right, strict=False)]


def measure(history: History, solutions: Mapping[str, Sequence[Grid]]) -> Measures:
    """All measures of a run. ValueError: there are no solutions."""
    if not solutions:
        raise ValueError("no solutions came; at least one task with at least one output was expected")
    every = outputs(history, solutions)
    bins = reliability(every)
    told = Counter(_rank(output.rank) for output in every)
    names = [*map(str, range(1, RANKS + 1)), "later", "not found"]
    answered = sum(b.outputs for b in bins)
    return Measures(
        tasks=len(solutions),
        outputs=len(every),
        placeholders=sum(not output.answered for output in every),
        oracle=by_task(every, [output.rank is not None for output in every]),
        shape_right=by_task(every, [output.shape for output in every]),
        cell_accuracy=by_task(every, [output.cells for output in every]),
        ranks={name: told[name] for name in names},
        reliability=bins,
        calibration_error=sum(b.outputs * abs(b.vote - b.right) for b in bins) / answered if answered else 0.0,
        stages=by_stage(history, solutions),
        reached={
            "outputs asked for": len(every),
            "answered": sum(output.candidates > 0 or output.from_programs > 0 for output in every),
            "right shape found": sum(output.shape_found for output in every),
            "right answer found": sum(output.rank is not None for output in every),
            "right answer in the two attempts": sum(output.solved for output in every),
            "right answer first": sum(output.first for output in every),
        },
        spent=spent(history),
        wall=history.seconds,
        overlap=overlap(history, solutions) if any(map(by_programs, history.stages)) else None,
        engines=engines(history),
    )


def overlap(history: History, solutions: Mapping[str, Sequence[Grid]]) -> Overlap:
    """What each mind solves by itself, from the candidates of one run."""
    stories = {i: _story(history, i, right) for i, right in solutions.items()}
    pairs = [tuple(_alone(stories[i], history.rule, right, whose) for whose in ALONE) for i, right in solutions.items()]
    return Overlap(
        tasks=len(solutions),
        both=pairs.count((True, True)),
        only_programs=pairs.count((True, False)),
        only_model=pairs.count((False, True)),
        neither=pairs.count((False, False)),
        together=sum(all(_solved(stories[i].answers, right)) for i, right in solutions.items()),
    )


def _alone(story: Story, rule: str, right: Sequence[Grid], whose: str) -> bool:
    """Whether one source by itself solves every output of a task."""
    return all(_among(story.alone(test, rule, whose), output) for test, output in enumerate(right))


def spent(history: History) -> dict[str, dict[str, float]]:
    """By device, its seconds by what they went for: starting first, `REST` last, which is what no result tells of.

    That is waiting, batches that failed, and the run's own first and last moments. All of a device's add up to the
    run's seconds.
    """
    pieces = list(history.between)
    for story in history.stories.values():
        pieces += [(result.device, stage, used) for result in story.results for stage, used in result.seconds.items()]
    stages = dict.fromkeys((START, *(stage for _, stage, _ in pieces)))
    table = {device: dict.fromkeys(stages, 0.0) for device in sorted({device for device, _, _ in pieces})}
    for device, stage, used in pieces:
        table[device][stage] += used
    return {device: by | {REST: history.seconds - math.fsum(by.values())} for device, by in table.items()}


def engines(history: History) -> dict[str, dict[str, float]]:
    """By device, what its engine did in all batches (`counters.Counters`); {} where nothing tells of it."""
    results = {(t.device, *t.engine.items()): t for s in history.stories.values() for t in s.results if t.engine}
    sums: dict[str, dict[str, float]] = {}
    for result in results.values():
        of_device = sums.setdefault(result.device, {})
        for name, value in result.engine.items():
            of_device[name] = of_device.get(name, 0.0) + value
    return {device: sums[device] for device in sorted(sums)}


def worked(history: History) -> float:
    """Seconds of work of all devices."""
    return math.fsum(used for by in spent(history).values() for stage, used in by.items() if stage not in (START, REST))


def _rank(rank: int | None) -> str:
    return "not found" if rank is None else str(rank) if rank <= RANKS else "later"


def _mean(values: Iterable[float]) -> float:
    every = list(values)
    return math.fsum(every) / len(every) if every else 0.0


def by_task(outputs: Sequence[Output], values: Sequence[float]) -> float:
    """Outputs' values averaged as Kaggle's rule does: over each task's outputs, then over tasks; 0 for none."""
    tasks: dict[str, list[float]] = {}
    for output, value in zip(outputs, values, strict=True):
        tasks.setdefault(output.task_id, []).append(value)
    return _mean(map(_mean, tasks.values()))
