"""The pool with real child processes, healthy or not: no answer is lost, the cause is named, nothing keeps running."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from solver.clock import Deadline
from solver.config.presets import LADDER
from solver.config.settings import Config, Cost, EngineSettings
from solver.hardware.devices import Device
from solver.runtime import child, machines, pool, reports
from solver.runtime.messages import SharedAdapterTrained
from solver.runtime.phases import induction_stage, programs_stage, stages
from solver.runtime.pool import Assignment, WorkerPool
from solver.runtime.scheduler import Scheduler
from solver.runtime.time_slices import TaskSize
from solver.runtime.worker_slot import Phase, WorkerSlot
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS, Pair, Task, TaskResult, by_programs
from tests.support import fake_worker, fakes

ONE = (Device("cpu", {}),)
CONFIG = Config(reserve=1.0, minimum=0.5, group=2, cost=Cost(0.2, 0.0), quick_views=0, refinement_stages=0)
LARGE = replace(CONFIG, group=16, engine=EngineSettings(adapters=16))  # 16 tasks of four full grids: 170 kB an order
WEIGHTS = Path("weights")


def tiny(task_id: str, side: int = 1) -> Task:
    grid = np.ones((side, side), np.uint8)
    return Task(task_id, (Pair(grid, grid),), (grid, grid))


@dataclass
class Heard:
    """What the pool told its observer."""

    results: list[str] = field(default_factory=list)
    searched: list[tuple[str, str]] = field(default_factory=list)  # (device, task)
    written: list[tuple[str, str]] = field(default_factory=list)  # the same of the code model
    settled: set[str] = field(default_factory=set)  # tasks that programs answered
    stages: Counter[int] = field(default_factory=Counter)
    devices: set[str] = field(default_factory=set)
    adapters: list[tuple[SharedAdapterTrained, tuple[str, ...]]] = field(default_factory=list)
    lost_tasks: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    starts: list[tuple[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    trained: int = 0  # adapters of one batch, at most, that the slots told of while it went on
    looks: int = 0

    def shared(self, device, trained, batch):
        self.adapters.append((trained, batch))

    def lost(self, task_id, why):
        self.lost_tasks.append((task_id, why))

    def failure(self, stage, batch, why):
        self.failures.append((stage, "".join(batch), why))

    def note(self, text):
        self.notes.append(text)

    warn = note

    def started(self, device, seconds):
        self.starts.append((device, seconds))

    def watch(self, slots):
        self.trained = max(self.trained, *(len(slot.trained) for slot in slots))
        self.looks += 1

    def result(self, device, task, batch):
        result = task.result
        self.stages[result.stage] += 1
        if by_programs(result.stage):
            kept = self.searched if result.stage == PROGRAMS else self.written
            kept.append((device, result.task_id))
            self.settled |= {result.task_id} if result.candidates[0] else set()
            return 0.5 if result.candidates[0] else 1.0
        self.devices.add(device)
        if result.task_id not in self.results:
            self.results.append(result.task_id)
        grids = [candidate.grid.tolist() for candidate in result.candidates[0]]
        split = 1 - grids.count(grids[0]) / len(grids)
        return 0.0 if result.task_id in self.settled else max(split, 0.6) if result.stage == BASE else split


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve tasks a, b, c, … with a worker that follows a script; checks the laws that hold for every run.

    `cpu_search_devices`: those that search for programs, () for the model's own, before it; None: no programs.
    `until`: seconds after which no search begins. `writing`: seconds that a code model has, None: there is none.
    """

    def run(
        tasks="abcd",
        limit=60.0,
        config=CONFIG,
        side=1,
        devices=ONE,
        weights=WEIGHTS,
        cpu_search_devices=None,
        until=1e6,
        writing=None,
        **script,
    ):
        monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path, **script))
        made, heard, deadline = [tiny(i, side) for i in tasks], Heard(), Deadline.after(limit)
        # sizes fall, and the large end comes first: the order of the letters
        jobs = [TaskSize(i, 100 - at) for at, i in enumerate(tasks)]
        scheduler = Scheduler(
            jobs,
            stages(config, len(jobs), len(devices)),
            config.group,
            config.reserve,
            devices=len(devices),
            disagreement_threshold=config.disagreement_threshold,
        )
        with (tmp_path / "log").open("w") as log:
            phase = (
                searches(jobs, config, len(cpu_search_devices or devices), deadline.within(until))
                if cpu_search_devices is not None
                else None
            )
            assignment = Assignment(made, weights, config, tmp_path / "kept", {})
            served = WorkerPool(assignment, devices, heard, log, cpu_search_devices or ())
            served.run(scheduler, deadline, phase, asking(jobs, len(devices), deadline, writing) if writing else None)
        heard.seconds = limit - deadline.remaining()
        assert sorted([*heard.results, *(i for i, _ in heard.lost_tasks)]) == sorted(tasks)  # each exactly once
        assert deadline.remaining() > 0
        assert not any(alive(process) for process in fake_worker.heard(tmp_path, "start"))
        assert not any(Path(argv[argv.index("--scratch") + 1]).exists() for argv in fake_worker.heard(tmp_path, "argv"))
        return heard

    return run


def searches(jobs, config, places, deadline):
    """The phase of searching for programs for these jobs."""
    return Phase(Scheduler(jobs, [programs_stage(config)], 1, 0.0, devices=places), deadline, "programs")


def asking(jobs, places, deadline, seconds):
    """The phase of asking a code model for programs for these jobs."""
    stage = replace(induction_stage(), minimum=0.1)
    return Phase(Scheduler(jobs, [stage], 1, 0.1, devices=places), deadline, "induction", seconds)


def alive(group: int) -> bool:
    """Whether a process group has a member that is more than a dead entry its parent has not asked after yet."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended while we looked
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                return True
    return False


def starts(folder: Path) -> int:
    return len(fake_worker.heard(folder, "start"))


def batches(folder: Path) -> list[str]:
    return ["".join(sorted(task["id"] for task in o["tasks"])) for o in fake_worker.heard(folder, "order")]


def test_a_healthy_worker_is_started_once_and_answers_every_task(serve, tmp_path):
    heard = serve()
    assert sorted(heard.results) == list("abcd")
    assert heard.notes == ["engine and trainer ready on cpu in 0.1 s; nobody is trained"]
    assert heard.starts == [("cpu", 0.1)]
    assert starts(tmp_path) == 1
    assert batches(tmp_path) == ["ab", "cd"]


def test_the_seats_can_be_watched_while_batches_go_on(serve, monkeypatch):
    monkeypatch.setattr(pool, "TICK", 0.01)
    heard = serve("ab", pause=0.5)
    assert heard.trained >= 1  # the last one's report comes with the results
    assert heard.looks >= 10  # about 100; the bound minds busy machines


def test_a_worker_gets_absolute_paths_its_settings_and_its_environment(serve, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    serve("a", weights=Path("mine"))
    [argv] = fake_worker.heard(tmp_path, "argv")
    assert argv[argv.index("--weights") + 1] == str(tmp_path / "mine")
    assert '"views": 16' in argv[argv.index("--config") + 1]


def test_an_order_holds_its_seconds_and_those_of_each_training_and_no_solution(serve, tmp_path):
    serve("ab", limit=50.0)
    [order] = fake_worker.heard(tmp_path, "order")
    assert set(order) == {"stage", "tasks", "seconds", "train_seconds", "shared", "keep", "hurried"}
    assert order["stage"] == ADAPTER
    assert 40 < order["seconds"] < 49
    assert sum(order["train_seconds"].values()) == pytest.approx(order["seconds"] * CONFIG.train_share)
    assert [set(task) for task in order["tasks"]] == [{"id", "demonstrations", "tests"}] * 2


@pytest.mark.parametrize(
    ("end", "cause"), [("kill", "the worker died (SIGKILL)"), ("exit", "the worker died (exit status 3)")]
)
def test_a_worker_that_dies_in_a_batch_is_replaced_and_its_tasks_get_a_batch_of_their_own(serve, tmp_path, end, cause):
    heard = serve(batches={"b": [end]})
    assert sorted(heard.results) == list("abcd")
    assert f"cpu: {cause}, in the batch of b, a" in heard.notes
    assert heard.failures == [(ADAPTER, "ba", cause)]
    assert starts(tmp_path) == 2
    assert sorted(batches(tmp_path)) == ["a", "ab", "b", "cd"]


def test_a_task_that_kills_every_worker_is_lost_alone_and_the_cause_is_named(serve):
    heard = serve(batches={"b": ["kill", "kill"]})
    assert sorted(heard.results) == list("acd")
    assert heard.lost_tasks == [("b", "the worker died (SIGKILL)")]
    assert "cpu: the worker died (SIGKILL), in the batch of b" in heard.notes


def test_many_deadly_tasks_cost_no_other_task_its_answer(serve, tmp_path):
    """The starts that count against the limit are those that failed, in a row."""
    heard = serve("abcdefgh", batches={i: ["kill", "kill"] for i in "aceg"})
    assert sorted(heard.results) == list("bdfh")
    assert starts(tmp_path) > pool.STARTS


def test_a_worker_that_hangs_is_killed_after_its_grace_and_all_tasks_are_answered(serve, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "GRACE", 0.2)
    monkeypatch.setattr(pool, "LAST", 0.2)
    heard = serve(limit=4.0, batches={"b": ["hang"]})
    assert sorted(heard.results) == list("abcd")
    assert "cpu: stopped: it took longer than it was given, in the batch of b, a" in heard.notes
    assert starts(tmp_path) == 2


@pytest.mark.slow
def test_a_worker_that_hangs_to_the_end_does_not_hold_the_run_past_its_deadline(serve):
    heard = serve("ab", limit=4.5, batches={"a": ["hang"]})
    assert heard.results == []
    assert heard.lost_tasks == [("b", "the time limit came first"), ("a", "the time limit came first")]
    assert heard.seconds < 4.5 - pool.LAST + 0.5


def test_a_worker_that_dies_while_starting_is_tried_again(serve, tmp_path):
    heard = serve(start=["kill", "exit", ""])
    assert sorted(heard.results) == list("abcd")
    assert heard.notes[:2] == [
        "cpu: the worker died (SIGKILL) while starting; its log says more",
        "cpu: the worker died (exit status 3) while starting; its log says more",
    ]
    assert starts(tmp_path) == 3


def test_a_worker_that_can_not_start_is_given_up_after_a_few_tries(serve, tmp_path):
    heard = serve("ab", start=["exit"])
    assert heard.results == []
    assert heard.lost_tasks == [("b", "the worker could not be started"), ("a", "the worker could not be started")]
    assert starts(tmp_path) == pool.STARTS
    assert heard.seconds < 10


@pytest.mark.slow
def test_workers_that_hang_while_starting_are_stopped_before_the_deadline(serve):
    heard = serve("a", limit=4.0, start=["hang"])
    assert set(heard.notes) == {
        "cpu: stopped: start-up took longer than it was given while starting; its log says more"
    }
    assert [task_id for task_id, _ in heard.lost_tasks] == ["a"]


@pytest.mark.slow
def test_a_worker_that_hangs_while_starting_is_replaced_while_there_is_time(serve, monkeypatch):
    monkeypatch.setattr(pool, "START_SHARE", 0.2)
    heard = serve("a", limit=23.0, start=["hang", ""])
    assert heard.notes[0] == "cpu: stopped: start-up took longer than it was given while starting; its log says more"
    assert list(heard.results) == ["a"]


def test_an_order_that_failed_is_tried_again_by_a_new_worker_one_task_at_a_time(serve, tmp_path):
    """After an exception nobody knows what state an engine is in."""
    heard = serve(batches={"b": ["fail"]})
    assert sorted(heard.results) == list("abcd")
    assert "cpu: RuntimeError: told to fail, in the batch of b, a" in heard.notes
    assert starts(tmp_path) == 2
    assert sorted(batches(tmp_path)) == ["a", "ab", "b", "cd"]


def test_a_task_whose_order_fails_twice_is_lost_with_the_reason(serve):
    heard = serve("ab", batches={"b": ["fail", "fail"]})
    assert heard.results == ["a"]
    assert heard.lost_tasks == [("b", "RuntimeError: told to fail")]


@pytest.mark.parametrize("later", ["", "kill"])
def test_an_answer_that_came_before_the_worker_died_is_kept_and_not_asked_for_again(serve, tmp_path, later):
    heard = serve("ab", batches={"b": ["late", later]})
    assert heard.results[0] == "b"
    assert sorted(heard.results) == ["a", "b"]
    assert heard.lost_tasks == []
    assert batches(tmp_path) == ["ab", "a"]


def test_what_a_worker_prints_does_not_disturb_its_reports(serve, tmp_path):
    heard = serve(chatter='{"kind": "done"}\n{"kind": "result"')
    assert sorted(heard.results) == list("abcd")
    assert (tmp_path / "log").read_text().count('{"kind": "done"}') >= 4


def test_a_worker_whose_own_children_hold_its_reports_open_is_still_seen_to_die(serve):
    began = time.monotonic()
    heard = serve("ab", batches={"a": ["orphan"]})
    assert sorted(heard.results) == ["a", "b"]
    assert "cpu: the worker died (SIGKILL), in the batch of b, a" in heard.notes
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_worker_that_does_not_take_a_large_order_does_not_block_the_run(serve):
    heard = serve("abcdefghijklmnop", limit=5.0, side=30, config=LARGE, start=["deaf"])
    assert heard.results == []
    assert any(note.startswith("cpu: stopped: the worker did not take its order") for note in heard.notes)


def test_without_tasks_no_worker_is_started(serve, tmp_path):
    assert serve("").results == []
    assert starts(tmp_path) == 0


def test_an_interruption_leaves_no_worker_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path))

    class Interrupting(Heard):
        def result(self, device, task, batch):
            raise KeyboardInterrupt

    with (tmp_path / "log").open("w") as log:
        served = WorkerPool(Assignment([tiny("a")], WEIGHTS, CONFIG, tmp_path, {}), ONE, Interrupting(), log)
        with pytest.raises(KeyboardInterrupt):
            served.run(Scheduler([TaskSize("a", 10)], stages(CONFIG), 2, 1.0), Deadline.after(60))
    assert not any(alive(process) for process in fake_worker.heard(tmp_path, "start"))


def test_every_task_has_its_quick_answer_before_any_gets_an_adapter_and_split_votes_get_another(serve, tmp_path):
    config = replace(CONFIG, quick_views=2, refinement_stages=2, quick_cost=Cost(0.1, 0.0))
    heard = serve(config=config, votes={"c": 0.6, "a": 0.5})
    orders = [(o["stage"], "".join(t["id"] for t in o["tasks"])) for o in fake_worker.heard(tmp_path, "order")]
    assert [number for number, _ in orders] == [1, 1, 3, 3, 4, 5]
    assert orders[-2:] == [(4, "ac"), (5, "ac")]  # the most split first
    assert heard.stages == {1: 4, 3: 4, 4: 2, 5: 2}


def test_several_devices_share_the_tasks_and_work_at_the_same_time(serve, tmp_path):
    devices = tuple(Device(f"cpu {n}", {"CUDA_VISIBLE_DEVICES": str(n)}) for n in range(3))
    heard = serve("abcdef", devices=devices, config=replace(CONFIG, group=1), pause=0.3)
    assert sorted(heard.results) == list("abcdef")
    assert heard.devices == {"cpu 0", "cpu 1", "cpu 2"}
    assert sorted(fake_worker.heard(tmp_path, "gpus")) == ["0", "1", "2"]


def test_a_device_whose_workers_can_not_start_leaves_the_work_to_the_others(serve, tmp_path):
    devices = tuple(Device(f"cpu {n}", {}) for n in range(2))
    heard = serve(devices=devices, start=["exit", "", "exit", "exit", "exit"], pause=0.2)
    assert sorted(heard.results) == list("abcd")
    assert len(heard.devices) == 1


def test_out_of_memory_takes_one_step_down_the_ladder_at_a_time_and_costs_no_task_its_batch(serve, tmp_path):
    heard = serve("ab", batches={"b": ["memory"] * 3})
    assert sorted(heard.results) == ["a", "b"]
    said = [why.partition("; ")[2] for _, _, why in heard.failures]
    assert said == [f"out of memory: trying {step}" for step in LADDER[:3]]
    assert batches(tmp_path) == ["ab"] * 4
    argv = fake_worker.heard(tmp_path, "argv")
    assert ['"views": 8' in given[given.index("--config") + 1] for given in argv] == [False, False, False, True]


def test_a_task_that_never_has_enough_memory_ends_the_ladder_and_is_lost_alone(serve, tmp_path):
    heard = serve("abc", config=replace(CONFIG, group=1), batches={"b": ["memory"] * 9})
    assert sorted(heard.results) == ["a", "c"]
    assert heard.lost_tasks == [("b", "RuntimeError: told to fail")]
    assert starts(tmp_path) == 1 + len(LADDER) + 1  # each step, then one more before the failure that counts


def test_the_last_step_of_a_gpu_is_the_cpu(serve, tmp_path):
    serve("a", devices=(Device("gpu 0", {"CUDA_VISIBLE_DEVICES": "0"}, gpu=True),), batches={"a": ["memory"] * 5})
    assert fake_worker.heard(tmp_path, "gpus") == ["0"] * 5 + [""]


def test_a_worker_ends_with_the_process_that_started_it(tmp_path):
    """Even when that is killed and can do nothing about it."""
    code = (
        "import os, subprocess, sys, time\n"
        "child = 'from solver.runtime.worker import die_with; import os, time; die_with(os.getppid()); "
        "print(os.getpid(), "
        "flush=True); time.sleep(60)'\n"
        "subprocess.Popen([sys.executable, '-c', child]); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = Path(f"/proc/{int(parent.stdout.readline())}/stat")
    parent.kill()
    parent.wait()
    began = time.monotonic()
    while child.exists() and child.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() - began < 10
        time.sleep(0.05)


SHARING = replace(CONFIG, train=replace(CONFIG.train, scope="shared-then-task"))


def test_tasks_are_ordered_with_the_adapter_they_share_and_with_none_where_its_training_failed(serve, tmp_path):
    heard = serve(config=SHARING, devices=(Device("a", {}), Device("b", {})), batches={"b": ["fail"]})
    orders = fake_worker.heard(tmp_path, "order")
    assert sorted("".join(t["id"] for t in o["tasks"]) for o in orders if o["stage"] == 2) == ["ca", "db"]
    [(_, batch)] = heard.adapters
    assert batch == ("c", "a")
    given = {i: known["adapter"] for o in orders if o["stage"] == 3 for i, known in o["shared"].items()}
    assert given == dict.fromkeys("ac", "shared-c-a")
    assert (2, "db") in [(number, ids) for number, ids, _ in heard.failures]


def on_gpus(count):
    return tuple(Device(f"gpu {n}", {"CUDA_VISIBLE_DEVICES": str(n)}, gpu=True) for n in range(count))


@pytest.mark.slow
def test_the_first_worker_on_a_gpu_starts_alone_then_the_others_one_after_another(serve, tmp_path, monkeypatch):
    """They find compiled what it compiled, once it is ready; those on a CPU compile nothing and start at once."""
    monkeypatch.setattr(pool, "APART", 0.4)
    started = []
    monkeypatch.setattr(machines, "Child", watched(machines.Child, started))
    heard = serve("abcdef", devices=on_gpus(3), pause=0.5, start_pause=1.0)
    assert len(heard.results) == 6
    first, second, third = started
    assert second - first >= 1.0
    assert third - second == pytest.approx(0.4, abs=0.25)
    started.clear()
    serve("abcdef", devices=tuple(Device(f"cpu {n}", {}) for n in range(3)), pause=0.5)
    assert started[2] - started[0] < 0.4


def test_the_others_do_not_wait_for_ever_for_a_first_worker_that_never_gets_ready(serve, monkeypatch):
    monkeypatch.setattr(pool, "ALONE", 0.5)
    heard = serve("ab", devices=on_gpus(2), start=["hang", ""])
    assert heard.devices == {"gpu 1"}
    assert heard.seconds < 20


@pytest.mark.slow
@pytest.mark.parametrize(("on_gpu", "first"), [(True, 900.0), (False, 300.0)])
def test_until_a_worker_on_a_gpu_was_ready_one_may_take_a_quarter_of_an_hour_to_start(
    serve, tmp_path, monkeypatch, on_gpu, first
):
    seconds = []

    def watched_start(self, slot):
        start(self, slot)
        seconds.append(round(slot.until.remaining()))

    start = pool.WorkerPool._start
    monkeypatch.setattr(pool.WorkerPool, "_start", watched_start)
    devices = on_gpus(2) if on_gpu else ONE
    serve("abcdef", devices=devices, limit=10_000.0, pause=0.3, batches={"a": ["kill", ""]})
    assert (seconds[0], {*seconds[1:]}) == (first, {300.0})


def watched(child, started):
    """`Child`, noting when each is made."""

    def made(*given):
        started.append(time.monotonic())
        return child(*given)

    return made


def test_a_gpu_whose_turn_to_start_has_not_come_is_waited_for_where_the_others_can_not_start(
    serve, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool, "APART", 2.0)
    heard = serve("ab", devices=on_gpus(3), start=["exit"] * 8 + [""])
    assert sorted(heard.results) == ["a", "b"]
    assert len(heard.devices) == 1


@pytest.mark.parametrize(("steps", "seconds"), [(48, 8.0), (12, 26.0), (0, 8.0)])
def test_the_plan_learns_what_a_training_that_was_stopped_would_have_used(steps, seconds):
    result = TaskResult("a", ADAPTER, (), steps=steps, planned=48, seconds={"train": 6.0, "sample": 2.0})
    assert reports.undisturbed(result) == seconds


def asked(folder: Path) -> list[tuple[int, str]]:
    """The orders of all workers: stage and tasks."""
    return [(o["stage"], "".join(task["id"] for task in o["tasks"])) for o in fake_worker.heard(folder, "order")]


def test_on_a_cpu_every_task_is_searched_before_the_model_is_loaded(serve, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    heard = serve(cpu_search_devices=(), programs={"a": {"cost": 3}})
    assert sorted(heard.results) == list("abcd")
    assert heard.searched == [("cpu", i) for i in "abcd"]
    assert asked(tmp_path) == [*((PROGRAMS, i) for i in "abcd"), *((ADAPTER, ids) for ids in ("cb", "d", "a"))]
    assert ["programs" in argv for argv in fake_worker.heard(tmp_path, "argv")] == [True, False]
    assert fake_worker.heard(tmp_path, "threads") == ["1", None]
    assert heard.notes == ["engine and trainer ready on cpu in 0.1 s; nobody is trained"]


@pytest.mark.slow
def test_several_processes_share_the_searches_and_then_the_model_s_batches(serve, tmp_path):
    devices = tuple(Device(f"cpu {n}", {}) for n in range(2))
    heard = serve(
        "abcdef", devices=devices, cpu_search_devices=(), config=replace(CONFIG, group=1), search_pause=0.2, pause=0.3
    )
    assert sorted(i for _, i in heard.searched) == list("abcdef")
    assert {device for device, _ in heard.searched} == heard.devices == {"cpu 0", "cpu 1"}
    assert starts(tmp_path) == 4


GPU = (Device("gpu 0", {"CUDA_VISIBLE_DEVICES": "0"}, gpu=True),)
SPARE = tuple(Device(f"programs {n}", {"CUDA_VISIBLE_DEVICES": ""}) for n in range(2))


@pytest.mark.slow
def test_beside_a_gpu_programs_are_searched_by_others_while_the_model_works(serve, tmp_path):
    heard = serve(devices=GPU, cpu_search_devices=SPARE, search_pause=0.1, pause=0.5)
    assert sorted(i for _, i in heard.searched) == sorted(heard.results) == list("abcd")
    assert {device for device, _ in heard.searched} <= {"programs 0", "programs 1"}
    assert heard.devices == {"gpu 0"}
    argv, gpus = fake_worker.heard(tmp_path, "argv"), fake_worker.heard(tmp_path, "gpus")
    assert sorted(zip(["programs" in given for given in argv], gpus, strict=True)) == [
        (False, "0"),
        *[(True, "")] * 2,
    ]


def test_searches_never_hold_up_the_end_of_the_model_s_batches(serve, tmp_path):
    heard = serve("ab", devices=GPU, cpu_search_devices=SPARE, search_batches={"a": ["hang"], "b": ["hang"]})
    assert sorted(heard.results) == ["a", "b"]
    assert heard.searched == []
    assert heard.seconds < 10  # the limit is 60


@pytest.mark.slow
def test_a_search_that_hangs_is_stopped_and_tried_once_more_and_costs_the_task_nothing_else(serve, monkeypatch):
    monkeypatch.setattr(pool, "GRACE", 0.2)
    config = replace(CONFIG, programs=replace(CONFIG.programs, seconds=0.3))
    heard = serve("ab", cpu_search_devices=(), config=config, search_batches={"a": ["hang", "hang"]})
    assert sorted(heard.results) == ["a", "b"]
    assert heard.searched == [("cpu", "b")]
    assert heard.lost_tasks == []
    assert [(number, ids) for number, ids, _ in heard.failures] == [(PROGRAMS, "a")] * 2


@pytest.mark.parametrize("end", ["kill", "fail", "memory"])
def test_a_search_that_fails_is_tried_once_more_and_never_lowers_what_the_model_is_given(serve, tmp_path, end):
    heard = serve("ab", cpu_search_devices=(), search_batches={"a": [end]})
    assert sorted(heard.searched) == [("cpu", "a"), ("cpu", "b")]
    assert [(number, ids) for number, ids, _ in heard.failures] == [(PROGRAMS, "a")]
    assert "out of memory" not in " ".join(heard.notes)
    assert all('"views": 16' in argv[argv.index("--config") + 1] for argv in fake_worker.heard(tmp_path, "argv"))


def test_where_no_search_can_start_the_model_has_its_batches_all_the_same(serve, tmp_path):
    heard = serve("ab", cpu_search_devices=(), search_start=["exit"])
    assert (heard.searched, sorted(heard.results), heard.lost_tasks) == ([], ["a", "b"], [])
    assert starts(tmp_path) == pool.STARTS + 1


def test_where_the_model_can_not_start_programs_are_searched_all_the_same(serve, tmp_path):
    heard = serve("abc", devices=GPU, cpu_search_devices=SPARE, start=["exit"], search_pause=0.4)
    assert sorted(i for _, i in heard.searched) == list("abc")
    assert {why for _, why in heard.lost_tasks} == {"the worker could not be started"}


@pytest.mark.slow
def test_no_search_begins_after_its_time_and_the_model_has_the_rest(serve):
    heard = serve("abcd", cpu_search_devices=(), until=2.0, search_pause=1.2)
    assert len(heard.searched) < 4
    assert sorted(heard.results) == list("abcd")


def test_a_task_that_a_program_and_the_quick_answer_settle_gets_no_adapter_and_its_program_is_no_loss(serve, tmp_path):
    config = replace(CONFIG, quick_views=2, quick_cost=Cost(0.1, 0.0), refinement_stages=1)
    heard = serve("abc", cpu_search_devices=(), config=config, programs={"b": {"cost": 3}}, votes={"c": 0.5})
    assert [o for o in asked(tmp_path) if o[0] > PROGRAMS] == [
        (BASE, "ba"),
        (BASE, "c"),
        (ADAPTER, "ca"),
        (ADAPTER + 1, "c"),
    ]
    assert heard.lost_tasks == []


@pytest.mark.parametrize(("devices", "cpu_search_devices"), [(ONE, ()), (GPU, SPARE)])
def test_a_task_that_programs_settle_gets_no_refinement(serve, tmp_path, devices, cpu_search_devices):
    config = replace(CONFIG, refinement_stages=1)
    split = {"a": 0.5, "b": 0.5}
    serve(
        "ab",
        devices=devices,
        cpu_search_devices=cpu_search_devices,
        config=config,
        votes=split,
        programs={"a": {"cost": 3}},
        pause=0.5,
    )
    assert [ids for number, ids in asked(tmp_path) if number == ADAPTER + 1] == ["b"]


def test_what_programs_find_after_a_task_s_batch_or_in_it_still_counts():
    jobs = [TaskSize("a", 10), TaskSize("b", 10)]
    further = stages(replace(CONFIG, refinement_stages=1))
    scheduler = Scheduler(jobs, further, 1, 0.0, disagreement_threshold=0.25)
    model, at_work, searching = Phase(scheduler, Deadline.after(60)), WorkerSlot(GPU[0]), WorkerSlot(SPARE[0])
    taken = reports.Reports(model, Heard(), [at_work, searching], {}, lambda *_: None)
    at_work.phases, at_work.need = [model], {"a": 0.5}
    searching.phases = [searches(jobs, CONFIG, 1, Deadline.after(60))]
    taken._need(searching, "a", 0.5)
    taken._need(searching, "b", 0.1)
    assert at_work.need == {"a": 0.5}
    time_slice = scheduler.next("gpu 0", 60.0)
    assert time_slice.task_ids == ("a",)
    taken._need(searching, "a", 0.1)
    scheduler.returned(time_slice, dict.fromkeys(time_slice.task_ids, 0.1), True, {})
    assert scheduler.next("gpu 0", 60.0) is None
    assert scheduler.finished


# ---- a code model ----------------------------------------------------------------------------------------------------


def kinds(folder: Path) -> list[str]:
    """What each worker answered by, in order."""
    return [argv[argv.index("--by") + 1] for argv in fake_worker.heard(folder, "argv")]


def test_a_code_model_has_every_device_before_searches_and_the_model(serve, tmp_path):
    heard = serve(cpu_search_devices=(), writing=30.0, written={"a": {"cost": 3}})
    assert sorted(i for _, i in heard.written) == sorted(heard.results) == list("abcd")
    assert kinds(tmp_path) == ["induction", "programs", "model"]
    assert heard.notes[0] == "code model ready on cpu in 0.1 s; "
    assert heard.starts == [("cpu", 0.1)] * 2  # of a search there is nothing to tell
    assert [number for number, _ in asked(tmp_path)][:4] == [INDUCTION] * 4


def test_beside_gpus_searches_go_on_while_the_code_model_has_them(serve, tmp_path):
    heard = serve("ab", devices=GPU, cpu_search_devices=SPARE, writing=30.0, write_pause=0.3)
    assert {device for device, _ in heard.written} == {"gpu 0"}
    assert sorted(i for _, i in heard.searched) == ["a", "b"]
    order = [number for number, _ in asked(tmp_path)]
    assert order.index(PROGRAMS) < order.index(ADAPTER)
    assert max(at for at, number in enumerate(order) if number == INDUCTION) < order.index(ADAPTER)


def test_the_code_model_sees_the_gpu_and_is_gone_when_the_model_is_loaded(serve, tmp_path, monkeypatch):
    gone = []

    def watched_start(self, slot):
        gone.append([alive(process) for process in fake_worker.heard(tmp_path, "start")])
        start(self, slot)

    start = pool.WorkerPool._start
    monkeypatch.setattr(pool.WorkerPool, "_start", watched_start)
    serve("ab", devices=GPU, writing=30.0)
    assert fake_worker.heard(tmp_path, "gpus") == ["0", "0"]
    assert gone == [[], [False]]


@pytest.mark.slow
@pytest.mark.parametrize("script", [{"write_batches": {i: ["hang"] for i in "abcd"}}, {"write_start": ["hang"]}])
def test_a_code_model_that_hangs_is_ended_with_its_share_and_costs_no_more(serve, tmp_path, monkeypatch, script):
    seen = []

    def watched_start(self, slot):
        seen.append((slot.phases[0].by, time.monotonic()))
        start(self, slot)

    start = pool.WorkerPool._start
    monkeypatch.setattr(pool.WorkerPool, "_start", watched_start)
    heard = serve(writing=1.5, **script)
    assert sorted(heard.results) == list("abcd")
    assert heard.written == []
    model = next(at for by, at in seen if by == "model")
    assert model - seen[0][1] < 1.5 + 2 * pool.TICK + 0.5  # the grace of a batch is longer than that


@pytest.mark.parametrize("end", ["kill", "exit", "fail", "memory"])
def test_a_task_that_breaks_the_code_model_is_tried_once_more_and_the_others_are_answered(serve, tmp_path, end):
    heard = serve(writing=30.0, write_batches={"b": [end, end]})
    assert sorted(i for _, i in heard.written) == ["a", "c", "d"]
    assert sorted(heard.results) == list("abcd")
    assert [(number, ids) for number, ids, _ in heard.failures] == [(INDUCTION, "b")] * 2
    assert heard.lost_tasks == []
    assert all('"views": 16' in argv[argv.index("--config") + 1] for argv in fake_worker.heard(tmp_path, "argv"))


def test_where_the_code_model_can_not_start_the_run_goes_on_without(serve, tmp_path):
    heard = serve("ab", cpu_search_devices=(), writing=30.0, write_start=["exit"])
    assert (heard.written, sorted(heard.results), len(heard.searched)) == ([], ["a", "b"], 2)
    assert kinds(tmp_path) == ["induction"] * pool.STARTS + ["programs", "model"]
    assert "cpu: the worker died (exit status 3) while starting; its log says more" in heard.notes


def test_the_searches_share_counts_from_their_own_start(serve):
    """They would have none left if it counted from the run's."""
    jobs = [TaskSize("a", 10)]
    clock = fakes.FakeClock()
    phase = searches(jobs, CONFIG, 1, Deadline.after(60, clock))
    phase.most = 5.0
    clock.advance(20)
    assert (phase.over, phase.remaining) == (False, 5.0)
    for _ in range(2):  # a second slot that begins does not set it back
        phase.begin()
        clock.advance(2)
    assert phase.remaining == pytest.approx(1.0)
    clock.advance(2)
    assert phase.over
