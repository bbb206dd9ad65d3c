"""What is said of a setting beside its dataclass field: its checks, its flag and its line in every table come from it.

A group of settings is a frozen dataclass below `Settings`; groups hold groups. Invariants: a value out of its range, or
outside of its closed set, never leaves the constructor; two trees of settings have one canonical form exactly where
they are equal; a field added with a default changes no canonical form there was.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from operator import attrgetter
from typing import Any, TypeVar, get_type_hints

from solver.types import BadInput

ABOUT = "about"  # the key of a `Setting` in its field's metadata


def require(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise `BadInput`, naming the setting, what came and what was expected, unless `fits`."""
    if not fits:
        raise BadInput(f"{name} is {value!r}: expected {expected}")


@dataclass(frozen=True)
class Choice:
    """One value of a closed set.

    `help`: what it does. `source`: where the idea is from. `tested`: the test that exercises it, without `test_`.
    """

    help: str = ""
    source: str = ""
    tested: str = ""


@dataclass(frozen=True)
class Setting:
    """What is known of a setting.

    `help`: what it does, with its unit. `least`: the smallest value it may have. `fits`: whether a value is in
    range otherwise. `expected`: what may come, to stand after "expected" where `least` or `choices` do not say it.
    `choices`: every value it may have or, of a tuple, each element, and what that does. `refusals`: values of other
    implementations → what to do in place of them. `name`: in messages, where neither flag nor field is to be named.
    `formerly`: the field's names in the records of older versions. `source`: where the idea is from, none for what
    is no choice of the method. `tested`: the test that exercises it, without `test_`.

    Of a flag: `flag`: its spelling, none where there is none. `metavar`: what follows it. `nargs`: as argparse has it.
    `read`: makes the value of (text, flag), where its type alone does not. `needs`: the flag it has to come with, and
    after a semicolon a word to that. `instead_of`: flags of one group exclude each other. `resumes`: a resumed run
    takes it beside `--resume`.
    """

    help: str
    least: float | None = None
    fits: Callable[[Any], bool] = lambda _: True
    expected: str = ""
    choices: Mapping[Any, Choice] = field(default_factory=dict)
    refusals: Mapping[Any, str] = field(default_factory=dict)
    name: str = ""
    formerly: tuple[str, ...] = ()
    source: str = ""
    tested: str = ""
    flag: str = ""
    metavar: str = ""
    nargs: str | None = None
    read: Callable[[str, str], Any] | None = None
    needs: str = ""
    instead_of: str = ""
    resumes: bool = False

    def check(self, name: str, value: Any) -> None:
        """Raise `BadInput` unless the setting of this name may have this value; None is what was not given."""
        if value is None:
            return
        name = self.name or self.flag or name
        for one in value if isinstance(value, tuple) else (value,):
            expected = self.refusals.get(one) or self.expected or f"one of {', '.join(map(str, self.choices))}"
            require(name, one, not self.choices or one in self.choices, expected)
        fits = self.fits(value) and (self.least is None or value >= self.least)
        require(name, value, fits, self.expected or f"at least {self.least}")


def setting(default: Any, help: str, flag: str = "", basis: tuple[str, str] = ("", ""), **more: Any) -> Any:
    """A dataclass field of this default with a `Setting` of its own beside it; `more` is the rest of that.

    `flag`: its spelling and, after a blank, what follows it. `basis`: source, and test.
    """
    spelling, _, metavar = flag.partition(" ")
    given = {"source": basis[0], "tested": basis[1], "flag": spelling, "metavar": metavar} | more
    return field(default=default, metadata={ABOUT: Setting(help, **given)})


@dataclass(frozen=True)
class Settings:
    """Settings that are checked at birth: first each alone, then `refuse_contradictions`."""

    def __post_init__(self) -> None:
        for name, about in _abouts(type(self)).items():
            about.check(name, getattr(self, name))
        self.refuse_contradictions()

    def refuse_contradictions(self) -> None:
        """Raise `BadInput` for settings that make no sense beside each other."""


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Entry:
    """A setting in its tree. `path`: its name with those of the groups it is in. `kind`: its type. `default`: there."""

    path: str
    kind: Any
    default: Any
    about: Setting


def entries(tree: type[Settings]) -> tuple[Entry, ...]:
    """All settings of a tree, depth first, in the order of their fields."""
    whole = tree()
    return tuple(Entry(path, kind, attrgetter(path)(whole), about) for path, kind, about in _walk(tree, ""))


def _walk(group: type, before: str) -> Iterator[tuple[str, Any, Setting]]:
    kinds = get_type_hints(group)
    for each in fields(group):
        kind, path = kinds[each.name], before + each.name
        if is_dataclass(kind):
            yield from _walk(kind, f"{path}.")  # type: ignore[arg-type]
        elif ABOUT in each.metadata:
            yield path, kind, each.metadata[ABOUT]


def _abouts(group: type) -> Mapping[str, Setting]:
    return {each.name: each.metadata[ABOUT] for each in fields(group) if ABOUT in each.metadata}


def changed(tree: S, changes: Mapping[str, Any]) -> S:
    """The tree with other values at these paths, checked once all are in their places."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = defaultdict(dict)
    for path, value in changes.items():
        head, _, rest = path.partition(".")
        if rest:
            inner[head][rest] = value
        else:
            own[head] = value
    return replace(tree, **own, **{name: changed(getattr(tree, name), given) for name, given in inner.items()})


def differences(tree: Settings) -> dict[str, Any]:
    """Path → value of what is not at its default."""
    values = ((each, attrgetter(each.path)(tree)) for each in entries(type(tree)))
    return {each.path: value for each, value in values if value != each.default}


def canonical(tree: Settings) -> str:
    """The settings as JSON that says what is not at its default, and nothing else."""
    return json.dumps(differences(tree), sort_keys=True, separators=(",", ":"))


def pack(tree: Settings) -> dict[str, Any]:
    """The whole tree as plain values for JSON, defaults included."""
    return asdict(tree)


def unpack(group: type[S], packed: Mapping[str, Any]) -> S:
    """The tree back from `pack`'s values, also from those of older versions: what they lack is at its default.

    Raises `BadInput` for an unknown name, which it names, and for a value out of its range.
    """
    kinds = get_type_hints(group)
    now = {old: name for name, about in _abouts(group).items() for old in about.formerly}
    values = {}
    for name, value in packed.items():
        name = now.get(name, name)
        require(f"name of a setting in {group.__name__}", name, name in kinds, f"one of {', '.join(kinds)}")
        if is_dataclass(kinds[name]):
            value = unpack(kinds[name], value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return group(**values)
