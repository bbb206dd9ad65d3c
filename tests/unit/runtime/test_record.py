"""The record: lines that come back whole or not at all, and a directory that has one writer."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.data import codec
from solver.data.tasks import load_challenges
from solver.runtime import record
from solver.runtime.record import from_line, to_line
from solver.runtime.recorder import Recorder
from solver.types import BadInput, Candidate, Program, View, key
from tests.support import fakes
from tests.support.runs import lines_of

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
NAMES = st.text().filter(lambda name: name not in {"crc", *record.FORMERLY})  # older names come back as today's
MESSAGES = st.dictionaries(NAMES, JSON, min_size=1)


@pytest.mark.slow
@given(message=MESSAGES)
def test_a_message_comes_back_from_its_line_as_it_was(message):
    line = to_line(message)
    assert line.count("\n") == 1
    assert from_line(line.encode()) == message
    assert json.loads(line) | {"crc": 0} == message | {"crc": 0}  # any JSON reader can read it


def test_members_of_older_lines_have_today_s_names():
    assert from_line(to_line({"turn": 3, "round": 1, "kind": "x"}).encode()) == {"batch": 3, "stage": 1, "kind": "x"}


@given(message=MESSAGES, data=st.data())
def test_a_line_that_was_cut_or_changed_anywhere_is_dropped(message, data):
    line = to_line(message).encode()
    at = data.draw(st.integers(0, len(line) - 2))
    assert from_line(line[:at]) is None
    changed = bytes([line[at] ^ data.draw(st.integers(1, 255))])
    assert from_line(line[:at] + changed + line[at + 1 :]) is None


@given(found=fakes.any_grid(5), view=fakes.any_view(4))
def test_a_candidate_comes_back_from_json_as_it_was(found, view):
    back = codec.candidate_from_json(json.loads(json.dumps(codec.candidate_to_json(Candidate(found, view, -1.5)))))
    assert (key(back.grid), back.view, back.logprob) == (key(found), view, -1.5)


@given(found=fakes.any_grid(5), cost=st.floats(0, 99), generalises=st.floats(0, 1), text=st.text())
def test_a_program_s_candidate_comes_back_with_its_program_and_no_view(found, cost, generalises, text):
    program = Program(text, cost, generalises, 4)
    saved = json.loads(json.dumps(codec.candidate_to_json(Candidate(found, View(), 0.0, program=program))))
    back = codec.candidate_from_json(saved)
    assert (key(back.grid), back.program, back.view, back.logprob) == (key(found), program, View(), 0.0)
    assert set(saved) == {"grid", "program"}


def test_a_torn_last_line_is_cut_off_before_more_is_written(tmp_path):
    with Recorder(tmp_path, fresh=True) as made:
        made.write({"kind": "event", "text": "one"})
    path = tmp_path / record.RECORD
    path.write_bytes(path.read_bytes() + b'{"kind":"result","ta')
    assert lines_of(tmp_path).dropped == 1
    with Recorder(tmp_path, fresh=False) as made:
        made.write({"kind": "event", "text": "two"})
    kept = lines_of(tmp_path)
    assert [m["text"] for m in kept.messages] == ["one", "two"]
    assert kept.dropped == 0


def test_a_fresh_record_forgets_the_old_one(tmp_path):
    for text in ("old", "new"):
        with Recorder(tmp_path, fresh=True) as made:
            made.write({"kind": "event", "text": text})
    assert [m["text"] for m in lines_of(tmp_path).messages] == ["new"]


def test_a_directory_has_one_writer_and_is_free_again_when_it_closes(tmp_path):
    with Recorder(tmp_path, fresh=True), pytest.raises(BadInput, match="another process is working on"):
        Recorder(tmp_path, fresh=True)
    with Recorder(tmp_path, fresh=True):
        pass


def test_a_writer_that_is_refused_leaves_the_record_of_the_other_alone(tmp_path):
    with Recorder(tmp_path, fresh=True) as made:
        made.write({"kind": "event"})
        with pytest.raises(BadInput):
            Recorder(tmp_path, fresh=True)
        made.write({"kind": "event"})
    assert len(lines_of(tmp_path).messages) == 2


def test_a_line_the_disk_refuses_leaves_nothing_of_itself(tmp_path, monkeypatch):
    with Recorder(tmp_path, fresh=True) as made:
        made.write({"kind": "event", "text": "one"})

        def refuse(_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", refuse)
        with pytest.raises(OSError, match="No space left"):
            made.write({"kind": "event", "text": "two"})
        monkeypatch.undo()
        made.write({"kind": "event", "text": "three"})
    assert [m["text"] for m in lines_of(tmp_path).messages] == ["one", "three"]


def test_a_folder_that_is_no_run_directory_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"cannot be read .* expected the directory of a run"):
        record.load(tmp_path / "none")


def test_the_kept_challenges_read_back_as_the_same_tasks(tmp_path):
    content = {
        "good": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}, {"input": [[4]]}]},
        "bad": {"train": [], "test": [{"input": [[5, 6]]}, {"input": "?"}]},
    }
    path = tmp_path / "given.json"
    path.write_text(json.dumps(content))
    read = load_challenges(path)
    again = tmp_path / record.CHALLENGES
    again.write_text(codec.challenges(read))
    kept = load_challenges(again)
    assert kept.tests == read.tests == {"good": 2, "bad": 2}
    assert kept.malformed == read.malformed == ("bad",)
    shapes = [[None if g is None else g.tolist() for g in s.test_inputs["bad"]] for s in (kept, read)]
    assert shapes[0] == shapes[1] == [[[5, 6]], None]
