"""How many generators were asked for, passed each filter and were kept."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from solver.generators import prompts
from solver.generators.filters import DESCRIBED, FILTERS
from solver.generators.write import WrittenGenerator
from solver.runtime.tables import Section

SHOWN = 70  # characters of a reason in the table


@dataclass(eq=False)
class FilterCounts:
    """Sums over the generators added. `way`: they were asked for in. `reasons`: filter → why it let some not pass."""

    way: str
    asked: int = 0
    pairs: int = 0
    reasons: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, generator: WrittenGenerator) -> None:
        """Count one."""
        self.asked += 1
        self.pairs += len(generator.verdict.pairs)
        if failed := generator.verdict.failed:
            self.reasons[failed][generator.verdict.reason] += 1

    def passed(self) -> dict[str, int]:
        """How many were `asked` for, passed each filter in order, and were `kept`."""
        left, counts = self.asked, {"asked": self.asked}
        for name in self._filters():
            left -= self.reasons[name].total()
            counts[name] = left
        return counts | {"kept": left}

    def section(self) -> Section:
        """The table for people."""
        rows = [("asked for", str(self.asked), "", "")]
        passed = self.passed()
        for name in self._filters():
            reasons = self.reasons[name]
            commonest = reasons.most_common(1)[0][0][:SHOWN] if reasons else ""
            rows.append((FILTERS[name], str(passed[name]), str(reasons.total() or ""), commonest))
        rows.append((f"kept, with {self.pairs} pairs", str(passed["kept"]), "", ""))
        return Section("Generators", ("filter", "left", "lost", "commonest reason"), tuple(rows))

    def _filters(self) -> list[str]:
        return [name for name in FILTERS if name != DESCRIBED or self.way == prompts.TWO_STEP]
