"""The settings of a run: one frozen tree, presets, and the rounds that follow from it."""
