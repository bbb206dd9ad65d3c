"""A run on GPUs that are not there, with a worker that has no models: preflight, and the weights copied near."""

from __future__ import annotations

import json
import signal

import pytest

import submission
from solver.clock import Deadline
from solver.hardware import devices, preflight, weight_staging
from solver.hardware.preflight import FAULT, OK, Finding
from solver.hardware.weight_staging import Mount
from solver.runtime import child, record
from solver.runtime import run as module
from tests.support import fake_worker
from tests.support.runs import lines_of
from tests.system.test_submission import GOOD, make_weights

FINDINGS = (Finding(OK, "GPU 0: a card"), Finding(FAULT, "driver 1.0 is too old"))


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run `main` on a machine that shows two GPUs and has its weights on a read-only mount."""
    before = signal.getsignal(signal.SIGTERM)
    weights = make_weights(tmp_path)
    monkeypatch.setattr(devices, "gpus", lambda: 2)
    monkeypatch.setattr(preflight, "gather", lambda path, output, numbers=(): (path, numbers))
    monkeypatch.setattr(preflight, "judge", lambda facts, config: (*FINDINGS, Finding(OK, f"asked for {facts[1]}")))
    monkeypatch.setattr(weight_staging, "WORTH", 1)
    table = (Mount("/", "ext4", False), Mount(str(weights), "fuse", True))
    monkeypatch.setattr(weight_staging, "mounts", lambda: table)
    monkeypatch.setattr(weight_staging, "ROOM", 0)

    def run(*flags):
        monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path))
        (tmp_path / "challenges.json").write_text(json.dumps({"a": GOOD}))
        output = tmp_path / "out" / "submission.json"
        where = ["--weights", str(weights), "--challenges", str(tmp_path / "challenges.json"), "--output", str(output)]
        return submission.main([*where, *flags], Deadline.after(0)), weights, output

    yield run
    signal.signal(signal.SIGTERM, before)


def loaded_from(tmp_path):
    return {argv[argv.index("--weights") + 1] for argv in fake_worker.heard(tmp_path, "argv")}


def test_a_run_on_gpus_says_what_it_found_and_goes_on_with_a_near_copy_of_the_weights(call, tmp_path):
    """A fault does not end it: the file is there, and the workers find out for themselves."""
    status, weights, output = call("--devices", "0,1", "--no-report")
    assert status == 0
    assert output.is_file()
    notes = [m["text"] for m in lines_of(record.directory_of(output)).of_kind("event")]
    assert notes[:3] == [f"preflight: {f}" for f in FINDINGS] + ["preflight: ok: asked for ['0', '1']"]
    assert notes[3].startswith(f"{weights} was copied to ")
    [copy] = loaded_from(tmp_path)
    assert copy != str(weights)
    assert copy.endswith(f"/{weights.name}")


def test_a_run_on_a_cpu_says_nothing_of_it_and_loads_the_weights_where_they_lie(call, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "check_gpus", None)  # whoever called it would fail
    status, weights, output = call("--devices", "cpu", "--no-report")
    assert status == 0
    assert loaded_from(tmp_path) == {str(weights)}
    assert not [m for m in lines_of(record.directory_of(output)).of_kind("event") if "preflight" in m["text"]]


def test_preflight_alone_prints_its_findings_fails_on_a_fault_and_runs_nothing(call, tmp_path, capsys, monkeypatch):
    status, _, output = call("--devices", "1", "--preflight")
    assert status == 1
    assert capsys.readouterr().out.splitlines() == [*map(str, FINDINGS), "ok: asked for ['1']"]
    assert not output.exists()
    assert fake_worker.heard(tmp_path, "start") == []
    monkeypatch.setattr(preflight, "judge", lambda facts, config: FINDINGS[:1])
    assert call("--devices", "1", "--preflight")[0] == 0


def test_a_plan_is_printed_and_nothing_else_is_looked_at(call, tmp_path, capsys):
    assert call("--plan", "l4", "--plan-model", "qwen3-4b")[0] == 0
    printed = capsys.readouterr().out
    assert printed.startswith("qwen3-4b on l4: rounds")
    assert "note: " not in printed
    assert call("--plan", "t4", "--plan-model", "qwen3-4b-16")[0] == 0
    assert "\n  note: t4 has compute capability 7.5: FlashAttention 2 and" in capsys.readouterr().out
    assert call("--plan", "a100", "--plan-model", "qwen3-4b")[0] == 2
    assert "--plan is 'a100'" in capsys.readouterr().err
