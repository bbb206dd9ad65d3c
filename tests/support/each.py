"""One test that holds a law over many cases: quicker than a test for each where there are hundreds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest


def each(names: str, cases: Iterable[Any], name_of: Callable[[Any], str] = repr) -> Callable[[Callable], Callable]:
    """Like `pytest.mark.parametrize`, as subtests of a single test.

    `names`: of the arguments a case gives, with commas between; a case of several is a sequence. `name_of`: how a case
    is called. The fixtures of the test are set up once for all cases, so they must be such as no case changes.
    """
    given, all_cases = [name.strip() for name in names.split(",")], list(cases)

    def decorate(law: Callable) -> Callable:
        @wraps(law, updated=())  # not what Hypothesis says of a law of its own: it is the cases that are its tests
        def test(subtests: pytest.Subtests, **fixtures: Any) -> None:
            assert all_cases, "no case to test"
            for case in all_cases:
                values = (case,) if len(given) == 1 else case
                with subtests.test(name_of(case)):
                    law(**fixtures, **dict(zip(given, values, strict=True)))

        own, *_ = inspect.signature(test, follow_wrapped=False).parameters.values()
        wanted = [p for p in inspect.signature(law).parameters.values() if p.name not in given]
        test.pytestmark = getattr(law, "pytestmark", [])  # type: ignore[attr-defined]
        test.__signature__ = inspect.Signature([own, *wanted])  # type: ignore[attr-defined]
        return test

    return decorate
