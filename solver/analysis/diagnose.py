"""What became of every test output of a run, held against its solution: how near, how sure, in which stage.

Law: an output the run never reached is wrong in each measure, never left out.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean

from solver.analysis.history import SHARED, History, Story
from solver.analysis.scoring import mean_share, tally
from solver.types import ATTEMPTS, Attempts, Grid, Outputs, by_programs, same, solves, stage_name
from solver.voting.candidates import MODEL_ALONE, PROGRAMS_ALONE
from solver.voting.rules import JUDGE, Ranked, vote_of

NEAR = 0.9  # share of right cells from which an unsolved task is a near miss
BINS = 5  # of the reliability table, each a fifth of the votes wide
START, REST = "start-up", "rest"  # of a device's seconds: the engine's start, and what no result tells of
RANKS = 4  # the right answer's rank is told up to here, then "later"


@dataclass(frozen=True)
class Output:
    """One test output."""

    task_id: str
    test: int
    solved: bool  # by either attempt
    first: bool  # by the first
    shape: bool  # whether an attempt's shape is right
    cells: float  # share of right cells in the better attempt, 0 where its shape is wrong
    rank: int | None  # of the right answer by the run's vote, from 1; None where nobody gave it
    candidates: int  # views that found an answer
    shape_found: bool  # whether one, or a program, found the right shape
    vote: float  # the share of the views behind the vote's first answer
    voted: bool  # whether that is right
    chance: float | None  # that an attempt is right, by the judge; None where another rule is asked, or nobody answered
    from_model: int  # attempts the model gave, 0 to 2
    from_programs: int  # attempts that programs alone gave

    @property
    def answered(self) -> bool:
        """Whether an attempt is no placeholder."""
        return self.from_model > 0 or self.from_programs > 0


@dataclass(frozen=True)
class Bin:
    """Outputs whose share of the votes, or chance, is above `low` and up to `high`; its mean, and how often it held."""

    low: float
    high: float
    outputs: int
    vote: float
    right: float


@dataclass(frozen=True)
class StageScore:
    """What a run that ended after this stage would have been worth."""

    stage: int
    name: str
    tasks: int  # worked on in it
    score: float
    outputs_solved: int
    gained: int  # outputs solved by it
    lost: int  # outputs unsolved by it
    seconds: float  # of work, over all devices


@dataclass(frozen=True)
class Overlap:
    """Of all `tasks` with a solution, those each source alone would solve; `together`: those the run's attempts do."""

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
    """A whole run."""

    tasks: int
    outputs: int
    placeholders: int
    oracle: float  # a share, averaged over tasks as the score is; so are the next two
    shape_right: float
    cell_accuracy: float
    ranks: Mapping[str, int]  # of the right answer → outputs
    reliability: tuple[Bin, ...]
    calibration_error: float  # mean distance of vote and truth
    judged: tuple[Bin, ...]  # of the judge's two attempts, where it is the rule
    stages: tuple[StageScore, ...]
    reached: Mapping[str, int]  # outputs that got so far on their way
    spent: Mapping[str, Mapping[str, float]]  # as `spent` gives it
    wall: float  # seconds to the record's last line
    overlap: Overlap | None  # of model and programs, where both were asked
    engines: Mapping[str, Mapping[str, float]]  # as `engines` gives it


def outputs(history: History, solutions: Outputs, rule: str | None = None) -> list[Output]:
    """Every output of the solutions, whether the run knows its task or not. `rule`: ranks, in place of the run's."""
    return [
        _output(history.story(task_id, len(outputs)), test, right, rule or history.rule)
        for task_id, outputs in solutions.items()
        for test, right in enumerate(outputs)
    ]


def _output(story: Story, test: int, right: Grid, rule: str) -> Output:
    attempts, ranked = story.attempts(test), story.ranked(test, rule)
    voted, (from_model, from_programs) = story.ranked(test, vote_of(rule), MODEL_ALONE), story.given(test)
    total = sum(answer.votes for answer in voted)
    return Output(
        task_id=story.id,
        test=test,
        solved=solves(attempts, right),
        first=attempts is not None and same(attempts[0], right),
        shape=any(attempt.shape == right.shape for attempt in attempts or ()),
        cells=max((float((a == right).mean()) for a in attempts or () if a.shape == right.shape), default=0.0),
        rank=next((n for n, answer in enumerate(ranked, 1) if same(answer.grid, right)), None),
        candidates=total,
        shape_found=any(answer.grid.shape == right.shape for answer in ranked),
        vote=voted[0].votes / total if total else 0.0,
        voted=bool(voted) and same(voted[0].grid, right),
        chance=min(1.0, math.fsum(answer.score for answer in ranked[:ATTEMPTS])) if rule == JUDGE and ranked else None,
        from_model=from_model,
        from_programs=from_programs,
    )


def status(outputs: Sequence[Output]) -> str:
    """What to call a task, by its outputs: `solved`, `near miss`, `placeholder` or `failed`.

    A near miss is solved in part, or for every output has the right answer among its candidates or at least `NEAR` of
    the cells right.
    """
    if all(output.solved for output in outputs):
        return "solved"
    if not any(output.answered for output in outputs):
        return "placeholder"
    near = any(o.solved for o in outputs) or all(o.rank is not None or o.cells >= NEAR for o in outputs)
    return "near miss" if near else "failed"


def reliability(outputs: Sequence[Output]) -> tuple[Bin, ...]:
    """The first answers of the model's vote, by their share of it; bins that are empty are left out."""
    return _bins([(output.vote, output.voted) for output in outputs if output.candidates])


def judged(outputs: Sequence[Output]) -> tuple[Bin, ...]:
    """The judge's two attempts, by the chance it gives them; bins that are empty are left out."""
    known = [output for output in outputs if output.chance is not None]
    return _bins([(output.chance or 0.0, output.rank is not None and output.rank <= ATTEMPTS) for output in known])


def _bins(said: Sequence[tuple[float, bool]]) -> tuple[Bin, ...]:
    bins: defaultdict[int, list[tuple[float, bool]]] = defaultdict(list)
    for share, right in said:
        bins[max(0, math.ceil(share * BINS) - 1)].append((share, right))
    return tuple(
        Bin(n / BINS, (n + 1) / BINS, len(them), fmean(s for s, _ in them), fmean(right for _, right in them))
        for n, them in sorted(bins.items())
    )


def by_stage(history: History, solutions: Outputs) -> tuple[StageScore, ...]:
    """The stages in order, each as if it had been the last; a placeholder counts as unsolved here.

    Programs may be found while the model works: a task whose search ended last is voted on anew for each row.
    """
    before: dict[str, list[bool]] = {i: [False] * len(right) for i, right in solutions.items()}
    rows = []
    for number in history.stages:
        stories = {i: s for i, s in history.stories.items() if i in before}
        results = {i: t for i, s in stories.items() for t in s.results if t.stage == number}
        after = before | {i: _after(history, stories[i], number, solutions[i]) for i in results}
        outputs = tally([*chain.from_iterable(before.values())], [*chain.from_iterable(after.values())])
        rows.append(
            StageScore(
                stage=number,
                name=stage_name(number),
                tasks=len(results),
                score=mean_share(after.values()),
                outputs_solved=outputs.both + outputs.only_second,
                gained=outputs.only_second,
                lost=outputs.only_first,
                seconds=sum(sum(t.seconds.values()) for t in results.values()),
            )
        )
        before = after
    return tuple(rows)


def _after(history: History, story: Story, number: int, right: Sequence[Grid]) -> list[bool]:
    """Which of a task's outputs were solved by the stages up to this one."""
    last = [result for result in story.results if result.stage <= number][-1]
    if by_programs(last.stage):
        return [_among(story.ranked(n, history.rule, last=number), output) for n, output in enumerate(right)]
    return _solved(last.attempts, right)


def _among(ranked: Sequence[Ranked], right: Grid) -> bool:
    """Whether the right answer is one of those that are attempted."""
    return any(same(answer.grid, right) for answer in ranked[:ATTEMPTS])


def _solved(attempts: Sequence[Attempts | None], right: Sequence[Grid]) -> list[bool]:
    """Whether each output is solved by its attempts, of which there may be too few."""
    return [solves(two, output) for two, output in zip([*attempts, *[None] * len(right)], right, strict=False)]


def measure(history: History, solutions: Outputs, every: Sequence[Output] | None = None) -> Measures:
    """All measures of a run; `every`: its `outputs`, where they are known. ValueError: there are no solutions."""
    if not solutions:
        raise ValueError("no solutions came; at least one task with at least one output was expected")
    every = outputs(history, solutions) if every is None else every
    bins = reliability(every)
    ranks = dict.fromkeys((*map(str, range(1, RANKS + 1)), "later", "not found"), 0)
    ranks |= Counter("not found" if n is None else str(n) if n <= RANKS else "later" for n in (o.rank for o in every))
    voted = sum(b.outputs for b in bins)
    right = [output.rank is not None for output in every]
    return Measures(
        tasks=len(solutions),
        outputs=len(every),
        placeholders=sum(not output.answered for output in every),
        oracle=by_task(every, right),
        shape_right=by_task(every, [output.shape for output in every]),
        cell_accuracy=by_task(every, [output.cells for output in every]),
        ranks=ranks,
        reliability=bins,
        calibration_error=sum(b.outputs * abs(b.vote - b.right) for b in bins) / voted if voted else 0.0,
        judged=judged(every),
        stages=by_stage(history, solutions),
        reached={
            "outputs asked for": len(every),
            "answered": sum(output.candidates > 0 or output.from_programs > 0 for output in every),
            "right shape found": sum(output.shape_found for output in every),
            "right answer found": sum(right),
            "right answer in the two attempts": sum(output.solved for output in every),
            "right answer first": sum(output.first for output in every),
        },
        spent=spent(history),
        wall=history.seconds,
        overlap=overlap(history, solutions) if any(map(by_programs, history.stages)) else None,
        engines=engines(history),
    )


def overlap(history: History, solutions: Outputs) -> Overlap:
    """What each source solves by itself, from the candidates of one run."""
    stories = {i: history.story(i, len(right)) for i, right in solutions.items()}

    def solved(i: str, whose: str) -> bool:
        return all(_among(stories[i].ranked(n, history.rule, whose), right) for n, right in enumerate(solutions[i]))

    alone = ([solved(i, whose) for i in solutions] for whose in (PROGRAMS_ALONE, MODEL_ALONE))
    together = sum(all(_solved(stories[i].answers, right)) for i, right in solutions.items())
    return Overlap(len(solutions), *tally(*alone), together)


def spent(history: History) -> dict[str, dict[str, float]]:
    """By device, its seconds by what they went for: starting first, `REST` last. They add up to the run's seconds."""
    pieces = [(device, START, seconds) for device, seconds in history.starts]
    pieces += [(shared.device, SHARED, shared.trained.seconds) for shared in history.shared]
    for story in history.stories.values():
        pieces += [(result.device, stage, used) for result in story.results for stage, used in result.seconds.items()]
    stages = dict.fromkeys((START, *(stage for _, stage, _ in pieces)))
    table = {device: dict.fromkeys(stages, 0.0) for device in sorted({device for device, _, _ in pieces})}
    for device, stage, used in pieces:
        table[device][stage] += used
    return {device: by | {REST: history.seconds - math.fsum(by.values())} for device, by in table.items()}


def engines(history: History) -> dict[str, dict[str, float]]:
    """By device, what its engine did in all batches (`Counters` of inference); {} where nothing tells of it."""
    results = {
        (t.device, *t.engine.items()): t for s in history.stories.values() for t in s.results if t.engine
    }.values()
    sums: dict[str, dict[str, float]] = {device: {} for device in sorted({result.device for result in results})}
    for result in results:
        of_device = sums[result.device]
        of_device |= {name: of_device.get(name, 0.0) + value for name, value in result.engine.items()}
    return sums


def worked(history: History) -> float:
    """Seconds of work of all devices."""
    return math.fsum(used for by in spent(history).values() for stage, used in by.items() if stage not in (START, REST))


def by_task(outputs: Sequence[Output], values: Sequence[float]) -> float:
    """Outputs' values averaged as the score is: over each task's outputs, then over tasks."""
    tasks: defaultdict[str, list[float]] = defaultdict(list)
    for output, value in zip(outputs, values, strict=True):
        tasks[output.task_id].append(value)
    return mean_share(tasks.values())
