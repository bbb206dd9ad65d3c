"""Programs over grids that a code model writes, run where they can do no harm."""
