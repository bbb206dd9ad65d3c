"""arc-ttt: test-time training and vLLM sampling for the Abstraction and Reasoning Corpus."""

__version__ = "0.1.0"
