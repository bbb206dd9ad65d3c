"""One probability for whatever models and programs say."""

import json
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.types import ADAPTER, BASE, PROGRAMS, PROVEN, BadInput, Candidate, Program, View, key
from solver.voting import judge
from solver.voting.candidates import ordered
from solver.voting.limits import UNLIMITED, OutputLimits
from tests.support import fakes

ONE, TWO, THREE, FOUR = (fakes.grid([[n]]) for n in (1, 2, 3, 4))
NAMES = list(judge.FEATURES)
VIEWS = [View(dihedral) for dihedral in range(4)]


def said(grid, *nats: float) -> list[Candidate]:
    """An answer of as many views."""
    return [Candidate(grid, view, nat) for view, nat in zip(VIEWS, nats, strict=False)]


def computed(grid, cost: float = 8.0, generalises: float = 0.5, support: int = 1) -> Candidate:
    return Candidate(grid, View(), 0.0, program=Program("p", cost, generalises, support))


def row(by_stage, grid, limits: OutputLimits = UNLIMITED) -> dict[str, float]:
    grids, worths = judge.features(by_stage, limits)
    [at] = [n for n, one in enumerate(grids) if key(one) == key(grid)]
    return {name: worth for name, worth in zip(NAMES, worths[at], strict=True) if worth}


def table(**nats: float) -> judge.Coefficients:
    return judge.Coefficients(tuple(nats.get(name, 0.0) for name in NAMES), nats.get("none", 0.0))


def test_a_program_s_features_are_those_of_its_best_and_zero_for_the_others_answers():
    by_stage = {PROGRAMS: [computed(ONE, 8.0, 0.5, 3), computed(TWO, 12.0, 0.0)], BASE: said(TWO, -1.0)}
    expected = {"best_program": 1, "generalises": 0.5, "shortness": 0.8, "support": math.log(3)}
    assert row(by_stage, ONE) == pytest.approx(expected)
    assert row(by_stage, TWO) == pytest.approx({"shortness": 0.4, "base": 11.0})
    assert "shortness" not in row({PROGRAMS: [computed(ONE, judge.DEAREST + 9)]}, ONE)


def test_a_model_s_features_are_the_mean_probability_over_all_its_views():
    by_stage = {ADAPTER: [*said(ONE, -1.0, -2.0), Candidate(TWO, VIEWS[2], -40.0)], ADAPTER + 1: said(ONE, -1.0)}
    mean = math.log((2 * math.exp(-1) + math.exp(-2)) / 4)  # a view that is asked in two stages is two
    assert row(by_stage, ONE) == pytest.approx({"adapters": mean - judge.FLOOR})
    assert row(by_stage, TWO) == {}
    twice = {ADAPTER: [*said(ONE, -1.0), *said(ONE, -1.0), *said(TWO, 0.0)]}
    assert row(twice, ONE) == pytest.approx({"adapters": -1.0 - judge.FLOOR})  # what a view says twice counts once


def test_what_the_base_model_says_counts_where_no_adapter_answered():
    assert row({BASE: said(ONE, -1.0)}, ONE) == pytest.approx({"base": -1.0 - judge.FLOOR})
    assert row({BASE: said(ONE, -1.0), ADAPTER: said(TWO, -2.0)}, ONE) == {}


def test_placeholders_that_are_proven_and_limits_that_are_broken_are_told():
    proven = [computed(ONE, 1.0, 1.0)]
    limits = OutputLimits(colours=frozenset({1}))
    assert row({PROVEN: proven}, ONE, limits)["proven"] == 1
    assert "breaks" not in row({PROVEN: proven}, ONE, limits)
    assert row({PROVEN: proven, BASE: said(TWO, -1.0)}, TWO, limits)["breaks"] == 1


def test_probabilities_are_those_of_a_conditional_logit_with_none_as_one_more_answer():
    by_stage = {PROGRAMS: [computed(ONE)], BASE: said(TWO, 0.0)}
    answers = judge.judged(by_stage, UNLIMITED, table(best_program=1.0, none=0.5))
    odds = [math.e, 1.0, math.exp(0.5)]
    assert [answer.probability for answer in answers] == pytest.approx([odds[0] / sum(odds), odds[1] / sum(odds)])
    assert [key(answer.grid) for answer in answers] == [key(ONE), key(TWO)]


def test_nothing_depends_on_the_order_of_the_candidates_or_on_how_many_there_are():
    them = [*said(ONE, -0.3, -2.0, -1.1), *said(TWO, -0.9, -0.2), *said(THREE, -5.0)]
    usual = [(key(a.grid), a.probability) for a in judge.judged({ADAPTER: them}, UNLIMITED, judge.shipped()[0])]
    for seed in range(5):
        shuffled = random.Random(seed).sample(them, len(them))
        again = judge.judged({ADAPTER: shuffled}, UNLIMITED, judge.shipped()[0])
        assert [(key(a.grid), a.probability) for a in again] == usual
    assert judge.judged({}, UNLIMITED, judge.shipped()[0]) == []


def test_the_judge_attempts_the_two_likeliest():
    by_stage = {PROGRAMS: [computed(ONE, 5.0, 1.0), computed(TWO, 30.0, 0.0)], ADAPTER: said(THREE, -0.1, -0.1, -0.1)}
    answers = ordered(by_stage, "judge")
    assert [key(answer.grid) for answer in answers[:2]] == [key(ONE), key(THREE)]
    assert [answer.votes for answer in answers] == [0, 3, 0]
    assert answers[0].score > answers[1].score > answers[2].score > 0


def test_the_shipped_table_says_what_anybody_would():
    """Short programs before long ones, those that generalise before others, broken limits never raise."""
    shipped, why = judge.shipped()
    assert (why, shipped is not None) == ("", True)
    nats = dict(zip(NAMES, shipped.coefficients, strict=True))
    assert nats.pop(judge.AGAINST) <= 0
    assert min(nats.values()) >= 0
    for name in ("generalises", "shortness", "adapters", "base"):
        assert nats[name] > 0, name


candidates = st.builds(
    Candidate,
    grid=st.sampled_from([ONE, TWO]),
    view=st.sampled_from(VIEWS),
    logprob=st.floats(-30, 0),
    program=st.none(),
)
computations = st.builds(
    lambda grid, cost, share, support: computed(grid, cost, share, support),
    *(st.sampled_from([ONE, TWO]), st.floats(1, 40), st.floats(0, 1), st.integers(1, 5)),
)


@given(
    model=st.lists(candidates, max_size=6),
    programs=st.lists(computations, max_size=3),
    more=st.sampled_from(["adapter", "proven", "support"]),
)
def test_no_evidence_for_an_answer_lowers_it_beside_the_others(model, programs, more):
    """One more view of an adapter's that says it surely, a placeholder that is proven, programs that say the same."""
    shipped, _ = judge.shipped()
    before = {ADAPTER: model, PROGRAMS: programs}
    after = dict(before)
    if more == "adapter":
        after[ADAPTER + 1] = [Candidate(ONE, View(5), 0.0)]
    elif more == "proven":
        after[PROVEN] = [computed(ONE, 1.0, 1.0)]
    else:
        after[PROGRAMS] = [replace(c, program=replace(c.program, support=9)) if c.grid is ONE else c for c in programs]

    def odds(by_stage) -> float:
        chances = {key(a.grid): a.probability for a in judge.judged(by_stage, UNLIMITED, shipped)}
        return chances.get(key(ONE), 0.0) / chances.get(key(TWO), 1.0)

    two_said = any(c.grid is TWO for c in (*model, *programs))
    if two_said and any(c.grid is ONE for c in (*model, *programs)):
        assert odds(after) >= odds(before) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"No such file or directory; expected a table of best_program, "),
        ('{"coefficients": {"support": 1', r"is torn or no table \(JSONDecodeError\); expected"),
        ("[1, 2]", r"is torn or no table \(TypeError\); expected"),
        ('{"coefficients": {"support": "much"}}', r"is torn or no table \(ValueError\); expected"),
        ('{"coefficients": {"support": 1}}', r"is of other features \(.*none.*\); expected"),
        (json.dumps({"coefficients": dict.fromkeys([*NAMES, "none"], math.nan)}), "are not finite; expected"),
    ],
)
def test_a_table_that_is_missing_torn_or_of_other_features_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "judge.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=message) as error:
        judge.read_table(path)
    assert "\n" not in str(error.value)


def test_where_the_table_cannot_be_read_votes_are_counted_by_the_paper_s_rule(tmp_path, monkeypatch):
    by_stage = {
        BASE: [*said(TWO, -3.0, -3.0), Candidate(FOUR, VIEWS[3], -0.1)],
        ADAPTER: [*said(ONE, -3.0, -3.0, -3.0), Candidate(TWO, VIEWS[3], -0.1)],
        PROGRAMS: [computed(THREE, 30.0, 0.0)],
    }
    assert key(ordered(by_stage, "judge")[0].grid) == key(TWO)
    monkeypatch.setattr(judge, "shipped", lambda: (None, "gone"))
    fallen, papers = ([key(answer.grid) for answer in ordered(by_stage, rule)] for rule in ("judge", "hierarchical"))
    assert fallen == papers
    assert fallen[0] == key(ONE)


def test_probabilities_stay_finite_whatever_the_nats():
    chances = judge.probabilities(np.full((3, len(NAMES)), 500.0), table(program=9.0, none=-700.0))
    assert chances.sum() == pytest.approx(1.0)
