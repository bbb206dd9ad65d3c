"""Programs over grids: found by search, or written by a code model and run where they can do no harm."""
