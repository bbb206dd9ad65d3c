"""The CPU norms: equal to the engine's own, offered only to a version they were tried in."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
import torch

from solver.inference import cpu_operators

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def ops() -> Any:
    """The engine's operators, its kernels loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
        patch.setenv("VLLM_NO_USAGE_STATS", "1")
        try:
            found = import_module("vllm.ir").ops
            import_module("vllm.platforms").current_platform.import_kernels()
        except ImportError as error:
            pytest.skip(f"vLLM cannot be imported here, so its norms are not compared: {error}")
    return found


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)], ids=str)
@pytest.mark.parametrize("shape", [(7, 64), (5, 4, 64), (300, 256)])
def test_the_norms_are_the_engines_own_up_to_rounding(
    ops: Any, shape: tuple[int, ...], dtype: Any, near: float
) -> None:
    draw = torch.Generator().manual_seed(0)
    x, residual = (torch.randn(shape, generator=draw).to(dtype) * 3 for _ in range(2))
    weight = torch.rand(shape[-1], generator=draw).to(dtype)
    own = ops.rms_norm.impls["native"].impl_fn(x, weight, 1e-6)
    torch.testing.assert_close(cpu_operators.rms_norm(x, weight, 1e-6), own, rtol=near, atol=near)
    wanted, summed = ops.fused_add_rms_norm.impls["native"].impl_fn(x.clone(), residual.clone(), weight, 1e-6)
    made, total = cpu_operators.fused_add_rms_norm(x.clone(), residual.clone(), weight, 1e-6)
    torch.testing.assert_close(made, wanted, rtol=near, atol=near)
    torch.testing.assert_close(total, summed, rtol=near, atol=near)


def test_a_part_of_a_wider_matrix_is_normed_as_if_it_were_alone(ops: Any) -> None:
    assert ops
    wide, weight = torch.randn(6, 192), torch.ones(64)
    part = wide[:, 64:128]
    assert torch.equal(cpu_operators.rms_norm(part, weight, 1e-6), cpu_operators.rms_norm(part.clone(), weight, 1e-6))
    assert not cpu_operators.both_fit(part, part.clone(), weight, 1e-6)


def test_what_the_kernel_lacks_is_left_to_the_engine() -> None:
    x = torch.ones(2, 4)
    assert cpu_operators.fits(x, torch.ones(4), 1e-6)
    assert not cpu_operators.fits(x, torch.ones(4), 1e-6, 2)
    assert not cpu_operators.fits(x, None, 1e-6)
    assert not cpu_operators.fits(x, torch.ones(4, dtype=torch.bfloat16), 1e-6)


def test_a_tested_version_is_offered_both_once_and_another_neither(ops: Any) -> None:
    for _ in range(2):
        assert cpu_operators.install_norms("0.32.1") == {
            "rms_norm": [cpu_operators.PROVIDER, "native"],
            "fused_add_rms_norm": [cpu_operators.PROVIDER, "native"],
        }
    assert cpu_operators.PROVIDER in ops.rms_norm.impls
    assert cpu_operators.install_norms("0.33.0") == {}
