"""What surrounds the building of an engine; its arguments are covered by what builds engines."""

import sys

from solver.hardware.engine import building


def claiming() -> set[str]:
    """Modules that hold something which claims to have attributes, and whose attributes are no dictionary."""
    values = [
        (name, value)
        for name, module in list(sys.modules.items())
        if name.startswith("llvmlite") and module is not None
        for value in list(vars(module).values())
    ]
    return {name for name, value in values if hasattr(value, "__dict__") and not hasattr(vars(value), "get")}


def test_an_engine_is_built_out_of_sight_of_what_its_scan_of_modules_fails_on() -> None:
    """vLLM on a CPU asks `vars(value).get("kernel")` of all that every loaded module holds."""
    import numba  # noqa: F401
    from llvmlite.binding import ffi

    lib = ffi.lib
    assert claiming() == {"llvmlite.binding.ffi"}
    with building():
        assert claiming() == set()
    assert ffi.lib is lib
