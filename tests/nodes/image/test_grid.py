"""A contact sheet: every picture in its cell, every label under its picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageFont

from sdgraph import Node, Session, run
from sdgraph.nodes import Grid
from sdgraph.nodes.image.grid import LINES, wrap_label
from sdgraph.values import Image
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import clear_photo, photo

COLORS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]


def plain(color: tuple[int, int, int], width: int = 20, height: int = 20) -> Image:
    return Image(np.full((height, width, 3), color, np.uint8))


@settings(max_examples=30)
@given(st.integers(1, 5), st.integers(0, 6), st.integers(16, 40), st.integers(0, 9), st.booleans())
def test_each_picture_stands_in_its_cell(
    session: Session, count: int, columns: int, cell: int, gap: int, labelled: bool
) -> None:
    images: list[Image | Node[Image]] = [plain(color) for color in COLORS[:count]]
    labels = [f"n={n}" for n in range(count)] if labelled else []
    result = run(
        Grid(images=images, labels=labels, columns=columns, cell=cell, gap=gap), session=session
    )
    across = min(columns or int(np.ceil(np.sqrt(count))), count)
    rows = -(-count // across)
    assert result.width == across * (cell + gap) + gap
    step = (result.height - gap) // rows
    assert step > cell + gap if labelled else step == cell + gap
    for place, color in enumerate(COLORS[:count]):
        row, column = divmod(place, across)
        top, left = gap + row * step, gap + column * (cell + gap)
        assert (result.numpy[top : top + cell, left : left + cell] == color).all()


def test_proportions_are_kept_in_the_middle_of_the_cell(session: Session) -> None:
    result = run(Grid(images=[plain((9, 9, 9), 40, 10)], cell=40, gap=0), session=session).numpy
    assert (result[15:25] == 9).all() and (result[:15] == 255).all() and (result[25:] == 255).all()


def test_labels_are_drawn_in_what_can_be_read_on_the_background(session: Session) -> None:
    for background, ink in (("white", 0), ("#101010", 255)):
        grid = Grid(images=[plain((128, 0, 0))], labels=["seed=3"], background=background, cell=64)
        label = run(grid, session=session).numpy[8 + 64 :]
        assert (abs(label.astype(int) - ink) < 60).all(axis=-1).any()


def test_a_clear_picture_shows_the_background(session: Session) -> None:
    clear = Image(np.zeros((20, 20, 4), np.uint8))
    result = run(Grid(images=[clear], background="#123456", cell=32), session=session)
    assert (result.numpy == (0x12, 0x34, 0x56)).all()
    run(Grid(images=[clear_photo(75, 53), photo(20, 90)]), session=session)


@given(st.text(max_size=200), st.integers(16, 400))
def test_a_label_is_never_wider_than_its_cell(label: str, width: int) -> None:
    font = ImageFont.load_default(12)
    lines = wrap_label(label, font, width)
    assert 1 <= len(lines) <= LINES
    assert all(font.getlength(line) <= max(width, font.getlength("…")) for line in lines)


def test_a_label_that_fits_is_left_whole() -> None:
    assert wrap_label("seed=3 style=ink", ImageFont.load_default(12), 400) == ["seed=3 style=ink"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": ["one"]}, "1 labels for 2 pictures"),
        ({"background": "reddish"}, "a colour name"),
        ({"cell": 4096, "columns": 1, "images": [photo(9, 9)] * 6}, "make the cells smaller"),
        ({"images": []}, "at least 1"),
    ],
)
def test_what_makes_no_sheet_is_refused(fields: dict[str, object], message: str) -> None:
    assert message in refused_at_construction(Grid, **{"images": [photo(9, 9)] * 2, **fields})
