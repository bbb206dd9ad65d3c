"""Progress on a terminal, elsewhere, and on a stream that breaks."""

from __future__ import annotations

import errno
import io
import sys

import pytest

from solver.runtime.live import printable
from solver.runtime.progress import Progress


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
    stream = io.StringIO()
    with Progress(1, lambda: seconds, stream) as progress:
        progress.task("007bbfb7")
    assert lines_of(stream) == [f"[1/1] 007bbfb7, {text}"]
