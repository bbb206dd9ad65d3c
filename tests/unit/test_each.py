"""What the tests themselves rest on: a law over many cases in one test fails for each case that breaks it."""

from __future__ import annotations

import inspect

import pytest

from tests.support.each import each


def test_all_cases_are_tried_and_each_that_fails_is_named_with_what_it_says() -> None:
    tried = []

    @each("first, second", [(1, 1), (1, 2), (3, 3), (4, 5)], lambda case: f"{case[0]} and {case[1]}")
    def law(base: int, first: int, second: int) -> None:
        tried.append(first + base)
        assert first == second, f"{first} is not {second}"

    assert list(inspect.signature(law).parameters) == ["base"]  # what pytest looks for a fixture of
    with pytest.raises(ExceptionGroup, match=r"2 of 4 cases fail: 1 and 2, 4 and 5") as failed:
        law(base=10)
    assert tried == [11, 11, 13, 14]
    assert [str(one).splitlines()[0] for one in failed.value.exceptions] == ["1 is not 2", "4 is not 5"]
    assert [one.__notes__ for one in failed.value.exceptions] == [["case: 1 and 2"], ["case: 4 and 5"]]


def test_without_a_case_there_is_nothing_that_could_hold() -> None:
    with pytest.raises(AssertionError, match="no case to test"):
        each("case", [])(lambda case: None)()
