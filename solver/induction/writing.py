"""Replies from an engine, as many as are expected to end in time, each stopped at the end of its first whole program.

Replies are begun while others run, as the measured pace allows; what is still running when the seconds are over is
given as it is. None is begun where the question alone would take all the seconds to read. Invariants: which replies are
begun is decided by seconds alone, never by what others say; they are begun in order; with seconds enough all are.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from solver.clock import now
from solver.induction.replies import FENCE, Completion, is_whole
from solver.induction.writing_pace import WritingPace
from solver.interfaces import Stop


@dataclass(frozen=True)
class WritingRequest:
    """One reply wanted: to a question's tokens, by a seed, of `most` tokens at most, after its `opening`."""

    prompt: tuple[int, ...]
    seed: int
    most: int
    opening: str = ""


Waiting: TypeAlias = "deque[tuple[int, WritingRequest]]"
"""Requests that are not begun, each with its place among all."""


@dataclass(frozen=True)
class Piece:
    """What a step added to the reply of this name: text, tokens, and whether and how it ended."""

    name: str
    text: str
    tokens: int
    ended: bool = False  # there will be no more
    cut: bool = False  # because its tokens were over


class TextEngine(Protocol):
    """Writes many replies at once, a step a token."""

    def begin(self, request: WritingRequest) -> str:
        """Begin a reply; its name."""
        ...

    def step(self) -> list[Piece]:
        """What a step adds to the replies."""
        ...

    def withdraw(self, names: Sequence[str]) -> None:
        """Leave these off."""


@dataclass
class PartialText:
    """A reply that is running: for the request at `place`, with what it has said."""

    place: int
    text: str
    tokens: int = 0

    def take(self, piece: Piece) -> bool:
        """Add a piece; whether a fence came with it, so that a program may have ended."""
        tail = self.text[1 - len(FENCE) :] + piece.text
        self.text += piece.text
        self.tokens += piece.tokens
        return FENCE in tail


class ReplyWriter:
    """Writes replies with an engine, at a `pace` that is measured by the clock `read`."""

    def __init__(self, engine: TextEngine, pace: WritingPace, read: Callable[[], float] = now):
        self.engine, self.pace, self.read = engine, pace, read
        self.whole: Callable[[str], bool] = is_whole
        self.running: dict[str, PartialText] = {}
        self.last_prompt: tuple[int, ...] = ()  # that was read: what others begin with as well is in the cache

    def write(
        self, requests: Sequence[WritingRequest | None], stop: Stop, whole: Callable[[str], bool] = is_whole
    ) -> list[Completion | None]:
        """A completion for each request, in order; None where there was no request or no time to begin it.

        `whole`: says of a text, each time a fence comes, that it holds all that is wanted.
        """
        self.whole = whole
        waiting = deque((place, request) for place, request in enumerate(requests) if request is not None)
        completions: list[Completion | None] = [None] * len(requests)
        self.running = {}
        try:
            if waiting and self._reading_seconds(waiting) < stop.remaining():
                self._read(waiting, completions, stop)
            else:
                waiting.clear()
            while stop.remaining() > 0:
                if waiting:
                    self._begin(waiting, self.pace.more(len(self.running), stop.remaining()))
                if not self.running:  # nor is there time for another
                    break
                self._step(completions)
        finally:
            self.engine.withdraw(sorted(self.running))
        for partial in self.running.values():
            completions[partial.place] = self._left_off(partial)
        return completions

    def _reading_seconds(self, waiting: Waiting) -> float:
        """How long the first question is expected to take to read."""
        prompt = waiting[0][1].prompt
        return self.pace.reading_seconds(len(prompt) - common(prompt, self.last_prompt))

    def _read(self, waiting: Waiting, completions: list[Completion | None], stop: Stop) -> None:
        """Begin the first replies, one at least, and step until the question is read, which is timed."""
        first = self.pace.more(0, stop.remaining() - self._reading_seconds(waiting))
        prompt = waiting[0][1].prompt
        unread = len(prompt) - common(prompt, self.last_prompt)
        self.last_prompt = prompt
        self._begin(waiting, max(1, first))
        seconds = 0.0
        while (unheard := self._unheard()) and stop.remaining() > 0:
            seconds += self._step(completions)
        if not unheard:
            self.pace.add_reading(unread, seconds)

    def _unheard(self) -> bool:
        """Whether replies are running and none has said anything."""
        return bool(self.running) and not any(partial.tokens for partial in self.running.values())

    def _begin(self, waiting: Waiting, replies: int) -> None:
        for _ in range(min(replies, len(waiting))):
            place, request = waiting.popleft()
            self.running[self.engine.begin(request)] = PartialText(place, request.opening)

    def _step(self, completions: list[Completion | None]) -> float:
        """One step of the engine, which is measured unless a question was read in it; its seconds."""
        writing = all(partial.tokens for partial in self.running.values())
        running, started = len(self.running), self.read()
        pieces = self.engine.step()
        seconds = self.read() - started
        if writing:
            self.pace.add_step(running, sum(piece.tokens for piece in pieces), seconds)
        for piece in pieces:
            self._take(piece, completions)
        return seconds

    def _take(self, piece: Piece, completions: list[Completion | None]) -> None:
        partial = self.running.get(piece.name)
        if partial is None:  # it was withdrawn while the engine wrote on
            return
        whole = partial.take(piece) and self.whole(partial.text)
        if whole and not piece.ended:
            self.engine.withdraw([piece.name])
        if whole or piece.ended:
            del self.running[piece.name]
            self.pace.add_reply(partial.tokens)
            completions[partial.place] = Completion(partial.text, whole or not piece.cut, partial.tokens)

    def _left_off(self, partial: PartialText) -> Completion | None:
        """What the end of the seconds leaves of a reply. Of its length is known that it is no shorter."""
        if partial.tokens > self.pace.length():
            self.pace.add_reply(partial.tokens)
        return Completion(partial.text, False, partial.tokens) if partial.tokens else None


def common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two prompts have in common at their beginnings."""
    return next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
