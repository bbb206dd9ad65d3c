"""Adapters trained on a task's own examples, and the libraries of tasks they may start from."""
