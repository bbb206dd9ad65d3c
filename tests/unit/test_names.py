"""Names: the field's words alone, one public class a name, and locals that say what they hold."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOLVER = Path(__file__).resolve().parents[2] / "solver"
COINED = {
    *("teach", "learn_together", "borrow", "consult", "reuse", "lesson", "Lesson", "Duty", "Seat", "Grant", "Telling"),
    *("Contest", "Reading", "warm", "outright", "InTurns", "rest", "wake", "side_by_side", "ask", "find", "reread"),
    *("Work", "Hear", "hear", "Growing", "minds", "heard", "doubt", "doubts", "put_on", "lay", "beside", "beyond"),
    *("settled", "further", "planes", "endings", "lenses"),
}
VAGUE = {"found", "made"}  # locals that name an act, not the thing


def trees() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOLVER.rglob("*.py")):
        yield path.relative_to(SOLVER.parent).as_posix(), ast.parse(path.read_text())


def defined(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of every function, class, parameter, attribute and constant that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        if isinstance(node, ast.ClassDef | ast.Module):
            for line in node.body:
                targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                yield from ((line.lineno, target.id) for target in targets if isinstance(target, ast.Name))


def test_no_definition_has_a_coined_name_where_the_field_has_a_word() -> None:
    coined = [
        f"{path}:{line} {name}" for path, tree in trees() for line, name in defined(tree) if name.strip("_") in COINED
    ]
    assert coined == []


def test_no_two_public_classes_share_a_name() -> None:
    places: defaultdict[str, list[str]] = defaultdict(list)
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_fewer_than_150_lines_have_a_local_called_found_or_made() -> None:
    lines = {
        (path, node.lineno)
        for path, tree in trees()
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id in VAGUE) or (isinstance(node, ast.arg) and node.arg in VAGUE)
    }
    assert len(lines) < 150
