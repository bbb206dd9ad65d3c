"""`python -m solver switches`: all settings and flags as a Markdown page (`config/settings.md`), from their fields."""

import argparse
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from solver.cli import FLAGS
from solver.config.flags import described
from solver.config.learning_rates import RATES
from solver.config.presets import PRESETS
from solver.config.setting import Entry, differences, entries
from solver.config.settings import Config

PAGE = Path(__file__).resolve().parents[1] / "config" / "settings.md"
HEAD = """# Settings

`python -m solver switches --write` makes this page; a test checks that it is up to date. The flags are those of
`python submission.py`, which prints them with `--help`, and, with a few more, of `python -m solver ablate`. A setting
without a flag is changed in a preset (`presets.py`) or as a variant of `ablate`; its name is its path in `Config`."""

RATES_HEAD = "The first row that fits a model is its own, unless `--rate` asks for another."


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *cells))


def _shown(value: Any) -> str:
    plain = ", ".join(value) if isinstance(value, tuple) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"`{plain}`" if plain else ""


def flags() -> str:
    """Every flag, with what it does, and the setting that it is of."""
    settings = {entry.about.flag: f"`{entry.path}`" for entry in entries(Config) if entry.about.flag}
    names = {entry.about.flag: f"`{entry.about.flag} {entry.about.metavar}".rstrip() + "`" for entry in FLAGS}
    rows = ((names[flag], described(entry), settings.get(flag, "")) for entry in FLAGS if (flag := entry.about.flag))
    return _table(("flag", "what it does", "setting"), rows)


def presets() -> str:
    """Every preset, with what it changes."""
    changes = {f"`{name}`": differences(preset) for name, preset in PRESETS.items()}
    rows = [(name, ", ".join(f"`{path}` {value}" for path, value in own.items())) for name, own in changes.items()]
    return _table(("preset", "what is not at its default"), rows)


def choices() -> str:
    """The choices of the method, and each value of a closed set in a row of its own."""
    rows = [row for entry in entries(Config) if is_choice(entry) for row in _rows(entry)]
    return _table(("setting", "choice", "default", "what it does", "source", "test"), rows)


def _rows(entry: Entry) -> Iterable[Sequence[str]]:
    name, (source, test) = f"`{entry.path}`", entry.basis[None]
    yield name, "", _shown(entry.default), entry.about.help, source, test and f"`test_{test}`"
    for value, help in entry.about.choices.items():
        default = entry.default == value or (isinstance(entry.default, tuple) and value in entry.default)
        own_source, own_test = entry.basis[value]
        source_, test_ = own_source or source, own_test or test
        yield name, f"`{value}`", "yes" if default else "", help, source_, test_ and f"`test_{test_}`"


def rates() -> str:
    """The learning rates by model, the first that fits."""
    sizes = (f"{row.parameters / 1e6:,.0f} million" if math.isfinite(row.parameters) else "any size" for row in RATES)
    rows = [(f"`{row.family}`", size, f"`{row.rate:g}`", row.source) for row, size in zip(RATES, sizes, strict=True)]
    return _table(("family", "parameters up to", "`train.rate`", "source"), rows)


def others() -> str:
    """The settings that are no choice of the method, but of the clock, the engine or the run."""
    rows = [(f"`{e.path}`", _shown(e.default), described(e)) for e in entries(Config) if not is_choice(e)]
    return _table(("setting", "default", "what it does"), rows)


def is_choice(entry: Entry) -> bool:
    """Whether a setting is a choice of the method."""
    return any(source for source, _ in entry.basis.values())


def page() -> str:
    """The whole page."""
    sections = {
        "Flags": flags(),
        "Presets": presets(),
        "Choices of the method": choices(),
        "Learning rates": f"{RATES_HEAD}\n\n{rates()}",
        "The clock, the engine and the run": others(),
    }
    return "\n\n".join([HEAD, *(f"## {title}\n\n{text}" for title, text in sections.items())]) + "\n"


def main(argv: Sequence[str]) -> int:
    """Print every setting and every flag as a Markdown page."""
    parser = argparse.ArgumentParser(prog="python -m solver switches", description=main.__doc__)
    parser.add_argument("--write", action="store_true", help=f"put it into {PAGE.name}, where it belongs")
    if parser.parse_args(argv).write:
        PAGE.write_text(page())
    else:
        print(page(), end="")
    return 0
