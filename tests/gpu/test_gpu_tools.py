"""What the GPU checks are made of and a CPU can test: their arithmetic, their table, their wheels in parts."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from solver.clock import Deadline
from solver.config.presets import PRESETS
from solver.hardware.gpus import CARDS
from solver.model.architecture import QWEN3_4B
from solver.model.checkpoint import SHIPPED
from solver.types import Adapter, TrainReport
from tests.gpu import carry, checks, measures, rehearsal
from tests.gpu import table as tables
from tests.gpu.calls import CALL, CALLS, PATIENCE, SECONDS
from tests.gpu.measures import Row
from tests.support import forked

ROOT = Path(__file__).resolve().parents[2]


def test_a_training_step_is_counted_as_four_operations_a_used_weight_and_token():
    used = 36 * 100_925_440 + 151_936 * 2560  # projections, and the head the embedding is tied to
    assert measures.training_flops(QWEN3_4B, 1000) == 4 * used * 1000
    seconds = 4 * used * 8192 / CARDS["h100"].flops
    assert measures.utilisation(QWEN3_4B, 8192, 2 * seconds, CARDS["h100"]) == pytest.approx(0.5)


def test_a_projection_scales_training_by_arithmetic_and_sampling_by_bandwidth():
    assert measures.projected(1.0, 0.0, CARDS["h200"], CARDS["l4"]) == pytest.approx(989 / 121)
    assert measures.projected(0.0, 1.0, CARDS["h200"], CARDS["l4"]) == pytest.approx(16.0)
    assert measures.share_of_limit(720.0) == 1.0  # 240 tasks of 720 s on 4 workers are 12 hours


def test_the_table_holds_every_check_and_one_that_left_nothing_says_so(tmp_path):
    measures.save([Row("a", "b", "c", True), Row("d", "", "e")], tmp_path / "shipped.json")
    rows = tables.gathered(tmp_path, "engine")
    others = len(CALLS["engine"]) - 1
    assert len(rows) == others + 2
    text = measures.table(rows)
    assert "| a | b | c | yes |\n| d |  | e |  |" in text
    assert text.count("none: not run, or broken off | NO |") == others


def test_every_check_is_part_of_one_call_and_those_of_a_call_add_up_to_nine_minutes_at_most():
    assert set(SECONDS) == set(checks.checks())
    assert sum(map(len, CALLS.values())) == len(SECONDS)
    assert CALL <= 540
    assert {name: sum(call.values()) for name, call in CALLS.items() if sum(call.values()) > CALL} == {}


def test_a_run_has_its_seconds_beside_what_its_preset_keeps_for_the_end():
    scale = checks.scale
    preset = PRESETS[scale.run[scale.run.index("--preset") + 1]]
    assert preset.reserve == 120
    assert scale.answering == 240
    assert scale.answering < scale.over < SECONDS["run"] - checks.START


class Slow:
    """A trainer and an engine that take all the seconds they are given, and one more each time."""

    def __init__(self):
        self.time = 0.0

    def train(self, job, stop):
        self.time += stop.remaining() + 1
        return TrainReport(Adapter(job.name, Path()), 1, 1)

    def sample(self, requests, stop):
        self.time += stop.remaining() + 1
        return [None] * len(requests)

    def plan(self, weights, config, folder):
        return self, self, config


@pytest.mark.slow
def test_a_check_keeps_within_its_seconds_whatever_trainer_and_engine_take(tmp_path, monkeypatch):
    slow = Slow()
    slow.how = SimpleNamespace(library="peft")
    monkeypatch.setattr(checks, "scale", rehearsal.SMALL)
    monkeypatch.setattr(checks.load_models, "load_on_gpu", slow.plan)
    monkeypatch.setattr(checks.load_models, "this_card", lambda: CARDS["h200"])
    monkeypatch.setattr("torch.cuda.init", lambda: None)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda: (1, 1))
    stop = Deadline.after(150.0, lambda: slow.time)
    rows = list(checks.both(SHIPPED, tmp_path, CARDS["h200"], "peft", stop))
    assert slow.time <= 150 + 7  # a second more for each of what it asks
    assert rows[-1].seen == "no reply in its seconds"


def test_what_travels_fits_beside_the_working_tree():
    assert carry.MOST + (8 << 20) <= 64 << 20


def rehearsed(*argv: str) -> int:
    """The status of a check in a process that no card is hidden from."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    return checks.main([*argv, "--rehearse"])


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", SECONDS)
def test_the_code_of_every_check_runs_on_a_cpu_with_the_card_replaced(name, tmp_path):
    given, seconds = [name, str(tmp_path / "rows.json"), str(tmp_path)], SECONDS[name] * PATIENCE
    if name == "preflight_says":  # one by the command itself
        environment = {n: v for n, v in os.environ.items() if n != "CUDA_VISIBLE_DEVICES"}
        command = [sys.executable, "-m", "tests.gpu.checks", *given, "--rehearse"]
        status = subprocess.run(command, cwd=ROOT, timeout=seconds, env=environment, check=False).returncode
    else:
        status = forked.call(rehearsed, *given, timeout=seconds)
    rows = measures.load(tmp_path / "rows.json")
    assert status == 0, [row for row in rows if row.good is False]
    assert rows


@pytest.fixture
def wheels(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "thing-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("thing/__init__.py", "VALUE = 7\n" + "# padding\n" * 400)
        wheel.writestr("thing/large.so", os.urandom(3000))
        wheel.writestr("thing-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1\n")
        wheel.writestr("thing-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("thing-1.dist-info/RECORD", "")
    return folder


def test_wheels_come_back_from_their_parts_byte_for_byte(wheels, tmp_path):
    made = carry.split(wheels, tmp_path / "parts", most=1000)
    assert all(part.stat().st_size <= 1000 for part in made)
    assert len(made) > 3
    [whole], lacking = carry.join(tmp_path / "parts", tmp_path / "back")
    assert whole.read_bytes() == (wheels / whole.name).read_bytes()
    assert lacking == []


def test_a_wheel_whose_parts_are_not_all_there_or_were_changed_is_not_written(wheels, tmp_path):
    made = carry.split(wheels, tmp_path / "parts", most=1000)
    made[0].write_bytes(b"changed")
    assert "not those that were split" in carry.join(tmp_path / "parts", tmp_path / "back")[1][0]
    made[1].unlink()
    assert "001 not here yet" in carry.join(tmp_path / "parts", tmp_path / "back")[1][0]
    assert list((tmp_path / "back").iterdir()) == []


def test_libraries_can_be_left_out_of_a_wheel(wheels, tmp_path):
    carry.split(wheels, tmp_path / "parts", without=["thing/*.so"], most=1000)
    [whole], _ = carry.join(tmp_path / "parts", tmp_path / "back")
    assert "thing/large.so" not in zipfile.ZipFile(whole).namelist()
    assert "thing/__init__.py" in zipfile.ZipFile(whole).namelist()


def test_the_command_installs_carried_parts_without_an_index(wheels, tmp_path):
    carry.split(wheels, tmp_path / "parts", most=1000)
    site = tmp_path / "site"
    environment = {**os.environ, "PYTHON": sys.executable, "ARC_TTT_SITE": str(site)}
    command = [ROOT / "tests/gpu/run", "--wheels", tmp_path / "parts", "--install-only"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (site / "thing" / "__init__.py").read_text().startswith("VALUE = 7")
    refused = subprocess.run([*command[:2], tmp_path / "no"], env=environment, capture_output=True, text=True)
    assert (refused.returncode, "expected a folder of wheels" in refused.stderr) == (2, True)
