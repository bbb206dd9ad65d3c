"""Preflight: judged on machines of all kinds from facts alone, and gathered on this one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solver.config.presets import PRESETS
from solver.hardware import preflight
from solver.hardware.gpus import GIB, Shown
from solver.hardware.preflight import (
    FAULT,
    NEEDED,
    OK,
    WANTED,
    WARNING,
    Facts,
    Torch,
    gather,
    judge,
    pins,
    possible,
    serves,
)
from solver.model import checkpoint
from solver.model.architecture import LLAMA_3_8B, QWEN3_4B, read

KERNELS = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120")
L4 = Shown("NVIDIA L4", 23034 << 20, 22500 << 20, (8, 9), "580.95.05")
T4 = Shown("Tesla T4", 15360 << 20, 15000 << 20, (7, 5), "580.65.06")
H200 = Shown("NVIDIA H200", 143771 << 20, 143000 << 20, (9, 0), "590.44.01")
PRESET = PRESETS["kaggle-l4x4"]


def machine(*gpus: Shown, **other) -> Facts:
    sound = Facts(
        gpus=gpus,
        torch=Torch("2.13.0+cu130", "13.0", KERNELS),
        packages=dict.fromkeys((*NEEDED, *WANTED), "1.0"),
        pins={},
        output_free=100 * GIB,
        scratch_free=100 * GIB,
        model=read(checkpoint.SHIPPED),
    )
    return replace(sound, **other)


def said(facts: Facts, level: str, config=PRESET) -> list[str]:
    return [finding.text for finding in judge(facts, config) if finding.level == level]


@pytest.mark.parametrize("gpus", [(L4,) * 4, (H200,)], ids=["4 L4", "H200"])
def test_a_sound_machine_has_nothing_against_it(gpus):
    findings = judge(machine(*gpus), PRESET)
    assert {finding.level for finding in findings} == {OK}
    assert possible(findings)
    assert sum(finding.text.startswith("GPU ") for finding in findings) == len(gpus)
    assert all("\n" not in str(finding) for finding in findings)


def test_a_card_the_engines_attention_is_not_made_for_is_a_warning_once():
    [warning] = said(machine(T4, T4), WARNING)
    assert warning.startswith("Tesla T4 has compute capability 7.5: FlashAttention 2 and FlashInfer want 8.0, and ")
    assert possible(judge(machine(T4, T4), PRESET))


def test_no_gpu_is_a_fault():
    assert said(machine(), FAULT) == [
        "nvidia-smi names no GPU: expected a driver that is loaded; or run with --devices cpu"
    ]


@pytest.mark.parametrize(
    ("kernels", "capability", "served"),
    [
        (("sm_80",), (8, 9), True),  # machine code of the same major version
        (("sm_80", "sm_90"), (7, 5), False),
        (("sm_90",), (8, 9), False),
        (("sm_90",), (10, 0), False),
        (("sm_90", "compute_90"), (12, 0), True),  # portable code is compiled by the driver
        (("compute_120",), (9, 0), False),
        (("sm_90a", "sm_75"), (9, 0), True),
        (("sm_120",), (12, 0), True),
        (("gfx90a",), (9, 0), False),
        ((), (9, 0), False),
    ],
)
def test_a_torch_build_serves_the_cards_it_has_code_for(kernels, capability, served):
    assert serves(kernels, capability) == served


def test_a_card_the_torch_build_has_no_code_for_is_a_fault_by_name():
    old = machine(T4, torch=Torch("2.13.0", "13.0", ("sm_80", "sm_90")))
    assert said(old, FAULT) == [
        "torch 2.13.0 (CUDA 13.0) has no kernels for Tesla T4: expected sm_75 among sm_80 sm_90"
    ]


def test_a_torch_that_is_a_cpu_build_or_can_not_be_imported_is_a_fault():
    assert "is a CPU build" in said(machine(L4, torch=Torch("2.13.0+cpu", None, ())), FAULT)[0]
    assert "its import fails" in said(machine(L4, torch=None), FAULT)[0]


@pytest.mark.parametrize(
    ("driver", "cuda", "level"),
    [
        ("580.65.06", "13.0", OK),
        ("580.65.05", "13.0", FAULT),
        ("575.57.08", "13.0", FAULT),
        ("575.57.08", "12.8", OK),
        ("590.1", "13.0", OK),
        ("[N/A]", "13.0", WARNING),
    ],
)
def test_the_driver_must_be_as_new_as_the_builds_cuda_wants(driver, cuda, level):
    facts = machine(replace(L4, driver=driver), torch=Torch("2", cuda, KERNELS))
    [text] = [text for text in said(facts, level) if "driver" in text]
    assert level != FAULT or "expected 580.65.6 or newer, or a CUDA 12 set" in text


def test_memory_that_something_else_holds_is_a_warning_and_a_model_that_does_not_fit_a_fault():
    half = replace(L4, free=8 << 30)
    assert said(machine(L4, half), WARNING) == ["GPU 1: 14.5 of 22.5 GiB are taken by something else"]
    [fault] = said(machine(T4, model=LLAMA_3_8B), FAULT)
    assert fault.startswith("llama-3-8b does not fit on Tesla T4")
    assert any("memory plan for NVIDIA L4: rounds" in text for text in said(machine(L4, model=QWEN3_4B), OK))


def test_little_room_on_a_disk_is_a_warning():
    facts = machine(L4, output_free=100 << 20, scratch_free=1 << 30)
    assert said(facts, WARNING) == [
        "0.1 GiB are free for the output, 0.25 are wanted",
        "1.0 GiB are free for temporary files, 2.00 are wanted",
    ]


def test_a_missing_package_is_a_fault_where_nothing_goes_without_it():
    facts = machine(L4, packages={**dict.fromkeys((*NEEDED, *WANTED), "1.0"), "vllm": None, "unsloth": None})
    assert said(facts, FAULT) == ["not importable: vllm: install requirements.txt"]
    assert said(facts, WARNING) == ["not importable: unsloth: training goes through peft in 16 bits without"]
    four = replace(PRESET, train=replace(PRESET.train, bits=4))
    lacking = machine(L4, packages={**dict.fromkeys((*NEEDED, *WANTED), "1.0"), "bitsandbytes": None})
    assert len(said(lacking, FAULT, four)) == 1


def test_a_package_of_another_version_than_pinned_is_a_warning():
    facts = machine(L4, packages={**dict.fromkeys((*NEEDED, *WANTED), "1.0"), "torch": "2.13.0+cu130"})
    assert said(replace(facts, pins={"torch": "2.13.0", "vllm": "1.0"}), WARNING) == []
    assert said(replace(facts, pins={"torch": "2.14.0"}), WARNING) == [
        "torch is of version 2.13.0+cu130: requirements.txt pins 2.14.0"
    ]


def test_weights_that_are_not_whole_are_a_fault_in_their_own_words():
    assert said(machine(L4, model=None, weights="model.safetensors was cut short"), FAULT) == [
        "model.safetensors was cut short"
    ]


def test_pins_are_those_that_hold_for_the_python_version():
    unsloth = 'unsloth==1 ; python_version < "3.12"\nunsloth==2 ; python_version >= "3.12"\n'
    text = f"# a comment\nvllm==0.32.0  # why\n{unsloth}A_b==3\n"
    assert pins(text, (3, 11)) == {"vllm": "0.32.0", "unsloth": "1", "a-b": "3"}
    assert pins(text, (3, 12))["unsloth"] == "2"


def test_the_requirements_pin_every_package_that_is_looked_for():
    found = pins(preflight.REQUIREMENTS.read_text(), (3, 11))
    assert {*NEEDED, *WANTED} <= set(found)


def test_this_machines_facts_are_gathered_and_what_can_not_be_imported_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(preflight, "ask_torch", lambda: None)  # asked in the next test
    facts = gather(checkpoint.SHIPPED, tmp_path / "not yet" / "submission.json")
    assert facts.gpus == ()
    assert facts.output_free > 0
    assert facts.packages["numpy"] == facts.pins["numpy"]
    assert facts.model is not None
    assert facts.weights == ""
    assert preflight.installed("no_such_package") is None
    assert "no weights in" in gather(tmp_path, tmp_path / "o.json").weights
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((checkpoint.SHIPPED / name).read_bytes())
    hashes = '{"config.json": "0", "model.safetensors": "0"}'
    (tmp_path / checkpoint.MANIFEST).write_text(f'{{"format": "grid", "sha256": {hashes}}}')
    assert gather(tmp_path, tmp_path / "o.json").weights == ""
    assert gather(tmp_path, tmp_path / "o.json", whole=True).weights.startswith(str(tmp_path))


def test_torch_is_asked_in_a_process_of_its_own_and_a_broken_one_gives_no_answer(monkeypatch):
    monkeypatch.setattr(preflight, "ASK_TORCH", 'print(\'noise\'); print(\'["2.13.0", "13.0", ["sm_90"]]\')')
    assert preflight.ask_torch() == Torch("2.13.0", "13.0", ("sm_90",))
    monkeypatch.setattr(preflight, "ASK_TORCH", "raise ImportError")
    assert preflight.ask_torch() is None


def test_the_command_prints_a_line_a_finding_and_fails_where_the_run_could_not_be(monkeypatch, capsys, tmp_path):
    sound = machine(L4)
    monkeypatch.setattr(preflight, "shown", lambda numbers: sound.gpus)
    monkeypatch.setattr(preflight, "ask_torch", lambda: sound.torch)
    monkeypatch.setattr(preflight, "installed", sound.packages.get)
    assert preflight.main([]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ok: GPU 0: NVIDIA L4")
    assert "ok: weights grid-3m: " in printed
    assert preflight.main(["--weights", str(tmp_path)]) == 1
    assert "fault: no weights in" in capsys.readouterr().out
