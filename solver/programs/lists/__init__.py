"""A fast search for programs over lists of grids: compiled functions, distinct states, pieces stacked to the answer."""
