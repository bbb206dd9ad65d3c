"""What each call of `tests/gpu/run` checks, and the seconds each check may take."""

from __future__ import annotations

from collections.abc import Mapping

CALL = 540  # seconds that the checks of a call may plan with: tests/gpu/run ends a call after 570
CALLS: Mapping[str, Mapping[str, int]] = {
    "bare": {"preflight_says": 40, "trainer_alone": 180, "pretraining": 90},  # needs no wheels
    "engine": {"unsloth_takes_our_arguments": 50, "shipped": 120, "qwen3_4b": 200, "four_bits": 60},
    "run": {"qwen3_4b_on_22_gib": 200, "run": 320},
}
PATIENCE = 3  # times as long may a check take in a rehearsal, on a CPU that others use, too
SECONDS: Mapping[str, int] = {name: most for checks in CALLS.values() for name, most in checks.items()}
