"""A question as a model's tokens: in its own chat format, or as plain text where it has none.

Law: two questions that begin alike have tokens that begin alike, so that the engine reads the beginning once.
"""

from typing import Any

from solver.induction.forms import Question

GAP = "\n\n"  # between turns, where there is no format for them


def tokens_of(question: Question, tokenizer: Any) -> tuple[int, ...]:
    """The question's tokens, the opening of the reply included. `tokenizer`: a Hugging Face one."""
    if getattr(tokenizer, "chat_template", None) is None:
        return tuple(tokenizer.encode(plain(question)))
    text = _in_chat_format(question, tokenizer) + question.opening
    return tuple(tokenizer.encode(text, add_special_tokens=False))  # the format has them


def plain(question: Question) -> str:
    """The question as a text that a model which only continues texts goes on with."""
    return GAP.join([question.system, *question.turns, question.opening])


def _in_chat_format(question: Question, tokenizer: Any) -> str:
    from jinja2 import TemplateError

    roles = ("user", "assistant")
    turns = [{"role": roles[n % 2], "content": turn} for n, turn in enumerate(question.turns)]
    first = {"role": "user", "content": f"{question.system}{GAP}{question.turns[0]}"}
    try:
        messages = [{"role": "system", "content": question.system}, *turns]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
    except TemplateError:  # some formats, such as Gemma's, know no system
        messages = [first, *turns[1:]]
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
