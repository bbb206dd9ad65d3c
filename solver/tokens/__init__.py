"""Grids as token ids and back, in every format that checkpoints speak."""
