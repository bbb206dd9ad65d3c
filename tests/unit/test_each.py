"""What the tests themselves rest on: a law over many cases in one test fails for each case that breaks it."""

from __future__ import annotations

pytest_plugins = ["pytester"]

LAWS = """
import pytest
from tests.support.each import each

@pytest.fixture
def base():
    return 10

@each("first, second", [(1, 1), (1, 2), (3, 3), (4, 5)], lambda case: f"{case[0]} and {case[1]}")
@pytest.mark.filterwarnings("error")
def test_equal(base, first, second):
    assert base + first == base + second

@each("wanted", [ValueError, TypeError])
def test_raises(wanted):
    with pytest.raises(wanted):
        pass

@each("case", [])
def test_nothing(case):
    pass
"""


def test_all_cases_are_tried_and_each_that_fails_is_named(pytester) -> None:
    pytester.makepyfile(LAWS)
    ran = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    said = ran.stdout.str()
    for case in ("1 and 2", "4 and 5", "ValueError", "TypeError"):
        assert any("SUBFAILED" in line and case in line for line in said.splitlines()), said
    assert not any("SUBFAILED" in line and "3 and 3" in line for line in said.splitlines())
    assert "DID NOT RAISE" in said
    assert "no case to test" in said
    assert ran.ret == 1
