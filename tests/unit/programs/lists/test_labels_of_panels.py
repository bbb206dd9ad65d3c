"""Labels by panels between lines, against a grid whose panels are known."""

from __future__ import annotations

import numpy as np

from solver.programs.lists.labels_of_panels import PANELS
from solver.types import Grid
from tests.support.each import each
from tests.unit.programs.lists.run_function import run


def grid_of(panels: list[list[Grid]]) -> Grid:
    """Panels with lines of colour 9 between them."""
    rows = [np.hstack([np.hstack([p, np.full((len(p), 1), 9, np.uint8)]) for p in row])[:, :-1] for row in panels]
    return np.vstack([np.vstack([row, np.full((1, row.shape[1]), 9, np.uint8)]) for row in rows])[:-1]


def expected(panels: list[Grid], n: int, across: int) -> dict[str, Grid]:
    """Every label of the cells of panel n, of `across` in a row."""
    own, shape = panels[n], panels[n].shape
    filled, every = [int((p > 0).sum()) for p in panels], np.stack(panels)
    counts = np.bincount(own.ravel(), minlength=10)[1:]
    most, least = panels[int(np.argmax(filled))], panels[int(np.argmin(filled))]
    down, right = n // across, n % across
    r, c = np.indices(shape)

    def first(chosen: Grid) -> Grid:
        return np.array([next((v for v in cells if v), 0) for cells in chosen.reshape(len(chosen), -1).T]).reshape(
            shape
        )

    same = {
        "panel": n + 1, "row of panels": down + 1, "column of panels": right + 1, "row in its panel": r + 1,
        "column in its panel": c + 1, "filled cells of its panel": filled[n] + 1,
        "most filled panel": 1 + (filled[n] == max(filled)), "least filled panel": 1 + (filled[n] == min(filled)),
        "commonest of its panel": int(counts.argmax()) + 1 if counts.any() else 0,
        "rarest of its panel": int(np.where(counts > 0, counts, 999).argmin()) + 1 if counts.any() else 0,
        "colours of its panel": 1 + int((counts > 0).sum()),
        "panels equal to its own": sum(np.array_equal(p, own) for p in panels),
        "same place of the first panel": panels[0], "same place of the last panel": panels[-1],
        "same place of the most filled panel": most, "same place of the least filled panel": least,
        "same place of any panel": first(every), "panels filled at its place": 1 + (every > 0).sum(axis=0),
        "same place in its row of panels": first(every[across * down : across * (down + 1)]),
        "same place in its column of panels": first(every[right::across]),
        "its panel's cell of the first panel": panels[0][down, right],
        "its panel's cell of the most filled panel": most[down, right],
        "its panel's cell of the least filled panel": least[down, right],
    }  # fmt: skip
    return {name: np.minimum(np.broadcast_to(np.array(value), shape), 9) for name, value in same.items()}


@each("name", PANELS)
def test_labels_of_panels(name: str) -> None:
    rng = np.random.default_rng(12)
    for _ in range(30):
        down, across = (int(n) for n in rng.integers(1, 4, 2))
        if down * across < 2:
            continue
        shape = tuple(int(n) for n in rng.integers(3, 6, 2))
        panels = [
            (rng.integers(1, 6, shape) * (rng.random(shape) < 0.4)).astype(np.uint8) for _ in range(down * across)
        ]
        if rng.random() < 0.5:
            panels[-1] = panels[0]
        grid = grid_of([panels[across * n : across * (n + 1)] for n in range(down)])
        labels = [expected(panels, n, across)[name].astype(np.uint8) for n in range(len(panels))]
        whole = grid_of([labels[across * n : across * (n + 1)] for n in range(down)])
        lines = grid_of([[np.zeros_like(p) for p in panels[across * n : across * (n + 1)]] for n in range(down)]) == 9
        result = run(f"label {name}", [grid])
        if result:
            np.testing.assert_array_equal(result[0], np.where(lines, 0, whole), f"{name} of {grid.tolist()}")
        else:
            assert not np.where(lines, 0, whole).any()
