"""Formats from a checkpoint's tokenizer.json: the tokens found in it, and what is said where one is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.tokens import huggingface
from solver.types import BadInput, Grid, Pair, same
from tests.support.checkpoints import (
    CHATML,
    DIGITS,
    LETTERS,
    architects_tokenizer,
    byte_level,
    chat_tokenizer,
    words_tokenizer,
    write,
)
from tests.support.fakes import any_grid, grid

PAIR, OTHER, TEST = Pair(grid([[1, 2]]), grid([[3]])), Pair(grid([[4]]), grid([[5], [6]])), grid([[7]])


def architects(directory: Path) -> huggingface.Lines:
    return huggingface.architects(huggingface.read(directory))


def text(directory: Path) -> huggingface.Lines:
    return huggingface.text(huggingface.read(directory))


def test_architects_ids_are_those_of_the_checkpoints_own_vocabulary(tmp_path):
    """<s> 0, </s> 1, I 10, O 16, the digits from 28 on, newline 38."""
    architects_tokenizer(tmp_path)
    sequence = [0, 10, 29, 30, 38, 16, 31, 38, 1, 10, 32, 38, 16, 33, 38, 34, 38, 1]
    assert architects(tmp_path).encode_pairs([PAIR, OTHER])[0].tolist() == sequence
    assert architects(tmp_path).encode_prompt([PAIR], TEST).tolist() == [*sequence[:9], 10, 35, 38, 16]


def test_bos_is_left_out_where_the_checkpoint_names_none(tmp_path):
    words_tokenizer(tmp_path, ["</s>", *LETTERS, *DIGITS, "\n"], eos_token="</s>")
    assert architects(tmp_path).opening == architects(tmp_path).between


def test_special_tokens_may_be_named_by_number_in_the_models_configuration(tmp_path):
    words_tokenizer(tmp_path, ["<s>", "</s>", *LETTERS, *DIGITS, "\n"])
    write(tmp_path / "config.json", {"bos_token_id": 0, "eos_token_id": [1, 2]})
    assert (architects(tmp_path).opening[0], architects(tmp_path).end) == (0, 1)


@pytest.mark.parametrize("newline", ["\n", "Ċ", "<0x0A>"])
def test_the_newline_is_found_however_the_vocabulary_spells_it(tmp_path, newline):
    words_tokenizer(tmp_path, ["</s>", *LETTERS, newline, *DIGITS], eos_token="</s>")
    assert architects(tmp_path).newline == 27


@pytest.mark.parametrize("missing", ["I", "O", "0", "7", "\n"])
def test_a_sign_without_a_token_of_its_own_is_refused_by_name(tmp_path, missing):
    words = [word for word in ["</s>", *LETTERS, *DIGITS, "\n"] if word != missing]
    words_tokenizer(tmp_path, words, eos_token="</s>")
    with pytest.raises(BadInput) as refused:
        architects(tmp_path)
    named = "newline" if missing == "\n" else missing
    assert str(refused.value) == (
        f"{tmp_path / 'tokenizer.json'}: no single token for {named!r}: expected one; give another --format"
    )


def test_a_tokenizer_without_eos_is_refused(tmp_path):
    words_tokenizer(tmp_path, [*LETTERS, *DIGITS, "\n"])
    with pytest.raises(BadInput, match="no eos_token: expected one, as it ends every answer"):
        architects(tmp_path)


def test_an_eos_that_is_a_digit_is_refused(tmp_path):
    words_tokenizer(tmp_path, [*LETTERS, *DIGITS, "\n"], eos_token="3")
    with pytest.raises(BadInput, match="expected twelve ids; give another --format"):
        architects(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_tokenizer_that_cannot_be_read_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BadInput) as refused:
        huggingface.read(tmp_path)
    assert str(tmp_path / "tokenizer.json") in str(refused.value)
    assert "\n" not in str(refused.value)


def decoded(directory: Path, tokens) -> str:
    return huggingface.read(directory).library.decode(list(tokens), skip_special_tokens=False)


def test_a_plain_prompt_reads_as_it_is_written_down_here(tmp_path):
    byte_level(tmp_path, ["<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    format = text(tmp_path)
    assert decoded(tmp_path, format.encode_prompt([PAIR, OTHER], TEST)) == (
        "<s>Input:\n12\nOutput:\n3\n</s>Input:\n4\nOutput:\n5\n6\n</s>Input:\n7\nOutput:\n"
    )
    assert decoded(tmp_path, format.encode_reply(OTHER.output)) == "5\n6\n</s>"


def test_a_chat_prompt_reads_as_its_template_writes_turns(tmp_path):
    chat_tokenizer(tmp_path)
    format = text(tmp_path)
    assert decoded(tmp_path, format.encode_prompt([PAIR, OTHER], TEST)) == (
        "<|im_start|>user\n12<|im_end|>\n<|im_start|>assistant\n3<|im_end|>\n"
        "<|im_start|>user\n4<|im_end|>\n<|im_start|>assistant\n5\n6<|im_end|>\n"
        "<|im_start|>user\n7<|im_end|>\n<|im_start|>assistant\n"
    )
    assert format.encode_reply(OTHER.output) == (20, 198, 21, 257)  # bytes from "!" on: "5" is 20; newline is 198


def test_a_template_may_open_the_chat_close_an_answer_after_a_space_and_lie_in_a_file_of_its_own(tmp_path):
    byte_level(tmp_path, ["<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    (tmp_path / "chat_template.jinja").write_text(
        "{{ bos_token }}Today is {{ date_string }}. {% for m in messages %}{% if m.role == 'user' %}[Q] {{ m.content }}"
        " [A] {% else %}{{ m.content | trim }} {{ eos_token }}{% endif %}{% endfor %}"
    )
    found = decoded(tmp_path, text(tmp_path).encode_prompt([PAIR], TEST))
    assert found == "<s>Today is 26 Jul 2024. [Q] 12 [A] 3</s>[Q] 7 [A] "


def test_of_several_templates_the_one_called_default_is_taken(tmp_path):
    several = [{"name": "tools", "template": "no"}, {"name": "default", "template": CHATML}]
    byte_level(tmp_path, ["<|im_start|>", "<|im_end|>"], eos_token="<|im_end|>", chat_template=several)
    assert text(tmp_path).end == 257


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ messages[0].content }}", "its chat template cannot show pairs as turns (substring not found)"),
        ("{{ raise_exception('one turn alone') }}", "cannot show pairs as turns (one turn alone)"),
        ("{% for m in messages %}", "cannot show pairs as turns (Unexpected end of template"),
        ("{% for m in messages %}{{ m.content }}, {% endfor %}", "ends an answer with ', ': expected a special token"),
        (
            "{% for m in messages %}{{ loop.index }}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}",
            "ends an answer with '<|im_end|>3<|im_start|>': expected a special token, and all turns to look alike",
        ),
        ("{{ messages.__class__.__mro__ }}", "cannot show pairs as turns (access to attribute '__class__'"),
    ],
)
def test_a_template_that_cannot_be_followed_is_refused_with_what_to_do(tmp_path, template, why):
    chat_tokenizer(tmp_path, template)
    with pytest.raises(BadInput) as refused:
        text(tmp_path)
    assert why in str(refused.value)
    assert str(refused.value).endswith("out of a copy of the checkpoint for plain prompts")
    assert "\n" not in str(refused.value)


@pytest.fixture(scope="module")
def merging(tmp_path_factory) -> Path:
    """A tokenizer that joins digits, and a newline with a digit, wherever it can."""
    directory = tmp_path_factory.mktemp("merging")
    byte_level(directory, ["</s>"], [("1", "2"), ("12", "3"), ("Ċ", "4"), ("0", "0"), ("00", "00")], eos_token="</s>")
    return directory


@given(cells=any_grid(6) | st.just(grid([[1, 2, 3], [4, 0, 0], [0, 0, 1]])))
def test_every_cell_has_a_token_of_its_own_even_where_the_tokenizer_would_join_them(merging: Path, cells: Grid):
    format = text(merging)
    reply = format.encode_reply(cells)
    assert len(reply) == cells.size + cells.shape[0] + 1
    assert decoded(merging, reply) == "".join("".join(map(str, row)) + "\n" for row in cells.tolist()) + "</s>"
    found = format.decode(reply)
    assert found is not None
    assert same(found, cells)


def test_a_reply_with_joined_digits_is_not_repaired(merging: Path):
    format = text(merging)
    joined = huggingface.read(merging).spell("12\n</s>")
    assert decoded(merging, joined) == decoded(merging, format.encode_reply(grid([[1, 2]])))
    assert format.decode(joined) is None


def test_settings_that_are_no_object_are_refused_by_name(tmp_path):
    architects_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(["eos"]))
    with pytest.raises(BadInput, match=r"tokenizer_config\.json: expected one JSON object"):
        huggingface.read(tmp_path)
