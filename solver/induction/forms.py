"""How a model is asked: in BARC's own form if it is one of BARC's, in a plain one otherwise; and what fits its context.

Which it is goes by names alone, as the weights do not tell: a model counts as BARC's where its folder, its repository
in a Hugging Face cache, or `_name_or_path` in its config.json is called so (`BARC_S`). `--code-form` overrules that.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from solver.config.settings import InductionSettings
from solver.data.json_files import read_json
from solver.induction import barc_form, plain_form
from solver.types import BadInput, Pair, Task

BARC_S = re.compile(r"(?<![a-z])barc(?![a-z])|arc[\w.-]*induction", re.IGNORECASE)  # barc0/Llama-3.1-ARC-…-Induction-8B
LEAST_REPLY = 256  # tokens: with less room hardly a program is whole, and demonstrations are left out of the question


@dataclass(frozen=True)
class Question:
    """What a model is asked: `turns` are asked and answered in turn, the last one is asked.

    `system`: what goes before them. `opening`: the beginning of the reply, which the model goes on with.
    """

    system: str
    turns: tuple[str, ...]
    opening: str = ""


@dataclass(frozen=True)
class QuestionForm:
    """A way to ask. `text`: of (task, number of the test input shown); `repairs`: whether to ask again what failed."""

    name: str
    system: str
    text: Callable[[Task, int], str]
    opening: str
    repairs: bool

    def question(self, task: Task, test: int) -> Question:
        """A question for a program that solves the task, shown test input number `test`."""
        return Question(self.system, (self.text(task, test),), self.opening)


FORMS = {
    # trained on a single question, which is not followed by another
    "barc": QuestionForm("barc", barc_form.SYSTEM, barc_form.text, "", repairs=False),
    "plain": QuestionForm("plain", plain_form.SYSTEM, plain_form.text, plain_form.OPENING, repairs=True),
}


def form_of(settings: InductionSettings) -> QuestionForm:
    """The form that the settings ask for, or that suits their model."""
    if settings.form != "auto":
        return FORMS[settings.form]
    return FORMS["barc" if is_barc(Path(settings.model)) else "plain"]


def is_barc(model: Path) -> bool:
    """Whether a model's names say that it is one of BARC's."""
    names = [model.name, *([model.parent.parent.name] if model.parent.name == "snapshots" else [])]
    try:
        config = read_json(model / "config.json")
    except BadInput:
        config = None  # who loads the model says so
    if isinstance(config, dict):
        names.append(str(config.get("_name_or_path")))
    return any(BARC_S.search(name) for name in names)


class Room(Protocol):
    """Knows how many tokens of the context a question leaves."""

    def room(self, question: Question) -> int:
        """Tokens left for a reply, 0 or less where the question fills the context."""


def questions(task: Task, form: QuestionForm, model: Room) -> tuple[list[Question], list[Pair]]:
    """A question for each test input, and the demonstrations they leave out so that a reply has `LEAST_REPLY`.

    The largest are left out first. No question at all: not even one demonstration fits.
    """
    kept, left_out = list(task.demonstrations), list[Pair]()
    while kept:
        shown = replace(task, demonstrations=tuple(kept))
        asked = [form.question(shown, test) for test in range(len(task.tests))]
        if all(model.room(question) >= LEAST_REPLY for question in asked):
            return asked, left_out
        left_out.append(kept.pop(max(range(len(kept)), key=lambda place: cells(kept[place]))))
    return [], left_out


def cells(pair: Pair) -> int:
    """How many cells a demonstration has."""
    return pair.input.size + pair.output.size
