"""The worker: values on their way through JSON, and the loop that serves orders, with fakes for both models."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.config.presets import PRESETS
from solver.config.settings import Config, EngineSettings, InductionSettings, TrainRecipe
from solver.data.codec import task_from_json, task_to_json
from solver.hardware.gpus import CARDS
from solver.hardware.memory_plan import plan
from solver.interfaces import GroupTrainer
from solver.model import checkpoint
from solver.model.architecture import DESCRIBED
from solver.model.checkpoint import ADAPTER_FILE
from solver.runtime import worker
from solver.runtime.worker import (
    ReportingGroupTrainer,
    ReportingTrainer,
    adapters_from_json,
    result_to_json,
    serve,
    serve_induction,
    serve_searches,
)
from solver.tokens.grid import END
from solver.training.time_sharing import TimeSharedTrainer
from solver.types import (
    ADAPTER,
    SHARED,
    Adapter,
    BadInput,
    Candidate,
    Example,
    Pair,
    Task,
    TaskResult,
    TrainJob,
    View,
    key,
    same,
)
from tests.support import fakes
from tests.support.fakes import MIRROR, RULES, SINGLE, STACK, FakeSampler, FakeStop, FakeTrainer
from tests.unit.induction.test_induce import FakeWriter

CONFIG = Config(views=4, seed=3, train=TrainRecipe(steps=3, examples=4), engine=EngineSettings(context=1024))


def there_and_back(value):
    return json.loads(json.dumps(value))


def content(task):
    return task.id, [(key(p.input), key(p.output)) for p in task.demonstrations], [key(t) for t in task.tests]


@given(grids=st.lists(fakes.any_grid(4), min_size=3, max_size=7))
def test_a_task_comes_back_from_json_as_it_was(grids):
    task = Task("a task’s id", (Pair(grids[0], grids[1]),), tuple(grids[2:]))
    back = task_from_json(there_and_back(task_to_json(task)))
    assert content(back) == content(task)
    assert all(grid.dtype == np.uint8 for grid in back.tests)


def test_an_order_holds_nothing_but_what_a_task_holds():
    assert set(task_to_json(STACK)) == {"id", "demonstrations", "tests"}


def test_a_result_goes_to_json_with_every_candidate_its_view_and_its_nats():
    first = fakes.grid([[1, 2]])
    view = View(5, (0, 2, 1, 3, 4, 5, 6, 7, 8, 9), (1, 0))
    result = TaskResult(
        task_id="t",
        round=4,
        rejected=3,
        steps=4,
        planned=5,
        losses=(1.23456,),
        seconds={"train": 1.23456},
        notes=("said",),
        candidates=((Candidate(first, view, -0.1234567),),),
    )
    assert there_and_back(result_to_json(result)) == {
        "task_id": "t",
        "round": 4,
        "rejected": 3,
        "steps": 4,
        "planned": 5,
        "losses": [1.2346],
        "seconds": {"train": 1.235},
        "notes": ["said"],
        "candidates": [
            [
                {
                    "grid": [[1, 2]],
                    "dihedral": 5,
                    "colours": [0, 2, 1, 3, 4, 5, 6, 7, 8, 9],
                    "order": [1, 0],
                    "logprob": -0.12346,
                }
            ]
        ],
    }


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
        lines = [
            json.dumps(
                {
                    "round": ADAPTER,
                    "shared": {},
                    "hurried": False,
                    **more,
                    "tasks": [task_to_json(task) for task in tasks],
                    "seconds": seconds,
                    "train_seconds": {task.id: seconds for task in tasks},
                }
            )
            for tasks in orders
        ]
        reports = io.StringIO()
        serve(io.StringIO("".join(f"{line}\n" for line in lines)), reports, tmp_path / "weights", CONFIG, tmp_path)
        assert built["sampler"] == (tmp_path / "weights", CONFIG.engine, END, CONFIG.seed, CONFIG.train.head, ())
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

    monkeypatch.setattr("solver.runtime.worker.build", none)
    orders, reports = io.StringIO("never read"), io.StringIO()
    serve(orders, reports, Path("weights"), CONFIG, Path())
    [report] = map(json.loads, reports.getvalue().splitlines())
    assert (report["kind"], report["memory"]) == ("failed", True)
    assert orders.read() == "never read"


def test_a_shared_adapter_is_kept_outside_the_scratch_folder_and_named_with_its_hash(drive, tmp_path):
    class Writing(FakeTrainer):
        def train(self, name, *given, **more):
            made = super().train(name, *given, **more)
            (made.adapter.path / ADAPTER_FILE).write_text("matrices")
            return made

    keep = tmp_path / "kept"
    reports = drive([MIRROR, STACK], trainer=Writing(directory=tmp_path / "scratch"), round=SHARED, keep=str(keep))
    assert kinds(reports) == ["ready", "shared", "done"]
    made = reports[1]
    assert (keep / made["adapter"] / ADAPTER_FILE).read_text() == "matrices"
    assert not list((tmp_path / "scratch").iterdir())
    assert (made["steps"], made["losses"]) == (3, [1.0, 0.5, 0.3333])
    assert adapters_from_json({"mirror": made}) == {"mirror": Adapter(made["adapter"], keep / made["adapter"])}


def test_a_training_that_learned_nothing_shares_nothing(drive, tmp_path):
    reports = drive([MIRROR], seconds=0.0, round=SHARED, keep=str(tmp_path / "kept"))
    assert reports[1]["adapter"] is None


def test_a_shared_adapter_that_was_cut_short_or_is_gone_is_left_out(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ADAPTER_FILE).write_text("matrices")
    known = {"adapter": "a", "path": str(tmp_path / "a"), "sha256": checkpoint.sha256(tmp_path / "a" / ADAPTER_FILE)}
    assert set(adapters_from_json({"x": known})) == {"x"}
    (tmp_path / "a" / ADAPTER_FILE).write_text("matr")
    assert adapters_from_json({"x": known, "y": known | {"path": str(tmp_path / "gone")}}) == {}


class Parts(list):
    """What a worker on a GPU loads, in its order, and with what."""

    def sampler(self, weights, engine, end, seed, heads, embedding_targets):
        self.append(("engine", engine))
        self.heads, self.embedding_targets = heads, embedding_targets
        return SimpleNamespace(notes=("engine",), offload=lambda: self.append(("rest", None)), before_reload=None)

    def trainer(self, weights, recipe, scratch, context, how):
        self.append(("trainer", (recipe, context, how)))
        return SimpleNamespace(notes=("trainer",), offload=lambda: None)

    def names(self):
        return [name for name, _ in self]


@pytest.fixture
def on_a(monkeypatch, tmp_path):
    """Build a worker for a described model on a named card, with Unsloth installed or not; nothing is loaded."""

    def run(card, model=DESCRIBED["qwen3-4b-16"], unsloth=True, config=PRESETS["kaggle-l4x4"], tokenizer=True):
        parts = Parts()
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model.kind}))
        if tokenizer:
            (tmp_path / "tokenizer.json").write_text("{}")
        monkeypatch.setattr(worker.architecture, "read", lambda weights: model)
        monkeypatch.setattr(worker, "on_gpu", lambda threads: True)
        monkeypatch.setattr(worker, "this_card", lambda: CARDS[card])
        monkeypatch.setattr(worker.os, "environ", {})
        installed = SimpleNamespace(find_spec=lambda name: object() if unsloth else None)
        monkeypatch.setattr(worker.backends, "importlib", SimpleNamespace(util=installed))
        imported = SimpleNamespace(import_module=lambda name: parts.append((name, dict(worker.os.environ))))
        monkeypatch.setattr(worker, "importlib", imported)
        monkeypatch.setattr("solver.inference.vllm_sampler.VllmSampler", parts.sampler)
        monkeypatch.setattr("solver.training.trainer.LoraTrainer", parts.trainer)
        return parts, *worker.build(tmp_path, config, tmp_path / "scratch")

    return run


def test_on_a_gpu_unsloth_is_imported_before_the_engine_with_its_environment_set(on_a, tmp_path):
    parts, trainer, sampler, _ = on_a("h100")
    assert parts.names() == ["unsloth", "engine", "trainer"]
    environment = dict(parts)["unsloth"]
    assert environment["UNSLOTH_COMPILE_LOCATION"] == str(tmp_path / "scratch" / "unsloth_compiled")
    assert environment["UNSLOTH_DISABLE_STATISTICS"] == "1"
    assert trainer.notes == ("trainer",)
    assert sampler.notes[0].startswith("memory plan for h100: resident")


def test_on_a_gpu_engine_and_trainer_get_what_the_plan_of_the_card_says(on_a):
    parts, _, _, config = on_a("t4", config=PRESETS["kaggle-t4x2"])
    made = plan(DESCRIBED["qwen3-4b-16"], CARDS["t4"], PRESETS["kaggle-t4x2"])
    recipe, context, how = dict(parts)["trainer"]
    assert config == made.settings(PRESETS["kaggle-t4x2"])  # what tasks are solved with, too
    assert dict(parts)["engine"] == config.engine
    assert (recipe, context) == (config.train, made.context)
    assert (how.dtype, how.checkpointing, how.library) == ("float16", made.checkpointing, "unsloth")


@pytest.mark.parametrize("head", [False, True])
def test_the_engine_knows_whether_heads_are_to_be_served_and_a_card_needs_no_unsloth_then(on_a, head):
    config = PRESETS["kaggle-l4x4"]
    parts, *_ = on_a("h200", config=replace(config, train=replace(config.train, head=head, adapters_per_batch=1)))
    assert (parts.heads, parts.embedding_targets) == (head, ())
    assert ("unsloth" in parts.names()) != head


def test_the_engine_serves_loras_on_embedding_and_head_where_the_recipe_has_them_and_peft_trains_them(on_a):
    config = PRESETS["kaggle-l4x4"]
    targets = (*config.train.targets, "lm_head", "embed_tokens")
    parts, *_ = on_a("h200", config=replace(config, train=replace(config.train, targets=targets)))
    assert (parts.names(), parts.embedding_targets) == (["engine", "trainer"], ("embed_tokens", "lm_head"))
    _, _, how = dict(parts)["trainer"]
    assert how.library == "peft"


def test_where_both_do_not_fit_the_engine_rests_before_the_trainer_is_loaded(on_a):
    parts, trainer, sampler, _ = on_a("l4")
    assert parts.names()[-3:] == ["engine", "rest", "trainer"]
    assert isinstance(trainer, TimeSharedTrainer)
    assert sampler.before_reload == trainer.trainer.offload


@pytest.mark.parametrize(("unsloth", "tokenizer"), [(False, True), (True, False)])
def test_without_unsloth_or_a_tokenizer_nothing_but_the_engine_comes_before_the_trainer(on_a, unsloth, tokenizer):
    parts, *_ = on_a("h200", unsloth=unsloth, tokenizer=tokenizer)
    assert parts.names() == ["engine", "trainer"]
    assert dict(parts)["trainer"][2].library == "peft"


def test_a_model_that_does_not_fit_is_refused_before_anything_is_loaded(on_a):
    with pytest.raises(BadInput, match="llama-3-8b does not fit on t4"):
        on_a("t4", model=DESCRIBED["llama-3-8b"])


@pytest.mark.parametrize(
    ("visible", "shown", "usable", "found"),
    [
        ("0", 2, True, True),
        (None, 1, True, True),
        ("0", 1, False, False),  # a CPU build of torch on a machine that has a GPU
        ("", 2, True, False),
        ("0", 0, True, False),
        (None, 0, True, False),
    ],
)
def test_a_worker_is_on_a_gpu_where_it_was_given_one_that_its_torch_can_use(monkeypatch, visible, shown, usable, found):
    prepared = []
    monkeypatch.setattr(worker.os, "environ", {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    monkeypatch.setattr(worker.devices, "gpus", lambda: shown)
    monkeypatch.setattr("torch.cuda.is_available", lambda: usable)
    monkeypatch.setattr("solver.hardware.engine_environment.prepare", prepared.append)
    assert worker.on_gpu(2) == found
    assert prepared == ([2] if shown and visible != "" else [])  # torch is not even imported for nothing


def test_adapters_trained_side_by_side_are_each_reported_and_only_where_the_trainer_can():
    class Group(FakeTrainer):
        def train_together(self, jobs, stop):
            return [self.train(job.name, job.examples, job.seed, stop) for job in jobs]

    heard = []
    reporting = ReportingGroupTrainer(Group(), lambda **message: heard.append(message["adapter"]))
    jobs = [TrainJob(name, [Example(np.arange(3), np.ones(3, bool))], 0) for name in ("one", "two")]
    assert [made.steps for made in reporting.train_together(jobs, FakeStop())] == [3, 3]
    assert heard == ["one", "two"]
    assert isinstance(reporting, GroupTrainer)
    assert not isinstance(ReportingTrainer(FakeTrainer(), print), GroupTrainer)


def test_a_search_that_fails_is_reported_and_the_next_order_is_served(monkeypatch):
    def solve(task, stop, nodes):
        if task.id == "mirror":
            raise MemoryError("no more")
        return ()

    monkeypatch.setattr("solver.runtime.program_search.search_programs", solve)
    monkeypatch.setattr("solver.runtime.program_search.give_way", lambda: None)
    orders = [json.dumps({"round": 0, "seconds": 9.0, "tasks": [task_to_json(task)]}) for task in (MIRROR, STACK)]
    reports = io.StringIO()
    serve_searches(io.StringIO("\n".join(orders)), reports, CONFIG.programs)
    said = [json.loads(line) for line in reports.getvalue().splitlines()]
    assert kinds(said) == ["ready", "failed", "result", "done"]
    assert (said[1]["why"], said[1]["memory"]) == ("MemoryError: no more", False)
    assert (said[2]["task_id"], said[2]["round"], said[2]["candidates"]) == ("stack", 0, [[], []])


@pytest.fixture
def induce(monkeypatch):
    """Serve orders of the code model's round with a writer that says these texts; the reports."""

    def run(texts, *orders, fails=None):
        def made(model, settings, seed):
            if fails:
                raise fails
            assert (model, settings.threads, seed) == (Path("/models/mine"), CONFIG.engine.threads, CONFIG.seed)
            return FakeWriter(texts)

        monkeypatch.setattr("solver.induction.writer.VllmWriter", made)
        asked = InductionSettings(model="/models/mine", samples=2, seconds=0.5, unsafe=True)
        lines = [json.dumps({"round": -1, "seconds": 9.0, "tasks": [task_to_json(task)]}) for task in orders]
        reports = io.StringIO()
        serve_induction(io.StringIO("\n".join(lines)), reports, replace(CONFIG, induction=asked))
        return [json.loads(line) for line in reports.getvalue().splitlines()]

    return run


FLIP = "def transform(grid):\n    return grid[:, ::-1]\n"


def test_the_code_model_s_programs_are_run_and_their_answers_reported(induce):
    said = induce([FLIP], MIRROR, STACK)
    assert kinds(said) == ["ready", "result", "done", "result", "done"]
    assert len(said[0]["notes"]) == 1
    [found] = said[1]["candidates"][0]
    assert found["grid"] == fakes.mirror(MIRROR.tests[0]).tolist()
    assert (found["program"]["text"], found["program"]["support"]) == (FLIP.strip(), 2)
    assert (said[3]["task_id"], said[3]["round"], said[3]["candidates"]) == ("stack", -1, [[], []])


def test_a_task_the_code_model_fails_on_is_reported_and_the_next_one_is_served(induce, monkeypatch):
    def write(self, questions, seed, stop):
        if "Pink" in questions[0].user:  # one of the first task's colours
            raise RuntimeError("no more")
        return [FLIP] * len(questions)

    monkeypatch.setattr(FakeWriter, "write", write)
    said = induce([], MIRROR, STACK)
    assert kinds(said) == ["ready", "failed", "result", "done"]
    assert (said[1]["why"], said[1]["memory"]) == ("RuntimeError: no more", False)


def test_a_code_model_that_can_not_be_loaded_is_reported(induce):
    said = induce([], MIRROR, fails=MemoryError("too large"))
    assert [(report["kind"], report["why"]) for report in said] == [("failed", "MemoryError: too large")]
