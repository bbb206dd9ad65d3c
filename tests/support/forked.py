"""Functions that build an engine, each called in a process of its own that has imported what engines need already.

vLLM has one engine a process, and importing it takes longer than building a small one. So one server a test process
imports it once and forks for each call. What a call changes, prints or keeps ends with its process.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.support.engine_libraries"])
TOLD = 3000  # characters of what a call that failed printed
ENDING = 30.0  # seconds a process that has answered may take to end


def call(function: Callable[..., Any], *given: Any, timeout: float = 300.0) -> Any:
    """What the function returns; it, `given` and that are pickled. Its environment is that of the first call.

    `AssertionError`, with the end of what it printed: it raised, or its process died. `TimeoutError`: it had not ended
    after `timeout` seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder) / "printed"
        receiving, sending = CONTEXT.Pipe(duplex=False)
        process = CONTEXT.Process(target=_answer, args=(sending, printed, function, given))
        process.start()
        sending.close()  # so that the other end's is the last one
        try:
            if not receiving.poll(timeout):
                process.kill()
                raise TimeoutError(f"{function.__name__} took more than {timeout:.0f} s:\n{_end(printed)}")
            return receiving.recv()
        except EOFError:
            raise AssertionError(f"{function.__name__} failed:\n{_end(printed)}") from None
        finally:
            process.join(ENDING)  # with the processes it has started itself
            process.kill()
            process.join()


def _end(printed: Path) -> str:
    return printed.read_text(errors="replace")[-TOLD:] if printed.exists() else ""


def _answer(answers: Connection, printed: Path, function: Callable[..., Any], given: tuple[Any, ...]) -> None:
    """Call the function and send what it returns; where it raises, that is printed and nothing is sent."""
    with printed.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        answers.send(function(*given))
    except BaseException:  # whatever it is, the caller is told
        traceback.print_exc()
    answers.close()
