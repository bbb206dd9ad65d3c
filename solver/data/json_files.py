"""JSON files that people give: read whole or refused in one line, before anything is made of them.

Law: a pipe, a device, and a file larger than any contest's are refused before they are read.
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from solver.types import BadInput

MEGABYTE = 10**6
LARGEST = 64 * MEGABYTE  # bytes of a file: of ARC Prize's own the largest, the training challenges, has 8 MB
LONG_NUMBER = 20  # digits: longer integers cannot be colours, and beyond 4,300 Python refuses to read them
NO_FILES = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


class Members(dict[str, object]):
    """A JSON object that remembers: the first of each key is kept, `repeated` has the later (key, value) pairs."""

    repeated: tuple[tuple[str, object], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, object]]) -> Members:
        """The object made of these pairs; the `object_pairs_hook` of every file read here."""
        members, later = cls(), []
        for name, value in pairs:
            if name in members:
                later.append((name, value))
            else:
                members[name] = value
        members.repeated = tuple(later)
        return members


def describe(value: object) -> str:
    """A JSON value in a few printable characters, for messages."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_bytes(path: Path, largest: int | None = LARGEST) -> bytes:
    """The file's bytes, at most so many. Raises `BadInput` where it is larger, no regular file, or can't be read."""
    try:
        status = path.stat()
        if kind := NO_FILES.get(stat.S_IFMT(status.st_mode)):
            raise BadInput(f"{path} is {kind}; expected a JSON file; write what it gives to a file and pass that")
        if largest is not None and status.st_size > largest:
            came, limit = (f"{size / MEGABYTE:,.1f} MB" for size in (status.st_size, largest))
            expected = f"expected a JSON file of at most {limit}"
            raise BadInput(f"{path} has {came}; {expected}; check the path, or split it up")
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BadInput(f"{path} cannot be read ({reason}); expected a JSON file; check path and rights") from None


def parse_json(data: bytes, name: str) -> object:
    """The JSON value in UTF-8 `data` (a byte-order mark is allowed); objects are `Members`. Raises `BadInput`."""
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=Members.of, parse_int=_integer(data))
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
    except json.JSONDecodeError as error:
        reason = f"line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        reason = "nested too deeply"
    raise BadInput(f"{name} is not valid JSON ({reason}); expected a UTF-8 JSON file; check it or fetch it again")


def _integer(data: bytes) -> Callable[[str], int | str] | None:
    """How to read integers: a number too long for a colour stays text, so that it spoils one task and not the file."""
    if re.search(rb"[0-9]{%d}" % LONG_NUMBER, data) is None:
        return None
    return lambda text: int(text) if len(text) < LONG_NUMBER else text


def read_json(path: Path) -> object:
    """The JSON value in a file. Raises `BadInput`."""
    return parse_json(read_bytes(path), str(path))
