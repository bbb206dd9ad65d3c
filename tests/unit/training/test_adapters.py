"""Several adapters' matrices side by side: products, gradients and steps of each are those it would have alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from solver.config.settings import TrainRecipe
from solver.training.adapters import Adapters, Layer, parts
from solver.training.embedding_loras import EmbeddingLoras

pytestmark = pytest.mark.usefixtures("one_thread")
SCALER = torch.amp.GradScaler("cpu", enabled=False)
INNER, WIDE, RANK, SCALE = 5, 7, 3, 0.5
ROWS = {"uneven": ((0, 4), (4, 5), (5, 9)), "even": ((0, 3), (3, 6), (6, 9))}


def adapters() -> Adapters:
    """Three adapters of one layer, all numbers drawn."""
    torch.manual_seed(0)
    shapes = {"layer.lora_A.default.weight": (RANK, INNER), "layer.lora_B.default.weight": (WIDE, RANK)}
    made = Adapters({name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}, 3, TrainRecipe())
    for n in range(3):
        made.take(n, {name: torch.randn(shape) for name, shape in shapes.items()})
    return made


def layer(own: Adapters) -> Layer:
    base = SimpleNamespace(weight=torch.randn(WIDE, INNER))
    return Layer(own, "layer", SimpleNamespace(base_layer=base, scaling={"default": SCALE}))


def plainly(x: Tensor, one: Layer, a: list[Tensor], b: list[Tensor], rows: tuple[tuple[int, int], ...]) -> Tensor:
    """The formula, adapter by adapter."""
    own = [x[s:e] @ a[n].t() @ b[n].t() * SCALE for n, (s, e) in enumerate(rows)]
    return x @ one.weight.t() + torch.cat(own)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("first", [False, True], ids=["a later layer", "the first layer"])
def test_products_and_gradients_are_those_of_each_adapters_own_matrices(rows, first):
    own = adapters()
    one, x = layer(own), torch.randn(9, INNER, requires_grad=not first)
    own.rows = {9: rows}
    a, b = ([m.clone().requires_grad_() for m in matrices] for matrices in (one.a, one.b))
    expected, weights = plainly(x, one, a, b, rows), torch.randn(9, WIDE)
    found = one(x[None])[0]
    assert torch.allclose(found, expected, atol=1e-5)
    (found * weights).sum().backward()
    wanted = torch.autograd.grad((expected * weights).sum(), [*a, *b, *([] if first else [x])])
    got = [*one.to_a, *one.to_b, *([] if first else [x.grad])]
    assert all(torch.allclose(g, w, atol=1e-5) for g, w in zip(got, wanted, strict=True))
    assert (x.grad is None) == first


def test_equal_shares_are_one_product_and_unequal_ones_one_each():
    x = torch.randn(9, INNER)
    assert [(s, m.shape) for s, (m,) in parts(ROWS["even"], x)] == [(slice(0, 3), (3, 3, INNER))]
    assert [m.shape[1] for _, (m,) in parts(ROWS["uneven"], x)] == [4, 1, 4]


def test_a_step_moves_an_adapter_as_if_it_were_alone_and_leaves_those_without_one():
    together, alone = adapters(), adapters()
    before = together.served.clone()
    together.grads.copy_(torch.randn_like(together.grads))
    alone.grads[0] = together.grads[1]
    alone.take(0, {n: v.clone() for n, v in together.views(together.served, 1).items()})
    for _ in range(3):
        together.step(2, 0.1, 1.0, SCALER)
        alone.step(1, 0.1, 1.0, SCALER)
    assert torch.allclose(together.served[1], alone.served[0])
    assert not torch.equal(together.served[0], before[0])
    assert torch.equal(together.served[2], before[2])


def test_after_a_start_nothing_is_left_of_the_steps_before():
    own, start = adapters(), torch.randn(3, RANK * (INNER + WIDE))
    results = []
    for noise in (1.0, 5.0):
        own.grads.copy_(torch.randn_like(own.grads) * noise)
        own.step(3, 0.1, 1.0, SCALER)
        own.start()
        own.take(0, {n: v.clone() for n, v in own.views(start, 0).items()})
        own.grads.fill_(0.1)
        own.step(1, 0.1, 1.0, SCALER)
        results.append(own.served[0].clone())
    assert torch.equal(*results)


def embedded(share: float = 1.0) -> EmbeddingLoras:
    """An adapter of a layer and of the embedding, which comes last among the parameters here."""
    torch.manual_seed(0)
    shapes = {"layer.lora_A.default.weight": (RANK, INNER), "layer.lora_B.default.weight": (WIDE, RANK)}
    shapes |= {"e.lora_embedding_A.default": (RANK, 11), "e.lora_embedding_B.default": (INNER, RANK)}
    recipe = TrainRecipe(embedding_rate=share)
    return EmbeddingLoras({n: nn.Parameter(torch.zeros(s)) for n, s in shapes.items()}, 1, recipe)


def test_an_embedding_is_moved_by_its_share_of_the_rate_and_all_else_by_the_rate():
    changes = {}
    for share in (1.0, 0.1):
        own = embedded(share)
        own.draw(0, 0)
        before = own.masters[0].clone()
        torch.manual_seed(1)
        for _ in range(3):
            own.grads.copy_(torch.randn_like(own.grads))
            own.step(1, 0.01, 1.0, SCALER)
        changes[share] = own.views((own.masters[0] - before)[None], 0)
        assert torch.equal(own.served[0], own.masters[0])
    for name, change in changes[1.0].items():
        assert change.abs().min() > 0
        assert torch.allclose(changes[0.1][name], change * (0.1 if "embedding" in name else 1.0), atol=1e-6), name


def test_an_embeddings_start_is_pefts_own_with_a_zero_and_b_drawn_widely_and_its_steps_are_forgotten():
    own = embedded()
    own.draw(0, 0)
    start = {name: view.clone() for name, view in own.views(own.served, 0).items()}
    assert [name for name, view in start.items() if not view.any()] == [
        "e.lora_embedding_A.default",
        "layer.lora_B.default.weight",
    ]
    assert 0.5 < start["e.lora_embedding_B.default"].std() < 1.5
    results = []
    for noise in (1.0, 5.0):
        own.grads.fill_(noise)
        own.step(1, 0.1, 1.0, SCALER)
        own.start()
        own.draw(0, 0)
        own.grads.copy_(torch.ones_like(own.grads))
        own.step(1, 0.1, 1.0, SCALER)
        results.append(own.served[0].clone())
        own.start()
    assert torch.equal(*results)


def test_parameters_are_saved_under_the_names_peft_gives_them():
    own = adapters()
    assert own.saved_name("m.q_proj.lora_A.default.weight") == "m.q_proj.lora_A.weight"
    assert own.saved_name("m.embed_tokens.lora_embedding_A.default") == "m.embed_tokens.lora_embedding_A"


def test_an_adapter_whose_numbers_are_not_all_finite_is_not_written():
    own, written = adapters(), []
    model = SimpleNamespace(save_pretrained=lambda path, **_: written.append(path))
    own.served[1, 3] = float("nan")
    own.save(0, model, "first", torch.float32)
    with pytest.raises(FloatingPointError, match="the adapter is not finite"):
        own.save(1, model, "second", torch.float32)
    own.served[1, 3] = 1e5  # finite, but not in the engine's 16 bits
    with pytest.raises(FloatingPointError, match="the adapter is not finite"):
        own.save(1, model, "third", torch.float16)
    assert written == ["first"]


def test_the_models_parameters_are_the_first_adapter():
    own = adapters()
    for name, view in own.views(own.served, 0).items():
        assert own.parameters[name].data_ptr() == view.data_ptr()
        assert own.parameters[name].grad is not None


def test_parameters_that_were_moved_are_bound_again_to_what_is_trained() -> None:
    own = adapters()
    for parameter in own.parameters.values():
        parameter.data = parameter.data.clone()
    own.bind()
    for name, view in own.views(own.served, 0).items():
        view.add_(1.0)
        assert torch.equal(own.parameters[name].data, view)
