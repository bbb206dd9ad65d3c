"""Small tables for people: as rich draws them on a terminal, as aligned columns with the same cells elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TextIO


@dataclass(frozen=True)
class Section:
    """A small table for people: a title, the columns' names, rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def print_sections(sections: Sequence[Section], stream: TextIO) -> None:
    """As rich tables on a terminal that has rich; as aligned columns elsewhere."""
    if not stream.isatty() or find_spec("rich") is None:
        print("\n".join(map(_plain, sections)), file=stream)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    for section in sections:
        table = Table(title=section.title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
        for n, column in enumerate(section.columns):
            table.add_column(column, justify="right" if n else "left")
        for row in section.rows:
            table.add_row(*row)
        Console(file=stream).print(table)


def _plain(section: Section) -> str:
    rows = [section.columns, *section.rows]
    widths = [max(len(row[n]) for row in rows) for n in range(len(section.columns))]
    padded = [[row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])] for row in rows]
    return "\n".join(["", section.title, *("  " + "  ".join(cells).rstrip() for cells in padded)])
