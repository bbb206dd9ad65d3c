"""Signals that ask a training to end, which it does once its step is done."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """A list that the numbers of SIGTERM and SIGINT are put into as they come; afterwards they do what they did."""
    signals = list[int]()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda number, _: signals.append(number)) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
