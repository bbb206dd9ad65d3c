"""A file is read whole or refused in one line; what is no regular file, or too large, is never opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.analysis.solutions import read_solutions
from solver.data.json_files import LARGEST, describe, read_bytes, read_json
from solver.data.tasks import load_challenges
from solver.types import BadInput

READERS = (read_json, load_challenges, read_solutions)


def refusal(reader, path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        reader(path)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_refused_before_anybody_waits_for_it(reader, tmp_path: Path) -> None:
    path = tmp_path / "challenges.json"
    os.mkfifo(path)
    assert refusal(reader, path) == (
        f"{path} is a pipe; expected a JSON file; write what it gives to a file and pass that"
    )


@pytest.mark.parametrize("reader", READERS)
def test_a_device_is_refused_before_its_endless_bytes_are_read(reader) -> None:
    assert refusal(reader, Path("/dev/zero")).startswith("/dev/zero is a device; expected a JSON file; ")


def test_a_socket_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        assert "is a socket; expected a JSON file" in refusal(read_json, tmp_path / "s")


@pytest.mark.parametrize("reader", READERS)
def test_a_file_larger_than_any_contests_is_refused_unread(reader, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "challenges.json"
    path.touch()
    os.truncate(path, LARGEST + 10**6)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was read"))
    assert refusal(reader, path) == (
        f"{path} has 65.0 MB; expected a JSON file of at most 64.0 MB; check the path, or split it up"
    )


def test_the_largest_file_allowed_is_read_and_a_caller_may_allow_more(tmp_path: Path) -> None:
    path = tmp_path / "challenges.json"
    path.touch()
    for size, largest in ((LARGEST, LARGEST), (LARGEST + 1, None)):
        os.truncate(path, size)
        assert len(read_bytes(path, largest)) == size


def test_a_pipe_or_a_giant_in_a_folder_costs_its_task_alone(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}')
    os.mkfifo(tmp_path / "b.json")
    (tmp_path / "c.json").touch()
    os.truncate(tmp_path / "c.json", LARGEST + 1)
    task_set = load_challenges(tmp_path)
    assert task_set.tests == {"a": 1, "b": 1, "c": 1}
    assert task_set.malformed == ("b", "c")
    pipe, giant = task_set.problems
    assert "b.json is a pipe; expected a JSON file" in pipe.message
    assert "c.json has 64.0 MB; expected" in giant.message


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


@given(JSON_VALUES)
def test_a_description_is_short_and_printable(value: object) -> None:
    assert 1 <= len(describe(value)) <= 40
    assert describe(value).isprintable()
