"""The live view as it is drawn: on made-up events, and on a real terminal's screen while a whole run goes on."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import io
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.screen import Screen as Whole

from solver.clock import Deadline
from solver.runtime import submission_file
from solver.runtime.live import About, Live, StageAnswer, Worker
from solver.runtime.progress import Progress
from solver.runtime.screen import PAUSE, Screen, picture
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS
from tests.support import fake_worker
from tests.support.fakes import FakeClock
from tests.system.test_submission import GOOD, LAUNCH, ROOT, make_weights

IDS = [f"{n * 2654435761 % 2**32:08x}" for n in range(20)]
KILLED = "cpu 1: the worker died (SIGKILL), in the batch of 00576224, 007bbfb7"
LONG = "cpu 1: RuntimeError: something [red]long[/red] " + "that does not end and " * 9


def run_of(workers: int = 2, warnings: int = 2, limit: float = 600.0) -> Live:
    """A run in its middle: all quick answers, nine adapters, one worker busy and one that starts again."""
    clock = FakeClock()
    deadline = Deadline.after(limit, clock)
    about = About("dry-run", "grid-1m 5c30a54d8d18", 0, (1, 3, 4, 5), limit=limit, deadline=deadline)
    live = Live(about, 20, lambda: 331.0)
    clock.advance(31)
    for n, task_id in enumerate(IDS):
        how = {"right": n % 7 == 0, "split": True, "whole": True}
        live.answer(StageAnswer(task_id, BASE, f"votes {n % 8 + 1} of 8", 0.8, **how))
    for n, task_id in enumerate(IDS[:9]):
        how = {"right": n % 7 == 0, "split": n % 3 == 0, "whole": True}
        votes = f"votes {n + 4} of 16" if n % 4 else "votes 5 of 16 and 16 of 16"
        live.answer(StageAnswer(task_id, ADAPTER, votes, 20 + n, 24 + n, 0.31 + n / 100, **how))
    live.solved = 3
    busy = [Worker(f"cpu {n}", "working", True, ADAPTER, tuple(IDS[9:13]), 41, 2, 28, 0.284) for n in range(workers)]
    live.watch([*busy[:-1], Worker(f"cpu {workers - 1}", "starting")])
    clock.advance(17)
    for n in range(warnings):
        live.warn((KILLED, LONG)[n % 2])
    return live


def drawn_at(live: Live, width: int, height: int) -> str:
    console = Console(file=io.StringIO(), record=True, width=width, height=height, force_terminal=True)
    console.print(Whole(picture(live, width, height)), end="")
    return console.export_text()


def test_a_usual_terminal_shows_it_all() -> None:
    """At 80 by 24; bars are lines here, their colours show how far they are and the numbers beside them say it."""
    drawn = re.sub("[━╸╺]+", lambda bar: "━" * 3, drawn_at(run_of(), 80, 24))
    assert [re.sub("  +", "  ", line.rstrip()) for line in drawn.splitlines()] == [
        "dry-run · 20 tasks · seed 0 · weights grid-1m 5c30a54d8d18",
        "━━━ 9 min 12 s left, done in 5 min 31 s, of 10 min 00 s",
        "Stages " + "─" * 73,
        "base model  ━━━ 20 of 20",
        "adapter  ━━━  9 of 20",
        "refinement 1 ━━━  0 of 3",
        "20 of 20 tasks answered, 3 solved so far",
        "Workers " + "─" * 72,
        "cpu 0 adapter 2/4 8ff34739 2e2ac0ea cc623a9b 6a99b44c, 28… ━━━ 17 s of 41 s",
        "cpu 1 starting  17 s",
        "Warnings: 2 " + "─" * 68,
        "! cpu 1: the worker died (SIGKILL), in the batch of 00576224, 007bbfb7",
        "! cpu 1: RuntimeError: something [red]long[/red] that does not end and that doe…",
        "Latest answers " + "─" * 65,
        "✗ f1bbcd88 votes 5 of 16 and 16 of 16, adapter, 32 steps, loss 0.39  28.0 s",
        "✓ 538453d7 votes 11 of 16, adapter, 31 steps, loss 0.38  27.0 s",
        "✗ b54cda26 votes 10 of 16, adapter, 30 steps, loss 0.37  26.0 s",
        "✗ 17156075 votes 9 of 16, adapter, 29 steps, loss 0.36  25.0 s",
        "✗ 78dde6c4 votes 5 of 16 and 16 of 16, adapter, 28 steps, loss 0.35  24.0 s",
        "✗ daa66d13 votes 7 of 16, adapter, 27 steps, loss 0.34  23.0 s",
        "✗ 3c6ef362 votes 6 of 16, adapter, 26 steps, loss 0.33  22.0 s",
        "✗ 9e3779b1 votes 5 of 16, adapter, 25 steps, loss 0.32  21.0 s",
        "✓ 00000000 votes 5 of 16 and 16 of 16, adapter, 24 steps, loss 0.31  20.0 s",
        "✗ be1e0823 votes 4 of 8, base model  0.8 s",
    ]


def test_a_small_terminal_shows_what_matters_most() -> None:
    drawn = re.sub("[━╸╺]+", "━━━", drawn_at(run_of(), 40, 12))
    assert [re.sub("  +", "  ", line.rstrip()) for line in drawn.splitlines()] == [
        "dry-run · 20 tasks · seed 0 · weights g…",
        " 9 min 12 s left, done in 5 min 31 s, o…",
        "base model  ━━━ 20 of 20",
        "adapter  ━━━  9 of 20",
        "refinement 1 ━━━  0 of 3",
        "20 of 20 tasks answered, 3 solved so far",
        "cpu 0 adapter 2/4 8ff34739… 17 s of 41 s",
        "cpu 1 starting  17 s",
        "! cpu 1: RuntimeError: something [red]l…",
        "✗ f1bbcd88 votes 5 of 16 and 16 … 28.0 s",
        "✓ 538453d7 votes 11 of 16, adapt… 27.0 s",
        "✗ b54cda26 votes 10 of 16, adapt… 26.0 s",
    ]


@pytest.mark.parametrize("height", [1, 5, 12, 18, 60])
@pytest.mark.parametrize("width", [1, 20, 40, 64, 120])
def test_the_picture_fits_any_terminal(width: int, height: int) -> None:
    live = run_of(workers=7, warnings=5)
    live.warn("wide 文字 and 🎉 " * 40)
    lines = drawn_at(live, width, height).split("\n")
    assert len(lines) == height
    assert all(cell_len(line) == width for line in lines)


@pytest.mark.parametrize("height", [10, 17, 18, 60])
def test_a_warning_stays_in_sight_however_many_workers_and_answers_there_are(height: int) -> None:
    live = run_of(workers=40, warnings=1)
    for n in range(300):
        live.answer(StageAnswer(f"{n:08}", BASE, "votes 1 of 8", 1.0))
    drawn = drawn_at(live, 80, height)
    assert f"! {KILLED}" in drawn
    assert "00000299 votes 1 of 8" in drawn
    hidden = re.search(r"(\d+) workers more", drawn)
    assert len(re.findall(r"^cpu \d+", drawn, re.MULTILINE)) + int(hidden[1] if hidden else 0) == 40


def test_texts_that_would_spoil_the_screen_are_shown_escaped() -> None:
    odd = "two\nlines, \x1b[2J and \udcff"
    live = Live(About(odd, odd, 0), 1, lambda: 5.0)
    live.answer(StageAnswer(odd, BASE, "votes 1 of 8", 1.0))
    live.watch([Worker("cpu", "working", True, BASE, (odd,), 5.0)])
    live.warn(odd)
    lines = drawn_at(live, 120, 30).split("\n")
    assert len(lines) == 30
    assert sum("two lines, \\x1b[2J and \\xdcff" in line for line in lines) == 4


def test_a_wide_terminal_tells_the_steps_and_loss_of_a_batch_s_last_adapter() -> None:
    row = next(line for line in drawn_at(run_of(), 120, 24).splitlines() if line.startswith("cpu 0"))
    assert "adapter 2/4 8ff34739 2e2ac0ea cc623a9b 6a99b44c, 28 steps, loss 0.28 " in row


def test_long_batches_are_told_in_hours_and_no_time_limit_is_said() -> None:
    live = run_of(limit=float("inf"))
    live.watch([Worker("gpu 0", "working", True, ADAPTER, ("a",), 3600.0)])
    drawn = drawn_at(live, 80, 24)
    assert "0 s of 1 h 00 min" in drawn
    assert "no time limit" in drawn


@pytest.mark.parametrize(("number", "name"), [(INDUCTION, "induction"), (PROGRAMS, "programs")])
def test_programs_are_told_by_what_they_found_in_a_stage_of_their_own(number: int, name: str) -> None:
    live = Live(About(stages=(number, BASE, ADAPTER)), 3, lambda: 5.0)
    live.answer(StageAnswer("a", number, "2 answers of programs", 1.5, whole=True))
    live.watch([Worker("programs 0", "working", True, number, ("b",), 3.0), Worker("programs 1", "done", False)])
    for width in (80, 40):
        drawn = drawn_at(live, width, 24)
        assert re.search(rf"{name} +.* 1 of 3", drawn)
        assert "2 answers of programs" in drawn
        assert re.search(rf"programs 0 {name} b", drawn)
        assert "votes" not in drawn


def test_without_solutions_nothing_is_said_of_them() -> None:
    live = Live(About(), 3, lambda: 5.0)
    live.answer(StageAnswer("a", BASE, "votes 1 of 8", 1.0, whole=True))
    drawn = drawn_at(live, 80, 24)
    assert "1 of 3 tasks answered " in drawn
    assert "solved" not in drawn
    assert "· a" in drawn


class Terminal(io.StringIO):
    """A stream that says it is a terminal, and breaks after so many writes."""

    def __init__(self, writes: float = float("inf")) -> None:
        super().__init__()
        self.left = writes

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_of_another_size_gets_a_new_picture_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = FakeClock(), Terminal()
    for name in ("COLUMNS", "LINES"):  # rich believes these first
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((80, 24)))
    screen = Screen(Live(About(deadline=Deadline.after(600.0, clock)), 3, lambda: 5.0), stream)
    monkeypatch.setattr("os.get_terminal_size", lambda *_: os.terminal_size((33, 24)))
    clock.advance(PAUSE)
    screen.draw()
    assert stream.getvalue().count("tasks answered") == 2
    assert stream.getvalue().splitlines()[-1] == " " * 33


def test_where_nothing_is_new_a_second_costs_one_picture_and_a_rush_of_events_a_few() -> None:
    clock, stream = FakeClock(), Terminal()
    live = Live(About(deadline=Deadline.after(600.0, clock)), 3, lambda: 5.0)
    screen = Screen(live, stream)
    before = stream.getvalue().count("tasks answered")
    for _ in range(80):
        clock.advance(0.25)
        screen.draw(new=False)
    assert stream.getvalue().count("tasks answered") - before == 20
    before = stream.getvalue().count("tasks answered")
    for n in range(1000):
        clock.advance(0.001)
        live.answer(StageAnswer(str(n), BASE, "votes 1 of 8", 1.0))
        screen.draw()
    assert stream.getvalue().count("tasks answered") - before <= 1 / PAUSE
    screen.close()


def test_a_picture_is_quickly_drawn() -> None:
    live, started = run_of(workers=4), time.process_time()
    for _ in range(10):
        drawn_at(live, 120, 40)
    assert (time.process_time() - started) / 10 < 0.1  # about 10 ms; the bound minds slower machines


def test_when_the_view_closes_the_terminal_holds_the_lines_that_a_file_would() -> None:
    streams = Terminal(), io.StringIO()
    for stream in streams:
        with Progress(3, lambda: 125.0, stream) as progress:
            progress.note("engine ready: [1/2]")
            progress.task("007bbfb7", "[red]votes[/red] 3 of 4", solved=1)
            progress.warn("cpu: the worker\ndied")
            progress.watch([Worker("cpu", "starting")])
    shown, left = streams[0].getvalue().split("\x1b[?1049l")
    assert left == streams[1].getvalue()
    assert "cpu: the worker died" in left
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back


@pytest.mark.parametrize("writes", range(9))
def test_a_terminal_that_breaks_at_any_moment_never_stops_the_run(writes: int) -> None:
    clock, stream = FakeClock(), Terminal(writes)
    about = About(deadline=Deadline.after(600.0, clock))
    with Progress(2, lambda: 5.0, stream, about) as progress:
        for n in range(6):
            clock.advance(1)
            progress.watch([Worker("cpu", f"state {n}")])
            progress.task(str(n), "votes 1 of 2")
    assert progress.done == 6
    assert isinstance(progress.lost, OSError)


def test_a_view_that_can_not_be_drawn_gives_way_to_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("no room")

    stream = Terminal()
    with Progress(2, lambda: 5.0, stream) as progress:
        progress.note("before")
        monkeypatch.setattr(Screen, "draw", broken)
        progress.watch([Worker("cpu", "starting")])
        progress.task("007bbfb7")
        left = stream.getvalue().split("\x1b[?1049l")[1]
    assert left.splitlines() == [
        "before",
        "warning: no live view any more: ZeroDivisionError: no room",
        "[1/2] 007bbfb7, 5 s left",
    ]
    assert progress.lost is None


@pytest.mark.parametrize(("term", "encoding"), [("dumb", "utf-8"), ("xterm", "ascii")])
def test_a_terminal_that_can_not_show_it_gets_plain_lines(
    term: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    stream = io.TextIOWrapper(io.BytesIO(), encoding)
    stream.isatty = lambda: True  # type: ignore[method-assign]
    with Progress(1, lambda: 5.0, stream) as progress:
        progress.task("007bbfb7", "größer")
    stream.seek(0)
    assert stream.read() == "[1/1] 007bbfb7, größer, 5 s left\n".encode(encoding, "backslashreplace").decode()


# ---- a whole run on a terminal ---------------------------------------------------------------------------------------


@dataclass
class Session:
    """A run on a pseudo-terminal of `columns` by `lines`, and what its screen shows, read by a terminal emulator."""

    folder: Path
    columns: int
    lines: int
    script: dict[str, object] = field(default_factory=dict)

    def __enter__(self) -> Session:
        pyte = pytest.importorskip("pyte", reason="the live view is NOT tested on a terminal: pyte is not installed")
        self.master, slave = pty.openpty()
        self._sized(slave)
        self.screen = pyte.Screen(self.columns, self.lines)
        self.stream, self.raw = pyte.ByteStream(self.screen), b""
        challenges = {f"task{at}": {"train": GOOD["train"], "test": GOOD["test"]} for at in range(6)}
        (self.folder / "challenges.json").write_text(json.dumps(challenges))
        self.output = self.folder / "s.json"
        worker = json.dumps(fake_worker.command(self.folder, **self.script))
        flags = ["--challenges", self.folder / "challenges.json", "--weights", make_weights(self.folder)]
        flags += ["--output", self.output, "--devices", "cpu:2", "--no-report", "--programs", "0"]
        flags += ["--refinement-stages", "2"]
        environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.run = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, worker, *map(str, flags)],
            **{"cwd": ROOT, "stdin": slave, "stdout": slave, "stderr": slave},
            env=environment | {"TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
        )
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        self.run.kill()
        self.run.wait()
        os.close(self.master)

    def _sized(self, terminal: int) -> None:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", self.lines, self.columns, 0, 0))

    def resize(self, columns: int, lines: int) -> None:
        self.columns, self.lines = columns, lines
        self.screen.resize(lines, columns)
        self._sized(self.master)

    def fitting(self, drawn: str) -> bool:
        """Whether a picture was drawn for the size there is: its first or second line goes up to the last column."""
        first, second = drawn.splitlines()[:2]
        return bool(re.search(r"done in .* s$", second)) if self.columns > 66 else first.endswith("…")

    def pictures(self, seconds: float = 30.0) -> Iterator[str]:
        """The screen after each thing that was written to it, to the end of the run."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with contextlib.suppress(OSError):  # the other end is closed
                if select.select([self.master], [], [], 0.1)[0] and (said := os.read(self.master, 1 << 16)):
                    self.raw += said
                    self.stream.feed(said)
                    yield "\n".join(self.screen.display)
                    continue
            if self.run.poll() is not None:
                return
        raise AssertionError(f"the run did not end:\n{self.screen.display}")

    def until(self, there: Callable[[str], object]) -> str:
        """The first picture of which that is true."""
        last = ""
        for last in self.pictures():
            if there(last):
                return last
        raise AssertionError(f"never seen; the last picture:\n{last}")

    def ended(self) -> str:
        """What is left on the terminal when the run is over: what was written after the view had closed."""
        for _ in self.pictures():
            pass
        assert self.run.wait(10) == 0
        return self.raw.split(b"\x1b[?1049l")[-1].decode()


def whole(drawn: str) -> bool:
    """Whether a picture is of the middle of the run: all quick answers are there, the first adapters are trained."""
    return bool(
        re.search(r"(?s)base[^\n]* 6 of 6\s.*cpu \d adapter [^\n]*task[^\n]* of \d[^\n]* s\s.*votes 9 of 10", drawn)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("size", "then"), [((80, 24), (50, 14)), ((40, 12), (90, 30))])
def test_a_run_on_a_terminal_shows_its_view_follows_its_size_and_leaves_its_lines(
    size: tuple[int, int], then: tuple[int, int], tmp_path: Path
) -> None:
    with Session(tmp_path, *size, {"pause": 0.2, "votes": {"task3": 0.5}, "start": ["exit", ""]}) as session:
        drawn = session.until(whole).splitlines()
        assert [len(line) for line in drawn] == [size[0]] * size[1]
        assert drawn[0].startswith("challenges.json · 6 tasks · seed 0")
        assert re.search(r"\d+ min \d\d s left, done in ", drawn[1])
        assert any(re.match(r"! cpu \d: the worker died \(exit status", line) for line in drawn)
        session.resize(*then)
        drawn = session.until(session.fitting).splitlines()
        assert [len(line) for line in drawn] == [then[0]] * then[1]
        assert sum("challenges.json" in line for line in drawn) == 1  # nothing of the old picture is left
        left = session.ended()
    assert left.count("\r\n[") == 14, left  # 6 quick answers, 6 adapters and two further ones
    assert "6 answers to 6 tasks: 6 from the model, 0 placeholders." in left
    assert "complete and valid" in left
    assert "\x1b" not in left
    assert submission_file.validate(json.loads(session.output.read_text()), {f"task{at}": 1 for at in range(6)}) == []
