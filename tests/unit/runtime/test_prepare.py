"""A plan made of flags: what is worked out of the machine and the time it is for."""

from __future__ import annotations

import pytest

from solver.analysis.solutions import read_solutions
from solver.cli import parse
from solver.runtime.prepare import prepare


def seconds(*flags: str) -> float:
    """Of one core for each task's search for programs, 20 tasks on two CPU workers."""
    given = ["--split", "dry-run", "--devices", "cpu:2", *flags]
    return prepare(parse(given), read_solutions).config.programs.seconds


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ((), 23.0),  # four tenths of 592 s on two cores
        (("--time-limit", "1m"), 10.0),
        (("--time-limit", "12h"), 60.0),
        (("--time-limit", "12h", "--programs", "10s"), 10.0),
        (("--programs", "0"), 0.0),
        (("--preset", "smoke"), 1.0),
        (("--limit", "10"), 47.0),
    ],
)
def test_searches_for_programs_are_longer_where_their_share_of_the_time_has_room(flags, expected):
    assert seconds(*flags) == expected
