"""Tasks to train on whose generators a language model wrote: shown some of RE-ARC's, run in the sandbox, filtered."""
