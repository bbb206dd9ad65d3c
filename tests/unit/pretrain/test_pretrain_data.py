"""Pretraining data: what may be trained on, where it comes from, its file, and what is drawn from it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data import transforms, views
from solver.data.splits import ARC2_CLEAN
from solver.pretrain import __main__ as pretrain
from solver.pretrain import arc_gen, batches, compose, content, data, make_pool, sources, split
from solver.pretrain.batches import Augmentation, one_round
from solver.pretrain.data import Pool
from solver.pretrain.recipe import Recipe
from solver.pretrain.workers import Job
from solver.tokens.grid import GRID, pair_length
from solver.types import BadInput, Grid, Pair, View, key
from tests.support.fakes import any_grid, grid, pairs_of, random_task
from tests.support.pretraining import listed

LEAKED = "40853293"  # ARC-AGI-1 training; its pairs are those of the evaluation task 070dd51e
REFUSED = (  # ARC-AGI-1 training: each shares a grid of 16 cells and more with an evaluation task, turned or recoloured
    "007bbfb7 017c7c7b 28bf18c6 2dc579da 85c4e7cd 913fb3ed bda2d7a6 caa06a1f d89b689b e48d4e1a ea786f4a eb5a1d5d"
)
REFUSED_LATER = (  # ARC-AGI-2 training: a grid of 5 cells and more
    "25e02866 458e3a53 5587a8d0 7ec998c9 80214e03 9720b24f 973e499e 9ba4a9aa ac0c2ac3 c920a713 cf5fd0ad da6e95e5"
)
Content = tuple[int, int, bytes]


def cells(raw: list[list[int]]) -> Content:
    """A grid by content, written otherwise than `split` writes it."""
    return key(np.array(raw, dtype=np.uint8))


def contents(task: Mapping[str, Any]) -> set[Content]:
    return {cells(pair[side]) for part in ("train", "test") for pair in task[part] for side in ("input", "output")}


def whole_pairs(task: Mapping[str, Any]) -> set[tuple[Content, Content]]:
    return {(cells(pair["input"]), cells(pair["output"])) for part in ("train", "test") for pair in task[part]}


def images(grids: Sequence[list[list[int]]]) -> frozenset[str]:
    """All eight images of some grids together, as text, colours as letters by first appearance."""
    return images_of(json.dumps(grids))


@cache
def images_of(written: str) -> frozenset[str]:
    """The same of grids as JSON: most tasks are in several versions of a set."""
    grids, made = json.loads(written), set()
    for turns in range(4):
        for mirrored in (False, True):
            letters: dict[int, str] = {}
            text = []
            for raw in grids:
                turned = np.rot90(np.fliplr(raw) if mirrored else np.array(raw), turns)
                rows = ["".join(letters.setdefault(c, chr(97 + len(letters))) for c in row) for row in turned.tolist()]
                text.append("/".join(rows))
            made.add(" ".join(text))
    return frozenset(made)


def looks(task: Mapping[str, Any], smallest: int) -> set[str]:
    """Images of every grid of a task from a size on, and of every pair."""
    pairs = [(p["input"], p["output"]) for part in ("train", "test") for p in task[part]]
    grids = [(g,) for pair in pairs for g in pair if len(g) * len(g[0]) >= smallest]
    return set().union(*map(images, [*pairs, *grids]))


def spelled(pool: Pool) -> list[tuple[str, int, str, list[tuple[Content, Content]]]]:
    """A pool as plain values."""
    names = pool.sources or ("",) * len(pool.ids)
    return [
        (name, own, source, [(key(p.input), key(p.output)) for p in pairs])
        for name, own, source, pairs in zip(pool.ids, pool.originals, names, pool.pairs, strict=True)
    ]


def spelled_pairs(pairs: Iterable[Pair]) -> tuple[tuple[Content, Content], ...]:
    return tuple((key(pair.input), key(pair.output)) for pair in pairs)


@pytest.fixture(scope="module", autouse=True)
def one_index_of_the_same_pairs() -> Iterator[None]:
    """An index of pairs is made once and given again: those of all evaluation tasks take a second each."""
    indices: dict[object, content.Index] = {}
    make = content.Index.of

    def of(pairs: Iterable[Pair], whole_only: Iterable[Pair] = (), **more: int) -> content.Index:
        both = list(pairs), list(whole_only)
        asked = (*map(spelled_pairs, both), *more.items())
        if asked not in indices:
            indices[asked] = make(*both, **more)
        return indices[asked]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(content.Index, "of", of)
        yield


@pytest.fixture(scope="module")
def training() -> dict[str, split.RawTask]:
    return split.raw(split.ARC1)["train"]


@pytest.fixture(scope="module")
def later() -> dict[str, split.RawTask]:
    return split.raw(split.ARC2)["train"]


@pytest.fixture(scope="module")
def evaluation() -> list[split.RawTask]:
    return split.evaluation_tasks()


@pytest.fixture(scope="module")
def parts() -> split.Split:
    return split.arc1_split()


@pytest.fixture(scope="module")
def later_parts() -> split.LaterSplit:
    return split.arc2_split()


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Three tasks of a few small pairs, the last two of each ARC's own."""
    tasks = [random_task([(2, 3), (3, 3), (4, 2), (3, 5), (2, 2), (1, 4)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (2, 2, 2), ("one", "one", "two"))


# ---- content ---------------------------------------------------------------------------------------------------------


any_view = st.builds(View, st.integers(0, 7), st.permutations(range(10)).map(tuple))


@given(any_grid(6), any_view)
def test_a_canonical_form_is_the_same_under_every_symmetry_and_renaming(cells: Grid, view: View) -> None:
    seen = views.apply(view, cells)
    assert content.canonical(seen) == content.canonical(cells)
    assert content.signatures([seen]) == content.signatures([cells])


@given(any_grid(5), any_grid(5), any_view)
def test_a_pair_has_the_canonical_form_of_its_images(shown: Grid, answer: Grid, view: View) -> None:
    pair, seen = Pair(shown, answer), Pair(views.apply(view, shown), views.apply(view, answer))
    assert content.canonical_pair(seen) == content.canonical_pair(pair)


@given(any_grid(3), any_grid(3))
def test_grids_have_one_canonical_form_exactly_if_one_is_an_image_of_the_other(a: Grid, b: Grid) -> None:
    alike = bool(images([a.tolist()]) & images([b.tolist()]))
    assert (content.canonical(a) == content.canonical(b)) == alike


def test_pairs_whose_grids_are_turned_or_recoloured_differently_differ() -> None:
    shown, answer = grid([[1, 1, 2], [3, 4, 4]]), grid([[1, 2, 3]])
    first = content.canonical_pair(Pair(shown, answer))
    assert content.canonical_pair(Pair(shown, np.rot90(answer))) != first
    assert content.canonical_pair(Pair(shown, views.recolour(answer, (0, 2, 1, *range(3, 10))))) != first
    assert content.canonical_pair(Pair(answer, shown)) != first


def test_an_index_holds_images_of_large_grids_and_of_whole_pairs_alone() -> None:
    large, small, other = (
        random_task([shape], seed).demonstrations[0] for seed, shape in enumerate([(4, 4), (2, 3), (5, 4)])
    )
    index = content.Index.of([large, small])
    view = View(5, (3, 1, 2, 0, 5, 4, 7, 6, 9, 8))
    seen = [Pair(views.apply(view, p.input), views.apply(view, p.output)) for p in (large, small, other)]
    assert index.holds(seen).tolist() == [True, True, False]
    mixed = [Pair(seen[0].input, other.output), Pair(other.input, seen[0].output), Pair(seen[1].input, other.output)]
    assert index.holds(mixed).tolist() == [True, True, False]
    assert content.Index.of([], whole_only=[large]).holds([seen[0], *mixed]).tolist() == [True, False, False, False]
    assert index.holds([]).tolist() == []


# ---- the split -------------------------------------------------------------------------------------------------------


def test_no_task_trained_on_or_held_out_shares_a_grid_or_a_pair_with_an_evaluation_task(
    parts: split.Split,
    training: dict[str, split.RawTask],
    later: dict[str, split.RawTask],
    evaluation: list[split.RawTask],
) -> None:
    grids = set().union(*map(contents, evaluation))
    pairs = set().union(*map(whole_pairs, evaluation))
    assert not any(contents(training[i]) & grids for i in (*parts.train, *parts.refused))
    assert not any(contents(later[i]) & grids for i in ARC2_CLEAN)
    assert not any(whole_pairs(training[i]) & pairs for i in parts.held_out)
    assert all(whole_pairs(training[i]) & pairs for i in parts.leaked)


@pytest.mark.slow
def test_no_task_trained_on_looks_like_an_evaluation_task_however_turned_or_recoloured(
    parts: split.Split, training: dict[str, split.RawTask], later: dict[str, split.RawTask]
) -> None:
    names = (split.ARC1, split.ARC2, *split.REVISIONS)
    tasks = [task for name in names for task in split.raw(name)["eval"].values()]
    from_16, from_5 = (set().union(*(looks(task, smallest) for task in tasks)) for smallest in (16, 5))
    assert not any(looks(training[i], 16) & from_16 for i in parts.train)
    assert not any(looks(later[i], 5) & from_5 for i in ARC2_CLEAN)
    assert all(looks(training[i], 16) & from_16 for i in parts.refused)
    assert all(looks(later[i], 5) & from_5 for i in REFUSED_LATER.split())


def test_the_parts_are_disjoint_sorted_and_all_of_the_training_tasks(
    parts: split.Split, training: dict[str, split.RawTask]
) -> None:
    together = [*parts.train, *parts.held_out, *parts.leaked, *parts.refused]
    assert sorted(together) == sorted(training)
    assert len(set(together)) == len(together) == 400
    assert all(list(part) == sorted(part) for part in (parts.train, parts.held_out, parts.leaked, parts.refused))


def test_a_hundred_tasks_are_held_out_and_thirteen_are_used_for_nothing(parts: split.Split) -> None:
    assert len(parts.held_out) == 100
    assert parts.leaked == (LEAKED,)
    assert parts.refused == tuple(REFUSED.split())


def test_the_split_does_not_depend_on_the_order_of_the_tasks(
    training: dict[str, split.RawTask], evaluation: list[split.RawTask]
) -> None:
    some = dict(list(training.items())[::4])
    index = split.evaluation_index()
    forwards = split.make_split(some, evaluation, index)
    assert split.make_split(dict(reversed(some.items())), reversed(evaluation), index) == forwards


def test_a_task_that_shares_a_single_grid_is_held_out_and_one_that_shares_a_pair_is_leaked() -> None:
    def task(first: int, second: int) -> split.RawTask:
        return {"train": [{"input": [[first]], "output": [[second]]}], "test": []}

    parts = split.make_split(
        {"clean": task(1, 2), "touching": task(3, 4), "leaked": task(5, 6)}, [task(5, 6), task(4, 9)]
    )
    assert parts.leaked == ("leaked",)
    assert "touching" in parts.held_out


def test_both_evaluation_sets_are_kept_out_of_training(evaluation: list[split.RawTask]) -> None:
    assert len(evaluation) == len(split.evaluation_ids()) + 6 == 400 + 120  # 6 tasks are in both


def test_the_clean_list_is_what_its_rule_says(later: dict[str, split.RawTask], later_parts: split.LaterSplit) -> None:
    earlier = split.raw(split.ARC1)
    assert list(later_parts.clean) == ARC2_CLEAN
    assert later_parts.refused == tuple(REFUSED_LATER.split())
    assert {*later_parts.clean, *later_parts.refused} == set(later) - set(earlier["train"]) - set(earlier["eval"])


def test_an_arc2_task_with_a_pair_of_arc1_is_no_new_one_whatever_its_id() -> None:
    def task(*rows: list[int]) -> split.RawTask:
        return {"train": [{"input": [list(row) for row in rows], "output": [[7]]}], "test": []}

    parts = split.make_later_split(
        {"same": task([1, 2]), "turned": task([3], [4]), "new": task([1, 2, 1])},
        {"same": task([5, 5]), "x": task([1, 2])},
        [],
    )
    assert parts == split.LaterSplit(("new",), ())


# ---- the file --------------------------------------------------------------------------------------------------------


def test_a_pool_comes_back_from_its_file_as_it_was(pool: Pool, tmp_path: Path) -> None:
    data.save(pool, tmp_path / "made" / "pool.npz")
    back = data.load(tmp_path / "made" / "pool.npz")
    assert spelled(back) == spelled(pool)
    assert back.pairs[0][0].input.dtype == np.uint8


def test_the_same_pool_is_the_same_file(pool: Pool, tmp_path: Path) -> None:
    first, second = (data.save(pool, tmp_path / name) for name in ("one.npz", "two.npz"))
    assert first == second
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_a_pool_of_before_there_were_sources_can_be_read(pool: Pool, tmp_path: Path) -> None:
    arrays = stored(pool, tmp_path)
    del arrays["sources"]
    np.savez(tmp_path / "old.npz", **arrays)
    assert spelled(data.load(tmp_path / "old.npz")) == spelled(replace(pool, sources=()))


def stored(pool: Pool, folder: Path) -> dict[str, Any]:
    """The arrays of a pool's file."""
    data.save(pool, folder / "stored.npz")
    with np.load(folder / "stored.npz") as arrays:
        return dict(arrays)


def with_cell(arrays: dict[str, Any], colour: int) -> Any:
    cells = arrays["cells"].copy()
    cells[6] = colour
    return cells


def with_shape(arrays: dict[str, Any], shape: tuple[int, int]) -> Any:
    shapes = arrays["shapes"].copy()
    shapes[3] = shape
    return shapes


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("cells", lambda a: with_cell(a, 10), "task a: pair 0: output has colour 10, 0 to 9 were expected"),
        ("cells", lambda a: a["cells"][:-1], "cells came, .* were expected from the grids' shapes"),
        (
            "cells",
            lambda a: a["cells"].astype(float),
            "'cells' is float64 of 1 dimensions, whole numbers were expected",
        ),
        ("shapes", lambda a: with_shape(a, (0, 9)), "task a: pair 1: output has 0 x 9 cells, sides of 1 to 30"),
        ("shapes", lambda a: with_shape(a, (31, 1)), "task a: pair 1: output has 31 x 1 cells, sides of 1 to 30"),
        ("shapes", lambda a: a["shapes"][:-2], "as shapes came, .* were expected for 18 pairs"),
        ("shapes", lambda a: a["shapes"].ravel(), "'shapes' is uint8 of 1 dimensions"),
        ("counts", lambda a: a["counts"][:-1], "differ in number"),
        ("originals", lambda a: a["originals"] + 5, "task a: 7 own pairs of 6 came, 0 to 6 were expected"),
        ("originals", lambda a: a["originals"] - 3, "task a: -1 own pairs"),
        ("ids", lambda a: np.array(["a", "b", "a"]), "an id comes twice"),
        ("ids", lambda a: np.arange(3), "'ids' is int64 of 1 dimensions, text were expected"),
        ("ids", None, "'ids' is missing"),
    ],
)
def test_a_file_whose_arrays_are_no_pool_is_refused(
    pool: Pool, tmp_path: Path, name: str, change: Callable[[dict[str, Any]], Any] | None, message: str
) -> None:
    arrays = stored(pool, tmp_path)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(BadInput, match=f"bad.npz: .*{message}.*make it again with python -m solver.pretrain pool$"):
        data.load(tmp_path / "bad.npz")


def test_what_is_no_npz_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none.npz cannot be read \(No such file or directory\)"):
        data.load(tmp_path / "none.npz")
    for name, written in (("text", b"hello"), ("zip", b"PK\x03\x04 cut short"), ("empty", b"")):
        (tmp_path / name).write_bytes(written)
        with pytest.raises(BadInput, match=r"is no pool .* make it again"):
            data.load(tmp_path / name)
    np.savez(tmp_path / "pickled.npz", ids=np.array([{}], dtype=object))
    with pytest.raises(BadInput, match="is no pool"):
        data.load(tmp_path / "pickled.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(BadInput, match="is no pool"):
        data.load(tmp_path / "single.npy")


def test_a_pool_with_content_of_an_evaluation_task_is_not_trained_on(
    pool: Pool, evaluation: list[split.RawTask]
) -> None:
    data.check(pool, "pool.npz")
    names = sorted(split.evaluation_ids())
    with pytest.raises(BadInput, match=f"pool.npz holds the evaluation task {names[7]}; expected training tasks alone"):
        data.check(replace(pool, ids=("a", names[7], "c")), "pool.npz")
    theirs = split.own_pairs(evaluation[3])[0]
    view = View(6, (0, 3, 1, 2, 9, 8, 7, 6, 5, 4))
    turned = Pair(views.apply(view, theirs.input), views.apply(view, theirs.output))
    half = Pair(turned.input, pool.pairs[0][0].output)
    for pair in (turned, half):
        spoilt = replace(pool, pairs=(pool.pairs[0], (*pool.pairs[1][:-1], pair), pool.pairs[2]))
        with pytest.raises(
            BadInput, match=r"pool.npz holds 1 pairs with content of evaluation tasks, the first in task b"
        ):
            data.check(spoilt, "pool.npz")


# ---- sources ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def collected(parts: split.Split) -> Pool:
    """A pool of two tasks, generated."""
    pytest.importorskip("reasoning_gym", reason="RE-ARC's generators come with reasoning-gym, which is not installed")
    return sources.collect(parts.train[:2], 3, seed=5)


def test_a_collected_pool_holds_generated_pairs_and_all_of_the_tasks_own(
    collected: Pool, parts: split.Split, training: dict[str, split.RawTask]
) -> None:
    assert collected.ids == parts.train[:2]
    assert collected.sources == ("arc1", "arc1")
    for name, own, pairs in zip(collected.ids, collected.originals, collected.pairs, strict=True):
        assert own == len(training[name]["train"]) + len(training[name]["test"])
        assert len(pairs) == 3 + own
        assert {(key(p.input), key(p.output)) for p in pairs[-own:]} == whole_pairs(training[name])
    for pair in (p for pairs in collected.pairs for p in pairs):
        assert_valid(pair)


def assert_valid(pair: Pair) -> None:
    for cells in (pair.input, pair.output):
        assert cells.dtype == np.uint8
        assert 1 <= min(cells.shape) <= max(cells.shape) <= 30
        assert int(cells.max()) <= 9


def test_no_collected_pair_stands_in_an_evaluation_task(collected: Pool, evaluation: list[split.RawTask]) -> None:
    forbidden = set().union(*map(whole_pairs, evaluation))
    assert not any((key(p.input), key(p.output)) in forbidden for pairs in collected.pairs for p in pairs)


def test_a_pair_of_an_evaluation_task_is_left_out_even_of_a_leaked_tasks_own(
    training: dict[str, split.RawTask],
) -> None:
    pytest.importorskip("reasoning_gym", reason="RE-ARC's generators come with reasoning-gym, which is not installed")
    raw = training[LEAKED]
    assert sources.collect([LEAKED], 1, seed=0).originals[0] < len(raw["train"]) + len(raw["test"])


def test_a_tasks_generated_pairs_depend_on_seed_and_task_alone(collected: Pool) -> None:
    again, other = (list(sources.re_arc_pairs(collected.ids[1], 3, seed)) for seed in (5, 6))
    assert [(key(p.input), key(p.output)) for p in again] == [
        (key(p.input), key(p.output)) for p in collected.pairs[1][:3]
    ]
    assert [(key(p.input), key(p.output)) for p in other] != [(key(p.input), key(p.output)) for p in again]


@pytest.fixture
def few(parts: split.Split, later_parts: split.LaterSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tasks of each set instead of all, and no generator of RE-ARC."""
    monkeypatch.setattr(split, "arc1_split", lambda: replace(parts, train=parts.train[:2]))
    monkeypatch.setattr(split, "arc2_split", lambda: replace(later_parts, clean=later_parts.clean[:3]))

    def generated(task_id: str, count: int, seed: int) -> list[Pair]:
        task = random_task([(side, 4) for side in range(4, 4 + count)], sum(map(ord, task_id)) + seed)
        return list(task.demonstrations)

    monkeypatch.setattr(sources, "re_arc_pairs", generated)


def stored_pairs(folder: Path, content: object, name: str = "pairs.json") -> Path:
    (folder / name).write_text(json.dumps(content))
    return folder / name


def user_file(folder: Path, name: str = "mine.json", **tasks: Any) -> Path:
    return stored_pairs(folder, tasks, name)


MINE = {
    "train": [{"input": [[1, 2, 3]], "output": [[3, 2, 1]]}, {"input": [[4, 5]], "output": [[5, 4]]}],
    "test": [{"input": [[7, 8, 9, 9]], "output": [[9, 9, 8, 7]]}, {"input": [[1]]}],
}


@pytest.mark.usefixtures("few")
def test_a_training_pool_has_all_its_sources_in_one_order(tmp_path: Path) -> None:
    file = stored_pairs(tmp_path, {ARC2_CLEAN[1]: [["123/456", "1"], ["12/21", "2"]], "ffffffff": [["1", "2"]]})
    request = sources.Request(6, 3, file, (user_file(tmp_path, mine=MINE),), composed=4)
    pool, report = sources.training_pool(request)
    assert pool.sources == ("arc1",) * 2 + ("arc2",) * 3 + ("tasks",) + ("composed",) * 4
    assert pool.ids[5:] == ("mine", *(f"composed-{n:05}" for n in range(4)))
    assert [len(p) for p in pool.pairs[5:6]] == [3]
    assert [len(pool.pairs[n]) - pool.originals[n] for n in range(6)] == [6, 6, 0, 2, 0, 3]
    assert report.rows["ARC-GEN"] == sources.Row(tasks=1, pairs=2, left_out=1)
    assert report.rows["tasks of mine.json"] == sources.Row(tasks=1, pairs=3)
    assert {row.left_out for name, row in report.rows.items() if name != "ARC-GEN"} == {0}
    again, _ = sources.training_pool(request)
    assert data.save(pool, tmp_path / "a.npz") == data.save(again, tmp_path / "b.npz")
    other, _ = sources.training_pool(replace(request, seed=4))
    assert spelled(other) != spelled(pool)
    data.check(pool, "pool")
    for pair in chain.from_iterable(pool.pairs):
        assert_valid(pair)


@pytest.mark.usefixtures("few")
def test_pairs_of_evaluation_and_held_out_tasks_are_left_out_of_every_source(tmp_path: Path) -> None:
    theirs = split.own_pairs(split.evaluation_tasks()[0])
    turned = [Pair(np.rot90(p.input), np.rot90(p.output)) for p in theirs]
    text = [["/".join("".join(map(str, row)) for row in g.tolist()) for g in (p.input, p.output)] for p in turned]
    arc_gen_file = stored_pairs(tmp_path, {ARC2_CLEAN[0]: [*text, ["12", "21"]]})
    held_out = split.raw(split.ARC1)["train"][split.arc1_split().held_out[5]]
    evaluation_id = sorted(split.evaluation_ids())[0]
    large = np.rot90(next(p.input for p in split.evaluation_pairs() if p.input.size > 50)).tolist()
    mixed = {"train": [*MINE["train"], {"input": large, "output": [[1]]}], "test": MINE["test"]}
    mine = user_file(tmp_path, **{"good": MINE, "copy": held_out, "mixed": mixed, evaluation_id: MINE})
    pool, report = sources.training_pool(sources.Request(9, 0, arc_gen_file, (mine,)))
    assert pool.ids[5:] == ("good",)
    assert report.rows["ARC-GEN"] == sources.Row(tasks=1, pairs=1, left_out=len(text))
    copied = len(held_out["train"]) + len(held_out["test"])
    assert report.rows["tasks of mine.json"] == sources.Row(tasks=1, pairs=3, left_out=copied + 4 + 3)


@pytest.mark.slow
@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"bad": {"train": [{"input": [[1], [2, 3]], "output": [[1]]}], "test": []}}, r"task bad: .*\[1\]: a row of 2"),
        ({"bad": {**MINE, "test": [{"input": [[1]], "output": [[12]]}]}}, r"task bad: test\[0\].output.*12 came"),
        ({}, "an empty object"),
        ({"same": MINE, "composed-00000": MINE}, "task id 'composed-00000' comes from two sources"),
        ({ARC2_CLEAN[0]: MINE}, f"task id '{ARC2_CLEAN[0]}' comes from two sources; expected each once"),
    ],
)
def test_a_users_file_that_is_wrong_is_refused(tmp_path: Path, tasks: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        sources.training_pool(sources.Request(2, tasks=(user_file(tmp_path, **tasks),), composed=1))


@pytest.mark.usefixtures("few")
def test_a_folder_of_task_files_is_read_too(tmp_path: Path) -> None:
    stored_pairs(tmp_path, MINE, "mine.json")
    pool, _ = sources.training_pool(sources.Request(2, tasks=(tmp_path,)))
    assert (pool.ids[-1], len(pool.pairs[-1])) == ("mine", 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": [["12/3", "1"]]}, "task a: pair 0: '12/3' is no grid"),
        ({"a": [["12", ""]]}, "task a: pair 0: '' is no grid"),
        ({"a": [["1x", "1"]]}, "'1x' is no grid"),
        ({"a": [["1²", "1"]]}, "is no grid"),
        ({"a": [["12", 3]]}, "'3' is no grid"),
        ({"a": [["1" * 31, "1"]]}, "1 x 31 cells came, sides of 1 to 30 were expected"),
        ({"a": [["12"]]}, r"task a is no list of \[input, output\]"),
        ({"a": 3}, "task a is no list"),
        ({}, "holds no tasks"),
        ([], "holds no tasks"),
    ],
)
def test_a_file_of_generated_pairs_that_is_wrong_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(BadInput, match=f"{message}.*; expected a checkout of google/ARC-GEN, or JSON"):
        arc_gen.open_arc_gen(stored_pairs(tmp_path, content))


def test_generated_pairs_are_read_packed_or_not(tmp_path: Path) -> None:
    content = {"a": [["12/34", "5"], ["1", "2"]]}
    packed = tmp_path / "pairs.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(content).encode()))
    for path in (packed, stored_pairs(tmp_path, content)):
        opened = arc_gen.open_arc_gen(path)
        pairs, cut_off = opened.pairs("a", 1, 0)
        assert ([(p.input.tolist(), p.output.tolist()) for p in pairs], cut_off) == ([([[1, 2], [3, 4]], [[5]])], False)
        assert opened.pairs("b", 9, 0) == ([], False)
        assert opened.foreign_pairs(["b"]) == 2
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(BadInput, match="is no gzip file"):
        arc_gen.open_arc_gen(packed)
    with pytest.raises(BadInput, match="cannot be read"):
        arc_gen.open_arc_gen(tmp_path / "none.json")
    with pytest.raises(BadInput, match=r"has no tasks/ and common.py"):
        arc_gen.open_arc_gen(tmp_path)


GENERATORS = {
    "good": "return {'input': common.grid(random.randint(2, 5)), 'output': [[1]]}",
    "slow": "return time.sleep(60)",
    "broken": "raise RuntimeError",
    "moody": "return {'input': [[1], [2]][: random.randint(0, 2)], 'output': [[1 // random.randint(0, 1)]]}",
    "large": "return {'input': common.grid(31), 'output': [[1]]}",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with ARC-GEN's shape: common.py, and generators that draw from the global generator."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "common.py").write_text("import random\ndef grid(n):\n    return [[random.randint(0, 9)] * n] * n\n")
    for name, body in GENERATORS.items():
        (tmp_path / "tasks" / f"task_{name}.py").write_text(
            f"import random, time\nimport common\ndef generate():\n    {body}\n"
        )
    return tmp_path


def test_a_checkouts_generators_give_the_same_pairs_for_the_same_seed(checkout: Path) -> None:
    opened = arc_gen.open_arc_gen(checkout)

    def drawn(seed: int, count: int = 5) -> list[list[list[int]]]:
        return [pair.input.tolist() for pair in opened.pairs("good", count, seed)[0]]

    assert drawn(1) == drawn(1)
    assert drawn(1, 3) == drawn(1)[:3]
    assert drawn(1) != drawn(2)
    assert len(drawn(1)) == 5
    assert opened.pairs("none", 5, 0) == ([], False)
    assert opened.foreign_pairs([]) == 0


def test_a_generator_that_is_slow_or_fails_is_cut_off_and_a_moody_one_asked_again(checkout: Path) -> None:
    opened = arc_gen.open_arc_gen(checkout)
    assert opened.pairs("broken", 3, 0) == ([], True)
    assert arc_gen.Checkout(checkout, 0.3, 0.1).pairs("slow", 3, 0) == ([], True)
    assert len(opened.pairs("moody", 8, 0)[0]) == 8
    assert opened.pairs("large", 2, 0) == ([], False)


# ---- composed tasks --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def known(parts: split.Split, training: dict[str, split.RawTask]) -> Pool:
    """ARC-AGI-1 training tasks' own pairs."""
    pairs = tuple(tuple(split.own_pairs(training[i])) for i in parts.train)
    return Pool(parts.train, pairs, tuple(map(len, pairs)))


def test_composed_tasks_depend_on_the_seed_and_are_rules_with_something_to_learn(known: Pool) -> None:
    def composed(seed: int) -> list[list[Pair]]:
        return [list(o.generated[1]) for o in sources.composed_offers(known, sources.Request(1, seed, composed=30))]

    made = composed(0)
    assert [[(key(p.input), key(p.output)) for p in task] for task in made] == [
        [(key(p.input), key(p.output)) for p in task] for task in composed(0)
    ]
    assert str(made) != str(composed(1))
    assert all(compose.PAIRS[0] <= len(task) <= compose.PAIRS[1] for task in made)
    for task in made:
        assert 2 * len({key(p.output) for p in task}) > len(task)
        assert not any(key(p.input) == key(p.output) for p in task)
        for pair in task:
            assert_valid(pair)
            assert pair_length(pair) <= compose.LONGEST


def test_where_nothing_can_be_composed_no_task_comes() -> None:
    plain = Pair(grid([[0]]), grid([[0]]))
    assert compose.compose(Pool(("a",), ((plain,) * 6,), (0,)), np.random.default_rng(0)) == []


# ---- drawing ---------------------------------------------------------------------------------------------------------


def squares(side: int, count: int) -> tuple[Pair, ...]:
    return random_task([(side, side)] * count, side).demonstrations


def shares(pool: Pool, draws: int = 4000) -> list[float]:
    """How often each task is drawn."""
    rng = np.random.default_rng(0)
    return (np.bincount([batches.draw_task(pool, rng) for _ in range(draws)], minlength=len(pool.ids)) / draws).tolist()


def test_tasks_with_few_pairs_are_drawn_less_often_and_composed_ones_have_their_share() -> None:
    pairs = (squares(2, 12), squares(2, 40), squares(2, 3), squares(2, 12), squares(2, 12))
    pool = Pool(tuple("abcde"), pairs, (0, 4, 3, 0, 0), ("arc1", "arc1", "arc2", data.COMPOSED, data.COMPOSED))
    composed, others = batches.COMPOSED_SHARE, 1 - batches.COMPOSED_SHARE
    expected = [others * 12 / 27, others * 12 / 27, others * 3 / 27, composed / 2, composed / 2]
    assert shares(pool) == pytest.approx(expected, abs=0.03)
    alone = Pool(("a", "b"), pairs[:2], (0, 0), (data.COMPOSED,) * 2)
    assert shares(alone) == pytest.approx([0.5, 0.5], abs=0.03)


def test_a_task_with_own_pairs_alone_or_generated_ones_alone_is_drawn_too() -> None:
    pool = Pool(("own", "generated"), (squares(3, 4), squares(5, 4)), (4, 0))
    rng = np.random.default_rng(0)
    seen = {p.input.shape for _ in range(60) for p in pairs_of(batches.sequence(pool, rng, 2048, GRID).tokens.tolist())}
    assert seen == {(3, 3), (5, 5)}


def test_a_pool_without_two_pairs_that_fit_is_refused_and_not_drawn_from_for_ever() -> None:
    for pairs in (squares(30, 4), squares(2, 1)):
        with pytest.raises(BadInput, match=r"no two pairs of one task with together .* tokens"):
            batches.sequence(Pool(("a",), (pairs,), (0,)), np.random.default_rng(1), 2048, GRID)


def test_the_longest_sequences_take_all_the_room_there_is() -> None:
    pool, rng = Pool(("a",), (squares(15, 20),), (0,)), np.random.default_rng(0)
    sizes = [batches.sequence(pool, rng, 4096, GRID).tokens.size for _ in range(60)]
    assert max(n for n, _ in batches.LENGTHS) < max(sizes) <= 4096


def test_pairs_too_long_for_the_shorter_sequences_come_in_longer_ones() -> None:
    pool, rng = Pool(("a",), (squares(18, 4),), (0,)), np.random.default_rng(0)
    assert GRID.longest_pair(pool.pairs[0][0]) == 687
    for _ in range(8):
        assert len(pairs_of(batches.sequence(pool, rng, 2048, GRID).tokens.tolist())) == 2


@pytest.fixture(scope="module")
def mixed_pool() -> Pool:
    """Pairs of all sizes, of one shape a pair."""
    sides = (1, 3, 5, 7, 10, 13, 16, 22, 30)
    tasks = [random_task([(s, 1 + s // 2) for s in sides for _ in range(3)], seed) for seed in range(3)]
    return Pool(("a", "b", "c"), tuple(t.demonstrations for t in tasks), (0, 5, 27))


RECIPE = Recipe(tokens=4096, workers=1)


@pytest.mark.parametrize("shares", [{"upscale": 1.0}, {"pad": 1.0}, {"upscale": 0.5, "pad": 0.5}])
def test_augmented_sequences_are_valid_and_within_their_tokens(mixed_pool: Pool, shares: dict[str, float]) -> None:
    augmented = replace(RECIPE, **shares)  # type: ignore[arg-type]
    batch = one_round(mixed_pool, augmented, 0)
    assert listed(batch) != listed(one_round(mixed_pool, RECIPE, 0))
    for example in chain.from_iterable(chain.from_iterable(batch)):
        assert example.tokens.size <= max(n for n, _ in batches.LENGTHS)
        for pair in pairs_of(example.tokens.tolist()):
            assert_valid(pair)
    assert listed(one_round(mixed_pool, augmented, 0)) == listed(batch)


def test_a_share_of_zero_draws_nothing_so_that_other_sequences_stay_as_they_were(mixed_pool: Pool) -> None:
    plain, none = np.random.default_rng(3), np.random.default_rng(3)
    for _ in range(20):
        first = batches.sequence(mixed_pool, plain, 2048, GRID)
        second = batches.sequence(mixed_pool, none, 2048, GRID, Augmentation(upscale=0.0, pad=0.0))
        assert first.tokens.tolist() == second.tokens.tolist()
    before = str(none.bit_generator.state)
    assert batches._change(Augmentation(upscale=0.0, pad=0.0), none) is None
    assert str(none.bit_generator.state) == before


def test_upscaling_scales_the_sides_it_names_and_nothing_too_large() -> None:
    pair = Pair(grid([[1, 2]]), grid([[3], [4]]))
    both = batches.upscaled(pair, 2, (True, True))
    assert both is not None
    assert (both.input.tolist(), both.output.tolist()) == ([[1, 1, 2, 2]] * 2, [[3, 3], [3, 3], [4, 4], [4, 4]])
    one = batches.upscaled(pair, 3, (False, True))
    assert one is not None
    assert (one.input.tolist(), one.output.shape) == ([[1, 2]], (6, 3))
    wide = Pair(np.zeros((1, 11), np.uint8), grid([[1]]))
    assert batches.upscaled(wide, 3, (True, False)) is None
    assert batches.upscaled(wide, 3, (False, True)) is not None


def test_padding_puts_both_grids_at_one_place_of_a_larger_canvas() -> None:
    pair = Pair(grid([[5, 5, 1]]), grid([[5, 2, 1]]))
    padded = batches.padded(pair, (1, 0, 0, 2))
    assert padded is not None
    assert padded.input.tolist() == [[5] * 5, [5, 5, 1, 5, 5]]
    assert padded.output.tolist() == [[5] * 5, [5, 2, 1, 5, 5]]
    assert batches.padded(Pair(pair.input, grid([[1]])), (1, 0, 0, 2)) is None
    assert batches.padded(pair, (29, 1, 0, 0)) is None


# ---- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_the_pool_command_writes_a_pool_and_says_what_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / "pool.npz"
    mine = user_file(tmp_path, mine=MINE)
    argv = ["pool", "--output", str(path), "--pairs", "5", "--composed", "2", "--tasks", str(mine)]
    assert pretrain.main(argv) == 0
    said = capsys.readouterr().out
    assert [line.split()[:1] for line in said.splitlines()[2:]][:2] == [["source"], ["RE-ARC"]]
    assert f"sha256 {data.sha256_of(path)}" in said
    assert len(data.load(path).ids) == 2 + 3 + 1 + 2


@pytest.mark.slow
@pytest.mark.usefixtures("few")
def test_the_pool_command_tells_what_is_wrong_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", str(tmp_path / "pool.npz")]
    for more, message in (
        (["--pairs", "0"], "error: --pairs 0: expected at least 1"),
        (["--arc-gen", str(tmp_path)], "has no tasks/ and common.py"),
        (["--tasks", str(tmp_path / "none.json")], "none.json cannot be read"),
    ):
        assert make_pool.main([*output, *more]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
    assert not (tmp_path / "pool.npz").exists()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Training that does nothing but say in which directory."""
    directories = list[Path]()

    def together(job: Job) -> int:
        directories.append(job.directory)
        return 0

    monkeypatch.setattr(pretrain, "together", together)
    return directories


def test_the_held_out_pairs_are_the_same_whatever_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pool: Pool, started: list[Path]
) -> None:
    asked = list[object]()

    def collect(ids: Sequence[str], count: int, seed: int) -> Pool:
        asked.append((len(ids), count, seed))
        return pool

    def training_pool(request: sources.Request, tell: object) -> tuple[Pool, sources.Report]:
        asked.append(request)
        return pool, sources.Report()

    monkeypatch.setattr(sources, "collect", collect)
    monkeypatch.setattr(sources, "training_pool", training_pool)
    for name, more in (("a", []), ("b", ["--seed", "7", "--pairs", "9"])):
        argv = ["--preset", "smoke", "--workers", "1", "--directory", str(tmp_path / name), *more]
        assert pretrain.main(argv) == 0
    assert asked == [(100, 4, 1), sources.Request(4, 0), (100, 4, 1), sources.Request(9, 7)]
    assert started == [tmp_path / "a", tmp_path / "b"]


def test_pools_that_are_named_are_trained_on_and_measured_by(
    tmp_path: Path, pool: Pool, started: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = replace(pool, ids=("d", "e", "f"))
    for name, one in (("pool.npz", pool), ("held.npz", held_out), ("other.npz", replace(pool, ids=("x", "y", "z")))):
        data.save(one, tmp_path / name)

    def train(name: str) -> int:
        named = ["--pool", str(tmp_path / name), "--held-out", str(tmp_path / "held.npz")]
        return pretrain.main(["--preset", "smoke", "--workers", "1", "--directory", str(tmp_path / "run"), *named])

    assert train("pool.npz") == train("pool.npz") == 0
    assert (tmp_path / "run" / "train.npz").read_bytes() == (tmp_path / "pool.npz").read_bytes()
    assert (tmp_path / "run" / "held.npz").read_bytes() == (tmp_path / "held.npz").read_bytes()
    assert len(started) == 2
    assert train("other.npz") == 2
    assert "is another pool than" in capsys.readouterr().err
    assert pretrain.main(["--preset", "smoke", "--pairs", "3", "--pool", str(tmp_path / "pool.npz")]) == 2
    assert "--pairs came with --pool" in capsys.readouterr().err
    assert len(started) == 2


def test_a_pool_with_an_evaluation_task_is_refused_before_training(
    tmp_path: Path, pool: Pool, started: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    known = sorted(split.evaluation_ids())[0]
    data.save(replace(pool, ids=("a", "b", known)), tmp_path / "pool.npz")
    argv = ["--preset", "smoke", "--workers", "1", "--directory", str(tmp_path / "run")]
    assert pretrain.main([*argv, "--pool", str(tmp_path / "pool.npz")]) == 2
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "pool.npz").rename(tmp_path / "run" / "train.npz")
    data.save(pool, tmp_path / "run" / "held.npz")
    assert pretrain.main(argv) == 2
    assert capsys.readouterr().err.count(f"holds the evaluation task {known}; expected training tasks alone") == 2
    assert started == []


def test_transformed_pairs_have_the_steps_on_the_sides_asked_for_and_stay_within_the_largest_grid() -> None:
    pair = Pair(np.array([[1, 2]], np.uint8), np.array([[3]], np.uint8))
    double = [transforms.Step("repetition", rows=1, columns=2)]
    both, shown = (batches.transformed(pair, double, sides) for sides in ((True, True), (True, False)))
    assert both is not None
    assert shown is not None
    assert (both.input.tolist(), both.output.tolist()) == ([[1, 2, 1, 2]], [[3, 3]])
    assert (shown.input.tolist(), shown.output.tolist()) == ([[1, 2, 1, 2]], [[3]])
    assert batches.transformed(Pair(np.zeros((1, 16), np.uint8), pair.output), double, (True, False)) is None


def test_a_share_of_the_sequences_is_transformed_as_the_augmentation_says(mixed_pool: Pool) -> None:
    def drawn(share: float) -> list[list[int]]:
        rng = np.random.default_rng(3)
        return [
            batches.sequence(mixed_pool, rng, 2048, GRID, Augmentation(transform=share)).tokens.tolist() for _ in "ab"
        ]

    assert drawn(1.0) == drawn(1.0) != drawn(0.0)
