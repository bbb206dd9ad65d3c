"""Variants: what each changes, what a run of several does with stand-in runs, and what is refused before the first."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from solver.analysis import ablate, variants
from solver.clock import Deadline
from solver.config.presets import PRESETS
from solver.config.settings import NearSettings
from solver.data import codec
from solver.model.checkpoint import SHIPPED, check
from solver.pretrain.train import Recipe
from solver.runtime import child, record, submission_file
from solver.runtime.placeholders import placeholders_for
from solver.runtime.prepare import RunPlan, fingerprint
from solver.runtime.recorder import Recorder
from solver.tokens.grid import GRID
from solver.training import neighbours
from solver.training.examples import build
from solver.types import Candidate, Grid, Pair, Task, View
from solver.voting.rules import RULES, VOTE_WORTH
from tests.support import fake_worker, fakes
from tests.support.fakes import RULES as TASK_RULES
from tests.support.fakes import STACK, TASKS
from tests.unit.analysis.test_replay import task_set

WRONG = np.array([[9, 9, 9, 9, 9]], np.uint8)


SHARING = ("shared", "shared-then-task")
NEAR = ("nearest", "nearest-by-gradients", "nearest-alone", "warm", "outright")
OTHERS = ("full", "no-ttt", "qlora", "whole", "head", "embeddings")
DECODING = ("identity", "two-orders", "temperature", "greedy-flat", "search-flat", "search-poe", "search-count-nll")


def test_without_training_nothing_is_shared_and_nobody_learnt_from():
    near = NearSettings("folder", count=4, warm_start_threshold=0.9)
    asking = replace(PRESETS["cpu"], near=near)
    sharing = replace(PRESETS["cpu"], train=replace(PRESETS["cpu"].train, scope="shared"))
    assert not variants.variant("no-ttt", asking).near.asked
    assert variants.variant("no-ttt", sharing) == variants.variant("no-ttt", PRESETS["cpu"])


@pytest.mark.parametrize("preset", PRESETS)
def test_no_ttt_changes_the_training_and_nothing_else(preset):
    full, without = PRESETS[preset], variants.variant("no-ttt", PRESETS[preset])
    assert without.train.steps == 0
    assert asdict(replace(without, train=full.train, train_share=full.train_share)) == asdict(full)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "name",
    sorted(
        {*variants.VARIANTS} - {"full", "no-ttt", "qlora", "whole", "head", "embeddings", *SHARING, *NEAR, *DECODING}
    ),
)
def test_a_variant_of_the_data_changes_the_examples_and_no_other_setting(name, preset):
    full, other = PRESETS[preset], variants.variant(name, PRESETS[preset])
    assert other.train.data != full.train.data
    assert replace(other, train=replace(other.train, data=full.train.data)) == full
    before, after = (build(STACK, config.train, 0, 1024, GRID) for config in (full, other))
    assert [(e.tokens.tolist(), e.loss.tolist()) for e in before] != [
        (e.tokens.tolist(), e.loss.tolist()) for e in after
    ]


@pytest.mark.parametrize("name", SHARING)
def test_a_variant_of_the_scope_changes_nothing_but_the_scope(name):
    other = variants.variant(name, PRESETS["cpu"])
    assert other.train.scope == name
    assert replace(other, train=replace(other.train, scope="task")) == PRESETS["cpu"]


def test_whole_matrices_want_an_adapter_at_least_as_wide_as_the_shipped_model():
    other = variants.variant("whole", PRESETS["cpu"])
    assert other.train.whole
    assert other.train.rank == other.engine.rank >= Recipe().width
    assert other.train.alpha == other.train.rank**0.5  # with rsLoRA: scaled by 1
    same = replace(PRESETS["cpu"].train, whole=True, **{n: getattr(other.train, n) for n in ("rank", "alpha", "rate")})
    assert replace(other, train=PRESETS["cpu"].train, engine=PRESETS["cpu"].engine) == PRESETS["cpu"]
    assert other.train == same


@pytest.mark.parametrize("preset", PRESETS)
def test_a_head_alone_is_trained_at_a_rate_of_its_own_one_task_after_another(preset):
    full, other = PRESETS[preset], variants.variant("head", PRESETS[preset])
    assert (other.train.head, other.train.adapters_per_batch) == (True, 1)
    same = replace(other.train, head=False, rate=full.train.rate, adapters_per_batch=full.train.adapters_per_batch)
    assert replace(other, train=same) == full


@pytest.mark.parametrize("preset", PRESETS)
def test_embeddings_are_trained_beside_the_projections_and_nothing_else_changes(preset):
    full, other = PRESETS[preset], variants.variant("embeddings", PRESETS[preset])
    assert other.train.targets == (*full.train.targets, "embed_tokens", "lm_head")
    assert replace(other, train=replace(other.train, targets=full.train.targets)) == full


def test_embeddings_are_refused_for_the_shipped_weights_and_where_candidates_are_re_read(files, capsys):
    assert ablate.main([*files, "--variants", "full", "embeddings"]) == 2
    assert "as embedding and head of grid-3m are put together from parts" in capsys.readouterr().err
    assert ablate.main([*files, "--variants", "embeddings", "--reread", "4"]) == 2
    assert "expected no lm_head where candidates are re-read" in capsys.readouterr().err
    assert ran == []


def test_qlora_changes_the_bits_of_the_base_weights_alone():
    other = variants.variant("qlora", PRESETS["h200"])
    assert replace(other, train=replace(other.train, bits=16)) == PRESETS["h200"]


def test_the_papers_variants_are_all_there_and_every_rule_can_be_voted_by():
    runs = {
        "full",
        "no-ttt",
        "end-to-end",
        "no-transformations",
        "shared",
        "no-demonstration-loss",
        "qlora",
        "search-poe",
    }
    assert set(variants.PAPER) == runs | {"vote-none", "vote-flat", "vote-hierarchical", "oracle"}
    assert runs <= set(variants.VARIANTS)
    assert set(variants.REPLAYS.values()) == {*RULES, "oracle"}
    assert not set(variants.VARIANTS) & set(variants.REPLAYS)


@dataclass
class FakeRun:
    """A `Run` that answers each test input by its task's rule in one view of three, and records that.

    For the outputs named in `broken` it ends, interrupted, after its first task. Where its plan has
    candidates re-read, the right one is the likeliest.
    """

    plan: RunPlan
    deadline: Deadline
    scored: object

    def execute(self) -> int:
        name, resumed = self.plan.output.stem, self.plan.resumed
        ran.append(f"{name} again" if resumed else name)
        given.append(self.deadline.remaining())
        file = submission_file.AnswerFile(self.plan.output, self.plan.task_set.tests)
        file.start(placeholders_for(self.plan.task_set))
        plan = self.plan
        known = {"fingerprint": fingerprint(plan), "code": ablate.program(), "data_sha256": plan.task_set.sha256}
        known |= {"tests": plan.task_set.tests, "weights": {"sha256": plan.checkpoint.sha256}}
        with Recorder(record.directory_of(self.plan.output), fresh=resumed is None) as recorder:
            recorder.write({"kind": "run", "at": 0.1, **known, "config": asdict(plan.config)})
            for task in self.plan.task_set.tasks[: 1 if name in broken else None]:
                found = [self._candidates(task, cells) for cells in task.tests]
                saved = [[codec.candidate_to_json(c) for c in them] for them in found]
                result = {"kind": "result", "at": 30.0, "task_id": task.id, "stage": 3, "candidates": saved}
                steps = self.plan.config.train.steps and 10 + len(task.demonstrations)
                recorder.write({**result, "steps": steps, "seconds": {"train": 1.5, "sample": 0.5}})
                file.fill(task.id, [(them[0].grid, them[1].grid) for them in found])
            status = 130 if name in broken else 0
            recorder.write({"kind": "end", "at": 60.0, "status": status})
        return status

    def _candidates(self, task: Task, cells: Grid) -> list[Candidate]:
        right = TASK_RULES[task.id](cells) if self.plan.config.train.steps else cells
        grids = (right, WRONG, WRONG)
        scores = [(-1.0 if shown is right else -4.0,) * self.plan.config.search.views for shown in grids]
        return [Candidate(shown, View(at), -1.0 - at, scores[at]) for at, shown in enumerate(grids)]


ran: list[str] = []
given: list[float] = []  # seconds each of them had
broken: set[str] = set()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two sources, as arguments: two tasks of three test inputs, and one task of one."""
    ran.clear()
    given.clear()
    broken.clear()
    monkeypatch.setattr(ablate, "Run", FakeRun)
    made = []
    for name, shown in (("two", TASKS[:2]), ("one", TASKS[2:])):
        right = {t.id: [TASK_RULES[t.id](cells).tolist() for cells in t.tests] for t in shown}
        (tmp_path / f"{name}.json").write_text(codec.challenges(task_set(list(shown))))
        (tmp_path / f"{name}_solutions.json").write_text(json.dumps(right))
        made += ["--tasks", str(tmp_path / f"{name}.json"), str(tmp_path / f"{name}_solutions.json")]
    return [*made, "--output", str(tmp_path / "runs" / "o.json")]


def column(printed: str, name: str, place: int) -> list[str]:
    """A column of a variant's lines, one a table."""
    return [line.split(" | ")[place] for line in printed.splitlines() if line.startswith(f"| {name} |")]


def test_one_call_covers_several_sources_with_a_table_over_all_and_one_each(files, tmp_path, capsys):
    assert ablate.main([*files, "--variants", "full", "no-ttt", "vote-none", "vote-flat", "oracle"]) == 0
    printed = capsys.readouterr().out
    assert ran == ["full", "no-ttt"]
    assert column(printed, "full", 1) == ["4 of 4", "3 of 3", "1 of 1"]
    assert column(printed, "no-ttt", 1) == ["0 of 4", "0 of 3", "0 of 1"]
    assert column(printed, "vote-flat", 1) == ["4 of 4", "3 of 3", "1 of 1"]
    assert column(printed, "vote-flat", 4) == ["0.0%", "0.0%", "0.0%"]  # two views of three are wrong
    assert column(printed, "vote-none", 4) == ["100.0%", "100.0%", "100.0%"]
    assert column(printed, "oracle", 4) == ["100.0%", "100.0%", "100.0%"]
    assert column(printed, "no-ttt", 5) == ["0 of 4", "0 of 3", "0 of 1"]
    assert column(printed, "full", 6) == ["2.0", "2.0", "2.0"]
    assert column(printed, "full", 7) == ["3", "2", "1"]
    assert column(printed, "full", 8) == ["13", "13", "11"]
    assert (column(printed, "no-ttt", 7), column(printed, "no-ttt", 8)) == (["0"] * 3, [""] * 3)
    assert column(printed, "no-ttt", 9) == ["+0 −4", "+0 −3", "+0 −1"]
    assert printed.splitlines()[-1].startswith("Seed 0; minutes: full 1.0, no-ttt 1.0.")
    assert (tmp_path / "runs" / "table.md").read_text() in printed


def test_an_adapter_counts_where_a_task_was_answered_with_it_and_a_shared_one_for_all_its_tasks():
    results = [("a", 1, 0), ("a", 3, 20), ("a", 4, 12), ("b", 3, 0), ("c", 1, 0)]
    lines = [
        {"kind": "result", "task_id": i, "stage": number, "steps": steps, "attempts": []}
        for i, number, steps in results
    ]
    failed = {"kind": "shared", "adapter": None, "task_ids": ["a", "b", "c"], "steps": 0, "seconds": 1.0}
    shared = failed | {"adapter": "ours", "path": "", "sha256": "", "steps": 24}
    assert ablate.trained(record.interpreted(lines), "task") == {"a": 20}
    assert ablate.trained(record.interpreted((shared, *lines)), "shared-then-task") == {"a": 20}
    alike = [{**line, "steps": 0} for line in lines]
    assert ablate.trained(record.interpreted((shared, *alike)), "shared") == {"a": 24, "b": 24}
    assert ablate.trained(record.interpreted((failed, *alike)), "shared") == {}


@pytest.mark.parametrize("name", [*variants.VARIANTS])
def test_a_variant_of_settings_that_could_contradict_it_is_a_valid_one(name):
    near = NearSettings("folder", count=4, warm_start_threshold=0.5, reuse_threshold=0.9)
    base = replace(PRESETS["cpu"], orders=4, near=near)
    plain = replace(PRESETS["cpu"], orders=4, near=NearSettings("folder"))
    variants.variant(name, plain if name in (*SHARING, "head") else base)


def of_files(folder: Path) -> list[str]:
    """The arguments for the challenges and solutions in a folder."""
    sources = [str(folder / name) for name in ("c.json", "s.json")]
    return ["--tasks", *sources, "--output", str(folder / "runs" / "o.json")]


def test_each_mind_s_part_of_a_run_is_a_variant_of_it(tmp_path, monkeypatch, capsys):
    """The program is right for the one task, the model's vote for the other."""
    right = {i: {"cost": 3, "cell": 5} for i in ("a", "b")}
    monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path, programs=right))
    pairs = tuple(Pair(fakes.grid([[n, 2]]), fakes.grid([[3, n], [n, 2]])) for n in (2, 3))  # no placeholder is right
    shown = [Task(i, pairs, (fakes.grid([[n, 1]]),)) for n, i in enumerate(right)]
    (tmp_path / "c.json").write_text(codec.challenges(task_set(shown)))
    (tmp_path / "s.json").write_text(json.dumps({"a": [[[5, 5]]], "b": [[[1, 1]]]}))
    call = of_files(tmp_path)
    assert ablate.main([*call, "--devices", "cpu", "--variants", "full", "programs-only", "no-programs", "oracle"]) == 0
    printed = capsys.readouterr().out
    for name, solved in (("full", 2), ("programs-only", 1), ("no-programs", 1), ("oracle", 2)):
        assert column(printed, name, 1) == [f"{solved} of 2"]
        assert column(printed, name, 5) == [f"{solved} of 2"]


def test_a_mind_s_part_is_voted_on_by_the_rule_of_full_whichever_variant_comes_first(files, tmp_path, monkeypatch):
    rules = []
    revote = ablate.replay.revote
    monkeypatch.setattr(ablate.replay, "revote", lambda *given: rules.append(given[2]) or revote(*given))
    assert ablate.main([*files, "--variants", "greedy-flat", "full", "no-programs"]) == 0
    assert rules == ["judge"]


def test_a_variant_that_has_finished_is_not_run_again_and_one_that_was_interrupted_is_gone_on_with(
    files, tmp_path, capsys
):
    call = [*files, "--variants", "full", "no-ttt", "oracle"]
    broken.add("no-ttt")
    assert ablate.main(call) == 130
    broken.clear()
    assert ablate.main(call) == 0
    assert ran == ["full", "no-ttt", "no-ttt again"]
    whole = ablate.UNHURRIED
    assert given == pytest.approx([whole, whole, whole - 60], abs=5)  # its first start took a minute of it
    first = (tmp_path / "runs" / "table.md").read_text()
    assert column(first, "no-ttt", 6) == ["2.0", "2.0", "2.0"]  # what was recorded twice is counted once
    assert first.endswith("minutes: full 1.0, no-ttt 2.0.\n")
    capsys.readouterr()
    assert ablate.main(call) == 0
    assert len(ran) == 3
    assert "== full: finished before, not run again" in capsys.readouterr().out
    assert (tmp_path / "runs" / "table.md").read_text() == first


def test_a_variant_that_learns_from_no_other_tasks_is_the_same_with_a_library_and_without(files, tmp_path):
    vectors = {"states": np.eye(2, 3, dtype=np.float32)}
    neighbours.save(tmp_path / "library", task_set(TASKS[:2]), vectors, check(SHIPPED).sha256, PRESETS["cpu"].train)
    assert ablate.main([*files, "--variants", "full"]) == 0
    assert ablate.main([*files, "--library", str(tmp_path / "library"), "--variants", "full", "nearest"]) == 0
    assert ran == ["full", "nearest"]


def test_a_variant_interrupted_at_its_end_gets_just_enough_to_write_what_it_has(files):
    call = [*files, "--variants", "full", "--time-limit", "60s"]
    broken.add("full")
    assert ablate.main(call) == 130
    broken.clear()
    assert ablate.main(call) == 0
    assert given[0] == pytest.approx(60, abs=5)
    assert 0 < given[1] <= ablate.LEAST


def test_what_another_program_has_finished_stays_and_the_table_says_so(files, monkeypatch, capsys):
    assert ablate.main([*files, "--variants", "full"]) == 0
    before = ablate.program()
    assert "other code" not in capsys.readouterr().out
    monkeypatch.setattr(ablate, "program", lambda: "0fa11a1d0000")
    assert ablate.main([*files, "--variants", "full", "no-ttt"]) == 0
    assert ran == ["full", "no-ttt"]
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f" Run by other code than 0fa11a1d0000, which is here now: full ({before}).")


def test_what_another_program_has_begun_is_not_gone_on_with(files, tmp_path, monkeypatch, capsys):
    broken.add("no-ttt")
    call, before = [*files, "--variants", "full", "no-ttt"], ablate.program()
    assert ablate.main(call) == 130
    broken.clear()
    monkeypatch.setattr(ablate, "program", lambda: "0fa11a1d0000")
    assert ablate.main(call) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 'runs' / 'no-ttt.run'} was begun by the program {before}, and this is 0fa11a1d0000: "
        "expected the same to go on with it; put that back, or remove the directory\n"
    )
    assert ran == ["full", "no-ttt"]


@pytest.mark.parametrize("change", [["--seed", "1"], ["--time-limit", "9m"], ["--limit", "1"], ["--views", "3"]])
def test_a_variant_under_other_settings_is_run_again(files, change):
    assert ablate.main([*files, "--variants", "full"]) == 0
    assert ablate.main([*files, "--variants", "full", *change]) == 0
    assert ran == ["full", "full"]


def test_a_variant_whose_answers_are_gone_is_gone_on_with(files, tmp_path):
    assert ablate.main([*files, "--variants", "full"]) == 0
    (tmp_path / "runs" / "full.json").unlink()
    assert ablate.main([*files, "--variants", "full"]) == 0
    assert ran == ["full", "full again"]


def test_a_limit_holds_for_each_source_and_ids_for_all_of_them(files, capsys):
    assert ablate.main([*files, "--variants", "full", "--limit", "1"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["2 of 2", "1 of 1", "1 of 1"]
    assert ablate.main([*files, "--variants", "full", "--task-ids", "stack", "single"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["3 of 3", "2 of 2", "1 of 1"]
    assert ablate.main([*files, "--variants", "full", "--task-ids", "stack"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["2 of 2"]


def test_a_vote_may_be_over_another_run_than_full(files, capsys):
    """The right answer has one view of three, and is the likeliest where candidates are re-read."""
    votes = [f"{name}@search-poe" for name in ("vote-product_of_experts", "vote-flat", "oracle", "no-programs")]
    assert ablate.main([*files, "--variants", "full", *votes, "search-poe", "vote-flat"]) == 0
    printed = capsys.readouterr().out
    assert ran == ["full", "search-poe"]
    assert [column(printed, name, 4)[0] for name in votes] == ["100.0%", "0.0%", "100.0%", "100.0%"]
    assert column(printed, "vote-flat", 4)[0] == "0.0%"


def test_candidates_that_are_all_re_read_can_be_voted_on_by_every_rule(files, capsys):
    assert ablate.main([*files, "--variants", "full", *variants.REPLAYS, "--reread", "8"]) == 0
    printed = capsys.readouterr().out
    firsts = {rule: column(printed, f"vote-{rule}", 4)[0] for rule in RULES}
    assert [rule for rule, share in firsts.items() if share == "0.0%"] == ["flat", "hierarchical"]


def test_a_rule_that_wants_candidates_re_read_is_no_hindrance_to_variants_of_another_rule(files):
    call = [*files, "--rule", "product_of_experts", "--reread", "8", "--variants", "full", "search-flat", "greedy-flat"]
    assert ablate.main(call) == 0
    assert ran == ["full", "search-flat", "greedy-flat"]


def test_what_is_not_said_is_what_the_paper_compares_as_far_as_the_machine_can(files, tmp_path, capsys):
    assert ablate.main([*files, "--devices", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "== qlora: left out: bits is 4: expected 16, as there is no CUDA GPU to hold 4-bit weights" in printed
    rows = [line.split(" | ")[0].removeprefix("| ") for line in printed.splitlines() if line.startswith("| ")]
    own = [name for name in variants.PAPER if name != "qlora"]
    assert rows == 3 * ["variant", *own]
    assert ran == [name for name in own if name in variants.VARIANTS]


def test_every_variant_is_compared_with_full_wherever_that_stands_and_the_chart_shows_them_all(files, tmp_path, capsys):
    assert ablate.main([*files, "--variants", "no-ttt", "full", "vote-none"]) == 0
    printed = capsys.readouterr().out
    assert column(printed, "variant", 9) == ["outputs to full"] * 3
    assert column(printed, "no-ttt", 9) == ["+0 −4", "+0 −3", "+0 −1"]
    assert column(printed, "vote-none", 9) == ["+0 −0"] * 3
    drawn = re.findall(r">([\w-]+|\d of \d)</text>", (tmp_path / "runs" / "chart.svg").read_text())
    assert drawn == ["no-ttt", "0 of 4", "full", "4 of 4", "vote-none", "4 of 4"]
    assert ablate.main([*files, "--variants", "no-ttt", "shuffled"]) == 0
    assert column(capsys.readouterr().out, "variant", 9)[0] == "outputs to no-ttt"


def test_no_solution_is_written_by_the_oracle(files, tmp_path):
    assert ablate.main([*files, "--variants", "no-ttt", "full", "oracle"]) == 0
    written = {p.name for p in (tmp_path / "runs").iterdir()}
    assert "oracle.json" not in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variants", "no-ttt", "oracle"], "--variants is 'oracle': expected full to be among them"),
        (
            ["--variants", "full", "vote-flat@shared"],
            "--variants is 'vote-flat@shared': expected shared to be among them: it is a vote over that run",
        ),
        (["--variants", "vote-best"], "--variants is 'vote-best': expected a run: full, no-ttt, "),
        (
            ["--variants", "full", "vote-flat@oracle"],
            "--variants is 'vote-flat@oracle': expected a run: full, no-ttt, ",
        ),
        (
            ["--variants", "full", "vote-count_minus_nll"],
            "--variants is 'vote-count_minus_nll': expected vote-count_minus_nll@search-poe with search-poe, or "
            "--reread: the candidates of full are not re-read",
        ),
        (["--split", "comparison"], "--tasks is '--split': expected no --split beside it: name that source with"),
        (["--tasks", "a", "b", "c"], "--tasks is 'a b c': expected an embedded set, or a challenges file and its"),
        (["--tasks", "no-such-split"], 'unknown split "no-such-split"'),
        (
            ["--variants", "qlora", "--devices", "cpu"],
            "bits is 4: expected 16, as there is no CUDA GPU to hold 4-bit weights",
        ),
        (["--task-ids", "stak"], 'unknown task id "stak"'),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line_before_anything_runs(files, capsys, arguments, message):
    assert ablate.main([*files, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert ran == []


def test_resume_is_refused_as_variants_begun_before_are_gone_on_with(tmp_path, capsys):
    assert ablate.main(["--resume", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: --resume is '{tmp_path}': expected to be left out: variants begun before are gone on with by "
        "themselves\n"
    )


def test_a_task_in_two_sources_is_refused(files, capsys):
    assert ablate.main([*files, *files[:3]]) == 2
    assert "expected each once; leave one of them out" in capsys.readouterr().err
    assert ran == []


@pytest.mark.parametrize("name", DECODING)
def test_the_ways_to_decode_and_vote_change_the_views_the_search_and_the_rule_and_nothing_else(name):
    full = PRESETS["cpu"]
    variant = variants.variant(name, full)
    assert variant != full
    views = {name: getattr(full, name) for name in ("views", "quick_views", "orders")}
    assert asdict(replace(variant, rule=full.rule, search=full.search, **views)) == asdict(full)
    assert bool(variant.search.p_min) == name.startswith("search")
    assert bool(variant.search.views) == (variant.rule in VOTE_WORTH)


@pytest.mark.parametrize("preset", PRESETS)
def test_as_many_replies_are_drawn_as_would_be_greedy_and_the_identity_is_one_view_alone(preset):
    full = PRESETS[preset]
    drawn, identity = (variants.variant(name, full) for name in ("temperature", "identity"))
    assert drawn.views * drawn.search.samples == full.views
    assert drawn.search.temperature == 1.0
    assert (identity.views, identity.quick_views) == (1, 1)
    assert variants.variant("two-orders", full) == replace(full, orders=2)


@pytest.mark.parametrize("name", ["temperature", "greedy-flat"])
def test_a_search_asked_for_is_no_hindrance_to_variants_that_do_without(name):
    searching = replace(PRESETS["cpu"], search=replace(PRESETS["cpu"].search, p_min=0.1))
    assert variants.variant(name, searching) == variants.variant(name, PRESETS["cpu"])


def test_a_set_without_solutions_is_refused(capsys, tmp_path):
    file = tmp_path / "c.json"
    file.write_text('{"00000000": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[1]]}]}}')
    assert ablate.main(["--challenges", str(file), "--output", str(tmp_path / "o.json")]) == 2
    assert "--solutions" in capsys.readouterr().err


def test_challenges_and_solutions_still_come_by_their_own_flags(files, tmp_path, capsys):
    single = ["--challenges", files[1], "--solutions", files[2], *files[-2:]]
    assert ablate.main([*single, "--variants", "full"]) == 0
    assert column(capsys.readouterr().out, "full", 1) == ["3 of 3"]


def test_real_runs_with_a_worker_without_models_are_voted_on_again_and_gone_on_with(tmp_path, monkeypatch, capsys):
    """The worker answers each test input with itself in nine views of ten, which is right for this task alone."""
    monkeypatch.setattr(child, "WORKER", fake_worker.command(tmp_path))
    (tmp_path / "c.json").write_text(codec.challenges(task_set([STACK])))
    (tmp_path / "s.json").write_text(json.dumps({"stack": [cells.tolist() for cells in STACK.tests]}))
    call = of_files(tmp_path)
    call += ["--devices", "cpu", "--variants", "full", "vote-flat", "vote-none", "oracle"]
    assert ablate.main(call) == 0
    first = (tmp_path / "runs" / "table.md").read_text()
    for name in ("full", "vote-flat", "vote-none", "oracle"):
        assert column(first, name, 1) == ["2 of 2"]
        assert column(first, name, 5) == ["2 of 2"]
    orders = len(fake_worker.heard(tmp_path, "order"))
    assert ablate.main(call) == 0
    assert len(fake_worker.heard(tmp_path, "order")) == orders
    path = tmp_path / "runs" / "full.run" / record.RECORD
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))  # as if killed before its end
    assert ablate.main(call) == 0
    assert "== full, gone on with" in capsys.readouterr().out
    assert len(fake_worker.heard(tmp_path, "order")) == orders
    assert column((tmp_path / "runs" / "table.md").read_text(), "full", 1) == ["2 of 2"]
