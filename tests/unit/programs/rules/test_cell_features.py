"""Cell features, those of regions among them."""

from __future__ import annotations

import numpy as np

from solver.programs.rules import cell_features
from tests.support.made_tasks import draw


def test_features_are_the_same_for_every_grid_and_have_its_shape():
    rng = np.random.default_rng(3)
    one, other = cell_features.features(draw(rng, 1, 1)), cell_features.features(draw(rng, 9, 4))
    assert [(p.name, p.kind) for p in one] == [(p.name, p.kind) for p in other]
    assert {p.values.shape for p in other} == {(9, 4)}
    assert len({p.name for p in one}) == len(one)
