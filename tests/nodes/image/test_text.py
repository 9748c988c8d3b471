"""Text is drawn where it should be, in its colour, on pictures of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ImageDraw, ImageFont

from sdgraph import Session, run
from sdgraph.nodes import Text
from sdgraph.nodes.image.text import Anchor
from sdgraph.values import Image
from tests.support.arbitrary_images import assert_unchanged, images
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo

ANCHORS = get_args(Anchor)
BLACK = Image(np.zeros((100, 200, 3), np.uint8))


def box_of_text(image: Image) -> tuple[int, int, int, int]:
    """The box of what is not black: left, top, right, bottom."""
    rows, columns = np.nonzero(image.numpy[..., :3].any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def test_it_equals_pillow(session: Session) -> None:
    image = photo(120, 60)
    result = run(Text(image=image, text="Käse\n+", size=20.0, stroke=2.0), session=session)
    picture = image.pil
    ImageDraw.Draw(picture).text(
        (4, 4),
        "Käse\n+",
        "white",
        ImageFont.load_default(20),
        "la",
        stroke_width=2,
        stroke_fill="black",
    )
    assert (result.numpy == np.asarray(picture)).all()


@pytest.mark.parametrize("anchor", ANCHORS)
def test_it_stands_at_its_side_of_the_picture(session: Session, anchor: Any) -> None:
    left, top, right, bottom = box_of_text(
        run(Text(image=BLACK, text="star", anchor=anchor), session=session)
    )
    assert ("left" in anchor) == (left < 12) and ("right" in anchor) == (right > 187)
    assert ("top" in anchor) == (top < 20) and ("bottom" in anchor) == (bottom > 80)
    if anchor in ("top", "center", "bottom"):
        assert abs(left - (199 - right)) <= 3
    if anchor in ("left", "center", "right"):
        assert abs((top + bottom) / 2 - 50) < 8


def test_it_stands_at_its_position(session: Session) -> None:
    result = run(
        Text(image=BLACK, text="x", position=[150, 80], anchor="bottom right"), session=session
    )
    left, top, right, bottom = box_of_text(result)
    assert 130 < left <= right <= 150 and 50 < top <= bottom <= 80


def test_larger_letters_take_more_room_and_a_stroke_surrounds_them(session: Session) -> None:
    small, large = (
        box_of_text(run(Text(image=BLACK, text="x", size=s), session=session)) for s in (12.0, 48.0)
    )
    assert large[3] - large[1] > 3 * (small[3] - small[1])
    stroked = Text(image=BLACK, text="x", color="red", stroke=3.0, stroke_color="blue")
    pixels = run(stroked, session=session).numpy
    assert (pixels == (255, 0, 0)).all(axis=2).any() and (pixels == (0, 0, 255)).all(axis=2).any()


def test_a_sheer_colour_lets_the_picture_through(session: Session) -> None:
    white = Image(np.full((40, 80, 3), 200, np.uint8))
    result = run(Text(image=white, text="███", color="#00000080", size=32.0), session=session).numpy
    assert result.min() > 80
    solid = run(Text(image=white, text="███", color="black", size=32.0), session=session).numpy
    assert solid.min() < 40


def test_on_a_clear_picture_only_the_letters_are_opaque(session: Session) -> None:
    clear = Image(np.zeros((60, 120, 4), np.uint8))
    result = run(Text(image=clear, text="star", color="red"), session=session).numpy
    assert result[..., 3].max() == 255 and result[0, 0, 3] == 0
    marked = result[..., 3] > 0
    assert (result[marked][:, :3] == (255, 0, 0)).all()
    half = clear_photo(60, 40)
    kept = run(Text(image=half, text=""), session=session).numpy
    opaque = half.numpy[..., 3] > 0
    assert (kept[opaque] == half.numpy[opaque]).all()


def test_a_font_from_a_file_is_used(session: Session, tmp_path: Path) -> None:
    default: Any = ImageFont.load_default(24)
    (path := tmp_path / "font.ttf").write_bytes(default.font_bytes)
    result = run(Text(image=BLACK, text="a star", font=path, size=30.0), session=session)
    picture = BLACK.pil
    ImageDraw.Draw(picture).text((4, 4), "a star", "white", ImageFont.truetype(path, 30), "la")
    assert (result.numpy == np.asarray(picture)).all()
    path.write_bytes(b"no font")
    text = refused_before_load(Text(image=BLACK, text="a", font=path))
    assert "text.font" in text and "TrueType" in text
    assert "no such file" in refused_before_load(Text(image=BLACK, text="a", font=tmp_path / "x"))


@settings(deadline=None, max_examples=60)
@given(
    images(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.fixed_dictionaries(
        {
            "anchor": st.sampled_from(ANCHORS),
            "position": st.none() | st.lists(st.integers(-100, 100), min_size=2, max_size=2),
            "size": st.floats(1, 60),
            "stroke": st.floats(0, 8),
            "color": st.sampled_from(["white", "#ff000080", "hsl(120,100%,50%)"]),
        }
    ),
)
def test_any_words_on_any_picture(image: Image, text: str, fields: dict[str, Any]) -> None:
    with assert_unchanged(image):
        result = Text(image=image, text=text, **fields).run(image, text)
    assert type(result) is Image and result.numpy.shape == image.numpy.shape


def test_a_text_that_fits_no_picture_is_refused(session: Session) -> None:
    assert "10001 characters" in str(failure(Text(image=BLACK, text="x" * 10_001), session))
    long = Text(image=BLACK, text="x" * 10_000, size=1024.0)
    assert "cannot be drawn" in str(failure(long, session))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"color": "no such colour"}, "Text.color"),
        ({"stroke_color": "#12"}, "Text.stroke_color"),
        ({"position": [1]}, "Text.position"),
        ({"position": [10**9, 0]}, "Text.position"),
        ({"position": [0.5, 0]}, "Text.position"),
        ({"anchor": "middle"}, "Text.anchor"),
        ({"size": 0.0}, "Text.size"),
    ],
)
def test_what_is_no_lettering_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refused_at_construction(Text, image=BLACK, text="a", **fields)
