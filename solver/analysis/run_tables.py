"""What a run's record tells beyond the score, as small tables for people. Law: they say what the measures hold."""

from __future__ import annotations

from collections.abc import Mapping

from solver.analysis.diagnose import Measures, Overlap
from solver.runtime.tables import Section

ENGINE = ("said_tokens", "seconds", "prompt_tokens", "cached_tokens", "adapters", "adapter_seconds")  # of `Counters`


def sections(measures: Measures) -> list[Section]:
    """All tables of a run that have a row."""
    m = measures
    shares = {"oracle@all": m.oracle, "shape right": m.shape_right, "cell accuracy": m.cell_accuracy}
    bins = f"Reliability of the vote (calibration error {m.calibration_error:.3f})"
    tables = [
        Section("The run", ("measure", "value"), tuple((name, f"{share:.2%}") for name, share in shares.items())),
        stages_section(m),
        *([overlap_section(m.overlap)] if m.overlap else []),
        Section("How far outputs came", ("so far", "outputs", "share"), _counts(m.reached, m.outputs)),
        Section(
            "Rank of the right answer in the vote", ("rank", "outputs"), tuple((k, str(n)) for k, n in m.ranks.items())
        ),
        Section(
            bins,
            ("first answer's votes", "outputs", "mean vote", "right"),
            tuple(
                (f"{b.low:.0%} to {b.high:.0%}", str(b.outputs), f"{b.vote:.1%}", f"{b.right:.1%}")
                for b in m.reliability
            ),
        ),
        spent_section(m),
        engine_section(m.engines),
    ]
    return [section for section in tables if section.rows]


def _counts(counts: Mapping[str, int], whole: int) -> tuple[tuple[str, ...], ...]:
    return tuple((name, str(n), f"{n / whole:.1%}") for name, n in counts.items())


def stages_section(measures: Measures) -> Section:
    """What each stage brought."""
    heads = ("stage", "tasks", "score", "solved", "gained", "lost", "work")
    rows = []
    for r in measures.stages:
        counts = (str(r.tasks), f"{r.score:.2%}", str(r.outputs_solved), f"+{r.gained}", f"-{r.lost}")
        rows.append((r.name, *counts, f"{r.seconds:.1f} s"))
    return Section("Stages: the score if it had been the last", heads, tuple(rows))


def spent_section(measures: Measures) -> Section:
    """Where each device's seconds went."""
    wall = measures.wall
    heads = ("device", *next(iter(measures.spent.values()), ()), "in all")
    rows = (
        (device, *(f"{s:.1f} s ({s / wall:.1%})" if wall else f"{s:.1f} s " for s in by.values()), f"{wall:.1f} s")
        for device, by in measures.spent.items()
    )
    return Section("Where the seconds went", heads, tuple(rows))


def engine_section(engines: Mapping[str, Mapping[str, float]]) -> Section:
    """What each device's engine said and read, and how fast."""
    heads = ("device", "tokens said", "a second", "prompt tokens", "of them cached", "adapters", "loaded in")
    rows = []
    for device, did in engines.items():
        said, seconds, prompts, cached, adapters, loading = (did.get(name, 0.0) for name in ENGINE)
        speed, share = said / max(1e-9, seconds), cached / max(1.0, prompts)
        row = (f"{said:.0f}", f"{speed:.0f}", f"{prompts:.0f}", f"{share:.1%}", f"{adapters:.0f}", f"{loading:.2f} s")
        rows.append((device, *row))
    return Section("What the engines did", heads, tuple(rows))


def overlap_section(overlap: Overlap) -> Section:
    """What each mind solves by itself, and both together, of all tasks."""
    counts = {
        "solved by both": overlap.both,
        "only by programs": overlap.only_programs,
        "only by the model": overlap.only_model,
        "by neither": overlap.neither,
        "programs alone": overlap.both + overlap.only_programs,
        "the model alone": overlap.both + overlap.only_model,
        "the run's attempts": overlap.together,
    }
    rows = _counts(counts, overlap.tasks)
    if overlap.shared is not None:
        rows = (*rows, ("of the programs' tasks the model's, too", "", f"{overlap.shared:.1%}"))
    return Section("Two minds: tasks solved, each heard alone", ("by", "tasks", "share"), rows)
