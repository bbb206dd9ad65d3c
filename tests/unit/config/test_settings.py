"""Settings: what is refused and how it is said, the way to JSON and back, and the presets."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import get_args

import pytest

from solver.config.presets import PRESETS, lighter
from solver.config.setting import canonical, changed, setting, unpack
from solver.config.settings import (
    Config,
    Cost,
    DataRecipe,
    EngineSettings,
    InductionSettings,
    NearSettings,
    ProgramSettings,
    SearchSettings,
    TrainRecipe,
    WriterSettings,
    require_machine,
    seconds,
)
from solver.config.training import TRANSFORMATIONS, Scope
from solver.runtime.phases import programs_stage, stages
from solver.types import ADAPTER, BASE, INDUCTION, PROGRAMS, SHARED, BadInput
from tests.support.each import each

RECORDED = (
    Path(__file__).resolve().parents[2] / "data" / "settings_2b6fd54.json"
)  # what that commit made of its defaults
LEFT_OUT = "leave other tasks out (no --nearest, near.warm_start_threshold and near.reuse_threshold 2)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1h30m", 5400), ("11h30m5s", 41405), ("0.5", 0.5)],
)
def test_a_time_is_read_in_seconds_minutes_and_hours(text, expected):
    assert seconds(text) == expected


@each("text", ["", "0", "0s", "-5", "-5m", "ten", "10 m", "10x", "m", "1h30", "90\n", "1e3", "1.h"])
def test_a_time_that_is_none_is_refused_with_what_came_and_what_was_expected(text):
    with pytest.raises(BadInput) as caught:
        seconds(text)
    assert str(caught.value) == f"time is {text!r}: expected a time such as 90s, 10m or 1h30m"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TrainRecipe(rank=33),
            "LoRA rank is 33: expected one of 8, 16, 32, 64, 128, 256, 320, 512; the nearest is 32",
        ),
        (lambda: TrainRecipe(steps=-1), "training steps is -1: expected 0 (no test-time training) or more"),
        (lambda: TrainRecipe(rate=0.0), "learning rate is 0.0: expected a number between 0 and 1"),
        (lambda: TrainRecipe(examples=0), "examples a task is 0: expected at least 1"),
        (lambda: TrainRecipe(warmup=1.5), "warmup is 1.5: expected a share of the steps from 0 to 1"),
        (lambda: TrainRecipe(tokens=0), "tokens a step is 0: expected at least 1, which is one example a step"),
        (lambda: TrainRecipe(clip=0.0), "largest gradient norm is 0.0: expected more than 0"),
        (lambda: TrainRecipe(clip=math.nan), "largest gradient norm is nan: expected more than 0"),
        *(
            (
                lambda form=form: TrainRecipe(bits=4, **{form: True}),
                "bits is 4: expected 16, as whole matrices and heads are trained in 16 bits; or neither `whole` nor "
                "`head`, for LoRAs",
            )
            for form in ("whole", "head")
        ),
        *(
            (
                lambda name=name, value=value: NearSettings("x", **{name: value}),
                f"near.{name} is {value!r}: expected a cosine from -1 to 1, or 2 for never",
            )
            for name in ("warm_start_threshold", "reuse_threshold")
            for value in (math.nan, math.inf, -math.inf, 1.5)
        ),
        *(
            (
                lambda outright=outright: NearSettings("x", warm_start_threshold=0.5, reuse_threshold=outright),
                f"near.reuse_threshold is {outright}: expected more than near.warm_start_threshold, 0.5, as nothing "
                "would be trained from there on; or near.warm_start_threshold 2",
            )
            for outright in (0.4, 0.5)
        ),
        (
            lambda: NearSettings("x", count=4, reuse_threshold=-1.0),
            "nearest tasks is 4: expected 0, as with near.reuse_threshold -1 nothing is trained on them; or "
            "near.reuse_threshold above -1",
        ),
        (
            lambda: Config(views=2, orders=3),
            "example orders is 3: expected at most the views, 2; lower it, or raise the views to 3",
        ),
        (lambda: EngineSettings(context=931), "context is 931: expected more than 931 tokens"),
        (lambda: SearchSettings(p_min=0.005), "p_min is 0.005: expected 0 (greedy), or 0.01 to 1"),
        (lambda: SearchSettings(nodes=0), "nodes is 0: expected at least 1"),
        (lambda: SearchSettings(views=-1), "scoring views is -1: expected 0 (none) or more"),
        (lambda: SearchSettings(share=0.0), "search share is 0.0: expected a share above 0 and at most 1"),
        (lambda: SearchSettings(temperature=-0.5), "temperature is -0.5: expected 0 (greedy) or more"),
        (
            lambda: SearchSettings(temperature=0.5, p_min=0.1),
            "temperature is 0.5: expected 0, as p_min has every likely reply found, not some drawn; or p_min 0",
        ),
        (lambda: SearchSettings(temperature=1.0, samples=0), "replies a view is 0: expected at least 1"),
        (
            lambda: SearchSettings(samples=2),
            "replies a view is 2: expected 1, as greedy replies to a view are all the same; or a temperature above 0",
        ),
        (lambda: Config(orders=0), "example orders is 0: expected at least 1"),
        (lambda: ProgramSettings(-1.0), "seconds for programs is -1.0: expected 0 (no programs) or more"),
        (lambda: ProgramSettings(nodes=0), "nodes for programs is 0: expected at least 1"),
        (lambda: Config(time_limit=0.0), "time limit is 0.0: expected more than 0 seconds"),
        (lambda: Config(views=0), "views is 0: expected at least 1"),
        (
            lambda: Config(rule="best"),
            "voting rule is 'best': expected one of judge, none, flat, hierarchical, logprob, product_of_experts, "
            "count_minus_nll",
        ),
        (lambda: Config(group=5), "group is 5: expected 1 to the engine's adapters in a batch"),
        (lambda: Config(group=0), "group is 0: expected 1 to the engine's adapters in a batch"),
        (
            lambda: Config(train=TrainRecipe(rank=64)),
            "LoRA rank is 64: expected at most the engine's, 32; lower it, or raise the engine's to 64",
        ),
        (
            lambda: Config(train=TrainRecipe(steps=0), near=NearSettings("x", count=4)),
            f"training steps is 0: expected at least 1, as other tasks are learnt from; or {LEFT_OUT}",
        ),
        (
            lambda: Config(train=TrainRecipe(steps=0, scope="shared-then-task")),
            "adapter scope is 'shared-then-task': expected task, as 0 training steps train nothing that could be "
            "shared; or at least 1 step",
        ),
        (
            lambda: Config(train=TrainRecipe(scope="shared"), near=NearSettings("x", reuse_threshold=0.9)),
            "adapter scope is 'shared': expected task or shared-then-task, as an adapter that is shared learns from "
            f"its tasks alone; or {LEFT_OUT}",
        ),
        (
            lambda: Config(
                train=TrainRecipe(scope="shared-then-task"), near=NearSettings("x", warm_start_threshold=0.9)
            ),
            "adapter scope is 'shared-then-task': expected task, as adapters start from other tasks' "
            "(near.warm_start_threshold), not from a shared one; or near.warm_start_threshold 2",
        ),
        (lambda: EngineSettings(gpu_share=1.0), "gpu_share is 1.0: expected a share between 0 and 1"),
        (lambda: TrainRecipe(alpha=0), "LoRA alpha is 0: expected more than 0"),
        (
            lambda: TrainRecipe(targets=("q_proj", "norm")),
            "LoRA targets is 'norm': expected at least one, and each one of q_proj, k_proj, v_proj, "
            "o_proj, gate_proj, up_proj, down_proj, embed_tokens, lm_head: the engine serves no others",
        ),
        (
            lambda: TrainRecipe(targets=("q_proj", "lm_head"), whole=True),
            "LoRA targets is ('q_proj', 'lm_head'): expected neither embed_tokens nor lm_head beside `whole`, which "
            "trains no LoRA on them; leave out either",
        ),
        (
            lambda: TrainRecipe(targets=("embed_tokens",), head=True),
            "LoRA targets is ('embed_tokens',): expected neither embed_tokens nor lm_head beside `head`, which trains "
            "no LoRA on them; leave out either",
        ),
        (
            lambda: TrainRecipe(embedding_rate=0.0),
            "share of the learning rate is 0.0: expected a share above 0 and at most 1",
        ),
        (
            lambda: Config(train=TrainRecipe(targets=("q_proj", "lm_head")), search=SearchSettings(views=4)),
            "LoRA targets is ('q_proj', 'lm_head'): expected no lm_head where candidates are re-read, as the engine "
            "leaves its LoRA out of a prompt's log-probabilities; or search.views 0 (no --reread) with a rule of "
            "judge, none, flat, hierarchical, logprob",
        ),
        (lambda: TrainRecipe(scope="some"), "adapter scope is 'some': expected one of task, shared, shared-then-task"),
        (
            lambda: TrainRecipe(head=True, whole=True),
            "head is True: expected no `whole` beside it, which trains the layers that a head leaves frozen; choose "
            "one of them",
        ),
        (
            lambda: TrainRecipe(head=True, adapters_per_batch=2),
            "adapters in a training batch is 2: expected 1, as heads are trained one after another",
        ),
        (
            lambda: TrainRecipe(scope="all"),
            "adapter scope is 'all': expected task, with `whole` set: every matrix of the seven projections is trained "
            "itself and served as an adapter of full rank; embeddings, norms and the head stay as they are",
        ),
        (lambda: TrainRecipe(bits=8), "bits is 8: expected 16, or 4 for QLoRA"),
        (
            lambda: DataRecipe("pairs"),
            "form of the training data is 'pairs': expected one of leave-one-out, end-to-end, shuffled",
        ),
        (lambda: DataRecipe(sides="left"), "sides is 'left': expected one of both, input, output"),
        (lambda: DataRecipe(loss="none"), "loss is 'none': expected one of after-first, all, test"),
        (
            lambda: DataRecipe(transformations=("mirror",)),
            "transformation is 'mirror': expected one of dihedral, translation, reflection, scaling, repetition, "
            "chains, colours, order",
        ),
        (
            lambda: DataRecipe("shuffled", leave_two_out=True),
            "form with leave_two_out is 'shuffled': expected leave-one-out, which it fills up; or leave it out",
        ),
        (
            lambda: DataRecipe(transformations=("chains", "dihedral")),
            "transformation is 'chains': expected to come with one it can chain: translation, reflection, scaling, "
            "repetition",
        ),
        (
            lambda: DataRecipe(transformations=("colours", "order"), sides="input"),
            "sides is 'input': expected both, as no transformation chosen moves cells; or choose one of dihedral, "
            "translation, reflection, scaling, repetition",
        ),
    ],
)
def test_a_setting_out_of_its_range_is_refused_with_its_name_what_came_and_what_was_expected(make, message):
    with pytest.raises(BadInput) as caught:
        make()
    assert str(caught.value) == message


def test_shared_adapters_are_a_stage_of_their_own_before_the_adapters_of_tasks():
    numbers = {
        scope: [
            (s.number, s.whole, s.train_share)
            for s in stages(Config(refinement_stages=0, train=TrainRecipe(scope=scope)))
        ]
        for scope in get_args(Scope)
    }
    base, alone = (BASE, False, 0.0), (ADAPTER, False, Config().train_share)
    assert numbers["task"] == [base, alone]
    assert numbers["shared-then-task"] == [base, (SHARED, True, 1.0), alone]
    assert numbers["shared"] == [base, (SHARED, True, 1.0), (ADAPTER, False, 0.0)]
    config = Config(time_limit=100.0, shared_share=0.2, train=TrainRecipe(scope="shared"))
    [shared] = [s for s in stages(config, tasks=10, devices=2) if s.whole]
    assert 10 * shared.prior.seconds(1000) == pytest.approx(2 * 0.2 * 100)
    assert shared.most == shared.prior.seconds(1000)


def test_fewer_views_for_want_of_memory_are_never_fewer_than_the_orders_they_are_seen_in():
    assert (lighter(Config(views=4, orders=4), 3).views, lighter(Config(views=4, orders=4), 3).orders) == (2, 2)
    assert lighter(Config(views=4, orders=2), 3).orders == 2


@pytest.mark.parametrize("name", PRESETS)
def test_a_search_for_programs_gets_its_seconds_and_no_more_and_is_no_stage_of_the_model_s(name):
    config = PRESETS[name]
    stage = programs_stage(config)
    assert (stage.number, stage.most, stage.prior.seconds(5000)) == (PROGRAMS, *[config.programs.seconds] * 2)
    assert 0 < stage.minimum <= stage.most
    assert not {PROGRAMS, INDUCTION} & {s.number for s in stages(config)}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back_from_json_as_it_was(name):
    assert unpack(Config, json.loads(json.dumps(dataclasses.asdict(PRESETS[name])))) == PRESETS[name]


def test_settings_that_differ_from_every_preset_come_back_from_json_as_they_were():
    config = Config(
        time_limit=1.5,
        seed=7,
        views=3,
        rule="flat",
        group=2,
        cost=Cost(1.0, 2.0),
        train=TrainRecipe(
            rank=8,
            rate=0.25,
            steps=0,
            rslora=False,
            targets=("q_proj", "v_proj"),
            embedding_rate=0.5,
            bits=4,
            data=DataRecipe("leave-one-out", True, TRANSFORMATIONS, "input", "all"),
        ),
        engine=EngineSettings(context=1024, rank=8, threads=1),
        programs=ProgramSettings(0.5, 7),
        search=SearchSettings(temperature=0.7, samples=3),
        orders=2,
        induction=InductionSettings(
            "/a/model", "hash", 3, "plain", 2, 0.5, 1.0, 1 << 20, True, WriterSettings(context=4096, reply=9)
        ),
    )
    assert unpack(Config, json.loads(json.dumps(dataclasses.asdict(config)))) == config


@pytest.mark.parametrize("part", ["", "train", "engine", "cost", "data", "induction", "writer"])
def test_an_unknown_name_among_the_settings_is_an_error_that_names_it(part):
    tree = dataclasses.asdict(Config())
    inner = {"": tree, "data": tree["train"]["data"], "writer": tree["induction"]["writer"]}.get(part) or tree[part]
    inner["tempo"] = 1
    with pytest.raises(BadInput, match="is 'tempo': expected one of") as caught:
        unpack(Config, tree)
    assert "BASIS" not in str(caught.value)


def test_settings_that_an_older_version_recorded_are_read_with_the_names_they_have_now():
    assert unpack(Config, json.loads(RECORDED.read_text())) == Config(
        refinement_stages=2, rule="hierarchical"
    )  # the defaults then


@dataclasses.dataclass(frozen=True)
class Later(Config):
    """The settings of a version to come."""

    invented: int = setting(3, "a setting that is not there yet")


def test_a_setting_that_is_added_with_a_default_changes_nothing_for_those_who_leave_it_there():
    config = Config(views=3, train=TrainRecipe(steps=7))
    whole = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    assert canonical(config) == '{"train.steps":7,"views":3}' == canonical(Later(**whole))
    assert canonical(Later(**whole, invented=4)) == '{"invented":4,"train.steps":7,"views":3}'


def test_the_canonical_form_tells_every_preset_from_the_others_and_is_the_same_after_json():
    forms = {
        canonical(preset): unpack(Config, json.loads(json.dumps(dataclasses.asdict(preset))))
        for preset in PRESETS.values()
    }
    assert len(forms) == len(PRESETS)
    assert all(canonical(back) == form for form, back in forms.items())


def test_settings_are_changed_by_their_paths_and_checked_once_all_are_in_place():
    asked = changed(Config(), {"rule": "product_of_experts", "search.views": 6, "train.data.loss": "all"})
    assert (asked.rule, asked.search.views, asked.train.data.loss) == ("product_of_experts", 6, "all")
    with pytest.raises(BadInput, match="voting rule is"):
        changed(Config(), {"rule": "product_of_experts"})


def test_settings_on_their_way_to_the_worker_are_checked_again():
    tree = dataclasses.asdict(Config())
    tree["views"] = 0
    with pytest.raises(BadInput, match="views is 0"):
        unpack(Config, tree)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_leaves_more_than_a_batch_between_its_reserve_and_its_limit(name):
    preset = PRESETS[name]
    assert preset.reserve + preset.minimum < preset.time_limit
    assert dataclasses.replace(preset) == preset  # checked once more at birth


def test_the_presets_are_the_ones_the_documents_name():
    assert set(PRESETS) == {"cpu", "smoke", "h200", "kaggle-l4x4", "kaggle-t4x2"}


@pytest.mark.parametrize(
    ("cuda", "installed", "message"),
    [
        (False, True, "bits is 4: expected 16, as there is no CUDA GPU to hold 4-bit weights"),
        (True, False, "bits is 4: expected 16, or bitsandbytes to be installed"),
    ],
)
def test_four_bits_are_refused_where_the_machine_cannot_hold_them(cuda, installed, message):
    with pytest.raises(BadInput) as caught:
        require_machine(TrainRecipe(bits=4), cuda, installed)
    assert str(caught.value) == message
    require_machine(TrainRecipe(), cuda, installed)
    require_machine(TrainRecipe(bits=4), True, True)


def test_targets_beyond_the_layers_are_told_apart_and_the_embedding_alone_can_be_re_read():
    assert TrainRecipe().embedding_targets == ()
    assert TrainRecipe(targets=("lm_head", "q_proj", "embed_tokens")).embedding_targets == ("embed_tokens", "lm_head")
    recipe = TrainRecipe(targets=("embed_tokens",))
    assert Config(train=recipe, search=SearchSettings(views=4), rule="product_of_experts").train == recipe


@pytest.mark.parametrize(
    "near", [{"warm_start_threshold": 0.5}, {"reuse_threshold": 0.5}, {"count": 1, "by": "gradients"}]
)
def test_a_head_takes_nothing_of_a_library_that_was_made_with_loras(near):
    recipe = TrainRecipe(head=True)
    assert Config(train=recipe, near=NearSettings("folder", count=1)).train.head
    with pytest.raises(BadInput) as caught:
        Config(train=recipe, near=NearSettings("folder", **near))
    assert str(caught.value) == (
        "head is True: expected nothing of a library but the nearest tasks by their states: its adapters and gradients "
        "are LoRAs'"
    )
