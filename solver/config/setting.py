"""What is said of a setting beside its dataclass field: its checks, its flag and its line in every table come from it.

A group of settings is a frozen dataclass below `Settings`; groups hold groups. Invariants: a value out of its range, or
outside of its closed set, never leaves the constructor; two trees of settings have one canonical form exactly where
they are equal; a field added with a default changes no canonical form there was.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from functools import cache, reduce
from operator import attrgetter, getitem
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar, get_args, get_origin, get_type_hints

from solver.types import BadInput

ABOUT = "about"  # the key of a `Setting` in its field's metadata


def require(name: str, value: object, fits: bool, expected: str) -> None:
    """Raise `BadInput`, naming the setting, what came and what was expected, unless `fits`."""
    if not fits:
        raise BadInput(f"{name} is {value!r}: expected {expected}")


@dataclass(frozen=True)
class Range:
    """What a number may be, in words and as a test; the second half of an `Annotated` type of a setting."""

    expected: str
    fits: Callable[[Any], bool]


Count: TypeAlias = Annotated[int, Range("0 or more", lambda number: number >= 0)]
Positive: TypeAlias = Annotated[int, Range("at least 1", lambda number: number >= 1)]
Share: TypeAlias = Annotated[float, Range("a share above 0 and at most 1", lambda share: 0 < share <= 1)]
Fraction: TypeAlias = Annotated[float, Range("a share from 0 to 1", lambda share: 0 <= share <= 1)]
Part: TypeAlias = Annotated[float, Range("a share between 0 and 1", lambda share: 0 < share < 1)]


@dataclass(frozen=True)
class Setting:
    """What is known of a setting beside its type, which says its closed set (`Literal`) or its `Range`."""

    help: str  # what it does, with its unit
    fits: Callable[[Any], bool] = lambda _: True  # whether a value is in a range of its own
    expected: str = ""  # what may come, to stand after "expected" where the type does not say it well
    choices: Mapping[Any, str] = field(default_factory=dict)  # what each value does; of an open type, all it may have
    refusals: Mapping[Any, str] = field(default_factory=dict)  # values others have → what to do in place of them
    name: str = ""  # in messages, where neither flag nor field is to be named
    formerly: tuple[str, ...] = ()  # the field's names in the records of older versions
    flag: str = ""  # its spelling, where there is a flag
    metavar: str = ""  # what follows the flag
    nargs: str | None = None  # of the flag, as argparse has it
    read: Callable[[str, str], Any] | None = None  # the value of (text, flag), where the type alone does not say it
    needs: str = ""  # the flag it has to come with, and after a semicolon a word to that
    instead_of: str = ""  # flags of one group exclude each other
    resumes: bool = False  # a resumed run takes the flag beside `--resume`


def setting(default: Any, help: str, flag: str = "", **more: Any) -> Any:
    """A dataclass field with a `Setting` beside it, the rest of which is `more`. `flag`: its spelling and metavar."""
    spelling, _, metavar = flag.partition(" ")
    return field(default=default, metadata={ABOUT: Setting(help, **{"flag": spelling, "metavar": metavar} | more)})


@dataclass(frozen=True)
class Entry:
    """A setting in its tree."""

    path: str  # its name with those of the groups it is in
    kind: Any  # its type
    default: Any
    about: Setting
    basis: Mapping[Any, tuple[str, str]]  # as `BASIS`, of each value of a closed set and, under None, of the setting

    @property
    def values(self) -> tuple[Any, ...]:
        """All values of a closed set; (): it is open."""
        return tuple(self.about.choices) or closed_set(self.kind)

    def check(self, value: Any) -> None:
        """Raise `BadInput` unless the setting may have this value; None is what was not given."""
        if value is None:
            return
        about, allowed = self.about, self.values
        name = about.name or about.flag or self.path
        for one in value if isinstance(value, tuple) else (value,):
            expected = about.refusals.get(one) or about.expected or f"one of {', '.join(map(str, allowed))}"
            require(name, one, not allowed or one in allowed, expected)
        limits = [limit for limit in get_args(self.kind) if isinstance(limit, Range)]
        expected = about.expected or "".join(limit.expected for limit in limits)
        require(name, value, about.fits(value) and all(limit.fits(value) for limit in limits), expected)


def closed_set(kind: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, or of those in a union or a tuple; () for every other type."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for part in get_args(kind) for value in closed_set(part))


@dataclass(frozen=True)
class Settings:
    """Settings that are checked at birth: first each alone, then `refuse_contradictions`."""

    BASIS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """For each setting that is a choice of the method, or `setting=value`: where it is from, and its `test_…`."""

    @classmethod
    @cache
    def own(cls) -> tuple[Entry, ...]:
        """The settings of this group, without those of the groups in it."""
        own, kinds = [], get_type_hints(cls, include_extras=True)
        for each in fields(cls):
            if about := each.metadata.get(ABOUT):
                keys = {None: each.name, **{value: f"{each.name}={value}" for value in about.choices}}
                basis = {value: cls.BASIS.get(key, ("", "")) for value, key in keys.items()}
                own.append(Entry(each.name, kinds[each.name], each.default, about, basis))
        return tuple(own)

    def __post_init__(self) -> None:
        for each in self.own():
            each.check(getattr(self, each.path))
        self.refuse_contradictions()

    def refuse_contradictions(self) -> None:
        """Raise `BadInput` for settings that make no sense beside each other."""


S = TypeVar("S", bound=Settings)


def entries(tree: type[Settings]) -> tuple[Entry, ...]:
    """All settings of a tree, depth first, in the order of their fields."""
    return tuple(_walk(tree(), ""))


def _walk(group: Settings, before: str) -> Iterator[Entry]:
    own = {each.path: each for each in group.own()}
    for each in fields(group):
        value = getattr(group, each.name)
        if each.name in own:
            yield replace(own[each.name], path=before + each.name, default=value)
        else:
            yield from _walk(value, f"{before}{each.name}.")


def changed(tree: S, changes: Mapping[str, Any]) -> S:
    """The tree with other values at these paths, checked once all are in their places."""
    packed = asdict(tree)
    for path, value in changes.items():
        *groups, name = path.split(".")
        reduce(getitem, groups, packed)[name] = value
    return unpack(type(tree), packed)


def differences(tree: Settings) -> dict[str, Any]:
    """Path → value of what is not at its default."""
    values = ((each, attrgetter(each.path)(tree)) for each in entries(type(tree)))
    return {each.path: value for each, value in values if value != each.default}


def canonical(tree: Settings) -> str:
    """`differences` as JSON."""
    return json.dumps(differences(tree), sort_keys=True, separators=(",", ":"))


def unpack(group: type[S], packed: Mapping[str, Any]) -> S:
    """The tree back from `asdict`'s values, also those of older versions. Raises `BadInput` for an unknown name."""
    hints = get_type_hints(group)
    kinds = {each.name: hints[each.name] for each in fields(group)}
    now = {old: each.path for each in group.own() for old in each.about.formerly}
    values = {}
    for name, value in packed.items():
        name = now.get(name, name)
        require(f"name of a setting in {group.__name__}", name, name in kinds, f"one of {', '.join(kinds)}")
        if is_dataclass(kinds[name]):
            value = unpack(kinds[name], value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return group(**values)
