"""What machines have and what fits on them: GPUs, devices, memory plans, checks before a run."""
