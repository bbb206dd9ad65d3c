"""`python -m tests.bench`: how much faster the solver's engine work is than the usual ways, written out beside it."""
