"""Formats read from a checkpoint's own tokenizer.json: `architects` and `text`, both with a token a cell.

Needs the `tokenizers` library but neither torch nor transformers. Laws: those of `Format`; every cell is written
as a token of its own, never as the tokenizer would join it with its neighbours, so that a reply decodes exactly.

**architects**: `I` and the rows of an input, `O` and the rows of its output, eos; bos, where the checkpoint has one,
before the first pair. Assumed: every row, the last one too, ends with a newline; nothing follows `I` and `O` but the
first row; the placeholder letters and signs that a competition notebook put around them are left out.

**text**: where the tokenizer has a chat template, inputs are the user's turns and outputs the assistant's, rows of
digits with a newline between two of them, and the token after an answer ends it. Else `Input:\\n`, rows, `Output:\\n`,
rows, eos, each row with its newline, after bos where the checkpoint has one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from solver.data.json_files import read_json
from solver.tokens.rows import Lines
from solver.types import COLOURS, BadInput

ARCHITECTS, TEXT = "architects", "text"
FILE, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"
DIGITS = [str(colour) for colour in range(COLOURS)]
NEWLINES = ("\n", "Ċ", "<0x0A>")  # how vocabularies spell it: as it is, in byte-level letters, as a byte
SPELLINGS = {"newline": NEWLINES, **{sign: (sign,) for sign in [*DIGITS, "I", "O"]}}
INPUT, OUTPUT = "Input:\n", "Output:\n"
TURNS = "\ue000\ue001\ue002\ue003\ue004"  # private characters: what the turns of a rendered chat are found by
DATE = "26 Jul 2024"  # the day that Llama's own template falls back to: a run must not depend on today's


@dataclass(frozen=True)
class Words:
    """A checkpoint's tokenizer."""

    directory: Path
    library: Any  # a `tokenizers.Tokenizer`
    settings: Mapping[str, Any]  # tokenizer_config.json
    config: Mapping[str, Any]  # config.json

    def first_id(self, *spellings: str) -> int | None:
        """The id of the first of these tokens that there is."""
        tokens = (self.library.token_to_id(spelling) for spelling in spellings)
        return next((int(token) for token in tokens if token is not None), None)

    def one(self, what: str) -> int:
        """The id of a sign of `SPELLINGS`. Raises `BadInput` where no single token is that sign."""
        token = self.first_id(*SPELLINGS[what])
        if token is None:
            came = f"{self.directory / FILE}: no single token for {what!r}"
            raise BadInput(f"{came}: expected one; give another --format")
        return token

    def special(self, which: str) -> tuple[int, ...]:
        """The id of `bos` or `eos` by tokenizer_config.json or config.json; () where they name none."""
        named = self.settings.get(f"{which}_token")
        named = named.get("content") if isinstance(named, dict) else named
        token = self.first_id(named) if isinstance(named, str) else None
        listed = self.config.get(f"{which}_token_id")
        listed = listed[0] if isinstance(listed, list) and listed else listed
        token = listed if token is None and isinstance(listed, int) else token
        return () if token is None else (token,)

    def eos(self) -> int:
        """The id of eos. Raises `BadInput` where there is none."""
        if not (token := self.special("eos")):
            raise BadInput(f"{self.directory / SETTINGS}: no eos_token: expected one, as it ends every answer")
        return token[0]

    def spell(self, text: str) -> tuple[int, ...]:
        """A piece of the frame around the grids as ids."""
        return tuple(self.library.encode(text, add_special_tokens=False).ids)


def read(directory: Path) -> Words:
    """The tokenizer in a checkpoint's directory. Raises `BadInput` where there is none that can be read."""
    from tokenizers import Tokenizer

    path = directory / FILE
    if not path.is_file():
        raise BadInput(f"no {path}: expected the tokenizer as one file, as transformers' save_pretrained writes it")
    try:
        library = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more special
        raise BadInput(f"{path} is no tokenizer ({str(error).splitlines()[0]}): copy it again") from None
    return Words(directory, library, _object(directory / SETTINGS), _object(directory / "config.json"))


def _object(path: Path) -> Mapping[str, Any]:
    """A JSON object from a file; an empty one where there is no file."""
    try:
        content = read_json(path) if path.is_file() else {}
    except BadInput:
        content = None
    if not isinstance(content, dict):
        raise BadInput(f"{path}: expected one JSON object: copy it again")
    return content


def architects(words: Words) -> Lines:
    """ARChitects' format in the ids of a checkpoint's tokenizer. Raises `BadInput` for a token that is missing."""
    question, answer = (words.one("I"),), (words.one("O"),)
    opening, end = (*words.special("bos"), *question), words.eos()
    return _lines(words, ARCHITECTS, opening=opening, answer=answer, end=end, between=question, closed=True)


def text(words: Words) -> Lines:
    """Rows of digits in the ids of a checkpoint's tokenizer, as a chat where it has a template for one."""
    template = _template(words)
    if template is not None:
        return _chat(words, *_turns(words, template))
    between, answer, end = words.spell(INPUT), words.spell(OUTPUT), words.eos()
    opening = (*words.special("bos"), *between)
    return _lines(words, TEXT, opening=opening, answer=answer, end=end, between=between, closed=True)


def _chat(words: Words, opening: str, answer: str, between: str, *again: str) -> Lines:
    """The format of a chat framed by these: before the first turn, between its turns; the white space an answer ends
    with, which some templates write, is left out."""
    end, *rest = words.spell(between.lstrip()) or (-1,)
    if again != (answer, between) or end not in words.library.get_added_tokens_decoder():
        raise BadInput(
            f"{words.directory}: its chat template ends an answer with {between[:40]!r}: expected a special token, and "
            "all turns to look alike; take the template out of a copy of the checkpoint for plain prompts"
        )
    frame = {"opening": words.spell(opening), "answer": words.spell(answer), "end": end, "between": tuple(rest)}
    return _lines(words, TEXT, **frame, closed=False)


def _lines(words: Words, name: str, **frame: Any) -> Lines:
    """The lines framed so, in the ids of a checkpoint's tokenizer."""
    cells, newline = tuple(words.one(digit) for digit in DIGITS), words.one("newline")
    try:
        return Lines(name, cells=cells, newline=newline, **frame)
    except ValueError as error:
        raise BadInput(f"{words.directory / FILE}: {error}; give another --format") from None


def _template(words: Words) -> str | None:
    """The source of the chat template, from a file of its own or from the settings; None where there is none."""
    path = words.directory / TEMPLATE
    if path.is_file():
        return path.read_text()
    template = words.settings.get("chat_template")
    if isinstance(template, list):  # several, by name
        template = next((entry.get("template") for entry in template if entry.get("name") == "default"), None)
    return template if isinstance(template, str) else None


def _turns(words: Words, template: str) -> list[str]:
    """The text of a chat of five turns, user first: before the first turn's content, then between two, four times."""
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    chat = [{"role": ("user", "assistant")[n % 2], "content": sign} for n, sign in enumerate(TURNS)]
    special = {which: map(words.library.id_to_token, words.special(which)) for which in ("bos", "eos")}
    names = {f"{which}_token": "".join(filter(None, spellings)) for which, spellings in special.items()}
    try:
        chat_text = environment.from_string(template).render(
            messages=chat, add_generation_prompt=True, date_string=DATE, raise_exception=_refuse, **names
        )
        places = [chat_text.index(sign) for sign in TURNS]
    except (TemplateError, ValueError, TypeError) as error:
        raise BadInput(
            f"{words.directory}: its chat template cannot show pairs as turns ({str(error).splitlines()[0]}): take it "
            "out of a copy of the checkpoint for plain prompts"
        ) from None
    return [chat_text[: places[0]], *(chat_text[a + 1 : b] for a, b in pairwise(places))]


def _refuse(why: str) -> str:
    raise ValueError(why)
