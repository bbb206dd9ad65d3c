"""Progress on a terminal, elsewhere, and on a stream that breaks; and the closing summary."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from solver.runtime.progress import Outcome, Progress, left, printable, summary


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def lines_of(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_without_a_terminal_each_task_is_one_plain_line() -> None:
    stream, seconds = io.StringIO(), iter([301.0, 59.9])
    with Progress(10, lambda: next(seconds), stream) as progress:
        progress.task("007bbfb7", "model, 12 of 16 votes", solved=1)
        progress.task("0a1d4ef5")
    assert lines_of(stream) == [
        "[ 1/10] 007bbfb7, model, 12 of 16 votes, solved 1, 5 min 01 s left",
        "[ 2/10] 0a1d4ef5, solved 1, 59 s left",
    ]


def test_solved_is_not_mentioned_where_solutions_are_unknown() -> None:
    stream = io.StringIO()
    with Progress(1, lambda: 5.0, stream) as progress:
        progress.task("007bbfb7", "placeholder: no time left")
    assert lines_of(stream) == ["[1/1] 007bbfb7, placeholder: no time left, 5 s left"]


def test_notes_are_lines_of_their_own() -> None:
    stream = io.StringIO()
    progress = Progress(1, lambda: 5.0, stream)
    progress.note("engine started in 41 s")
    progress.close()
    progress.close()
    assert lines_of(stream) == ["engine started in 41 s"]


def test_on_a_terminal_a_bar_shows_tasks_solved_and_seconds_left() -> None:
    stream = Terminal()
    with Progress(3, lambda: 125.0, stream) as progress:
        progress.task("007bbfb7", "[red]model[/red]", solved=1)
        progress.note("careful: [1/2]")
    text = stream.getvalue()
    assert "1/3" in text
    assert "solved 1" in text
    assert "2 min 05 s left" in text
    assert "[1/3] 007bbfb7, [red]model[/red]" in text, "square brackets are text, not markup"
    assert "careful: [1/2]" in text


def test_on_a_terminal_without_rich_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.console", None)
    monkeypatch.delitem(sys.modules, "solver.runtime.screen", raising=False)
    stream = Terminal()
    with Progress(1, lambda: 5.0, stream) as progress:
        progress.task("007bbfb7")
    assert lines_of(stream) == ["[1/1] 007bbfb7, 5 s left"]


def test_a_stream_that_breaks_never_stops_the_run() -> None:
    with Progress(2, lambda: 5.0, Full()) as progress:
        progress.task("007bbfb7")
        progress.task("0a1d4ef5")
    assert progress.done == 2
    assert isinstance(progress.lost, OSError)


def test_one_event_is_one_line_whatever_its_text_holds() -> None:
    assert printable("two\nlines\tand \x1b[31mcolour\x00", "utf-8") == "two lines and \\x1b[31mcolour\\x00"
    assert printable("größer ✓", "ascii") == "gr\\xf6\\xdfer \\u2713"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 s left"),
        (59.9, "59 s left"),
        (60.0, "1 min 00 s left"),
        (3599.0, "59 min 59 s left"),
        (11_220.0, "3 h 07 min left"),
        (float("inf"), "no time limit"),
    ],
)
def test_seconds_left_read_like_a_clock(seconds: float, text: str) -> None:
    assert left(seconds) == text


def test_summary_groups_placeholders_by_reason() -> None:
    outcomes = [
        Outcome("aaaaaaaa", 0, 2),
        Outcome("aaaaaaaa", 1, 1),
        Outcome("bbbbbbbb", 0, 0, "no reply was a grid"),
        *(Outcome(f"{at:08x}", 0, 0, "no time left") for at in range(7)),
        Outcome("00000000", 1, 0, "no time left"),
        Outcome("cccccccc", 0, 0),
    ]
    assert summary(outcomes).splitlines() == [
        "12 answers to 10 tasks: 2 from the model (1 with a placeholder as second attempt), 10 placeholders:",
        "  8 x no time left (00000000, 00000001, 00000002, 00000003, 00000004, and 2 more)",
        "  1 x no reason given (cccccccc)",
        "  1 x no reply was a grid (bbbbbbbb)",
    ]


def test_summary_of_a_run_without_placeholders_is_one_line() -> None:
    assert summary([Outcome("aaaaaaaa", 0, 2)]) == "1 answer to 1 task: 1 from the model, 0 placeholders."


def test_summary_tells_what_programs_alone_answered() -> None:
    outcomes = [Outcome("a", 0, 1, from_programs=1), Outcome("b", 0, 0, from_programs=1), Outcome("c", 0, 0, "why")]
    assert summary(outcomes).splitlines() == [
        "3 answers to 3 tasks: 1 from the model, 1 from programs alone, 1 placeholder:",
        "  1 x why (c)",
    ]


def test_summary_of_nothing_says_so() -> None:
    assert summary([]) == "0 answers to 0 tasks: 0 from the model, 0 placeholders."
