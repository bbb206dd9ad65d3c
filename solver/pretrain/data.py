"""The pool of pretraining pairs as one .npz file: written, read, and checked against the evaluation tasks.

Knows nothing of tokens or models, nor where pairs come from (`sources`). Laws: what is read is a valid pool or a
`BadInput`; nothing is pickled; the same pool is the same file, byte for byte.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from solver.pretrain import split
from solver.types import COLOURS, MAX_SIDE, BadInput, Grid, Pair

COMPOSED = "composed"  # the source of tasks whose rules are compositions of primitives
ADVICE = "make it again with python -m solver pretrain pool"


@dataclass(frozen=True, eq=False)
class Pool:
    """Pairs by task: `pairs[i]` are the pairs of task `ids[i]`, and `originals[i]` how many of them, at the end of the
    list, are ARC's own. `sources[i]`: the name of where the task comes from; (): not known of any.
    """

    ids: tuple[str, ...]
    pairs: tuple[tuple[Pair, ...], ...]
    originals: tuple[int, ...]
    sources: tuple[str, ...] = ()


def sound(grid: Grid) -> bool:
    """Whether an array is a grid: 1 to 30 rows and columns, colours 0 to 9."""
    return grid.ndim == 2 and min(grid.shape) >= 1 and max(grid.shape) <= MAX_SIDE and int(grid.max()) < COLOURS


def save(pool: Pool, path: Path) -> str:
    """Write the pool as .npz (nothing pickled); returns the file's sha256."""
    grids = [grid for pairs in pool.pairs for pair in pairs for grid in (pair.input, pair.output)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}.npz")
    np.savez_compressed(
        partial,
        ids=np.array(pool.ids, dtype=np.str_),
        sources=np.array(pool.sources or [""] * len(pool.ids), dtype=np.str_),
        counts=np.array([len(p) for p in pool.pairs], dtype=np.int64),
        originals=np.array(pool.originals, dtype=np.int64),
        shapes=np.array([g.shape for g in grids], dtype=np.uint8).reshape(-1, 2),
        cells=np.concatenate([np.zeros(0, np.uint8), *(g.ravel() for g in grids)]),
    )
    os.replace(partial, path)
    return sha256_of(path)


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(pool: Pool, target: Path, name: str) -> None:
    """Save a pool at `target`. Raises `BadInput` where another one lies there; `name`: what it is called then."""
    fresh = target.with_name(f"fresh-{target.name}")
    save(pool, fresh)
    try:
        copy(fresh, target, name)
    finally:
        fresh.unlink()


def copy(source: Path, target: Path, name: str = "") -> None:
    """Put a pool's file, called `name` in messages, at `target`. Raises `BadInput` where another one lies there."""
    if target.exists():
        if sha256_of(source) != sha256_of(target):
            raise BadInput(
                f"{target} is another pool than {name or source}; expected the same; use another --directory"
            )
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"partial-{target.name}")
    shutil.copyfile(source, partial)
    os.replace(partial, target)


def load(path: Path) -> Pool:
    """Read a pool written by `save`. Raises `BadInput` where it is none, or holds a grid that is none."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except OSError as error:
        raise BadInput(
            f"{path} cannot be read ({error.strerror or error}); expected a pool; check path, or {ADVICE}"
        ) from None
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path} is no pool ({reason}); expected an .npz file of plain arrays; {ADVICE}") from None
    try:
        return _pool(arrays)
    except _Unsound as error:
        raise BadInput(f"{path}: {error}; {ADVICE}") from None


class _Unsound(ValueError):
    """What is wrong with a pool's arrays, and what was expected."""


def _pool(arrays: Mapping[str, NDArray[np.generic]]) -> Pool:
    """The arrays of a file as a pool. Raises `_Unsound`."""
    for name, kind in (("ids", "U"), ("counts", "iu"), ("originals", "iu"), ("shapes", "iu"), ("cells", "u")):
        if name not in arrays:
            raise _Unsound(f"the array {name!r} is missing, one was expected")
        if arrays[name].dtype.kind not in kind or arrays[name].ndim != (2 if name == "shapes" else 1):
            came = f"{arrays[name].dtype} of {arrays[name].ndim} dimensions"
            raise _Unsound(f"the array {name!r} is {came}, {'text' if kind == 'U' else 'whole numbers'} were expected")
    ids, counts, originals = (tuple(arrays[name].tolist()) for name in ("ids", "counts", "originals"))
    sources = tuple(str(source) for source in arrays.get("sources", np.full(len(ids), "")).tolist())
    if len({len(ids), len(counts), len(originals), len(sources)}) > 1 or len(set(ids)) < len(ids):
        raise _Unsound(
            "ids, counts, originals and sources differ in number, or an id comes twice; one of each a task was expected"
        )
    for task_id, count, own in zip(ids, counts, originals, strict=True):
        if not 0 <= own <= count:
            raise _Unsound(f"task {task_id}: {own} own pairs of {count} came, 0 to {count} were expected")
    grids = iter(_grids(arrays["shapes"], arrays["cells"].astype(np.uint8, copy=False), ids, counts))
    pairs = tuple(tuple(Pair(next(grids), next(grids)) for _ in range(count)) for count in counts)
    return Pool(ids, pairs, originals, sources if any(sources) else ())


def _grids(
    shapes: NDArray[np.generic], cells: NDArray[np.uint8], ids: tuple[str, ...], counts: tuple[int, ...]
) -> Iterator[Grid]:
    """Every grid in order, as a view of `cells`. Raises `_Unsound`, before the first, at what is no grid."""
    sides = shapes.astype(np.int64)
    if sides.shape != (2 * sum(counts), 2):
        raise _Unsound(
            f"{sides.shape} numbers as shapes came, {(2 * sum(counts), 2)} were expected for {sum(counts)} pairs"
        )

    def place(index: int) -> str:
        task = int(np.searchsorted(np.cumsum(counts), index // 2, side="right"))
        pair = index // 2 - sum(counts[:task])
        return f"task {ids[task]}: pair {pair}: {('input', 'output')[index % 2]}"

    unfit = np.flatnonzero(((sides < 1) | (sides > MAX_SIDE)).any(axis=1))
    if unfit.size:
        rows, columns = sides[unfit[0]].tolist()
        raise _Unsound(f"{place(int(unfit[0]))} has {rows} x {columns} cells, sides of 1 to {MAX_SIDE} were expected")
    ends = np.cumsum(sides.prod(axis=1))
    expected = int(ends[-1]) if ends.size else 0
    if cells.size != expected:
        raise _Unsound(f"{cells.size} cells came, {expected} were expected from the grids' shapes")
    strange = np.flatnonzero(cells >= COLOURS)
    if strange.size:
        index = int(np.searchsorted(ends, strange[0], side="right"))
        raise _Unsound(f"{place(index)} has colour {cells[strange[0]]}, 0 to 9 were expected")
    return (
        cells[end - rows * columns : end].reshape(rows, columns)
        for (rows, columns), end in zip(sides.tolist(), ends.tolist(), strict=True)
    )


def check(pool: Pool, name: str) -> None:
    """Raises `BadInput` where something of an evaluation task is in a pool to train on: an id, a pair, or a grid.

    Pairs, and grids of 16 cells and more, count up to the square's symmetries and a renaming of colours. `name`: of
    the pool's file. It takes a few seconds for 300,000 pairs.
    """
    known = sorted(set(pool.ids) & split.evaluation_ids())
    if known:
        came = f"{name} holds the evaluation task {known[0]}" + (f" and {len(known) - 1} more" if known[1:] else "")
        raise BadInput(f"{came}; expected training tasks alone; {ADVICE}")
    held = split.evaluation_index().holds(list(chain.from_iterable(pool.pairs)))
    if held.any():
        first = int(np.flatnonzero(held)[0])
        owner = pool.ids[int(np.searchsorted(np.cumsum([len(p) for p in pool.pairs]), first, side="right"))]
        came = f"{name} holds {int(held.sum())} pairs with content of evaluation tasks, the first in task {owner}"
        raise BadInput(f"{came}; expected none, up to symmetries and colours; {ADVICE}")
