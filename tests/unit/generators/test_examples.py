"""The examples shown: ten training tasks, described by hand, with RE-ARC's sources from the installed package."""

from __future__ import annotations

import pytest

from solver.generators import examples
from solver.generators.examples import DESCRIPTIONS, HEADER
from solver.pretrain.split import arc1_split
from solver.types import BadInput


@pytest.mark.slow
def test_ten_tasks_are_described_and_all_of_them_may_be_trained_on():
    assert len(DESCRIPTIONS) == 10
    assert set(DESCRIPTIONS) <= set(arc1_split().train)
    assert all(text.endswith(".") and len(text) < 300 and "\n" not in text for text in DESCRIPTIONS.values())


def test_each_example_is_one_whole_function_from_the_package(package):
    shown = examples.read_examples(package)
    assert [example.task_id for example in shown] == list(DESCRIPTIONS)
    for example in shown:
        assert example.source.startswith("def generate(rng: random.Random, diff_lb: float, diff_ub: float) -> dict:\n")
        assert example.source.endswith('    return {"input": gi, "output": go}\n')
        assert example.source.count("def ") == 1
        assert "import" not in example.source


def test_each_example_draws_pairs_in_the_sandbox_whose_outputs_follow_from_their_inputs(package, sandbox):
    for example in examples.read_examples(package):
        draws, twins = sandbox.draw(HEADER + example.source, range(20))
        pairs = [draw.pair for draw in (*draws, *twins) if draw.pair]
        assert len(pairs) == 40, draws[0].reason
        answers = {(str(pair.input), str(pair.output)) for pair in pairs}
        assert len({shown for shown, _ in answers}) == len(answers) >= 10


def test_another_version_of_the_package_is_refused_in_a_line(tmp_path):
    home = tmp_path / "rearc_utils" / "generators"
    home.mkdir(parents=True)
    (home / "generators_00_99.py").write_text("def generate_d037b0a7(rng):\n    return 1\n")
    with pytest.raises(BadInput, match=r"no function generate_4258a5f9; expected .*; pip install"):
        examples.read_examples(tmp_path)


def test_where_the_package_is_not_installed_the_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(examples, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"reasoning-gym, which is not installed; expected it; pip install --no-deps"):
        examples.folder()
