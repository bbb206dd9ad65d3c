"""Many tasks answered on several cores: the file, what is kept of it, and the score."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solver.programs import batch
from solver.types import BadInput
from tests.support.made_tasks import made


@pytest.mark.slow
def test_a_search_that_fails_is_told_and_tried_again_and_costs_no_other_answer(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    broken = replace(task, id="broken", demonstrations=(1,))
    settings, path, lost = batch.BatchSettings("made", 20.0, 300), tmp_path / "o.jsonl", []
    lines = batch.run(
        [broken, task], settings, batch.processes(1), path, lambda _: None, on_failure=lambda *error: lost.append(error)
    )
    assert [task_id for task_id, _ in lost] == ["broken"]
    assert (lines["broken"].found, lines["made"].found > 0) == (0, True)
    assert list(batch.read(path, settings)) == ["made"]


def test_lines_survive_being_written_and_read(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    line, chosen = batch.answer(task, 20.0, 300), batch.BatchSettings("made", 20.0, 300)
    batch.write(tmp_path / "o.jsonl", chosen, [line])
    assert batch.read(tmp_path / "o.jsonl", chosen) == {"made": line}
    with pytest.raises(BadInput, match="another run"):
        batch.read(tmp_path / "o.jsonl", batch.BatchSettings("made", 21.0, 300))


@pytest.mark.slow
def test_what_a_shorter_run_ended_by_itself_is_not_done_again(tmp_path):
    task, _ = made(lambda g: g[::-1].copy())
    other = replace(task, id="other")
    path, short, long = (
        tmp_path / "o.jsonl",
        batch.BatchSettings("made", 5.0, 300),
        batch.BatchSettings("made", 60.0, 300),
    )
    ended = replace(batch.answer(task, 5.0, 300), seconds=4.9, solved=True)
    batch.write(path, short, [ended, replace(ended, task="other", seconds=5.1)])
    known = batch.ended(path, long)
    assert known == {"made": replace(ended, solved=None)}
    answered = []
    lines = batch.run([task, other], long, batch.processes(1), None, answered.append, known)
    assert [line.task for line in answered] == ["other"]
    assert lines["made"].seconds == 4.9
    for wrong in (short, batch.BatchSettings("others", 60.0, 300), batch.BatchSettings("made", 60.0, 301)):
        with pytest.raises(BadInput, match="but with fewer seconds"):
            batch.ended(path, wrong)
    with pytest.raises(BadInput, match="but with fewer seconds"):
        batch.ended(tmp_path / "none", long)
