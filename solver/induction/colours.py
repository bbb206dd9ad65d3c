"""The ten colours by name, as a code model reads and writes them.

The names are those of BARC (arXiv 2411.02272): Grey, Teal and Maroon in its library, Gray, Purple and Brown in the
prompts its models were trained on; both work. Knows nothing of tasks or prompts.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["Color"]

WORDS = ("Black", "Blue", "Red", "Green", "Yellow", "Gray", "Pink", "Orange", "Purple", "Brown")


class Color:
    """The colours 0 to 9 as integers. `ALL_COLORS`, `NOT_BLACK`: lists of them."""

    BLACK, BLUE, RED, GREEN, YELLOW, GREY, PINK, ORANGE, TEAL, MAROON = range(10)
    GRAY, PURPLE, BROWN, LIGHTBLUE, LIGHT_BLUE = GREY, TEAL, MAROON, TEAL, TEAL
    ALL_COLORS: ClassVar[list[int]] = list(range(10))
    NOT_BLACK: ClassVar[list[int]] = list(range(1, 10))
