"""Pictures of tasks: every cell in its colour and place, in the terminal, as SVG and as PNG."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from PIL import Image

from solver.analysis import show
from solver.analysis.solutions import read_solutions
from solver.data.tasks import load_split
from solver.types import Grid, Pair, Task

SVG = "{http://www.w3.org/2000/svg}"
GRIDS = nps.arrays(np.uint8, nps.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 9))
TASK = Task(
    "00000000",
    (Pair(np.array([[0, 1, 1], [2, 2, 0]], dtype=np.uint8), np.array([[9]], dtype=np.uint8)),),
    (np.array([[5, 6], [7, 8], [3, 4]], dtype=np.uint8),),
)
ANSWER: Grid = np.array([[4, 4]], dtype=np.uint8)


def filled(path: str, shape: tuple[int, ...], side: int) -> np.ndarray:
    """Which cells a path of horizontal runs covers."""
    covered = np.zeros(shape, dtype=bool)
    runs = re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)H(\d+)z", path)
    assert "".join("M{} {}h{}v{}H{}z".format(*run) for run in runs) == path
    for left, top, width, height, back in (map(int, run) for run in runs):
        assert (height, back) == (side, left)
        assert not covered[top // side, left // side : (left + width) // side].any()
        covered[top // side, left // side : (left + width) // side] = True
    return covered


@settings(deadline=None, max_examples=50)
@given(GRIDS, st.sampled_from([1, 16]))
def test_the_paths_of_a_grid_cover_each_cell_once_in_its_own_colour(grid: Grid, side: int) -> None:
    for colour in range(10):
        assert (filled(show.path_of(grid, colour, side), grid.shape, side) == (grid == colour)).all()


def test_the_svg_is_valid_and_holds_every_grid() -> None:
    picture = show.layout([(TASK, [ANSWER])])
    root = ET.fromstring(show.svg(picture, digits=True))
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert [t for t in texts if t in ("input 1", "output 1", "test input 1", "test output 1")] == [
        *("input 1", "output 1", "test input 1", "test output 1")
    ]
    assert "00000000" in texts
    digits = "".join(t for t in texts if t and len(t) == 1)
    assert digits == "011220" + "9" + "567834" + "44"
    assert (root.get("width"), root.get("height")) == (str(picture.width), str(picture.height))


def test_panels_lie_inside_the_picture_and_never_on_each_other() -> None:
    picture = show.layout([(TASK, [ANSWER]), (TASK, [])])
    boxes = [(p.left, p.top, p.left + p.width, p.top + p.height) for p in picture.panels]
    assert len(boxes) == 4 + 3
    assert all(right <= picture.width and bottom <= picture.height for _, _, right, bottom in boxes)
    for n, (left, top, right, bottom) in enumerate(boxes):
        for other in boxes[:n]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_the_png_has_each_cell_s_colour_in_its_place() -> None:
    picture = show.layout([(TASK, [ANSWER])])
    image = show.png(picture)
    assert image.size == (picture.width * 2, picture.height * 2)
    for panel in picture.panels:
        for (r, c), colour in np.ndenumerate(panel.grid):
            x, y = panel.left + c * show.CELL + 8, panel.top + show.LABEL + r * show.CELL + 8
            assert "#{:02X}{:02X}{:02X}".format(*image.getpixel((2 * x, 2 * y))) == show.PALETTE[colour]


def test_a_terminal_shows_colours_as_backgrounds_two_characters_a_cell() -> None:
    [row] = show.ansi(np.array([[0, 2]], dtype=np.uint8), colour=True, digits=True)
    assert row == "\x1b[48;2;0;0;0;97m0 \x1b[0m\x1b[48;2;255;65;54;97m2 \x1b[0m"


def test_without_colours_the_digits_are_printed() -> None:
    assert show.text(TASK, [ANSWER], colour=False, digits=False).splitlines() == [
        *("task 00000000", "", "input 1   output 1", "0 1 1     9", "2 2 0", ""),
        *("test input 1   test output 1", "5 6            4 4", "7 8", "3 4"),
    ]


@pytest.mark.slow
def test_test_outputs_are_shown_where_they_are_asked_for_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main(["60c09cac"]) == 0
    plain = capsys.readouterr().out
    assert "test input 1" in plain
    assert "test output" not in plain
    assert show.main(["60c09cac", "--answers"]) == 0
    [answer] = read_solutions("dry-run")["60c09cac"]
    shown = capsys.readouterr().out
    assert "test output 1" in shown
    assert " ".join(map(str, answer[0])) in shown


def test_files_are_written_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg, png = tmp_path / "t.svg", tmp_path / "t.png"
    ids = ["3979b1a8", "60c09cac"]
    assert show.main([*ids, "--split", "dry-run", "--svg", str(svg), "--png", str(png), "--digits"]) == 0
    assert capsys.readouterr().out.splitlines() == [str(svg), str(png)]
    assert [i for i in ids if i in svg.read_text()] == ids
    with Image.open(png) as image:
        assert image.format == "PNG"


def test_a_file_of_one_s_own_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show.main(["017c7c7b", "--challenges", "tests/data/re_arc_challenges.json"]) == 0
    assert capsys.readouterr().out.startswith("task 017c7c7b\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nonsense"], 'unknown task id "nonsense"'),
        (["60c09cac", "--split", "nonsense"], 'unknown split "nonsense"'),
        (["x", "--challenges", "/nowhere"], "/nowhere cannot be read"),
        (["x", "--challenges", "tests/data/re_arc_challenges.json", "--answers"], "a challenges file has none"),
        (["60c09cac", "--svg", "/nowhere/x.svg"], "No such file or directory"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    given: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show.main(given) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1


def test_every_task_of_a_set_can_be_laid_out() -> None:
    tasks = load_split("arc2-evaluation").tasks
    assert len(show.layout((task, ()) for task in tasks).titles) == 120
