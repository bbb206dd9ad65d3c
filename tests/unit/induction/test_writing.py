"""Replies from a fake engine whose steps take seconds of a fake clock: what is begun, stopped, cut off and measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from solver.clock import Deadline
from solver.induction.replies import Completion, is_whole
from solver.induction.writing import Piece, ReplyWriter, WritingRequest, common
from solver.induction.writing_pace import FIRST, MARGIN, WritingPace

PROGRAM = "def transform(grid):\n    return grid\n"
REPLY = f"```python\n{PROGRAM}```"


@dataclass
class Engine:
    """Says texts a character a step, by the seeds of the requests; a step takes `fixed` + `each` x running seconds.

    To read a token of a prompt that was not read before takes `reading` seconds, in the step it begins to speak.
    """

    texts: Sequence[str]
    fixed: float = 0.1
    each: float = 0.0
    reading: float = 0.0
    breaks: int = -1  # the step that fails
    time: float = 0.0
    steps: int = 0
    running: dict[str, tuple[str, int]] = field(default_factory=dict)  # what is left to say, and the most
    begun: list[WritingRequest] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    most_at_once: int = 0
    unread: int = 0

    def begin(self, request):
        known = max((common(request.prompt, other.prompt) for other in self.begun), default=0)
        self.unread += len(request.prompt) - known
        self.begun.append(request)
        name = f"reply {len(self.begun)}"
        self.running[name] = self.texts[request.seed % len(self.texts)], request.most
        self.most_at_once = max(self.most_at_once, len(self.running))
        return name

    def step(self):
        self.steps += 1
        if self.steps == self.breaks:
            raise RuntimeError("out of memory")
        self.time += self.fixed + self.each * len(self.running) + self.reading * self.unread
        self.unread = 0
        pieces = []
        for name, (text, most) in list(self.running.items()):
            left = text[1:], most - 1
            ended = not left[0] or not left[1]
            pieces.append(Piece(name, text[0], 1, ended, cut=bool(ended and left[0])))
            self.running[name] = left
            if ended:
                del self.running[name]
        return pieces

    def withdraw(self, names):
        self.withdrawn += names
        for name in names:
            self.running.pop(name, None)


def writing(engine, requests, seconds=1e6, pace=None, whole=is_whole):
    """What is written in so many seconds of the engine's clock; the pace, measured."""
    pace = pace or WritingPace(64, 2048)
    writer = ReplyWriter(engine, pace, lambda: engine.time)
    stop = Deadline(engine.time + seconds, lambda: engine.time)
    return writer.write(requests, stop, whole), pace


def wanted(number, most=1000, opening="", prompt=(1, 2, 3)):
    return [WritingRequest(prompt, seed, most, opening) for seed in range(number)]


def test_every_reply_is_written_in_order_where_there_is_time():
    engine = Engine(["one", "two", "three"])
    replies, pace = writing(engine, [*wanted(20), None])
    assert replies == [
        *(Completion(t, True, len(t)) for t in ("one", "two", "three") * 6),
        *(Completion(t, True, 3) for t in ("one", "two")),
        None,
    ]
    assert engine.running == {}
    assert pace.step_seconds(4) == pytest.approx(0.1)


def test_a_reply_is_stopped_where_its_first_program_is_whole():
    talk = "The rule:\n```\nno program\n```\n"
    engine = Engine([f"{talk}{REPLY} and so on{REPLY}"])
    replies, _ = writing(engine, wanted(2))
    assert replies == [Completion(talk + REPLY, True, len(talk + REPLY))] * 2
    assert engine.withdrawn == ["reply 1", "reply 2"]
    engine = Engine([f"{PROGRAM}``` and so on"])
    replies, _ = writing(engine, wanted(1, opening="```python\n"))
    assert replies == [Completion(REPLY, True, len(REPLY) - 10)]  # the opening is none of its own tokens


def test_what_the_end_of_its_tokens_or_of_the_seconds_leaves_is_given_as_cut_off():
    engine = Engine([REPLY])
    assert writing(engine, wanted(1, most=20))[0] == [Completion(REPLY[:20], False, 20)]
    replies, _ = writing(engine, wanted(FIRST + 2), seconds=2.05)
    assert replies == [Completion(REPLY[:21], False, 21)] * FIRST + [None] * 2
    assert engine.running == {}  # they were withdrawn
    assert writing(engine, wanted(2), seconds=0)[0] == [None, None]


def test_replies_that_would_not_end_in_time_are_not_begun():
    """Twelve seconds: of replies of 100 steps, each of 0.01 s a reply running, about eleven at once can end."""
    pace = WritingPace(64, 2048)
    engine = Engine(["x" * 100], fixed=0.0, each=0.01)
    writing(engine, wanted(20), pace=pace)
    engine.most_at_once = 0
    replies, _ = writing(engine, wanted(64), seconds=12.0, pace=pace)
    written = [reply for reply in replies if reply is not None]
    assert 8 <= len(written) <= 12
    assert engine.most_at_once == len(written)
    assert all(reply.ended for reply in written)
    assert replies[: len(written)] == written  # the first of those wanted


def test_where_not_even_one_would_end_one_is_begun():
    pace = WritingPace(64, 2048)
    engine = Engine(["x" * 100])
    writing(engine, wanted(8), pace=pace)
    replies, _ = writing(engine, wanted(8), seconds=5.05, pace=pace)
    assert replies == [Completion("x" * 51, False, 51), *[None] * 7]


def test_where_the_question_alone_would_take_all_the_seconds_nothing_is_begun():
    pace = WritingPace(64, 2048)
    engine = Engine(["x" * 100], reading=0.01)
    writer = ReplyWriter(engine, pace, lambda: engine.time)
    writer.write(wanted(1, prompt=tuple(range(1000))), Deadline.after(1e6, lambda: engine.time))
    steps = engine.steps
    others = wanted(8, prompt=tuple(range(5000, 6000)))
    assert writer.write(others, Deadline(engine.time + 9.0, lambda: engine.time)) == [None] * 8
    assert engine.steps == steps
    replies = writer.write(others, Deadline(engine.time + 12.0, lambda: engine.time))
    assert replies[0] is not None


def test_a_reading_that_the_end_of_the_seconds_broke_off_is_no_measurement():
    class Silent(Engine):
        def step(self):
            self.time += 1.0
            return []

    engine, pace = Silent([""]), WritingPace(64, 2048)
    writer = ReplyWriter(engine, pace, lambda: engine.time)
    writer.write(wanted(1, prompt=tuple(range(1000))), Deadline(engine.time + 2.5, lambda: engine.time))
    assert engine.time == 3.0
    assert pace.reading_seconds(1000) == 0


def test_with_time_for_several_rounds_others_are_begun_as_replies_end():
    pace = WritingPace(2, 2048)  # two at once
    engine = Engine(["x" * 10])
    replies, _ = writing(engine, wanted(8), seconds=1e6, pace=pace)
    assert [reply.ended for reply in replies] == [True] * 8
    assert engine.most_at_once == 2


def test_on_a_fast_engine_a_few_replies_are_begun_first_and_all_others_once_they_are_timed():
    engine = Engine(["x" * 50], fixed=0.001)
    replies, _ = writing(engine, wanted(64), seconds=60)
    assert engine.most_at_once == 64
    assert all(reply.ended for reply in replies)


def test_the_seconds_a_question_takes_to_read_are_measured_once_and_planned_with():
    pace = WritingPace(64, 2048)
    engine = Engine(["x" * 100], fixed=0.1, reading=0.01)
    prompt = tuple(range(1000))
    writer = ReplyWriter(engine, pace, lambda: engine.time)
    writer.write(wanted(8, prompt=prompt), Deadline.after(1e6, lambda: engine.time))
    assert pace.reading_seconds(1000) == pytest.approx(10.1)
    assert pace.step_seconds(4) == pytest.approx(0.1)  # without the reading
    for _ in range(40):
        pace.add_reply(100)
    other = (*range(500), *range(5000, 5500))
    for seconds, at_once in ((4.9 + 10 / MARGIN, 1), (5.3 + 10 / MARGIN, 4)):  # five to read, ten to write
        engine.most_at_once = 0
        writer.last_prompt = prompt
        writer.write(wanted(4, prompt=other), Deadline(engine.time + seconds, lambda: engine.time))
        assert engine.most_at_once == at_once


def test_what_was_begun_is_withdrawn_where_the_engine_fails():
    engine = Engine([REPLY], breaks=3)
    with pytest.raises(RuntimeError, match="out of memory"):
        writing(engine, wanted(3))
    assert engine.withdrawn == ["reply 1", "reply 2", "reply 3"]


def test_the_caller_may_say_what_is_whole():
    engine = Engine(["one. two. three."])
    replies, _ = writing(engine, wanted(1), whole=lambda text: "```" in text)
    assert replies == [Completion("one. two. three.", True, 16)]
    engine = Engine(["```a``` b"])
    replies, _ = writing(engine, wanted(1), whole=lambda text: text.count("```") == 2)
    assert replies == [Completion("```a```", True, 7)]


@pytest.mark.parametrize(
    ("first", "second", "alike"), [((), (1,), 0), ((1, 2), (1, 2), 2), ((1, 2, 3), (1, 2, 4), 2), ((1,), (1, 2), 1)]
)
def test_prompts_have_their_first_tokens_in_common_up_to_where_they_differ(first, second, alike):
    assert common(first, second) == alike
