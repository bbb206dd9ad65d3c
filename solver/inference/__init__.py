"""Completions, and nats of given replies, from vLLM; the search for all likely answers."""
