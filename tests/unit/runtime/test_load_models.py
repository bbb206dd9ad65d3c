"""What a worker loads: trainer and engine in the order that their libraries want, as the card's memory allows."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from solver.config.presets import PRESETS
from solver.hardware.gpus import CARDS
from solver.hardware.memory_plan import plan
from solver.model.architecture import DESCRIBED
from solver.runtime import load_models
from solver.types import BadInput


class Parts(list):
    """What a worker on a GPU loads, in its order, and with what."""

    heads = False
    building = staticmethod(lambda part: None)

    def head_sampler(self, *given):
        self.heads = True
        return self.sampler(*given)

    def sampler(self, weights, engine, end, seed, embedding_targets):
        self.append(("engine", engine))
        self.building("engine")
        self.embedding_targets = embedding_targets
        return SimpleNamespace(notes=("engine",), offload=lambda: self.append(("rest", None)), before_reload=None)

    def trainer(self, weights, recipe, scratch, context, how):
        self.append(("trainer", (recipe, context, how)))
        self.building("trainer")
        return SimpleNamespace(notes=("trainer",), offload=lambda: None)

    def names(self):
        return [name for name, _ in self]


@pytest.fixture
def on_a(monkeypatch, tmp_path):
    """Build a worker for a described model on a named card, with Unsloth installed or not; nothing is loaded."""

    def run(card, model=DESCRIBED["qwen3-4b-16"], unsloth=True, config=PRESETS["kaggle-l4x4"], tokenizer=True, **more):
        parts = Parts()
        parts.building = more.get("building", parts.building)
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model.kind}))
        if tokenizer:
            (tmp_path / "tokenizer.json").write_text("{}")
        monkeypatch.setattr(load_models.architecture, "read", lambda weights: model)
        monkeypatch.setattr(load_models, "on_gpu", lambda threads: True)
        monkeypatch.setattr(load_models, "this_card", lambda: CARDS[card])
        monkeypatch.setattr(load_models.os, "environ", dict(more.get("environment", {})))
        installed = SimpleNamespace(find_spec=lambda name: object() if unsloth else None)

        def import_module(name):
            if name != "unsloth":
                return importlib.import_module(name)
            parts.append((name, dict(load_models.os.environ)))
            return more.get("importing", lambda: None)()

        monkeypatch.setattr(load_models, "importlib", SimpleNamespace(import_module=import_module))
        libraries = SimpleNamespace(util=installed, import_module=import_module)
        monkeypatch.setattr(load_models.backends, "importlib", libraries)
        monkeypatch.setattr("solver.inference.head_sampler.HeadSampler", parts.head_sampler)
        monkeypatch.setattr("solver.inference.vllm_sampler.VllmSampler", parts.sampler)
        monkeypatch.setattr("solver.training.trainer.LoraTrainer", parts.trainer)
        return parts, *load_models.load_models(tmp_path, config, tmp_path / "scratch")

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
    assert (trainer.before_reload, sampler.before_reload) == (sampler.offload, trainer.offload)


@pytest.mark.parametrize(("unsloth", "tokenizer"), [(False, True), (True, False)])
def test_without_unsloth_or_a_tokenizer_nothing_but_the_engine_comes_before_the_trainer(on_a, unsloth, tokenizer):
    parts, *_ = on_a("h200", unsloth=unsloth, tokenizer=tokenizer)
    assert parts.names() == ["engine", "trainer"]
    assert dict(parts)["trainer"][2].library == "peft"


def test_a_model_that_does_not_fit_is_refused_before_anything_is_loaded(on_a):
    with pytest.raises(BadInput, match="llama-3-8b does not fit on t4"):
        on_a("t4", model=DESCRIBED["llama-3-8b"])


def compiling():
    """What decides how torch compiles now."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    return dynamo.suppress_errors, inductor.memory_planning, inductor.cuda.use_fast_math


@pytest.fixture
def stock():
    """How torch compiles, which is set back by hand: `monkeypatch` would delete what no module's `__dict__` holds."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    before = compiling()
    yield before
    dynamo.suppress_errors, inductor.memory_planning, inductor.cuda.use_fast_math = before


def test_what_unsloths_import_sets_in_torchs_compilers_is_not_there_when_the_engine_is_built(on_a, stock):
    """unsloth_zoo 2026.10.7 sets these three; its own compiled functions are made for them."""
    import torch._dynamo.config as dynamo
    import torch._inductor.config as inductor

    seen = {}

    def unsloth():
        dynamo.suppress_errors = inductor.memory_planning = inductor.cuda.use_fast_math = True

    on_a("h100", importing=unsloth, building=lambda part: seen.setdefault(part, compiling()))
    assert stock != (True, True, True)
    assert seen == {"engine": stock, "trainer": (True, True, True)}


@pytest.mark.parametrize(("given", "expected"), [({}, "expandable_segments:False"), ({"PYTORCH_ALLOC_CONF": "a"}, "a")])
def test_unsloth_finds_memory_set_as_a_sleeping_engine_wants_it_unless_a_user_did(on_a, given, expected):
    parts, *_ = on_a("l4", environment=given)
    assert dict(parts)["unsloth"]["PYTORCH_ALLOC_CONF"] == expected


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
    monkeypatch.setattr(load_models.os, "environ", {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})
    monkeypatch.setattr(load_models.devices, "gpus", lambda: shown)
    monkeypatch.setattr("torch.cuda.is_available", lambda: usable)
    monkeypatch.setattr("solver.hardware.engine.prepare", prepared.append)
    assert load_models.on_gpu(2) == found
    assert prepared == ([2] if shown and visible != "" else [])  # torch is not even imported for nothing
