"""The devices a flag means, on machines of all kinds, without asking any library."""

from __future__ import annotations

import math
import os

import pytest

from solver.hardware.devices import CARD_SHARE, SEARCH, cpu_search_devices, free_memory, gpus, listed
from solver.types import BadInput


def names(*given, **more):
    return [(d.name, d.environment.get("CUDA_VISIBLE_DEVICES"), d.gpu) for d in listed(*given, **more)]


def test_auto_takes_every_gpu_there_is_and_a_process_a_core_where_there_is_none():
    assert names("auto", 8, 2) == [("gpu 0", "0", True), ("gpu 1", "1", True)]
    assert names("auto", 1, 0) == [("cpu", "", False)]
    assert names("auto", 2, 0) == [("cpu 0", "", False), ("cpu 1", "", False)]
    assert {d.environment["OMP_NUM_THREADS"] for d in listed("auto", 8, 0)} == {"1"}


@pytest.mark.parametrize(
    ("memory", "weights", "expected"), [(24, 0, 6), (24, 8, 1), (1, 0, 1), (1000, 0, 8), (9, 0, 2)]
)
def test_auto_starts_no_more_processes_than_there_is_memory_for(memory, weights, expected):
    assert len(listed("auto", 8, 0, memory=memory * 2.0**30, weights=weights << 30)) == expected


def test_free_memory_is_part_of_what_the_machine_has():
    assert 0 < free_memory() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_auto_keeps_to_the_gpus_that_are_visible():
    assert names("auto", 8, 4, visible="1,3") == [("gpu 1", "1", True), ("gpu 3", "3", True)]
    assert names("auto", 1, 4, visible="") == [("cpu", "", False)]


def test_numbers_are_gpus_and_one_that_is_not_there_is_refused():
    assert names("1,0", 8, 2) == [("gpu 1", "1", True), ("gpu 0", "0", True)]
    with pytest.raises(BadInput, match="--devices names GPU 2: this machine shows 2; expected auto, cpu, cpu:N"):
        listed("0,2", 8, 2)


def test_several_workers_share_a_gpu_in_equal_parts_and_one_has_all_of_it():
    devices = listed("1:4,0", 8, 2)
    assert [d.name for d in devices] == ["gpu 1.0", "gpu 1.1", "gpu 1.2", "gpu 1.3", "gpu 0"]
    assert [d.environment.get(CARD_SHARE) for d in devices] == ["0.2500"] * 4 + [None]
    assert {d.environment["CUDA_VISIBLE_DEVICES"] for d in devices[:4]} == {"1"}
    assert names("0:1", 8, 1) == names("0", 8, 1)
    assert len(listed("0,1,2,3", 2, 4)) == 4  # a machine with fewer cores than GPUs is no reason to leave one out
    with pytest.raises(
        BadInput, match="--devices is '0:9': this machine has 8 cores; expected at most one process a core"
    ):
        listed("0:9", 8, 1)


def test_the_cpu_hides_the_gpus_and_several_processes_have_cores_of_their_own():
    assert names("cpu", 8, 2) == [("cpu", "", False)]
    devices = listed("cpu:3", 8, 0)
    assert [d.name for d in devices] == ["cpu 0", "cpu 1", "cpu 2"]
    assert [d.environment["VLLM_CPU_OMP_THREADS_BIND"] for d in devices] == ["0-1", "2-3", "4-5"]
    assert {d.environment["OMP_NUM_THREADS"] for d in devices} == {"2"}


def test_more_processes_than_cores_are_refused():
    with pytest.raises(BadInput, match="--devices is 'cpu:3': this machine has 2 cores"):
        listed("cpu:3", 2, 0)


@pytest.mark.parametrize(
    "text", ["", "gpu", "cpu:", "cpu:0", "0,", "0,0", "-1", "0, 1", "auto,0", "0:0", "0:", "0:2,0", "auto:2"]
)
def test_what_is_no_device_is_refused(text):
    with pytest.raises(BadInput, match="expected auto, cpu, cpu:N for N processes, or GPU numbers such as 0 or 0,1"):
        listed(text, 8, 8)


def test_gpus_are_counted_by_what_the_driver_shows(tmp_path):
    assert gpus(tmp_path) == 0
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    assert gpus(tmp_path) == 2
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / name).mkdir(parents=True)
    assert gpus(tmp_path) == 3


@pytest.mark.parametrize(
    ("workers", "cores", "memory", "places"),
    [
        (4, 48, math.inf, 44),
        (2, 4, math.inf, 2),
        (2, 2, math.inf, 0),
        (4, 2, math.inf, 0),
        (1, 16, 3.5, 3),
        (1, 9, 0, 0),
    ],
)
def test_programs_get_the_cores_that_gpu_workers_leave_as_far_as_there_is_memory(workers, cores, memory, places):
    searching = cpu_search_devices(workers, cores, memory * SEARCH)
    assert [device.name for device in searching] == [f"programs {n}" for n in range(places)]
    assert all(not device.gpu and device.environment["CUDA_VISIBLE_DEVICES"] == "" for device in searching)
