"""`python -m solver generators`, its model replaced: what it writes, who reads that, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from solver.generators import command, filters
from solver.generators.pool_file import PoolFile, task_id
from solver.generators.write import PURPOSE, WrittenGenerator
from solver.pretrain import sources
from solver.pretrain.content import Index
from solver.types import BadInput, Pair, seed_for
from tests.support.made_tasks import draw
from tests.support.written_generators import EVALUATED, RECOLOURED, REPLIES, FakeVllmWriter, FakeWriter, reply

TEXTS = (*REPLIES.values(), reply(RECOLOURED))


@pytest.fixture
def model(tmp_path, package):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 8192}')
    (folder / "model.safetensors").touch()
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def writers(monkeypatch):
    """The engine's place is taken by a writer that says `TEXTS`; those that were started, with their settings."""
    started = []

    def start(model, settings, seed):
        started.append((FakeWriter(TEXTS), settings, seed))
        return FakeVllmWriter(started[-1][0])

    monkeypatch.setattr("solver.induction.writer.VllmWriter", start)
    monkeypatch.setattr(sources, "training_index", lambda: Index.of([Pair(EVALUATED, EVALUATED)]))
    return started


def run(model, output, *more):
    flags = ["--code-model", model, "--output", output, "--samples", len(TEXTS), "--pairs", 12, "--unsafe-programs"]
    return command.main([str(word) for word in (*flags, *more)])


def test_what_is_kept_is_a_file_of_tasks_that_pretraining_reads_whole(model, writers, tmp_path, capsys):
    output = tmp_path / "made" / "written.json"
    assert run(model, output) == 0
    pool = sources.user_pool(output)
    assert [len(pairs) for pairs in pool.pairs] == [12, 12]
    assert all(name.startswith("written-") for name in pool.ids)
    *lines, summary = map(json.loads, output.with_suffix(".jsonl").read_text().splitlines())
    assert [line["failed"] for line in lines] == [*REPLIES, ""]
    assert [line["task"] for line in lines if line["task"]] == list(pool.ids)
    assert lines[0]["description"] == "The grid is mirrored at its main diagonal."
    assert (summary["way"], summary["samples"], summary["counts"]["kept"], summary["pairs"]) == ("joint", 12, 2, 24)
    told = capsys.readouterr()
    assert "kept, with 24 pairs" in told.out
    assert f"wrote {output} (" in told.out
    assert "12 asked for, 2 kept" in told.err


def test_the_same_replies_and_seed_give_the_same_files(model, writers, tmp_path):
    for name in ("a.json", "b.json"):
        assert run(model, tmp_path / name) == 0
    for ending in (".json", ".jsonl"):
        one, other = ((tmp_path / name).with_suffix(ending).read_bytes() for name in ("a.json", "b.json"))
        assert one == other


def test_the_engine_is_built_for_the_model_s_own_context(model, writers, tmp_path):
    assert run(model, tmp_path / "a.json", "--reply", 500, "--seed", 3, "--threads", 1) == 0
    [(writer, settings, seed)] = writers
    assert (settings.context, settings.reply, settings.threads, seed) == (8192, 500, 1, 3)
    assert len(writer.questions) == 1


def test_where_nothing_is_kept_there_is_the_record_alone(model, writers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tests.unit.generators.test_command.TEXTS", ("No.",))
    assert run(model, tmp_path / "a.json") == 0
    assert not (tmp_path / "a.json").exists()
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 2
    assert f"no generator was kept, so {tmp_path / 'a.json'} was not written" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--samples", "0"], "--samples 0: expected at least 1"),
        (["--pairs", "9"], "--pairs 9: expected at least 10"),
        (["--shots", "11"], "--shots 11: expected at most the 10 there are; lower it"),
        (["--seconds", "0"], "--seconds 0: expected more than 0"),
        (["--seconds", "nan"], "--seconds nan: expected more than 0"),
        (["--reply", "8192"], "reads 8192 tokens, of which --reply 8192 are kept for a reply"),
        (["--reply", "8000"], "a reply 8000, the model reads 8192; expected both to fit"),
        (["--output", "written.npz"], "written.npz does not end in .json"),
        (["--code-model", "/nowhere/at/all"], "config.json cannot be read"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(model, writers, tmp_path, capsys, flags, line):
    assert run(model, tmp_path / "a.json", *flags) == 2
    told = capsys.readouterr()
    assert line in told.err.splitlines()[-1]
    assert "Traceback" not in told.err
    assert not (tmp_path / "a.json").exists()


def test_a_model_that_the_engine_refuses_is_named_in_a_line(model, writers, tmp_path, capsys, monkeypatch):
    def refuse(model, settings, seed):
        raise ValueError("no such architecture\nand much more")

    monkeypatch.setattr("solver.induction.writer.VllmWriter", refuse)
    assert run(model, tmp_path / "a.json") == 2
    assert "cannot be served (ValueError: no such architecture); expected" in capsys.readouterr().err.splitlines()[-1]


def test_an_engine_that_fails_on_the_way_leaves_what_was_kept_and_the_counts(
    model, writers, tmp_path, capsys, monkeypatch
):
    def fail(questions, seed, stop):
        if seed != first:
            raise RuntimeError("out of memory\nand much more")
        return TEXTS[:4]

    first = seed_for(0, "0", PURPOSE)
    monkeypatch.setattr(FakeWriter, "write", staticmethod(fail))
    assert run(model, tmp_path / "a.json", "--batch", 4) == 1
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == "error: ended early, as RuntimeError: out of memory; what was kept stays"
    assert "kept, with 12 pairs" in told.out
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])["counts"]["asked"] == 4


def test_a_sandbox_that_does_not_start_is_said_in_a_line(model, writers, tmp_path, capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("the runner of programs did not start (it ended):\nTraceback")

    monkeypatch.setattr(command, "Sandbox", broken)
    assert run(model, tmp_path / "a.json") == 2
    line = "error: the runner of programs did not start (it ended): Traceback; expected it to start; check the memory"
    assert capsys.readouterr().err.startswith(line)


def test_an_interruption_leaves_what_was_kept_and_shows_the_counts(model, writers, tmp_path, capsys, monkeypatch):
    def interrupt(questions, seed, stop):
        if seed != first:
            raise KeyboardInterrupt
        return TEXTS[:4]

    first = seed_for(0, "0", PURPOSE)
    monkeypatch.setattr(FakeWriter, "write", staticmethod(interrupt))
    assert run(model, tmp_path / "a.json", "--batch", 4) == 130
    assert len(sources.user_pool(tmp_path / "a.json").ids) == 1
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[-1])["counts"]["asked"] == 4
    assert "kept, with 12 pairs" in capsys.readouterr().out


def test_what_was_written_before_is_never_replaced(model, writers, tmp_path, capsys):
    (tmp_path / "a.json").write_text("{}")
    assert run(model, tmp_path / "a.json") == 2
    assert "a.json exists; expected a new file" in capsys.readouterr().err
    (tmp_path / "b.jsonl").write_text("{}\n")
    assert run(model, tmp_path / "b.json") == 2
    assert (tmp_path / "a.json").read_text() == "{}"


# ---- the file of tasks


def kept(number):
    rng = np.random.default_rng(number)
    pairs = tuple(Pair(grid, grid[::-1]) for grid in (draw(rng), draw(rng)))
    return WrittenGenerator("A turns.", f"def generate({number})", filters.Verdict(pairs=pairs))


def test_a_file_that_would_be_too_large_to_be_read_takes_no_more(tmp_path):
    pool = PoolFile(tmp_path / "a.json", 0, largest=700)
    pool.open()
    for number in range(3):
        pool.add([kept(number)])
    assert pool.full
    assert pool.path.stat().st_size <= 700
    assert list(json.loads(pool.path.read_text())) == [task_id("def generate(0)", 0)]
    lines = [json.loads(line) for line in pool.record.read_text().splitlines()]
    assert [bool(line["task"]) for line in lines] == [True, False, False]


def test_a_file_that_can_no_longer_be_written_is_named_in_a_line(tmp_path):
    pool = PoolFile(tmp_path / "a.json", 0)
    pool.open()
    pool.path.mkdir()
    with pytest.raises(BadInput, match=r"a\.json cannot be written \(.*\); expected .*make room"):
        pool.add([kept(0)])


def test_a_task_s_id_depends_on_its_program_and_the_seed_of_its_pairs():
    assert len({task_id("a", 0), task_id("b", 0), task_id("a", 1)}) == 3
    assert task_id("\ud800", 0) != task_id("a", 0)


def test_a_generator_that_was_not_kept_is_in_the_record_alone(tmp_path):
    pool = PoolFile(tmp_path / "a.json", 0)
    pool.open()
    pool.add([replace(kept(0), verdict=filters.Verdict(filters.RAN, "NameError: x"))])
    assert not pool.path.exists()
    assert json.loads(pool.record.read_text())["reason"] == "NameError: x"
