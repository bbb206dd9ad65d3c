"""A library of tasks: who is whose neighbour, what is trained on them, and how such a library is made."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from solver import pipeline
from solver.analysis import variants
from solver.batch import Batch, Models, TaskState
from solver.clock import Deadline
from solver.config.presets import PRESETS
from solver.config.settings import EMBEDDINGS, LIKENESSES, TARGETS, Config, EngineSettings, NearSettings, TrainRecipe
from solver.data.tasks import load_split
from solver.model import checkpoint
from solver.model.checkpoint import ADAPTER_FILE
from solver.runtime import collect, prepare
from solver.tokens.grid import GRID
from solver.training import examples, nearest_tasks, neighbours
from solver.training.example_vectors import FOLDED, folding, vectors
from solver.training.examples import build, in_turns, plain
from solver.training.neighbours import Neighbourhood, lora
from solver.training.trainer import LoraTrainer
from solver.types import ADAPTER, Adapter, BadInput, Example, Neighbour, Task, TrainJob
from tests.support import checkpoints, runs
from tests.support.fakes import MIRROR, STACK, FakeClock, FakeSampler, FakeStop, FakeTrainer, random_task
from tests.support.tiny import tiny_model
from tests.unit.analysis.test_replay import task_set

A, B, C, D = (random_task([(2, 2), (3, 2)], seed, name) for seed, name in enumerate("abcd"))
VECTORS = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
FOUR = np.concatenate([VECTORS, [[0.8, 0.6]]]).astype(np.float32)
EXAMPLES = ((0, 0), (0, 1), (1, 1), (2, 0))  # (task, left out)
RECIPE = TrainRecipe(steps=3, examples=6)
CONFIG = Config(views=4, train=RECIPE, engine=EngineSettings(context=1024))


def library(**adapters: Adapter) -> Neighbourhood:
    return Neighbourhood((A, B, C), {"states": VECTORS}, adapters, lora(CONFIG.train))


def nearest(task: Task, *vector: float, count: int = 3) -> list[str]:
    return [n.task.id for n in library().nearest(task, np.array(vector, np.float32), "states", count)]


def test_the_most_alike_come_first_whatever_the_length_of_the_vector():
    assert nearest(MIRROR, 0, 5) == ["c", "b", "a"]
    assert nearest(MIRROR, 0.01, 0, count=2) == ["a", "b"]
    assert nearest(MIRROR, 0, 0) == ["a", "b", "c"]  # nothing is known of it: by id


def test_a_task_is_never_its_own_neighbour_nor_is_one_that_shares_a_demonstration():
    assert nearest(A, 1, 0) == ["b", "c"]
    other_name = Task("other", (MIRROR.demonstrations[0], B.demonstrations[1]), B.tests)
    assert nearest(other_name, 1, 0) == ["a", "c"]


def by_gradients(task: Task, *vector: float, count: int) -> list[tuple[str, float]]:
    """Of a library of three tasks, with six examples in the order of their rows."""
    examples = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1))
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0], [0, 1], [-1, 0]], np.float32)
    made = Neighbourhood((A, B, C), {"gradients": rows}, {}, lora(CONFIG.train), examples)
    found = made.nearest(task, np.array(vector, np.float32), "gradients", count)
    assert all(n.name == f"{n.task.id} train[{n.left_out}]" for n in found)
    return [(f"{n.task.id}{n.left_out}", round(n.similarity, 3)) for n in found]


def test_by_gradients_the_examples_most_aligned_with_the_task_are_chosen_whosever_they_are():
    assert by_gradients(MIRROR, 5, 0, count=1) == [("a0", 1.0), ("b1", 1.0)]  # two: as many as a task has on average
    assert by_gradients(MIRROR, 0, 1, count=2) == [("a1", 1.0), ("c0", 1.0), ("b0", 0.8), ("a0", 0.0)]
    assert len(by_gradients(MIRROR, 0, 1, count=9)) == 6


def test_by_gradients_no_example_is_the_task_s_own_or_a_sharing_task_s():
    other_name = Task("other", (MIRROR.demonstrations[0], B.demonstrations[1]), B.tests)
    assert by_gradients(A, 1, 0, count=3) == [("b1", 1.0), ("b0", 0.6), ("c0", 0.0), ("c1", -1.0)]
    assert [name for name, _ in by_gradients(other_name, 1, 0, count=3)] == ["a0", "a1", "c0", "c1"]


def test_a_task_is_the_mean_of_its_examples_of_which_each_gradient_counts_alike():
    rows = np.array([[3, 4], [0, 100]], np.float32)
    assert np.allclose(neighbours.together(rows, "states"), [1.5, 52])
    assert np.allclose(neighbours.together(rows, "gradients"), [0.3, 0.9])
    assert neighbours.together(rows[:0], "gradients").tolist() == [0, 0]


def test_a_vector_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"a vector of \(3,\) for states: expected \(2,\)"):
        nearest(MIRROR, 1, 2, 3)


def test_a_library_comes_back_as_it_was_saved_with_the_adapters_that_are_whole(tmp_path):
    neighbours.save(tmp_path, task_set([A, B, C, D]), {"states": FOUR * 3, "gradients": FOUR}, "f00d", RECIPE, EXAMPLES)
    other = replace(RECIPE, rank=64)
    for name, made_with, recipe in (
        ("a", "f00d", RECIPE),
        ("b", "beef", RECIPE),
        ("c", None, RECIPE),
        ("d", "f00d", other),
    ):
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / ADAPTER_FILE).write_text(name)
        if made_with:  # else it was not finished
            neighbours.finish(folder, weights=made_with, steps=3, **lora(recipe))
    assert neighbours.provenance(tmp_path / "adapters" / "a")["steps"] == 3
    found = neighbours.load(tmp_path, "f00d")
    assert [task.id for task in found.tasks] == ["a", "b", "c", "d"]
    assert found.lora == lora(RECIPE)
    assert np.allclose(found.vectors["states"], FOUR)
    assert np.allclose(found.vectors["gradients"], FOUR)
    assert found.examples == EXAMPLES
    assert found.adapters == {"a": Adapter("library-a", (tmp_path / "adapters" / "a").resolve())}
    assert [len(t.demonstrations) for t in found.tasks] == [2, 2, 2, 2]
    assert np.array_equal(found.tasks[1].demonstrations[1].output, B.demonstrations[1].output)


def test_a_folder_without_a_library_or_one_of_other_weights_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"no library of tasks in .*: expected vectors\.npz; make one with"):
        neighbours.load(tmp_path, "f00d")
    neighbours.save(tmp_path, task_set([A]), {"states": VECTORS[:1]}, "f00d" * 16, RECIPE)
    with pytest.raises(BadInput, match="was made with the weights f00df00df00d: expected beef"):
        neighbours.load(tmp_path, "beef")
    (tmp_path / "challenges.json").write_text('{"b": {"train": [], "test": [{"input": [[1]]}]}}')
    with pytest.raises(BadInput, match="lacks a"):
        neighbours.load(tmp_path, "f00d" * 16)
    (tmp_path / "vectors.npz").write_bytes((tmp_path / "vectors.npz").read_bytes()[:100])
    with pytest.raises(BadInput, match=r"vectors\.npz cannot be read"):
        neighbours.load(tmp_path, "f00d" * 16)


def test_a_library_that_does_not_say_whose_its_gradients_are_is_refused(tmp_path):
    neighbours.save(tmp_path, task_set([A]), {"states": VECTORS[:1]}, "f00d", RECIPE)
    with np.load(tmp_path / "vectors.npz") as file:
        older = {name: file[name] for name in file.files if name != "examples"}
    np.savez(tmp_path / "vectors.npz", **older)
    with pytest.raises(BadInput, match=r"examples.*: expected what python -m solver collect wrote; run it again"):
        neighbours.load(tmp_path, "f00d")


def test_a_library_s_hash_changes_with_all_it_holds(tmp_path):
    with pytest.raises(BadInput, match="cannot be read"):
        neighbours.digest(tmp_path)
    folder, found = tmp_path / "adapters" / "a", set()

    def more():
        before = len(found)
        found.add(neighbours.digest(tmp_path))
        assert len(found) == before + 1

    neighbours.save(tmp_path, task_set([A]), {"states": VECTORS[:1]}, "f00d", RECIPE)
    more()
    neighbours.save(tmp_path, task_set([B]), {"states": VECTORS[:1]}, "f00d", RECIPE)
    more()
    neighbours.save(tmp_path, task_set([B]), {"states": VECTORS[1:2]}, "f00d", RECIPE)
    more()
    folder.mkdir(parents=True)
    for content in ("one", "other"):
        (folder / ADAPTER_FILE).write_text(content)
        neighbours.finish(folder, weights="f00d")
        more()


def test_a_run_with_a_library_that_is_none_or_another_s_is_refused_before_it_begins(tmp_path):
    weights = checkpoint.check(checkpoint.SHIPPED)
    with pytest.raises(BadInput, match="no library of tasks in"):
        prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path))), weights)
    neighbours.save(tmp_path, task_set([A]), {"states": VECTORS[:1]}, weights.sha256, RECIPE)
    config = prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), count=1)), weights)
    assert config.near.content == neighbours.digest(tmp_path)
    with pytest.raises(BadInput, match="LoRA rank is 32: expected at least 192, the width of grid-3m"):
        prepare.suited(replace(CONFIG, train=TrainRecipe(whole=True)), weights)


def test_a_head_of_its_own_is_wanted_of_the_weights_whose_head_is_trained(tmp_path):
    config = replace(CONFIG, train=TrainRecipe(head=True))
    assert prepare.suited(config, checkpoint.check(checkpoint.SHIPPED)).train.head
    tied = checkpoint.check(checkpoints.nvarc(tmp_path / "tied"))
    with pytest.raises(
        BadInput, match="head is True: expected False, as the head of tied is its embedding; take weights"
    ):
        prepare.suited(config, tied)


def made(folder: Path, adapters: bool = True, recipe: TrainRecipe = RECIPE) -> checkpoint.Checkpoint:
    """A library of one task for the shipped weights, which are returned."""
    weights = checkpoint.check(checkpoint.SHIPPED)
    neighbours.save(folder, task_set([A]), {"states": VECTORS[:1]}, weights.sha256, recipe)
    if adapters:
        own = folder / "adapters" / "a"
        own.mkdir(parents=True)
        (own / ADAPTER_FILE).write_text("matrices")
        neighbours.finish(own, weights=weights.sha256, **lora(recipe))
    return weights


OTHERS = {"rank": 16, "alpha": 5, "rslora": False, "targets": ("q_proj",)}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"count": 1, "by": "gradients"}, "near.by compares gradients; or compare states"),
        ({"warm_start_threshold": 0.9}, "near.warm_start_threshold trains its adapters on; or leave it"),
    ],
    ids=["gradients", "warm"],
)
def test_a_library_of_another_lora_is_refused_for_what_depends_on_that_alone(tmp_path, name, asked, why):
    weights, folder = made(tmp_path), str(tmp_path)
    config = replace(CONFIG, train=replace(RECIPE, **{name: OTHERS[name]}))
    came, wanted = lora(RECIPE)[name], lora(config.train)[name]
    prepare.suited(replace(CONFIG, near=NearSettings(folder, **asked)), weights)
    for other in ({"count": 1}, {"reuse_threshold": 0.9}):
        prepare.suited(replace(config, near=NearSettings(folder, **other)), weights)
    with pytest.raises(BadInput) as caught:
        prepare.suited(replace(config, near=NearSettings(folder, **asked)), weights)
    expected = f"expected {wanted}, this run's, as {why}; or python -m solver collect with --rank"
    assert str(caught.value) == f"LoRA {name} of {folder} is {came!r}: {expected}"


def test_adapters_of_a_rank_that_the_engine_does_not_serve_are_not_used_as_they_are(tmp_path):
    weights = made(tmp_path, recipe=replace(RECIPE, rank=64))
    with pytest.raises(
        BadInput, match=r"is 64: expected at most the engine's, 32; or near\.reuse_threshold 2 \(never\)"
    ):
        prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), reuse_threshold=0.9)), weights)
    room = replace(CONFIG, engine=replace(CONFIG.engine, rank=64))
    prepare.suited(replace(room, near=NearSettings(str(tmp_path), reuse_threshold=0.9)), weights)


def test_adapters_on_what_the_engine_does_not_put_them_on_are_not_used_as_they_are(tmp_path):
    weights = made(tmp_path, recipe=replace(RECIPE, targets=(*TARGETS, "lm_head")))
    prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), count=1)), weights)
    expected = r"LoRA targets of .* none that this run's LoRA is not on: lm_head; or near\.reuse_threshold 2 \(never\)"
    with pytest.raises(BadInput, match=expected):
        prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), reuse_threshold=0.9)), weights)


def test_a_lora_on_the_embedding_of_the_shipped_weights_is_refused_and_of_others_is_not(tmp_path):
    config = replace(CONFIG, train=replace(RECIPE, targets=(*TARGETS, *EMBEDDINGS)))
    with pytest.raises(BadInput, match="expected the seven projections alone, as embedding and head of grid-3m"):
        prepare.suited(config, checkpoint.check(checkpoint.SHIPPED))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 40}))
    other = checkpoint.Checkpoint(tmp_path, "architects", "hash", 1)
    assert prepare.suited(config, other).train == config.train


@pytest.mark.parametrize("asked", [{"warm_start_threshold": 0.5}, {"reuse_threshold": 0.5, "count": 3}])
def test_a_library_without_adapters_is_refused_where_they_are_wanted(tmp_path, asked):
    weights = made(tmp_path, adapters=False)
    name = r"near\.warm_start_threshold or near\.reuse_threshold"
    expected = rf"{name} is 0\.5: expected 2 \(never\), as .* has no adapters; or python -m"
    with pytest.raises(BadInput, match=expected):
        prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), **asked)), weights)
    prepare.suited(replace(CONFIG, near=NearSettings(str(tmp_path), count=3)), weights)


# ---- in the algorithm ------------------------------------------------------------------------------------------------


def solve(near: NearSettings, similarity: float = 0.9, adapter: Adapter | None = None, config: Config = CONFIG):
    trainer, sampler, config = FakeTrainer(), FakeSampler(), replace(config, near=near)
    found = (Neighbour(STACK, similarity, adapter), Neighbour(A, similarity / 2))[: max(1, near.count)]
    models = Models(trainer, sampler, GRID, config, lambda task: found)
    batch, stop = Batch(ADAPTER, (MIRROR,), {"mirror": 10.0}), Deadline.after(100.0, FakeClock())
    results = pipeline.solve_batch(batch, models, stop)
    return results[0], trainer, sampler


def texts(examples) -> list[bytes]:
    return [example.tokens.tobytes() for example in examples]


def test_examples_of_the_nearest_tasks_come_in_turns_with_the_task_s_own():
    _, trainer, _ = solve(NearSettings("folder", count=2))
    own = texts(build(MIRROR, CONFIG.train, 0, 1024, GRID))
    theirs = texts(in_turns(build(t, CONFIG.train, 0, 1024, GRID) for t in (STACK, A)))
    assert texts(trainer.calls[0][1]) == [own[0], theirs[0], own[1], theirs[1], own[2], theirs[2]]


@pytest.mark.parametrize(("count", "others"), [(1, [STACK]), (2, [STACK, A])])
def test_the_nearest_tasks_alone_leave_no_example_of_the_task_s_own(count, others):
    _, trainer, _ = solve(NearSettings("folder", count=count, share=1.0))
    theirs = [build(task, CONFIG.train, 0, 1024, GRID) for task in others]
    assert texts(trainer.calls[0][1]) == texts(in_turns(theirs))[:6]


def test_of_a_nearest_example_only_the_demonstration_left_out_is_asked_for():
    config = replace(CONFIG, near=NearSettings("folder", count=1, by="gradients", share=1.0))
    state = TaskState(MIRROR, 0, GRID, near=(Neighbour(STACK, 0.9, None, 1), Neighbour(A, 0.8, None, 0)))
    theirs = [build(task, CONFIG.train, 0, 1024, GRID, n) for task, n in ((STACK, 1), (A, 0))]
    made = texts(examples.train_job(state, ADAPTER, config).examples)
    assert made == texts(x for pair in zip(*theirs, strict=True) for x in pair)[:6]


@pytest.mark.parametrize(
    ("left_outs", "expected"),
    [((None, None), "stack 0.900, a 0.450"), ((1, 0), "stack train[1] 0.900, a train[0] 0.450")],
)
def test_the_notes_name_those_learnt_from_and_how_alike_they_are(left_outs, expected):
    found = tuple(Neighbour(t, s, None, n) for t, s, n in zip((STACK, A), (0.9, 0.45), left_outs, strict=True))
    config = replace(CONFIG, near=NearSettings("folder", count=2))
    states = [TaskState(MIRROR, 0, GRID)]
    nearest_tasks.retrieve_neighbours(states, lambda task: found, config, Deadline.after(9.0, FakeClock()))
    assert states[0].notes == [f"nearest, with likeness: {expected}"]


def test_the_notes_name_none_where_nothing_is_trained():
    given = Adapter("library-stack", Path("library"))
    result, _, _ = solve(NearSettings("folder", count=2, reuse_threshold=0.8), 0.8, given)
    assert result.notes == ("the adapter of stack as it is: likeness 0.800",)


def test_a_share_of_the_examples_is_the_nearest_tasks():
    mixed = examples.mixed([0] * 100, [1] * 100, 0.25, 40)
    assert (len(mixed), sum(mixed)) == (40, 10)
    assert len(examples.mixed([0] * 3, [1] * 100, 0.5, 40)) == 6  # the task's own have run out
    assert examples.mixed([0] * 100, [1] * 2, 0.5, 8) == [0, 1, 0, 1, 0, 0, 0, 0]
    assert examples.mixed([0] * 100, [1] * 2, 1.0, 8) == [1, 1]


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_where_one_of_both_has_no_example_there_are_as_many_of_the_other(share):
    assert examples.mixed([0] * 100, [], share, 40) == [0] * 40
    assert examples.mixed([], [1] * 100, share, 40) == [1] * 40


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_task_whose_nearest_fit_no_example_learns_from_itself_alone_and_says_so(share):
    large = random_task([(30, 30), (30, 30)], 0, "large")
    trainer, config = FakeTrainer(), replace(CONFIG, near=NearSettings("folder", count=1, share=share))
    states, stop = [TaskState(MIRROR, 0, GRID, near=(Neighbour(large, 0.9),))], Deadline.after(100.0, FakeClock())
    models, batch = Models(trainer, FakeSampler(), GRID, config), Batch(ADAPTER, (MIRROR,), {"mirror": 9.0})
    pipeline.train_adapters(states, batch, models, stop)
    assert texts(trainer.calls[0][1]) == texts(build(MIRROR, CONFIG.train, 0, 1024, GRID))
    assert states[0].notes == ["no example of the nearest tasks fits the context: trained on its own"]


@pytest.mark.parametrize(("similarity", "start"), [(0.8, True), (0.79, False)])
def test_training_starts_from_the_nearest_task_s_adapter_where_it_is_alike_enough(similarity, start):
    given = Adapter("library-stack", Path("library"))
    result, trainer, sampler = solve(NearSettings("folder", warm_start_threshold=0.8), similarity, given)
    assert trainer.starts == [given if start else None]
    assert [note for note in result.notes if "adapter of stack" in note] == (
        ["trained from the adapter of stack on: likeness 0.800"] if start else []
    )
    assert given not in sampler.forgotten


def test_an_adapter_alike_enough_is_used_as_it_is_and_stays_where_it_is():
    given = Adapter("library-stack", Path("library"))
    result, trainer, sampler = solve(NearSettings("folder", reuse_threshold=0.8, warm_start_threshold=0.5), 0.8, given)
    assert trainer.calls == []
    assert {adapter for _, adapter in sampler.batches[0]} == {given}
    assert sampler.forgotten == []
    assert result.notes == ("the adapter of stack as it is: likeness 0.800",)
    assert result.steps == 0


@pytest.mark.parametrize(("by", "expected"), [("states", ["a", "b"]), ("gradients", ["b train[1]", "a train[1]"])])
def test_tasks_are_alike_in_what_the_settings_say(tmp_path, monkeypatch, by, expected):
    rows = {"states": VECTORS, "gradients": VECTORS[::-1]}
    neighbours.save(tmp_path, task_set([A, B, C]), rows, "f00d", RECIPE, ((0, 0), (0, 1), (1, 1)))
    monkeypatch.setattr(nearest_tasks, "check", lambda *_: SimpleNamespace(sha256="f00d"))
    asked = []

    def as_given(trainer, examples, kind):
        asked.append((texts(examples), kind))
        return VECTORS[:1]

    monkeypatch.setattr("solver.training.example_vectors.vectors", as_given)

    config = replace(CONFIG, near=NearSettings(str(tmp_path), by=by, count=2))
    near = nearest_tasks.finder(None, config, Path("weights"), GRID)
    assert [other.name for other in near(MIRROR)] == expected
    assert near(MIRROR) is near(MIRROR)  # further stages ask again
    assert asked == [(texts(plain(MIRROR, 1024, GRID).values()), by)]
    assert (
        nearest_tasks.finder(None, replace(config, near=replace(config.near, count=0)), Path("weights"), GRID) is None
    )


@pytest.mark.parametrize(
    ("seconds", "why"), [(100.0, "KeyError: 'mirror'"), (-1.0, "TimeoutError: no time to compare")]
)
def test_a_task_that_cannot_be_compared_learns_from_itself_and_says_so(seconds, why):
    def near(task: Task):
        return {"stack": (Neighbour(A, 0.9),)}[task.id]

    trainer, config = FakeTrainer(), replace(CONFIG, near=NearSettings("folder", count=1))
    states = [TaskState(task, 0, GRID) for task in (MIRROR, STACK)]
    nearest_tasks.retrieve_neighbours(states, near, config, Deadline.after(seconds, FakeClock()))
    batch = Batch(ADAPTER, (MIRROR, STACK), {"mirror": 9.0, "stack": 9.0})
    pipeline.train_adapters(
        states, batch, Models(trainer, FakeSampler(), GRID, config), Deadline.after(100.0, FakeClock())
    )
    assert states[0].near == ()
    assert states[0].notes[0].startswith(f"nothing learnt from other tasks: {why}")
    assert len(trainer.calls) == 2
    assert [bool(state.near) for state in states] == [False, seconds > 0]


def test_running_out_of_memory_while_tasks_are_compared_is_passed_on():
    def near(task: Task):
        raise torch.cuda.OutOfMemoryError("no room")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        nearest_tasks.retrieve_neighbours([TaskState(MIRROR, 0, GRID)], near, CONFIG, Deadline.after(9.0, FakeClock()))


def test_a_neighbour_without_an_adapter_changes_no_start_and_is_named_where_its_would_have_been_used():
    result, trainer, _ = solve(NearSettings("folder", warm_start_threshold=0.8, reuse_threshold=0.95))
    assert trainer.starts == [None]
    assert result.notes == ("stack is alike enough (likeness 0.900), but has no adapter",)
    assert solve(NearSettings("folder", warm_start_threshold=0.95))[0].notes == ()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 1}, "library is '': expected a folder that python -m solver collect made"),
        ({"warm_start_threshold": 0.5}, "library is ''"),
        ({"library": "x", "by": "name"}, "likeness of tasks is 'name': expected one of states, gradients"),
        ({"library": "x", "share": 0.0}, "share of the nearest tasks is 0.0: expected"),
        ({"library": "x", "count": -1}, "nearest tasks is -1: expected"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(BadInput, match=message):
        NearSettings(**settings)


@pytest.mark.parametrize("name", ["nearest", "nearest-by-gradients", "nearest-alone", "warm", "outright"])
def test_a_variant_that_learns_from_others_changes_nothing_else_and_needs_a_library(name):
    base = replace(PRESETS["cpu"], near=NearSettings("folder"))
    other = variants.variant(name, base)
    assert other.near != base.near
    assert replace(other, near=base.near) == base
    with pytest.raises(BadInput, match="library"):
        variants.variant(name, PRESETS["cpu"])


# ---- vectors, by a tiny model ----------------------------------------------------------------------------------------


def shown(task: Task) -> list[Example]:
    return list(plain(task, 1024, GRID).values())


@pytest.fixture(scope="module")
def trainer(tmp_path_factory) -> LoraTrainer:
    path = tmp_path_factory.mktemp("weights")
    tiny_model(spread=0.1).to(torch.bfloat16).save_pretrained(path, safe_serialization=True)
    return LoraTrainer(path, TrainRecipe(rank=8, alpha=8, steps=2), tmp_path_factory.mktemp("adapters"), 2048)


def test_states_are_those_of_the_base_model_at_the_wanted_tokens(trainer):
    examples = shown(MIRROR)
    assert len(examples) == len(MIRROR.demonstrations)
    trainer.train(TrainJob("before", examples, 0), FakeStop())  # leaves nothing behind
    trainer.adapters.start()
    trainer.adapters.draw(0, 1)  # B is zero: the base model
    with torch.no_grad():
        wanted = []
        for example in examples:
            tokens = torch.from_numpy(example.tokens[:-1]).long()[None]
            trainer.adapters.rows = {tokens.numel(): ((0, tokens.numel()),)}
            hidden = trainer.model.base_model.model.model(tokens).last_hidden_state[0]
            wanted.append(hidden[torch.from_numpy(example.loss[1:])].float().mean(0))
    expected = torch.stack(wanted).numpy()
    assert np.allclose(vectors(trainer, examples, "states"), expected, atol=2e-2 * float(np.abs(expected).max()))


@pytest.mark.parametrize("kind", LIKENESSES)
def test_vectors_are_repeatable_tell_tasks_apart_and_change_no_training(trainer, kind):
    report = trainer.train(TrainJob("one", shown(STACK), 0), FakeStop())
    before = (report.adapter.path / ADAPTER_FILE).read_bytes()
    first, again, other = (neighbours.together(vectors(trainer, shown(t), kind), kind) for t in (MIRROR, MIRROR, STACK))
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert np.linalg.norm(first) > 0
    assert float(neighbours.unit(first) @ neighbours.unit(other)) < 0.999
    report = trainer.train(TrainJob("one", shown(STACK), 0), FakeStop())
    assert (report.adapter.path / ADAPTER_FILE).read_bytes() == before


@pytest.mark.parametrize("kind", LIKENESSES)
def test_the_vector_of_an_example_is_the_same_whatever_else_is_asked(trainer, kind):
    examples = shown(STACK)
    parts = np.concatenate([vectors(trainer, [example], kind) for example in examples])
    assert len(parts) > 1
    assert np.allclose(vectors(trainer, examples, kind), parts, atol=1e-5 * float(np.abs(parts).max()))
    assert vectors(trainer, [], kind).shape == (0, parts.shape[1])
    assert np.linalg.norm(parts[0] - parts[1]) > 0


def test_a_task_s_own_examples_are_those_most_aligned_with_it(trainer):
    """The library has them under other tasks' names and demonstrations, as its own would be passed over."""
    rows = {t: vectors(trainer, shown(t), "gradients") for t in (MIRROR, STACK)}
    examples = [(place, n) for place, t in enumerate(rows) for n in range(len(t.demonstrations))]
    gradients = {"gradients": neighbours.unit(np.concatenate(list(rows.values())))}
    strangers = (Task("one", A.demonstrations, A.tests), Task("two", B.demonstrations, B.tests))
    made = Neighbourhood(strangers, gradients, {}, lora(RECIPE), tuple(examples))
    for name, t in (("one", MIRROR), ("two", STACK)):
        assert made.nearest(t, neighbours.together(rows[t], "gradients"), "gradients", 1)[0].task.id == name


def test_folded_gradients_keep_their_inner_products_nearly():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(50_000, generator=generator)
    b = a + torch.randn(50_000, generator=generator)
    c = torch.randn(50_000, generator=generator)
    fold, again = folding(50_000), folding(50_000)
    cosines = [float(torch.cosine_similarity(fold(a), again(x), dim=0)) for x in (b, c)]
    assert fold(a).shape == (FOLDED,)
    assert cosines == pytest.approx([2**-0.5, 0.0], abs=0.12)


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.engine
def test_a_library_is_made_used_and_gone_on_with(tmp_path, capsys):
    """With the shipped weights; the adapters are of one step."""
    given = tmp_path / "given.json"
    given.write_text(json.dumps(runs.challenges([MIRROR, STACK])))
    arguments = ["--tasks", str(given), "--output", str(tmp_path), "--adapters", "1"]
    assert collect.main(arguments) == 0
    found = neighbours.load(tmp_path, checkpoint.check(checkpoint.SHIPPED).sha256)
    assert sorted(found.vectors) == sorted(LIKENESSES)
    assert [t.id for t in found.tasks] == [MIRROR.id, STACK.id]
    assert found.examples == tuple((n, i) for n, t in enumerate((MIRROR, STACK)) for i in range(len(t.demonstrations)))
    assert np.allclose(np.linalg.norm(found.vectors["gradients"], axis=1), np.ones(len(found.examples)))
    assert len(found.adapters) == 2
    assert capsys.readouterr().out.count("1 steps") == 2
    assert found.lora == lora(TrainRecipe())
    assert collect.main(arguments) == 0
    assert capsys.readouterr().out.count("1 steps") == 0
    assert collect.main([*arguments, "--seed", "1"]) == 0  # those of another seed are made anew
    assert capsys.readouterr().out.count("1 steps") == 2
    assert collect.main([*arguments, "--rank", "8"]) == 0
    assert capsys.readouterr().out.count("1 steps") == 2
    found = neighbours.load(tmp_path, checkpoint.check(checkpoint.SHIPPED).sha256)
    assert (found.lora["rank"], len(found.adapters)) == (8, 2)
    for adapter in found.adapters.values():
        assert json.loads((adapter.path / "adapter_config.json").read_text())["r"] == 8


def test_a_set_that_is_not_there_is_one_line(tmp_path, capsys):
    assert collect.main(["--tasks", "nowhere", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_tasks_of_another_split_are_left_out(tmp_path, capsys):
    given, held_out = load_split("arc1-training"), load_split("held-out").tests
    ids = collect.kept(given, "held-out")
    assert len(ids) == len(given.tests) - len(held_out)
    assert not held_out.keys() & set(ids)
    assert collect.kept(given, None) is None
    assert collect.main(["--tasks", "held-out", "--without", "arc1-training", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: --without arc1-training leaves none of the {len(held_out)} tasks of held-out: expected at least one; "
        "name another split or leave it out\n"
    )
    assert collect.main(["--tasks", "held-out", "--without", "nowhere", "--output", str(tmp_path)]) == 2
    assert "nowhere" in capsys.readouterr().err
