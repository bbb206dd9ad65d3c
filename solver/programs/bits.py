"""Bits of a word of 64, counted, for compiled code. Source: Hacker's Delight, chapter 5."""

import numpy as np

from solver.programs.compiled import inner


@inner
def ones(bits: np.uint64) -> int:
    """How many bits are set."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return int((bits * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inner
def lowest(bits: np.uint64) -> int:
    """The number of the lowest bit that is set, from 0 on; 64 where none is."""
    return ones((bits & (~bits + np.uint64(1))) - np.uint64(1))
