"""Generators asked for in batches, in both ways, run and filtered, and what is counted of them."""

from __future__ import annotations

import pytest

from solver.clock import Deadline
from solver.generators import filters, prompts
from solver.generators.counts import FilterCounts
from solver.generators.examples import ShownGenerator, read_examples
from solver.generators.filters import DESCRIBED, FILTERS, REPLIED, Filters
from solver.generators.write import WRITING, GeneratorPlan, GeneratorSearch
from solver.pretrain.content import Index
from solver.types import BadInput, Pair
from tests.support.hostile_generators import GENERATORS
from tests.support.written_generators import EVALUATED, RECOLOURED, REPLIES, TRANSPOSED, FakeWriter, reply

INDEX = Index.of([Pair(EVALUATED, EVALUATED)])
CALLS = 12


def search_of(sandbox, package, samples, way=prompts.JOINT, batch=4, seed=0):
    plan = GeneratorPlan(samples, way, seed, batch, shots=2, calls=CALLS)
    return GeneratorSearch(plan, read_examples(package), sandbox, Filters(INDEX, least=8))


def written(search, writer):
    return [generator for batch in search.batches(writer, Deadline.after(300)) for generator in batch]


def test_a_reply_for_each_filter_ends_there_and_the_rest_is_kept(sandbox, package):
    search = search_of(sandbox, package, len(REPLIES))
    search.prepare()
    generators = written(search, FakeWriter(list(REPLIES.values())))
    assert [generator.verdict.failed for generator in generators] == list(REPLIES)
    kept = generators[0]
    assert (kept.description, kept.source) == ("The grid is mirrored at its main diagonal.", TRANSPOSED)
    assert len(kept.verdict.pairs) == CALLS
    assert all((pair.output == pair.input.T).all() for pair in kept.verdict.pairs)


def test_when_the_seconds_are_over_what_was_written_is_counted_and_not_called(sandbox, package):
    now = [0.0]

    def spend():
        now[0] += 200.0

    [batch] = search_of(sandbox, package, 100).batches(
        FakeWriter([reply(TRANSPOSED)], spend=spend), Deadline.after(100.0, lambda: now[0])
    )
    assert {(g.source, g.verdict.failed, g.verdict.reason) for g in batch} == {
        (TRANSPOSED, filters.RAN, "the run's seconds ended before it was called")
    }


@pytest.mark.slow
def test_hostile_generators_are_contained_and_counted_and_the_run_goes_on(containing_sandbox, package, tmp_path):
    secret = tmp_path / "solutions.json"
    secret.write_text("[[7]]")
    sources = [text.format(secret=str(secret)) for text, _ in GENERATORS.values()]
    texts = [*(reply(source) for source in sources), reply(TRANSPOSED)]
    generators = written(search_of(containing_sandbox, package, len(texts)), FakeWriter(texts))
    failed = [generator.verdict.failed for generator in generators]
    expected = {name: stopped for name, (_, stopped) in GENERATORS.items()}
    assert dict(zip(GENERATORS, failed, strict=False)) == expected
    assert failed[-1] == ""
    assert containing_sandbox.starts == 1
    assert all(generator.verdict.reason.isprintable() for generator in generators)


def test_a_batch_shares_one_question_of_examples_of_its_own(sandbox, package):
    writer = FakeWriter([None])
    written(search_of(sandbox, package, 10), writer)
    assert [len(asked) for asked in writer.questions] == [4, 4, 2]
    assert [len(set(asked)) for asked in writer.questions] == [1, 1, 1]
    assert len({asked[0] for asked in writer.questions}) == len(set(writer.seeds)) == 3


def test_the_questions_and_what_is_kept_depend_on_the_seed_and_the_replies_alone(sandbox, package):
    def run(seed):
        writer = FakeWriter([reply(TRANSPOSED), reply(RECOLOURED)])
        generators = written(search_of(sandbox, package, 2, seed=seed), writer)
        pairs = [str((pair.input, pair.output)) for g in generators for pair in g.verdict.pairs]
        return writer.questions, writer.seeds, pairs

    assert run(0) == run(0)
    assert all(one != other for one, other in zip(run(0), run(1), strict=True))


def test_in_two_steps_a_generator_is_asked_for_each_description_that_came(sandbox, package):
    replies = ["Description: It is mirrored.", "I do not know.\nReally.", "It is dyed.", None]
    writer = FakeWriter([*replies, f"```python\n{TRANSPOSED}```", None])
    generators = written(search_of(sandbox, package, 4, prompts.TWO_STEP), writer)
    first, second = writer.questions
    assert len(set(first)) == 1
    assert [question.rpartition("Description: ")[2] for question in second] == ["It is mirrored.", "It is dyed."]
    assert [generator.verdict.failed for generator in generators] == ["", DESCRIBED, REPLIED, DESCRIBED]
    assert generators[0].description == "It is mirrored."
    assert writer.seeds[0] != writer.seeds[1]


def test_a_copy_of_an_example_is_no_new_generator(sandbox, package):
    example = read_examples(package)[0]
    search = search_of(sandbox, package, 1)
    search.prepare()
    [generator] = written(search, FakeWriter([reply(example.source)]))
    assert generator.verdict.failed == filters.NEW


def test_examples_that_do_not_run_here_end_the_run_in_a_line(sandbox, package):
    search = search_of(sandbox, package, 1)
    search.examples = [ShownGenerator("d037b0a7", "A falls.", "def generate(rng):\n    pass\n")]
    with pytest.raises(BadInput, match=r"generator of d037b0a7 does not run in the sandbox \(TypeError: .*expected"):
        search.prepare()


def test_when_most_of_the_seconds_are_over_no_further_batch_is_asked_for(sandbox, package):
    now = [0.0]

    def spend():
        now[0] += 40.0

    writer = FakeWriter([None], spend=spend)
    search = search_of(sandbox, package, 100)
    assert len(list(search.batches(writer, Deadline.after(100.0, lambda: now[0])))) == 3  # begun at 0, 40 and 80 s
    assert WRITING == 0.9


def test_the_counts_are_shown_with_the_commonest_reason_of_each_filter(sandbox, package):
    search, writer = search_of(sandbox, package, 2 * len(REPLIES)), FakeWriter(list(REPLIES.values()))
    counts = FilterCounts(prompts.JOINT)
    for generator in written(search, writer):
        counts.add(generator)
    passed = counts.passed()
    assert passed["asked"] == 2 * len(REPLIES)
    assert (passed["replied"], passed["holding"], passed["parsed"], passed["ran"]) == (22, 20, 18, 16)
    assert (passed["evaluation"], passed["new"], passed["kept"], counts.pairs) == (4, 1, 1, CALLS)
    assert DESCRIBED not in passed
    section = counts.section()
    assert section.columns == ("filter", "left", "lost", "commonest reason")
    assert section.rows[0] == ("asked for", "22", "", "")
    assert section.rows[-1] == ("kept, with 12 pairs", "1", "", "")
    assert (FILTERS["holding"], "20", "2", "the reply defines no function generate") in section.rows


def test_the_row_of_descriptions_is_there_where_they_were_asked_for():
    assert DESCRIBED in FilterCounts(prompts.TWO_STEP).passed()
    assert FilterCounts(prompts.TWO_STEP).section().rows[1] == (FILTERS[DESCRIBED], "0", "", "")
