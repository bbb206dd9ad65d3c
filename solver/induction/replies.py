"""The program in a model's reply: where it ends, and what can be made of one that was cut off.

A program is whole where the fenced block that defines `transform` or `main` is closed; what comes after is not read.
Replies are parsed (`ast.parse`) but never evaluated here. Law: a whole program comes back to the character; of one
that was cut off, nothing but lines at its end is missing.
"""

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

FENCE = "```"
FUNCTIONS = ("transform", "main")  # the one a program must define: either
DEFINES = re.compile(  # with a body: a statement in the same line, or after comments in one that is indented
    r"^def (?:transform|main)\([^\n]*(?:\)[^\n]*:[ \t]*[^\s#]|(?:\n[ \t]*(?:#[^\n]*)?)*\n[ \t]+[^\s#])", re.MULTILINE
)
OPENING = re.compile(r"^[ \t]*```[^`\n]*\n", re.MULTILINE)
REOPENING = re.compile(r"[ \t]*```[ \t]*(?:python|py)\d*[ \t]*\n", re.IGNORECASE)  # names a language: no end
FIRST_LINE = re.compile(r"^(?:from|import|def) ", re.MULTILINE)  # of a program that stands in no fence
LONGEST_TEXT = 100_000  # characters of a reply that are looked at


@dataclass(frozen=True)
class Completion:
    """What a model wrote: its text with the opening it was given, and how many `tokens` of it are its own.

    `ended`: it ended by itself or with a whole program; else its tokens or its seconds were over.
    """

    text: str
    ended: bool = True
    tokens: int = 0


def blocks(text: str) -> Iterator[tuple[str, bool]]:
    """The fenced blocks of a text, each with whether it is closed; one that begins anew replaces what it held."""
    at = 0
    while opening := OPENING.search(text, at):
        begin = at = opening.end()
        while True:
            fence = text.find(FENCE, at)
            if fence < 0:
                yield text[begin:], False
                return
            line = text.rfind("\n", at - 1, fence) + 1
            again = REOPENING.match(text, line) if line else None
            if again is None:
                break
            begin = at = again.end()
        yield text[begin:fence], True
        at = fence + len(FENCE)


def is_whole(text: str, defines: re.Pattern[str] = DEFINES) -> bool:
    """Whether a text holds a whole program: the rule by which a model is stopped. `defines`: finds its function."""
    return any(closed and defines.search(block) for block, closed in blocks(text))


def program_in(text: str) -> str | None:
    """The first program in a reply, None where there is none; of one that was cut off, what `trimmed` leaves.

    A reply that is nothing but a program needs no fence.
    """
    text = text[:LONGEST_TEXT]
    for block, closed in blocks(text):
        if DEFINES.search(block):
            return block if closed else trimmed(block)
    if FENCE in text or not DEFINES.search(text):
        return None
    first = FIRST_LINE.search(text)
    return trimmed(text[first.start() :]) if first else None


def trimmed(source: str) -> str | None:
    """The program without the lines at its end that keep it from compiling.

    None where what is left defines no function that returns anything: to run it would be in vain.
    """
    lines = source.splitlines(keepends=True)
    while lines:
        left = "".join(lines)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes a model spelt wrongly
                tree = ast.parse(left)
        except SyntaxError as error:  # no text that has this line compiles, unless more follows
            del lines[min(len(lines), error.lineno or len(lines)) - 1 :]
        except (ValueError, MemoryError, RecursionError):  # a null character, or nested too deeply
            return None
        else:
            return left if any(map(_answers, tree.body)) else None
    return None


def _answers(statement: ast.stmt) -> bool:
    """Whether it defines one of the functions, with an answer."""
    if not isinstance(statement, ast.FunctionDef) or statement.name not in FUNCTIONS:
        return False
    return any(isinstance(node, ast.Return) and node.value is not None for node in ast.walk(statement))
