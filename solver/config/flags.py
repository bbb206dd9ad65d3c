"""Settings as a command line has them: how a flag's text is read, and a parser's flags made of settings."""

import argparse
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin

from solver.config.setting import Entry, require

HOUR = 3600.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": HOUR}


def seconds(text: str, name: str = "time") -> float:
    """`90`, `90s`, `10m`, `1.5h` or `1h30m` as seconds; `BadInput`, calling it `name`, otherwise."""
    fits = re.fullmatch(r"\d+(\.\d+)?|(\d+(\.\d+)?[smh])+", text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh]?)", text) if fits else []
    total = sum(float(number) * _UNITS[unit] for number, unit in parts)
    require(name, text, total > 0, "a time such as 90s, 10m or 1h30m")
    return total


def seconds_or_none(text: str, name: str) -> float:
    """`seconds`, or 0 for none at all."""
    return 0.0 if text == "0" else seconds(text, name)


def absolute(text: str, _: str) -> str:
    """A path that means the same from every directory."""
    return str(Path(text).resolve())


def described(entry: Entry) -> str:
    """What a flag does, and every value it may have."""
    return f"{entry.about.help}: {', '.join(map(str, entry.values))}" if entry.values else entry.about.help


def add(parser: argparse.ArgumentParser, entries: Iterable[Entry], defaults: bool) -> None:
    """Give a parser the flags of settings. What is not given is their default or, without `defaults`, None."""
    groups: dict[str, argparse._ActionsContainer] = defaultdict(parser.add_mutually_exclusive_group, {"": parser})
    for entry in entries:
        if flag := entry.about.flag:
            default, help = entry.default if defaults else None, described(entry).replace("%", "%%")
            place = groups[entry.about.instead_of]
            place.add_argument(flag, dest=entry.path, default=default, help=help, **_argument(entry))


def _argument(entry: Entry) -> dict[str, Any]:
    """How argparse reads a flag: by the type of its setting, unless that is read from its text later."""
    about, kind = entry.about, entry.kind
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) in (UnionType, Annotated):  # with None, or with a range
        kind = get_args(kind)[0]
    more: dict[str, Any] = {"metavar": about.metavar} if about.metavar else {}
    if about.nargs:
        more |= {"nargs": about.nargs, "const": "" if about.nargs == "?" else None}
    return more | ({"type": kind} if kind in (int, float, Path) and about.read is None else {})


def read(options: argparse.Namespace, entries: Iterable[Entry]) -> None:
    """Put the values of these settings in the place of their flags' texts. Raises `BadInput` for one out of range."""
    for entry in entries:
        value = getattr(options, entry.path) if entry.about.flag else None
        if value is None:
            continue
        if entry.about.read is not None and isinstance(value, str):
            value = entry.about.read(value, entry.about.flag)
        value = tuple(value) if isinstance(value, list) else value
        setattr(options, entry.path, value)
        entry.check(value)


def refuse_lone(options: argparse.Namespace, entries: Iterable[Entry]) -> None:
    """Raise `BadInput` for a flag without the one it has to come with."""
    flagged = {entry.about.flag: entry for entry in entries if entry.about.flag}
    for flag, entry in flagged.items():
        needed, _, why = entry.about.needs.partition("; ")
        value = getattr(options, entry.path)
        lone = needed and value not in (None, entry.default) and getattr(options, flagged[needed].path) is None
        shown = str(value) if isinstance(value, Path) else value
        require(flag, shown, not lone, f"to come with {needed}{f'; {why}' if why else ''}")
