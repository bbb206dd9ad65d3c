"""The closing summary of a run: where its answers came from, and why some are placeholders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from solver.runtime.live import printable

NAMED = 5  # task ids a reason names before it says how many more there are


@dataclass(frozen=True)
class AnswerOrigin:
    """One answer (test input `test` of a task) and where it came from.

    `from_model`: how many of its two attempts the model gave, 0 to 2; `from_programs`: how many programs alone did.
    `reason`: why it is a placeholder, if it is.
    """

    task_id: str
    test: int
    from_model: int
    reason: str = ""
    from_programs: int = 0

    @property
    def given(self) -> int:
        """Attempts that are no placeholders."""
        return self.from_model + self.from_programs


def summary(outcomes: Sequence[AnswerOrigin]) -> str:
    """How many answers the model gave, how many are placeholders, and why: a line a reason, the commonest first."""
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.given == 0:
            reasons[outcome.reason or "no reason given"].append(outcome.task_id)
    placeholders = sum(len(ids) for ids in reasons.values())
    half = sum(outcome.from_model > 0 and outcome.given == 1 for outcome in outcomes)
    programs = sum(outcome.from_model == 0 < outcome.from_programs for outcome in outcomes)
    model = f"{len(outcomes) - placeholders - programs} from the model"
    model += f" ({half} with a placeholder as second attempt)" if half else ""
    model += f", {programs} from programs alone" if programs else ""
    tasks = len({outcome.task_id for outcome in outcomes})
    lines = [f"{count(len(outcomes), 'answer')} to {count(tasks, 'task')}: {model}, "]
    lines[0] += count(placeholders, "placeholder") + (":" if reasons else ".")
    ordered = sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0]))
    lines += ["  " + printable(f"{len(ids)} x {reason} ({_named(ids)})", None) for reason, ids in ordered]
    return "\n".join(lines)


def count(number: int, noun: str) -> str:
    """A number of things: '1 task', '2 tasks'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _named(task_ids: Sequence[str]) -> str:
    """The first few ids, each once, and how many more there are."""
    ids = list(dict.fromkeys(task_ids))
    more = [f"and {len(ids) - NAMED} more"] if len(ids) > NAMED else []
    return ", ".join([*ids[:NAMED], *more])
