"""Hypothesis: any small picture, mask or video, and that a node leaves them as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from hypothesis import strategies as st

from sdgraph.values import Image, Mask, Video

SIDES = st.integers(1, 64)


@st.composite
def images(draw: st.DrawFn, *, size: tuple[int, int] | None = None) -> Image:
    """A picture of noise, or of one colour, RGB or RGBA."""
    width, height = size or (draw(SIDES), draw(SIDES))
    seed, flat = draw(st.integers(0, 2**32 - 1)), draw(st.booleans())
    noise = np.random.default_rng(seed).integers(
        0, 256, (1, 1, 4) if flat else (height, width, 4), np.uint8
    )
    pixels = np.broadcast_to(noise, (height, width, 4))[..., : draw(st.sampled_from([3, 4]))]
    return Image(pixels.copy())


@st.composite
def masks(draw: st.DrawFn, *, size: tuple[int, int] | None = None) -> Mask:
    """A mask of noise: empty, full, hard or soft."""
    width, height = size or (draw(SIDES), draw(SIDES))
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 256, (height, width))
    kind = draw(st.sampled_from(["empty", "full", "hard", "soft"]))
    by_kind = {
        "empty": noise * 0,
        "full": noise * 0 + 255,
        "hard": (noise > 127) * 255,
        "soft": noise,
    }
    return Mask(by_kind[kind].astype(np.uint8))


@st.composite
def videos(draw: st.DrawFn, *, size: tuple[int, int] | None = None) -> Video:
    """A video of noise, of one to six frames."""
    width, height = size or (draw(SIDES), draw(SIDES))
    shape = draw(st.integers(1, 6)), height, width, 3
    noise = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).integers(0, 256, shape, np.uint8)
    return Video(noise, draw(st.floats(0.5, 60)))


@contextmanager
def assert_unchanged(*values: Image | Mask | Video) -> Iterator[None]:
    """Checks that the pixels of the values are the same before and after."""
    arrays = [value.frames if isinstance(value, Video) else value.numpy for value in values]
    before = [array.copy() for array in arrays]
    yield
    assert all((old == new).all() for old, new in zip(before, arrays, strict=True))
