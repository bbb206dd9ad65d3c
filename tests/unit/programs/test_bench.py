"""The enumeration against the naive one."""

from __future__ import annotations

from solver.clock import Deadline, now
from solver.programs import bench
from tests.support.made_tasks import made


def test_sharing_states_reaches_what_running_every_program_reaches():
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    assert bench.same_outcomes(task, Deadline.after(60), now)


def test_sharing_states_covers_more_programs_a_second():
    task, _ = made(lambda g: g[::-1].copy(), number=2, rows=3, columns=3)
    slow, _ = bench.naive(task, bench.drawn(task, 2000, 0), Deadline.after(0.5), now)
    fast, _ = bench.shared(task, bench.STEPS, Deadline.after(1.5), now)
    assert fast.per_second > 2 * slow.per_second
