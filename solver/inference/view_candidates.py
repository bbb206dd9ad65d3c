"""The candidates of a batch's tasks under all their views: sampled, searched for, and scored for the vote.

Each step asks the engine for all tasks at once and writes into their states. Law: what is no grid is rejected and
counted, never repaired; what time ran out for is said in the notes.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from solver.batch import Batch, Models, TaskState
from solver.clock import Deadline, now
from solver.config.settings import Config, SearchSettings
from solver.data.views import invert
from solver.inference import rescoring, threshold_search
from solver.inference.prompts import batches
from solver.interfaces import Scorer
from solver.types import Candidate, Reply
from solver.voting import rules


def sample_views(
    states: Sequence[TaskState], views: int, batch: Batch, models: Models, stop: Deadline, how: SearchSettings
) -> None:
    """Sample every view of every test input in one batch, or, `hurried`, in parts; decode the replies."""
    started = now()
    replies: list[Reply | None] = []
    asked, parts = batches(states, views, models.config, batch.hurried, how)
    for requests in parts:
        replies += models.sampler.sample(requests, stop)
    unfinished: Counter[str] = Counter()
    for (state, prompt), reply in zip(asked, replies, strict=True):
        if reply is None:
            unfinished[state.task.id] += 1
            continue
        grid = state.format.decode(reply.tokens) if reply.finished else None
        if grid is None:
            state.rejected += 1
        else:
            state.candidates[prompt.test].append(Candidate(invert(prompt.view, grid), prompt.view, reply.logprob))
    what = "views" if how.samples == 1 else "replies"
    for state in states:
        state.seconds["sample"] = (now() - started) / len(states)
        if late := unfinished[state.task.id]:
            state.notes.append(f"out of time for {late} {what}")


def search_views(states: Sequence[TaskState], batch: Batch, models: Models, stop: Deadline) -> None:
    """`sample_views`, but for every likely answer under each view instead of the greedy one."""
    started, config = now(), models.config
    share = config.search.share if config.search.views else 1.0
    own = stop.within(share * stop.remaining())
    answers: list[threshold_search.SearchResult] = []
    asked, parts = batches(states, config.views, config, batch.hurried, config.search)
    p_min, nodes = config.search.p_min, config.search.nodes
    for requests in parts:
        answers += threshold_search.candidates(requests, models.sampler, own, p_min, nodes, models.format)
    late = own.remaining() <= 0
    missed: defaultdict[str, list[float]] = defaultdict(list)
    unfinished: Counter[str] = Counter()
    for (state, prompt), answer in zip(asked, answers, strict=True):
        state.candidates[prompt.test] += answer.candidates
        said = bool(answer.candidates) or answer.greedy is not None
        state.rejected += not answer.candidates and (said or not late)
        unfinished[state.task.id] += late and not said
        if not answer.complete:
            missed[state.task.id].append(answer.missed)
    for state in states:
        state.seconds["sample"] = (now() - started) / len(states)
        if views := unfinished[state.task.id]:
            state.notes.append(f"out of time for {views} views")
        if cut := missed[state.task.id]:
            state.notes.append(
                f"search cut short in {len(cut)} views: at most {sum(cut) / len(cut):.0%} of each missed"
            )


def rescore_candidates(states: Sequence[TaskState], scorer: Scorer, config: Config, stop: Deadline) -> None:
    """Score all candidates of a test input under its first views, those of all tasks in one batch."""
    started = now()
    tests = [(state, test) for state in states for test in range(len(state.task.tests))]
    to_score = [
        rescoring.CandidatesToScore(
            tuple(p for number, p in state.prompts if p.test == test and number < config.search.views),
            state.adapter,
            tuple(state.candidates[test]),
        )
        for state, test in tests
    ]
    worth = rules.VOTE_WORTH.get(config.rule, 0.0)
    scored = rescoring.rescore(to_score, scorer, stop, config.engine.context - 1, states[0].format, worth)
    for (state, test), result in zip(tests, scored, strict=True):
        state.candidates[test] = list(result.candidates)
        if result.cut:
            state.notes.append(f"test {test}: out of time after {result.scored} readings of its candidates")
    for state in states:
        state.seconds["score"] = (now() - started) / len(states)
