"""One test that holds a law over many cases: quicker than a test for each where there are hundreds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any


def each(names: str, cases: Iterable[Any], name_of: Callable[[Any], str] = repr) -> Callable[[Callable], Callable]:
    """Like `pytest.mark.parametrize`, in a single test: all cases are tried, and each that fails is named and shown.

    `names`: of the arguments a case gives, with commas between; a case of several is a sequence. `name_of`: how a case
    is called. The fixtures of the test are set up once for all cases, so they must be such as no case changes.
    """
    given, all_cases = [name.strip() for name in names.split(",")], list(cases)

    def decorate(law: Callable) -> Callable:
        @wraps(law)
        def test(**fixtures: Any) -> None:
            assert all_cases, "no case to test"
            failures: dict[str, Exception] = {}
            for case in all_cases:
                values = (case,) if len(given) == 1 else case
                try:
                    law(**fixtures, **dict(zip(given, values, strict=True)))
                except Exception as failure:
                    failure.add_note(f"case: {name_of(case)}")
                    failures[name_of(case)] = failure
            if failures:
                told = f"{len(failures)} of {len(all_cases)} cases fail: {', '.join(failures)}"
                raise ExceptionGroup(told, list(failures.values()))

        wanted = [p for p in inspect.signature(law).parameters.values() if p.name not in given]
        test.__signature__ = inspect.Signature(wanted)  # type: ignore[attr-defined]
        return test

    return decorate
