"""A run: its plan, schedule, worker processes, record, answer file and progress."""
