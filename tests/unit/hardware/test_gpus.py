"""The cards by name and by what nvidia-smi prints."""

import pytest

from solver.hardware import gpus
from solver.hardware.gpus import GIB, Shown, named, parse
from solver.types import BadInput

PRINTED = """\
Tesla T4, 15360, 15101, 7.5, 580.65.06
NVIDIA H100 80GB HBM3, 81559, 81000, 9.0, 575.57.08
NVIDIA L4, [N/A], 22000, 8.9, 580.65.06
NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.
"""


def test_what_the_driver_prints_is_read_line_by_line_and_what_it_does_not_know_is_left_out():
    t4, h100 = parse(PRINTED)
    assert t4 == Shown("Tesla T4", 15360 << 20, 15101 << 20, (7, 5), "580.65.06")
    assert h100.capability == (9, 0)
    assert parse("") == ()


def test_a_card_found_has_what_is_free_now_and_the_arithmetic_of_the_one_it_is():
    t4, h100 = (shown.card for shown in parse(PRINTED))
    assert (t4.usable, t4.dtype, t4.flops) == (15101 << 20, "float16", gpus.CARDS["t4"].flops)
    assert (h100.dtype, h100.flops) == ("bfloat16", gpus.CARDS["h100"].flops)
    assert Shown("NVIDIA B200", 1, 1, (10, 0), "").card.flops == 0


def test_one_of_several_processes_on_a_card_has_its_part_of_the_whole_as_far_as_it_is_free():
    shown = Shown("NVIDIA H100 80GB HBM3", 80 * GIB, 50 * GIB, (9, 0), "")
    assert shown.part(1.0) == shown.card
    quarter = shown.part(0.25)
    assert (quarter.share, quarter.usable) == (0.25, int(0.25 * 0.98 * 80 * GIB))
    assert shown.part(0.75).usable == 50 * GIB
    assert (quarter.dtype, quarter.flops) == ("bfloat16", gpus.CARDS["h100"].flops)


def test_only_the_t4_lacks_bfloat16():
    assert {n: c.dtype for n, c in gpus.CARDS.items() if c.dtype == "float16"} == {"t4": "float16"}
    assert named("L4").usable == 22 * GIB


def test_a_card_that_is_not_in_the_table_is_refused_with_those_that_are():
    with pytest.raises(BadInput, match="--plan is 'a100': expected one of t4, l4, h100, h200; or no name"):
        named("a100")


def test_a_machine_without_nvidia_smi_shows_no_card(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert gpus.shown() == ()


def test_the_driver_is_asked_for_the_fields_that_are_read(tmp_path, monkeypatch):
    """A stand-in for nvidia-smi prints what it was asked."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "$*" > asked\necho "NVIDIA L4, 23034, 22500, 8.9, 580.95.05"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    [shown] = gpus.shown(["0", "2"])
    assert shown.name == "NVIDIA L4"
    asked = (tmp_path / "asked").read_text()
    assert "name,memory.total,memory.free,compute_cap,driver_version" in asked
    assert asked.rstrip().endswith("-i 0,2")
