"""Every reply whose probability is at least p_min, exactly, over any sampler.

A prompt is completed greedily and the sampler names, beside each token it says, the other tokens that were possible.
Each of those whose cumulative probability is still at least p_min begins a branch of its own: the prompt, what was said
before it, and that token, completed greedily in its turn. All branches of all prompts go to the sampler together, so
that views, tests, tasks and adapters share its batches and an engine with a prefix cache computes little twice: the
moment they appear where the sampler can be listened to, else in waves. (The set is the one of the threshold search in
arXiv 2505.07859; there it is found token by token.)

Law: what is found is exactly the set of finished replies, of at most the prompt's `max_reply` tokens and spelled as the
grammar allows, whose probability is at least p_min; or else it is said how many branches were not followed and how much
probability they held.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solver.batch import Models, Requests, TaskState
from solver.clock import Deadline
from solver.data import views
from solver.interfaces import Grammar, Sampler, Stop, Streamer
from solver.tokens.grid import Format
from solver.types import Adapter, Candidate, Prompt, Reply

NODES = 256  # requests a prompt may cost: some 1 / p_min suffice unless the model hardly knows what to say
ROUNDING = 1e-9  # nats: a reply whose probability is p_min but for the rounding of its sum is found


@dataclass(frozen=True)
class SearchResult:
    """What a search found for one prompt.

    `replies`: likeliest first. `asked`: requests it cost. `cut`: branches not followed to their end, because of the
    limit on requests, of the seconds, or of the prompt's `max_reply`. `missed`: their probability in all, the most that
    replies not found can add up to. `greedy`: the greedy reply, however unlikely, where it was asked for and came to
    its end; it may spell no grid. `candidates`: the replies' grids in the task's own frame, where `candidates` was
    asked for them.
    """

    replies: tuple[Reply, ...]
    asked: int
    cut: int = 0
    missed: float = 0.0
    greedy: Reply | None = None
    candidates: tuple[Candidate, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return self.cut == 0


def search_views(
    asked: Sequence[tuple[TaskState, Prompt]], parts: Sequence[Requests], models: Models, stop: Deadline
) -> None:
    """Find every likely answer under each view, not the greedy one alone, and write them into the tasks' states.

    `asked`: the prompts with the tasks they are of; `parts`: the same as requests, one part after another.
    """
    search = models.config.search
    own = stop.within((search.share if search.views else 1.0) * stop.remaining())
    answers: list[SearchResult] = []
    for requests in parts:
        answers += candidates(requests, models.sampler, own, search.p_min, search.nodes, models.format)
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
    for state in {state.task.id: state for state, _ in asked}.values():
        if views_left := unfinished[state.task.id]:
            state.notes.append(f"out of time for {views_left} views")
        if cut := missed[state.task.id]:
            state.notes.append(
                f"search cut short in {len(cut)} views: at most {sum(cut) / len(cut):.0%} of each missed"
            )


def candidates(
    requests: Sequence[tuple[Prompt, Adapter | None]],
    sampler: Sampler,
    stop: Stop,
    p_min: float,
    nodes: int,
    format: Format,
) -> list[SearchResult]:
    """For each request, in order: every grid whose probability under its view is at least p_min.

    Where there is none, the greedy reply stands for its view, so that a model that is sure of nothing still answers.
    """
    results = search(requests, sampler, stop, p_min, format, nodes, greedy=True)
    for place, ((prompt, _), result) in enumerate(zip(requests, results, strict=True)):
        replies = result.replies or ([result.greedy] if result.greedy else [])
        decoded = [(format.decode(reply.tokens), reply.logprob) for reply in replies]
        grids = ((views.invert(prompt.view, grid), nats) for grid, nats in decoded if grid is not None)
        results[place] = replace(result, candidates=tuple(Candidate(grid, prompt.view, nats) for grid, nats in grids))
    return results


def search(
    requests: Sequence[tuple[Prompt, Adapter | None]],
    sampler: Sampler,
    stop: Stop,
    p_min: float,
    format: Format,
    nodes: int = NODES,
    greedy: bool = False,
) -> list[SearchResult]:
    """For each request, in order: every reply of probability at least p_min; equal requests are searched once.

    `format`: of it only the grammar and the token that ends a reply. `nodes`: requests to the sampler that one prompt
    may cost; of branches that appear together the likeliest are followed first, and those that appear when there are no
    more are cut. `greedy`: complete each prompt's greedy reply, even where it turns out to be unlikely.
    ValueError: p_min is no probability above 0.
    """
    if not 0 < p_min <= 1:
        raise ValueError(f"p_min is {p_min}: expected a probability above 0 and at most 1")
    keys = [(prompt.tokens, prompt.max_reply, adapter.name if adapter else None) for prompt, adapter in requests]
    trees = {key: Tree(*request, p_min, nodes, format.end, greedy) for key, request in zip(keys, requests, strict=True)}
    roots = [Branch(tree, (), (), 0.0, format.written, root=True) for tree in trees.values()]
    if isinstance(sampler, Streamer):
        _listen(roots, sampler, stop)
    else:
        _in_waves(roots, sampler, stop)
    results = {key: tree.result() for key, tree in trees.items()}
    return [results[key] for key in keys]


def _in_waves(frontier: Sequence[Branch], sampler: Sampler, stop: Stop) -> None:
    while wave := _affordable(frontier):
        replies = sampler.sample([branch.request() for branch in wave], stop)
        frontier = [new for branch, reply in zip(wave, replies, strict=True) for new in branch.grow(reply)]


def _listen(roots: Sequence[Branch], sampler: Streamer, stop: Stop) -> None:
    """Follow every branch from the moment it leaves another; `running` holds them by the number of their request."""
    running: list[Branch | None] = []

    def follow(branches: Sequence[Branch]) -> list[tuple[Prompt, Adapter | None]]:
        affordable = _affordable(branches)
        running.extend(affordable)
        return [branch.request() for branch in affordable]

    def on_tokens(number: int, piece: Reply) -> tuple[bool, list[tuple[Prompt, Adapter | None]]]:
        branch = running[number]
        assert branch is not None, "a reply went on after its end"
        new, running[number] = branch.extend(piece)
        return running[number] is not None, follow(new)

    sampler.stream(follow(roots), stop, on_tokens)
    for branch in running:
        if branch is not None:
            branch.conclude(finished=False)


def _affordable(frontier: Sequence[Branch]) -> list[Branch]:
    """The branches their trees may still ask for, the likeliest of all first; the others are cut."""
    return [branch for branch in sorted(frontier, key=lambda b: -b.total) if branch.tree.affords(branch)]


class Tree:
    """The search under one prompt: what it may cost, what it found, what it left out.

    `greedy`: the greedy reply as far as it was said.
    """

    def __init__(self, prompt: Prompt, adapter: Adapter | None, p_min: float, nodes: int, end: int, wants_greedy: bool):
        self.prompt, self.adapter, self.nodes, self.end = prompt, adapter, nodes, end
        self.floor = math.log(p_min) - ROUNDING
        self.wants_greedy, self.greedy = wants_greedy, Reply((), (), False)
        self.replies: list[Reply] = []
        self.asked, self.cut, self.missed = 0, 0, 0.0

    def affords(self, branch: Branch) -> bool:
        """Count one request more, or leave the branch out where there were enough."""
        if self.asked >= self.nodes:
            self.leave_out(branch.total)
            return False
        self.asked += 1
        return True

    def leave_out(self, total: float) -> None:
        """A branch of this log-probability is not followed to its end."""
        self.cut += 1
        self.missed += math.exp(total)

    def result(self) -> SearchResult:
        """The result, likeliest replies first, equally likely ones in the order of their tokens."""
        ordered = sorted(self.replies, key=lambda r: (-r.logprob, r.tokens))
        greedy = self.greedy if self.greedy.finished else None
        return SearchResult(tuple(ordered), self.asked, self.cut, self.missed, greedy)


@dataclass(frozen=True, eq=False)
class Branch:
    """The beginning of a reply, to be completed greedily, or how far its completion has come.

    `total`: nats of its tokens, -inf once it goes on for the greedy reply's sake alone; `grammar`: after them; `root`:
    whether it is completed from the prompt itself.
    """

    tree: Tree
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    total: float
    grammar: Grammar
    root: bool = False

    @property
    def wanted(self) -> int:
        """How many other tokens can be likely enough beside the greedy one, which is at least as likely as they."""
        return max(0, int(math.exp(self.total - self.tree.floor)) - 1)

    @property
    def is_greedy(self) -> bool:
        """Whether its completion is the prompt's greedy reply, and wanted however unlikely."""
        return self.root and self.tree.wants_greedy

    def request(self) -> tuple[Prompt, Adapter | None]:
        """What to ask the sampler: to continue, naming every token that could begin a branch."""
        prompt = self.tree.prompt
        asked = replace(
            prompt,
            tokens=prompt.tokens + self.tokens,
            max_reply=prompt.max_reply - len(self.tokens),
            alternatives=self.wanted,
            floor=-math.inf if self.is_greedy else self.tree.floor - self.total - ROUNDING,
        )
        return asked, self.tree.adapter

    def grow(self, reply: Reply | None) -> list[Branch]:
        """Take the whole completion in, None: it was not made; the new branches that leave it."""
        new, unfinished = self.extend(reply) if reply else ([], self)
        if unfinished:
            unfinished.conclude(finished=False)
        return new

    def extend(self, piece: Reply) -> tuple[list[Branch], Branch | None]:
        """What was said next: the new branches that leave it, and the branch itself where it goes on."""
        if self.is_greedy:
            said = self.tree.greedy
            self.tree.greedy = Reply(said.tokens + piece.tokens, said.logprobs + piece.logprobs, piece.finished)
        alternatives = piece.alternatives
        if not alternatives and not self.wanted:
            alternatives = ((),) * len(piece.tokens)
        if len(alternatives) != len(piece.tokens):
            raise ValueError(
                f"the sampler named alternatives for {len(alternatives)} of {len(piece.tokens)} tokens: "
                "a search needs them for every one"
            )
        new, at = list[Branch](), self
        for token, nats, others in zip(piece.tokens, piece.logprobs, alternatives, strict=True):
            branches = (at.then(*other) for other in others)
            new += [branch for branch in branches if branch and not branch.closed()]
            following = at.then(token, nats, self.root, lost=self.is_greedy)
            if following is None:
                return new, None
            at = following
        if piece.finished or len(at.tokens) >= self.tree.prompt.max_reply:
            at.conclude(piece.finished)
            return new, None
        return new, at

    def then(self, token: int, nats: float, root: bool = False, lost: bool = False) -> Branch | None:
        """One token further; where that is too unlikely or ungrammatical None or, to go on, `lost`."""
        total, grammar = self.total + nats, self.grammar.then(token)
        if total < self.tree.floor or grammar is None:
            if not lost:
                return None
            total, grammar = -math.inf, self.grammar
        return Branch(self.tree, (*self.tokens, token), (*self.logprobs, nats), total, grammar, root)

    def closed(self) -> bool:
        """Whether nothing is left to ask after its last token: it is the end, or there is no room for one."""
        finished = self.tokens[-1] == self.tree.end
        over = finished or len(self.tokens) >= self.tree.prompt.max_reply
        if over:
            self.conclude(finished)
        return over

    def conclude(self, finished: bool) -> None:
        """The branch ends here: as a reply, or left out, by the prompt's `max_reply` or for want of seconds."""
        if finished and self.total > -math.inf:
            self.tree.replies.append(Reply(self.tokens, self.logprobs, True))
        elif self.total > -math.inf:
            self.tree.leave_out(self.total)
