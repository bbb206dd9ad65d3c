"""Programs over grids, found without any model: primitives, a search over their compositions, rules of cells."""
