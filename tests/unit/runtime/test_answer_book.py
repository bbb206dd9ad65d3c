"""The closing summary of a run."""

from __future__ import annotations

from solver.runtime.answer_book import AnswerOrigin, summary


def test_summary_groups_placeholders_by_reason() -> None:
    outcomes = [
        AnswerOrigin("aaaaaaaa", 2),
        AnswerOrigin("aaaaaaaa", 1),
        AnswerOrigin("bbbbbbbb", 0, reason="no reply was a grid"),
        *(AnswerOrigin(f"{at:08x}", 0, reason="no time left") for at in range(7)),
        AnswerOrigin("00000000", 0, reason="no time left"),
        AnswerOrigin("cccccccc", 0),
    ]
    assert summary(outcomes).splitlines() == [
        "12 answers to 10 tasks: 2 from the model (1 with a placeholder as second attempt), 10 placeholders:",
        "  8 x no time left (00000000, 00000001, 00000002, 00000003, 00000004, and 2 more)",
        "  1 x no reason given (cccccccc)",
        "  1 x no reply was a grid (bbbbbbbb)",
    ]


def test_summary_of_a_run_without_placeholders_is_one_line() -> None:
    assert summary([AnswerOrigin("aaaaaaaa", 2)]) == "1 answer to 1 task: 1 from the model, 0 placeholders."


def test_summary_tells_what_programs_alone_answered() -> None:
    outcomes = [
        AnswerOrigin("a", 1, 1),
        AnswerOrigin("b", 0, 1),
        AnswerOrigin("c", 0, reason="why"),
    ]
    assert summary(outcomes).splitlines() == [
        "3 answers to 3 tasks: 1 from the model, 1 from programs alone, 1 placeholder:",
        "  1 x why (c)",
    ]


def test_summary_of_nothing_says_so() -> None:
    assert summary([]) == "0 answers to 0 tasks: 0 from the model, 0 placeholders."
