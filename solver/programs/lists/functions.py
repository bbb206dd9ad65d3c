"""The functions by name: which compiled function with which variant, from what to what, at what cost.

To add one: write it in the file of its kind, give it a number below and a case in `units.py`, and a row here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solver.programs.lists.labels import FIRST_FLAG, FLAGS, MEASURES, WAYS
from solver.programs.lists.labels_of_objects import PLACES, RELATIONS, VIEWS
from solver.programs.lists.labels_of_panels import PANELS as OF_PANELS
from solver.programs.lists.layout import (
    DRAWING,
    GEOMETRY,
    JOINS,
    LABELS,
    MOVES,
    PARTS,
    PATTERNS,
    SHAPES,
    SIDES,
    SPLITS,
)  # fmt: skip
from solver.programs.lists.moves import KINDS, LEFT_OUT, OF_COLOUR, REMOVED
from solver.programs.lists.picks import PROPERTIES
from solver.programs.lists.shapes import WHOLE

VARIANTS = 256  # of one function, at most

(RIGID, CROP, SECTION, COMPOSITE, SCALE, SHRINK, SHIFT, WIDEN, SQUEEZE, LINE_ORDER) = range(10)
(PAINT, FRAME, FILL, GROW, PEEL, FALL, TALLY) = range(7)
(CONNECT, RAYS, SPREAD, OVERLAID, SYMMETRIC, TILE, FRACTAL, EMBED, EQUAL_ENDS) = range(9)
(KEPT, SLID, TOWARD, STAMPED) = range(4)
(DOTTED, EXTENDED, LEAKED, BOXED, FLOODED, COMPLETED, PALETTE, LARGEST, SMOOTHED) = range(9)
OF_CELLS, OF_LINES, OF_REGIONS = range(3)
OF_VIEWS, OF_DISTANCES, OF_BOXES, OF_REGION_LINES, OF_RELATIONS, PANEL_LABELS = 7, 8, 9, 14, 19, 24
(REGIONS, BOXES, COLOUR_SPLIT, PANELS, LINES, SECTIONS, FRAMED, WINDOWS, COLOUR_BOXES) = range(9)
(PICK, AT_PLACE) = range(2)
(OVERLAY, ROW_OF, LOGIC, ARRANGED, LENGTH, RECOLOURED, PLACED) = range(7)


@dataclass(frozen=True)
class Function:
    """One function. `unit`, `number`, `arg`: which unit, which function of it, which variant of that.

    `cost`: at least 1, in half steps in the tables below, in quarter steps in GENERAL and from `functions`.
    `name`: what the text of a program calls it.
    """

    name: str
    unit: int
    number: int
    arg: int
    cost: int


def family(name: str, which: tuple[int, int], variants: dict[int, str], cost: int = 2) -> Iterator[Function]:
    """The variants of one function of a unit, each by its number and name."""
    for arg, variant in variants.items():
        yield Function(f"{name} {variant}".strip(), *which, arg, cost)


def _geometry() -> Iterator[Function]:
    turns = {1: "flip columns", 2: "flip rows", 3: "turn half", 4: "transpose", 5: "turn left", 6: "turn right"}
    yield from family("", (GEOMETRY, RIGID), {**turns, 7: "transpose the other way"})
    yield from family("crop", (GEOMETRY, CROP), {0: ""}, 1)
    sides = ["left half", "right half", "top half", "bottom half"]
    quarters = ["top left quarter", "top right quarter", "bottom left quarter", "bottom right quarter"]
    thirds = [f"{n} third {way}" for way in ("across", "down") for n in ("first", "second", "last")]
    yield from family("", (GEOMETRY, SECTION), dict(enumerate([*sides, *quarters])))
    yield from family("", (GEOMETRY, SECTION), dict(enumerate(thirds, 8)), 3)
    yield from family("", (GEOMETRY, SECTION), {14: "without the rim"})
    mirrored = ["right", "left", "down", "up", "right and down", "left and up"]
    yield from family("mirror", (GEOMETRY, COMPOSITE), dict(enumerate(mirrored)))
    yield from family(
        "repeat",
        (GEOMETRY, COMPOSITE),
        {
            6: "twice each way",
            7: "beside",
            8: "below",
            9: "turned",
            10: "mirrored over the last row",
            11: "over the last column",
        },
    )
    yield from family("scale", (GEOMETRY, SCALE), {2: "2", 3: "3", 4: "4", 0: "by its shape", 1: "by its colours"})
    yield from family("scale down", (GEOMETRY, SHRINK), {0: ""})
    yield from family("shift", (GEOMETRY, SHIFT), dict(enumerate(SIDES)), 3)
    yield from family("roll", (GEOMETRY, SHIFT), dict(enumerate(SIDES, 4)), 3)
    yield from family("widen", (GEOMETRY, WIDEN), {0: "empty", 1: "by its rim", 2: "in one colour"})
    yield from family("without", (GEOMETRY, SQUEEZE), {0: "empty lines", 1: "repeated lines", 2: "lines of one colour"})
    orders = ["rows fewest first", "rows most first", "columns fewest first", "columns most first"]
    yield from family("order", (GEOMETRY, LINE_ORDER), dict(enumerate(orders)), 3)


def _shapes() -> Iterator[Function]:
    changes = {40: "0 and the rest exchanged", 41: "two colours exchanged", 42: "commonest colour alone"}
    changes |= {43: "rarest colour alone", 44: "all in the commonest", 45: "all in the rarest", 46: "without commonest"}
    yield from family("", (SHAPES, PAINT), changes)
    middle = ["middle column", "middle row"]
    rims = ["rim of the box", "whole box", "what is on the rim", "what is inside", "commonest cell", "commonest filled"]
    yield from family(
        "",
        (SHAPES, FRAME),
        dict(enumerate([*rims, "rarest cell", "all in the commonest of all", "first cell", *middle])),
    )
    holes = ["holes", "holes over corners", "outside", "outside over corners"]
    yield from family("fill", (SHAPES, FILL), dict(enumerate(holes)))
    yield from family("filling of", (SHAPES, FILL), {WHOLE + k: name for k, name in enumerate(holes)})
    around = ["by sides", "over corners", "corners alone"]
    yield from family("outline", (SHAPES, GROW), dict(enumerate(around)))
    yield from family("outline alone", (SHAPES, GROW), {WHOLE + k: name for k, name in enumerate(around)})
    peels = ["rims of shapes", "insides of shapes", "without single cells", "single cells", "blocks alone"]
    yield from family("", (SHAPES, PEEL), dict(enumerate(peels)))
    yield from family("fall", (SHAPES, FALL), dict(enumerate(SIDES)))
    drawn = enumerate(("row", "column", "square", "diagonal"))
    counted = list(enumerate(("cells", "colours", "regions", "regions over corners", "holes and outside")))
    yield from family(
        "number of", (SHAPES, TALLY), {10 * d + w: f"{n} as {m}" for d, m in drawn for w, n in counted}, 3
    )


def _patterns() -> Iterator[Function]:
    joined = {1: "rows", 2: "columns", 3: "rows and columns", 4: "diagonals", 7: "all ways", 11: "any two colours"}
    yield from family("connect", (PATTERNS, CONNECT), joined)
    yield from family("connections alone", (PATTERNS, CONNECT), {WHOLE + k: name for k, name in joined.items()})
    ways = {1: "right", 2: "left", 4: "down", 8: "up", 3: "rows", 12: "columns", 15: "rows and columns"}
    diagonals = {33: "down right", 34: "down left", 36: "up right", 40: "up left", 41: "falling", 38: "rising"}
    yield from family("rays", (PATTERNS, RAYS), {**ways, **diagonals, 47: "diagonals"})
    yield from family(
        "rays over others", (PATTERNS, RAYS), {64 + k: name for k, name in ways.items() if k in (3, 12, 15)}
    )
    yield from family(
        "rays alone", (PATTERNS, RAYS), {WHOLE + k: ways[k] for k in (3, 12, 15)} | {WHOLE + 47: "diagonals"}
    )
    yield from family("spread", (PATTERNS, SPREAD), {0: "by sides", 1: "over corners"})
    overlays = {1: "columns flipped", 2: "rows flipped", 3: "half turn", 4: "transposed", 5: "turn", 8: "all turns"}
    yield from family("fill from", (PATTERNS, OVERLAID), overlays)
    yield from family("complete the symmetry", (PATTERNS, SYMMETRIC), {0: ""})
    yield from family("tile", (PATTERNS, TILE), {0: "completed", 1: "alone", 2: "of columns", 3: "of rows"})
    placed = ["where it is filled", "where it is empty", "at the commonest colour", "at the rarest colour"]
    yield from family("copies", (PATTERNS, FRACTAL), dict(enumerate([*placed, "in the cell's colour"])))
    canvas = ["at its place", "in the middle", "at the top left", "repeated", "repeated mirrored", "scaled"]
    yield from family(
        "on the canvas",
        (PATTERNS, EMBED),
        dict(enumerate([*canvas, "cells apart", "repeated from its place", "commonest of blocks"])),
    )


def _moves() -> Iterator[Function]:
    for way, regions in ((0, "regions"), (OF_COLOUR, "regions of a colour")):
        for n, kind in enumerate(KINDS):
            yield Function(f"{regions} {kind} alone", MOVES, KEPT, way + n, 2)
            yield Function(f"without {regions} {kind}", MOVES, KEPT, way + LEFT_OUT + n, 2)
        yield from family(f"slide {regions}", (MOVES, SLID), {way + n: name for n, name in enumerate(SIDES)})
    anchors = ["the largest", "the commonest colour", "the rarest colours", "a larger one of their colour"]
    for how, does in enumerate(["move to", "move alone to", "lines to"]):
        yield from family(does, (MOVES, TOWARD), {4 * how + n: name for n, name in enumerate(anchors)})
    places = ["about single cells", "over equal boxes", "over its parts", "over its parts turned"]
    for removed, does in ((0, "copy"), (REMOVED, "move")):
        yield from family(f"{does} the template", (MOVES, STAMPED), {removed + n: p for n, p in enumerate(places)})


def _drawing() -> Iterator[Function]:
    ways = {1: "right", 2: "left", 4: "down", 8: "up", 3: "rows", 12: "columns", 15: "rows and columns"}
    ways[47] = "diagonals"
    yield from family("dotted", (DRAWING, DOTTED), ways, 3)
    yield from family("dotted, between the dots", (DRAWING, DOTTED), {64 + k: name for k, name in ways.items()}, 3)
    lines = {1: "rows", 2: "columns", 3: "rows and columns", 4: "diagonals", 7: "all ways"}
    yield from family("extend", (DRAWING, EXTENDED), lines)
    yield from family("inside of boxes", (DRAWING, LEAKED), {0: "", 1: "and out of gaps", 2: "and aslant out of gaps"})
    for way, regions in ((0, "regions"), (4, "regions of a colour")):
        drawn = (f"boxes of {regions} filled", f"rims of boxes of {regions}", f"around boxes of {regions}")
        yield from family("", (DRAWING, BOXED), {way + n: name for n, name in enumerate(drawn)})
    yield from family(
        "flood", (DRAWING, FLOODED), dict(enumerate(["holes", "from the rarest", "holes from the rarest"]))
    )
    groups = ["by half a turn", "by quarter turns", "by diagonals", "by all turns"]
    yield from family("complete", (DRAWING, COMPLETED), dict(enumerate(groups)))
    yield from family("complete regions", (DRAWING, COMPLETED), {4 + n: name for n, name in enumerate(groups)})
    orders = ["most first", "fewest first", "from the top", "from the left"]
    forms = ["as a row", "as a column", "but the commonest as a row", "but the commonest as a column"]
    for by, order in enumerate(orders):
        names = {4 * by + n: f"{form}, {order}" for n, form in enumerate(forms)}
        yield from family("colours", (DRAWING, PALETTE), names, 3)
    bars = ["rows, most first", "columns, most first", "rows, fewest first", "columns, fewest first"]
    yield from family("bars of colours as", (DRAWING, PALETTE), {16 + n: name for n, name in enumerate(bars)}, 3)
    boxes = ["empty rectangle", "empty square", "rectangle of a colour", "square of a colour"]
    yield from family("largest", (DRAWING, LARGEST), dict(enumerate(boxes)))
    smooth = [
        "lines in their commonest",
        "each cell the commonest about it",
        "single cells in the commonest about them",
    ]
    yield from family("", (DRAWING, SMOOTHED), dict(enumerate(smooth)))


def _labels() -> Iterator[Function]:
    cell = ["row in twos", "column in twos", "chessboard", "row in threes", "column in threes", "distance to the rim"]
    cell += ["row", "column", "box of all", "rank of its colour", "filled beside it", "filled around it"]
    yield from family("label", (LABELS, OF_CELLS), dict(enumerate([*cell, "equal beside it", "equal around it"])))
    line = [f"{what} of its {way}" for what in ("commonest", "cells", "colours", "most") for way in ("row", "column")]
    yield from family("label", (LABELS, OF_LINES), dict(enumerate(line)))
    kinds = ["regions", "regions over corners", "regions of a colour", "regions of a colour over corners"]
    for way, kind in [*enumerate(kinds), (4, "empty regions")]:
        for n, measure in enumerate(MEASURES):
            if measure != "colours" or way < 2:
                names = [measure, f"rank of {measure}", f"most {measure}", f"least {measure}"]
                yield from family(f"label {kind}", (LABELS, OF_REGIONS + way), dict(enumerate(names, WAYS * n)))
        told = [f for f in FLAGS if ("est colour" not in f or way < 2) and (f != "whole box" or way < 4)]
        flags = {FIRST_FLAG + FLAGS.index(f): f for f in told}
        yield from family(f"label {kind}", (LABELS, OF_REGIONS + way), flags)


def _objects() -> Iterator[Function]:
    yield from family("label", (LABELS, OF_VIEWS), dict(enumerate(VIEWS)))
    forms = ["", " in twos", " in threes"]
    things = [f"from {what}{over}" for what in ("filled cells", "empty cells", "the rarest colour")
              for over in ("", " over corners")]  # fmt: skip
    distances = [thing + form for thing in things for form in forms]
    yield from family("label distance", (LABELS, OF_DISTANCES), dict(enumerate(distances)))
    kinds = {1: "regions over corners", 2: "regions of a colour", 4: "empty regions"}
    lines = dict(enumerate(["any part", "the middle", "ends"]))
    for way, kind in kinds.items():
        yield from family(f"label {kind}", (LABELS, OF_BOXES + way), dict(enumerate(PLACES)))
        yield from family(f"label lines of {kind}", (LABELS, OF_REGION_LINES + way), lines)
        told = {n: name for n, name in enumerate(RELATIONS) if way != 4 or n not in (1, 4, 5, 8, 14)}
        yield from family(f"label {kind}", (LABELS, OF_RELATIONS + way), told)
    for lines_are, name in enumerate(["label", "label between empty lines"]):
        yield from family(name, (LABELS, PANEL_LABELS + lines_are), dict(enumerate(OF_PANELS)))
    ends = {1: "rows", 2: "columns", 3: "rows and columns"}
    ends |= {4 + k: f"{name} behind others" for k, name in ends.items()}
    yield from family("lines between equal ends in", (PATTERNS, EQUAL_ENDS), ends)
    boxes = ["", "without their rims", "without the colours"]
    yield from family("boxes of colours", (SPLITS, COLOUR_BOXES), dict(enumerate(boxes)))


def _lists() -> Iterator[Function]:
    region = ["regions", "regions over corners", "regions of a colour", "regions of a colour over corners"]
    for arg, name in enumerate(region):
        yield Function(name, SPLITS, REGIONS, arg, 2)
    yield Function("empty regions", SPLITS, REGIONS, 4, 2)
    yield Function("empty regions over corners", SPLITS, REGIONS, 5, 3)
    yield Function("boxes of regions", SPLITS, BOXES, 1, 2)
    yield Function("boxes of regions of a colour", SPLITS, BOXES, 2, 2)
    yield Function("by colours", SPLITS, COLOUR_SPLIT, 0, 2)
    yield Function("panels between lines", SPLITS, PANELS, 0, 2)
    yield Function("panels between empty lines", SPLITS, PANELS, 1, 2)
    yield Function("rows", SPLITS, LINES, 0, 2)
    yield Function("columns", SPLITS, LINES, 1, 2)
    parts = [
        "halves across",
        "halves down",
        "quarters",
        "thirds across",
        "thirds down",
        "squares across",
        "squares down",
    ]
    for arg, name in enumerate(parts):
        yield Function(name, SPLITS, SECTIONS, arg, 2)
    yield Function("insides of frames", SPLITS, FRAMED, 0, 2)
    yield Function("frames with their insides", SPLITS, FRAMED, 1, 2)
    yield Function("windows of the answer's size", SPLITS, WINDOWS, 0, 3)
    how = [
        "most",
        "least",
        "all with most",
        "all with least",
        "all but most",
        "all but least",
        "most first",
        "least first",
    ]
    for number, what in enumerate(PROPERTIES):
        for arg, name in enumerate(how):
            yield Function(f"{name} {what}", PARTS, PICK, 8 * number + arg, 2 if arg < 4 else 3)
    for arg, name in enumerate(["first", "last", "middle", "all but first", "all but last", "in reverse", "second"]):
        yield Function(name, PARTS, AT_PLACE, arg, 3)
    for arg, name in enumerate(
        ["last on top", "first on top", "smallest on top", "corners, last", "corners, smallest"]
    ):
        yield Function(f"overlay {name}", JOINS, OVERLAY, arg, 1 if arg in (0, 2) else 2)
    for arg, name in enumerate(["beside", "below", "beside apart", "below apart"]):
        yield Function(name, JOINS, ROW_OF, arg, 2)
    logic = ["and", "one alone", "first not all", "last not all", "none", "odd", "most shown", "first and last", "or"]
    for arg, name in enumerate(logic):
        yield Function(f"cells of {name}", JOINS, LOGIC, arg, 2)
    yield Function("arranged", JOINS, ARRANGED, 0, 1)
    canvas = ["on the canvas, last on top", "on the canvas, first on top", "middles together, first on top"]
    for arg, name in enumerate([*canvas, "middles together, last on top"]):
        yield Function(name, JOINS, PLACED, arg, 1 if arg == 0 else 2)
    for arg, name in enumerate(["row", "column", "square", "diagonal"]):
        yield Function(f"length as {name}", JOINS, LENGTH, arg, 2)
    for arg, name in enumerate(["by place", "by own commonest", "by size", "in turn"]):
        yield Function(f"colours {name}", JOINS, RECOLOURED, arg, 2)


def _coloured(inputs: Sequence[int], outputs: Sequence[int]) -> Iterator[Function]:
    for colour in inputs:
        yield Function(f"colour {colour} alone", SHAPES, PAINT, colour, 2)
        yield Function(f"without colour {colour}", SHAPES, PAINT, 10 + colour, 2)
    for colour in outputs:
        yield Function(f"all in colour {colour}", SHAPES, PAINT, 20 + colour, 2)
        yield Function(f"empty in colour {colour}", SHAPES, PAINT, 30 + colour, 2)


FREQUENT_PREFIXES = (
    "all in the commonest", "arranged", "bottom half", "columns", "commonest colour alone", "connect any two",
    "connect columns", "connect rows", "copies where it is filled", "crop", "fall", "fill from", "fill holes",
    "insides of shapes", "left half", "mirror", "on the canvas at", "on the canvas in", "on the canvas repeated",
    "outline", "overlay last on top", "panels between lines", "quarters", "rarest colour alone", "rays",
    "repeat mirrored", "repeat twice", "right half", "rim of the box", "rims of shapes", "rows",
    "scale by its colours", "shift", "thirds", "top half", "transpose", "turn half", "without repeated lines",
)  # fmt: skip
"""How names begin that occur, or whose siblings in other directions do, in programs of two or more training tasks that
were solved, of those whose id's crc32 is no multiple of 4, and all others that begin so."""


def _priced(listed: Iterable[Function]) -> tuple[Function, ...]:
    """At costs in quarter steps: one less for what occurs often."""
    return tuple(replace(f, cost=2 * f.cost - f.name.startswith(FREQUENT_PREFIXES)) for f in listed)


GENERAL = _priced((*_geometry(), *_shapes(), *_patterns(), *_moves(), *_drawing(), *_labels(), *_objects(), *_lists()))


def functions(inputs: Sequence[int], outputs: Sequence[int]) -> tuple[Function, ...]:
    """All functions for a task with these colours other than 0 in its inputs and outputs, the cheapest first."""
    return tuple(sorted((*GENERAL, *_priced(_coloured(inputs, outputs))), key=lambda f: f.cost))


def rows(chosen: Sequence[Function]) -> NDArray[np.int32]:
    """What the compiled search reads of each: unit, which function and variant there, cost; shape [functions, 3]."""
    return np.array([(f.unit, f.number * VARIANTS + f.arg, f.cost) for f in chosen], np.int32)
