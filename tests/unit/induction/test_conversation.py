"""A question as tokens: in the model's chat format, as plain text without one, and where the format knows no system."""

from __future__ import annotations

from dataclasses import dataclass

import jinja2
import pytest

from solver.induction.conversation import tokens_of
from solver.induction.forms import Question

ASKED = Question("Be brief.", ("Why?",), "Because ")
AGAIN = Question("Be brief.", ("Why?", "So.", "Really?"), "Because ")
CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
STRICT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
)


@dataclass
class Letters:
    """A tokenizer of characters that begins every text with token 0, and formats chats as Hugging Face's do."""

    chat_template: str | None = None

    def encode(self, text, add_special_tokens=True):
        return [0] * add_special_tokens + [ord(letter) for letter in text]

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        def refuse(text):
            raise jinja2.TemplateError(text)

        assert (tokenize, add_generation_prompt) == (False, True)
        return jinja2.Template(self.chat_template).render(messages=messages, raise_exception=refuse)


def read(question, template=None):
    tokens = tokens_of(question, Letters(template))
    return tokens[0] == 0, "".join(map(chr, tokens[tokens[0] == 0 :]))


def test_a_question_is_asked_in_the_chat_format_and_its_reply_is_begun():
    assert read(ASKED, CHAT) == (False, "<system>Be brief.<user>Why?<assistant>Because ")
    assert read(AGAIN, CHAT)[1] == "<system>Be brief.<user>Why?<assistant>So.<user>Really?<assistant>Because "


def test_a_model_without_a_chat_format_is_asked_in_plain_text():
    assert read(ASKED) == (True, "Be brief.\n\nWhy?\n\nBecause ")
    assert read(AGAIN) == (True, "Be brief.\n\nWhy?\n\nSo.\n\nReally?\n\nBecause ")


def test_where_the_format_knows_no_system_its_text_stands_before_the_first_question():
    assert read(ASKED, STRICT)[1] == "<user>Be brief.\n\nWhy?<assistant>Because "
    assert read(AGAIN, STRICT)[1] == "<user>Be brief.\n\nWhy?<assistant>So.<user>Really?<assistant>Because "


@pytest.mark.parametrize("template", [None, CHAT, STRICT])
def test_a_question_that_goes_on_from_another_begins_with_its_tokens(template):
    begun = tokens_of(Question("Be brief.", ("Why?",)), Letters(template))
    shared = begun if template else begun[:-2]
    assert tokens_of(AGAIN, Letters(template))[: len(shared)] == shared


def test_a_format_that_fails_whatever_it_is_given_is_an_error():
    with pytest.raises(jinja2.TemplateError):
        read(ASKED, "{{ raise_exception('never') }}")
