"""The worker: values on their way through JSON, and the loop that serves orders, with fakes for both models."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from solver.config.settings import Config, EngineSettings, InductionSettings, TrainRecipe
from solver.induction.replies import Completion
from solver.model import checkpoint
from solver.model.checkpoint import ADAPTER_FILE
from solver.runtime import worker
from solver.runtime.messages import Order, SharedAdapter, intact, order_to_line
from solver.runtime.worker import serve
from solver.tokens.grid import END
from solver.types import (
    ADAPTER,
    INDUCTION,
    PROGRAMS,
    SHARED,
    Adapter,
    same,
)
from tests.support import fakes
from tests.support.fakes import MIRROR, RULES, SINGLE, STACK, FakeSampler, FakeTrainer
from tests.unit.induction.test_induce import FakeWriter

CONFIG = Config(views=4, seed=3, train=TrainRecipe(steps=3, examples=4), engine=EngineSettings(context=1024))


def order_of(tasks, seconds, stage=ADAPTER, keep="kept"):
    """The line of an order."""
    order = Order(stage, tuple(tasks), seconds, {task.id: seconds for task in tasks}, False, {}, Path(keep))
    return order_to_line(order).decode()


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Serve orders, each a list of tasks, and return the reports; `built` holds what the models were built with.

    Those on adapters that are trained are left out unless `all_reports` are wanted.
    """

    def run(*orders, sampler=None, trainer=None, seconds=600.0, all_reports=False, **more):
        built = {}

        def make_sampler(*given):
            built["sampler"] = given
            return sampler or FakeSampler()

        def make_trainer(*given):
            built["trainer"] = given
            return trainer or FakeTrainer()

        monkeypatch.setattr("solver.inference.vllm_sampler.VllmSampler", make_sampler)
        monkeypatch.setattr("solver.training.trainer.LoraTrainer", make_trainer)
        lines = [order_of(tasks, seconds, **more) for tasks in orders]
        reports = io.StringIO()
        serve(lines, reports, lambda send: worker.models(tmp_path / "weights", CONFIG, tmp_path, send))
        assert built["sampler"] == (tmp_path / "weights", CONFIG.engine, END, CONFIG.seed, ())
        assert built["trainer"] == (tmp_path / "weights", CONFIG.train, tmp_path, CONFIG.engine.context)
        said = [json.loads(line) for line in reports.getvalue().splitlines()]
        return [report for report in said if all_reports or report["kind"] != "trained"]

    return run


def kinds(reports):
    return [report["kind"] for report in reports]


def test_a_worker_first_says_that_it_is_ready_and_what_there_is_to_say_of_both_models(drive):
    [ready] = drive()
    assert ready["kind"] == "ready"
    assert ready["seconds"] >= 0
    assert ready["notes"] == ["nothing is sampled: this is a fake", "nothing is trained: this is a fake"]


def test_each_adapter_is_told_of_as_soon_as_it_is_trained(drive):
    reports = drive([MIRROR, STACK], trainer=FakeTrainer(fails=frozenset({"stack"})), all_reports=True)
    assert kinds(reports) == ["ready", "trained", "result", "result", "done"]
    assert reports[1] == {"kind": "trained", "adapter": "mirror", "steps": 3, "loss": 0.3333}


def test_every_order_gets_a_result_for_each_of_its_tasks_and_then_a_word_that_it_is_done(drive):
    reports = drive([MIRROR, STACK], [SINGLE])
    assert kinds(reports) == ["ready", "result", "result", "done", "result", "done"]
    results = {report["task_id"]: report for report in reports if report["kind"] == "result"}
    for task in (MIRROR, STACK, SINGLE):
        for found, test in zip(results[task.id]["candidates"], task.tests, strict=True):
            assert found
            assert all(same(fakes.grid(candidate["grid"]), RULES[task.id](test)) for candidate in found)


def test_an_order_that_fails_is_reported_with_its_reason_and_the_next_one_is_served(drive, capsys):
    reports = drive([MIRROR, STACK], [SINGLE], sampler=FakeSampler(fails=frozenset({"stack"})))
    assert kinds(reports) == ["ready", "failed", "result", "done"]
    assert reports[1]["why"] == "RuntimeError: the fake sampler was told to fail for stack"
    assert reports[1]["memory"] is False
    assert "Traceback" in capsys.readouterr().err  # the whole story is for the log


def test_a_task_whose_training_fails_does_not_fail_its_order(drive):
    reports = drive([MIRROR, STACK], trainer=FakeTrainer(fails=frozenset({"mirror"})))
    assert kinds(reports) == ["ready", "result", "result", "done"]
    assert reports[1]["notes"] == ["no adapter: RuntimeError: the fake trainer was told to fail for mirror"]


def test_an_order_without_seconds_is_answered_without_a_candidate_at_once(drive):
    reports = drive([STACK], seconds=0.0)
    assert kinds(reports) == ["ready", "result", "done"]
    assert reports[1]["candidates"] == [[], []]
    assert reports[1]["notes"] == ["training stopped after 0 of 3 steps", "out of time for 8 views"]


def test_every_report_is_one_line_even_where_a_reason_is_not(drive):
    class Wordy(FakeSampler):
        def sample(self, requests, stop):
            raise ValueError("one\ntwo" * 1000)

    reports = drive([MIRROR], sampler=Wordy())
    assert kinds(reports) == ["ready", "failed"]
    assert len(reports[1]["why"]) <= 300


def test_an_order_that_runs_out_of_memory_says_so(drive):
    class Hungry(FakeSampler):
        def sample(self, requests, stop):
            raise MemoryError("no room for the cache")

    reports = drive([MIRROR], sampler=Hungry())
    assert (reports[1]["kind"], reports[1]["memory"]) == ("failed", True)


def test_models_that_can_not_be_built_are_reported_and_the_worker_ends(drive, monkeypatch):
    def none(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    monkeypatch.setattr("solver.runtime.load_models.load_models", none)
    orders, reports = io.StringIO("never read"), io.StringIO()
    serve(orders, reports, lambda send: worker.models(Path("weights"), CONFIG, Path(), send))
    [report] = map(json.loads, reports.getvalue().splitlines())
    assert (report["kind"], report["memory"]) == ("failed", True)
    assert orders.read() == "never read"


def test_a_shared_adapter_is_kept_outside_the_scratch_folder_and_named_with_its_hash(drive, tmp_path):
    class Writing(FakeTrainer):
        def train(self, job, stop, steps=None):
            made = super().train(job, stop, steps)
            (made.adapter.path / ADAPTER_FILE).write_text("matrices")
            return made

    keep = tmp_path / "kept"
    reports = drive([MIRROR, STACK], trainer=Writing(directory=tmp_path / "scratch"), stage=SHARED, keep=keep)
    assert kinds(reports) == ["ready", "shared", "done"]
    made = reports[1]
    assert (keep / made["adapter"] / ADAPTER_FILE).read_text() == "matrices"
    assert not list((tmp_path / "scratch").iterdir())
    assert (made["steps"], made["losses"]) == (3, [1.0, 0.5, 0.3333])
    shared = SharedAdapter(made["adapter"], Path(made["path"]), made["sha256"])
    assert intact({"mirror": shared}) == {"mirror": Adapter(made["adapter"], keep / made["adapter"])}


def test_a_training_that_learned_nothing_shares_nothing(drive, tmp_path):
    reports = drive([MIRROR], seconds=0.0, stage=SHARED, keep=tmp_path / "kept")
    assert reports[1]["adapter"] is None


def test_a_shared_adapter_that_was_cut_short_or_is_gone_is_left_out(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ADAPTER_FILE).write_text("matrices")
    known = SharedAdapter("a", tmp_path / "a", checkpoint.sha256(tmp_path / "a" / ADAPTER_FILE))
    assert set(intact({"x": known})) == {"x"}
    (tmp_path / "a" / ADAPTER_FILE).write_text("matr")
    assert intact({"x": known, "y": replace(known, path=tmp_path / "gone")}) == {}


def test_a_search_that_fails_is_reported_and_the_next_order_is_served(monkeypatch):
    def solve(task, stop, nodes):
        if task.id == "mirror":
            raise MemoryError("no more")
        return ()

    monkeypatch.setattr("solver.programs.combined.search_both", solve)
    monkeypatch.setattr("solver.runtime.worker.give_way", lambda: None)
    orders = [order_of([task], 9.0, PROGRAMS) for task in (MIRROR, STACK)]
    reports = io.StringIO()
    serve(orders, reports, lambda send: worker.searches(CONFIG.programs, send))
    said = [json.loads(line) for line in reports.getvalue().splitlines()]
    assert kinds(said) == ["ready", "failed", "result", "done"]
    assert said[1]["why"] == "MemoryError: no more"
    assert (said[2]["task_id"], said[2]["stage"], said[2]["candidates"]) == ("stack", 0, [[], []])


@pytest.fixture
def induce(monkeypatch):
    """Serve orders of the code model's stage with a writer that says these texts; the reports."""

    def run(texts, *orders, fails=None):
        def made(model, settings, seed):
            if fails:
                raise fails
            assert (model, settings.threads, seed) == (Path("/models/mine"), CONFIG.engine.threads, CONFIG.seed)
            return FakeWriter(texts)

        monkeypatch.setattr("solver.induction.writer.VllmWriter", made)
        asked = InductionSettings(model="/models/mine", samples=2, seconds=0.5, unsafe=True)
        lines = [order_of([task], 9.0, INDUCTION) for task in orders]
        reports = io.StringIO()
        serve(lines, reports, lambda send: worker.induction(replace(CONFIG, induction=asked), send))
        return [json.loads(line) for line in reports.getvalue().splitlines()]

    return run


FLIP = "def transform(grid):\n    return grid[:, ::-1]\n"


def test_the_code_model_s_programs_are_run_and_their_answers_reported(induce):
    said = induce([FLIP], MIRROR, STACK)
    assert kinds(said) == ["ready", "result", "done", "result", "done"]
    assert said[0]["notes"][1:] == ["the model is asked in the plain form (--code-form)"]
    [found] = said[1]["candidates"][0]
    assert found["grid"] == fakes.mirror(MIRROR.tests[0]).tolist()
    assert (found["program"]["text"], found["program"]["support"]) == (FLIP.strip(), 2)
    assert (said[3]["task_id"], said[3]["stage"], said[3]["candidates"]) == ("stack", -1, [[], []])


def test_a_task_the_code_model_fails_on_is_reported_and_the_next_one_is_served(induce, monkeypatch):
    def write(self, questions, seed, stop):
        if "[5,0,0]" in questions[0].turns[0]:  # a row of the first task
            raise RuntimeError("no more")
        return [Completion(FLIP)] * len(questions)

    monkeypatch.setattr(FakeWriter, "write", write)
    said = induce([], MIRROR, STACK)
    assert kinds(said) == ["ready", "failed", "result", "done"]
    assert (said[1]["why"], said[1]["memory"]) == ("RuntimeError: no more", False)


def test_a_code_model_that_can_not_be_loaded_is_reported(induce):
    said = induce([], MIRROR, fails=MemoryError("too large"))
    assert [(report["kind"], report["why"]) for report in said] == [("failed", "MemoryError: too large")]
