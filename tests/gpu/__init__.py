"""What only a GPU can show: `tests/gpu/run` prints it as one table; without a GPU it is skipped, loudly."""
