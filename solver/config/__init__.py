"""The settings of a run: one frozen tree, presets, and the stages that follow from it."""
