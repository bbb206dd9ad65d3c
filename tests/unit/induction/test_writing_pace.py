"""How fast a model writes, and how many replies are begun: measured, and no more than are expected to end in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.induction.writing_pace import FIRST, LEAST_READ, LENGTH, MARGIN, MEASURED, WritingPace

MANY = 10  # replies, beside which the one expected before counts little


def measured(steps: dict[int, float], length: int = 100, most: int = 64) -> WritingPace:
    """A pace that has seen steps of so many seconds with so many replies, and many replies of a length."""
    pace = WritingPace(most, 2048)
    for running, seconds in steps.items():
        for _ in range(MEASURED):
            pace.add_step(running, running, seconds)
    for _ in range(MANY):
        pace.add_reply(length)
    return pace


def test_before_anything_is_measured_a_few_replies_are_begun_whatever_the_seconds():
    pace = WritingPace(64, 2048)
    assert pace.step_seconds(1) is None
    assert [pace.more(running, seconds) for running in (0, 1, FIRST) for seconds in (0.0, 9e9)] == [
        *(FIRST, FIRST, FIRST - 1, FIRST - 1, 0, 0)
    ]
    assert WritingPace(2, 2048).more(0, 9e9) == 2
    pace.add_step(4, 4, 1.0)
    assert pace.step_seconds(4) is None  # one step is none
    pace.add_step(4, 0, 1.0)
    pace.add_step(0, 0, 1.0)


def test_a_step_is_taken_to_grow_with_the_replies_up_to_what_more_of_them_were_measured_to_take():
    pace = measured({4: 0.2, 8: 0.3})
    assert [pace.step_seconds(n) for n in (1, 4, 5, 7, 8, 16)] == pytest.approx([0.2, 0.2, 0.25, 0.3, 0.3, 0.6])


def test_one_slow_step_changes_little():
    pace = measured({4: 0.2})
    pace.add_step(4, 4, 60.0)
    assert pace.step_seconds(4) == pytest.approx(0.2)


def test_a_step_in_which_some_replies_said_nothing_counts_as_slower():
    pace = WritingPace(64, 2048)
    for _ in range(MEASURED):
        pace.add_step(8, 4, 0.1)
    assert pace.step_seconds(8) == pytest.approx(0.2)


def test_as_many_replies_are_begun_as_are_expected_to_end_in_time():
    pace = measured({4: 0.1})  # 10 s a reply with up to four at once
    assert pace.more(0, 10 / MARGIN - 0.1) == 0
    assert pace.more(0, 10 / MARGIN + 0.1) == 4
    assert pace.more(0, 20 / MARGIN + 0.1) == 8
    assert pace.more(3, 20 / MARGIN + 0.1) == 5
    assert pace.more(8, 20 / MARGIN + 0.1) == pace.more(20, 20 / MARGIN + 0.1) == 0
    assert measured({4: 0.1}, most=6).more(0, 9e9) == 6


@given(st.floats(1e-3, 1e3), st.floats(0, 1e4), st.integers(1, 64))
def test_the_replies_begun_are_expected_to_end_in_time_and_one_more_is_not(step, seconds, running):
    pace = measured({running: step})
    begun = pace.more(0, seconds)
    assert begun == 0 or pace.step_seconds(begun) * 100 <= MARGIN * seconds
    assert begun == 64 or pace.step_seconds(begun + 1) * 100 > MARGIN * seconds


def test_a_reply_is_expected_to_be_as_long_as_three_in_four_are():
    pace = WritingPace(64, 2048)
    assert pace.length() == LENGTH
    assert WritingPace(64, 24).length() == 24  # no reply is longer
    for tokens in range(1, 61):
        pace.add_reply(tokens)
    assert 44 <= pace.length() <= 52
    pace.add_reply(2000)
    assert pace.length() < 60


def test_the_seconds_a_question_takes_to_read_are_measured_on_long_ones():
    pace = WritingPace(64, 2048)
    assert pace.reading_seconds(1000) == 0
    pace.add_reading(LEAST_READ - 1, 60.0)
    assert pace.reading_seconds(1000) == 0
    pace.add_reading(500, 5.0)
    assert pace.reading_seconds(1000) == pytest.approx(10.0)
    pace.add_reading(500, 500.0)  # a busy moment
    assert pace.reading_seconds(1000) == pytest.approx(10.0)
    pace.add_reading(500, 4.0)
    assert pace.reading_seconds(1000) == pytest.approx(8.0)
