"""Deadlines on a clock of the test's own, and the one fact about the real one: it is not the wall clock."""

from __future__ import annotations

import time

import pytest

from solver import clock
from solver.clock import Deadline


class Hands:
    """A clock whose hands the test moves; reads in seconds."""

    def __init__(self, at: float = 100.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def test_remaining_counts_down_and_stops_at_zero() -> None:
    hands = Hands()
    deadline = Deadline.after(10.0, hands)
    assert deadline.remaining() == 10.0
    hands.at += 4.0
    assert deadline.remaining() == 6.0
    hands.at += 60.0
    assert deadline.remaining() == 0.0


def test_a_part_ends_no_later_than_the_whole() -> None:
    hands = Hands()
    whole = Deadline.after(10.0, hands)
    assert whole.within(3.0).remaining() == 3.0
    assert whole.within(30.0).remaining() == 10.0
    assert whole.within(30.0) == whole


def test_a_part_reads_the_same_clock_as_the_whole() -> None:
    hands = Hands()
    part = Deadline.after(10.0, hands).within(3.0)
    hands.at += 2.0
    assert part.remaining() == 1.0


def test_a_deadline_without_a_limit_never_comes() -> None:
    hands = Hands()
    deadline = Deadline.after(float("inf"), hands)
    hands.at += 1e9
    assert deadline.remaining() == float("inf")
    assert deadline.within(5.0).remaining() == 5.0


def test_deadlines_are_equal_when_their_moments_are() -> None:
    assert Deadline(5.0, Hands()) == Deadline(5.0)
    assert Deadline(5.0) != Deadline(6.0)


def test_time_does_not_depend_on_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting the wall clock back (or taking it away) changes nothing."""
    deadline = Deadline.after(1000.0)
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: -1e9)
    assert clock.now() >= before
    assert 990.0 < deadline.remaining() <= 1000.0


def test_time_never_runs_backwards() -> None:
    readings = [clock.now() for _ in range(1000)]
    assert readings == sorted(readings)
