"""What is done without the garbage collector is kept from it, and it is on again where it was on."""

from __future__ import annotations

import gc
import weakref

import pytest

from solver.hardware.garbage import uncollected


@pytest.fixture(autouse=True)
def as_before():
    yield
    gc.enable()


def test_nothing_is_collected_within_and_what_it_leaves_is_not_looked_through():
    frozen = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        left = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(left)


class Loop:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self):
        self.own = self


def test_what_only_refers_to_itself_is_freed_at_the_end():
    with uncollected():
        gone = weakref.ref(Loop())
        assert gone() is not None
    assert gone() is None


def test_one_within_another_and_an_error_leave_the_collector_as_it_was():
    with uncollected():
        with pytest.raises(ZeroDivisionError), uncollected():
            raise ZeroDivisionError
        assert not gc.isenabled()
    assert gc.isenabled()
