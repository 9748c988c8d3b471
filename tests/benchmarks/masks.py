"""Each mask node that needs no model, compared with the OpenCV or Pillow calls it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw

from sdgraph import Node
from sdgraph.nodes import (
    MaskBox,
    MaskBrush,
    MaskEllipse,
    MaskFeather,
    MaskFillHoles,
    MaskFromAlpha,
    MaskFromColor,
    MaskFromFile,
    MaskGrabCut,
    MaskGrow,
    MaskIntersect,
    MaskInvert,
    MaskLargest,
    MaskOverlay,
    MaskPolygon,
    MaskResize,
    MaskSubtract,
    MaskUnion,
)
from sdgraph.values import Image, Mask

from .timing import Row, measure_pair

SIDE = 2048
ROUNDS = 15
BOX = [300, 200, 1700, 1900]
SMALL_BOX = [75, 50, 425, 475]
CORNERS = [[100, 100], [2000, 300], [1500, 1900], [900, 700], [200, 1800]]

Bare = Callable[[], Any]


def pictures() -> tuple[Image, Image, Mask, Mask]:
    """A photo of scikit-image's, opaque and with alpha, and two masks of hundreds of parts."""
    import skimage.data

    photo = PIL.Image.fromarray(skimage.data.astronaut()).resize((SIDE, SIDE))
    clear = photo.convert("RGBA")
    clear.putalpha(PIL.Image.linear_gradient("L").resize((SIDE, SIDE)))
    bright = np.asarray(photo.convert("L"))
    masks = (np.where(bright > value, np.uint8(255), np.uint8(0)) for value in (100, 160))
    one, other = (Mask(mask) for mask in masks)
    return Image(np.asarray(photo)), Image(np.asarray(clear)), one, other


def draw_with_pillow(shape: str, *coordinates: Any) -> Any:
    canvas = PIL.Image.new("L", (SIDE, SIDE))
    getattr(PIL.ImageDraw.Draw(canvas), shape)(*coordinates, fill=255)
    return np.asarray(canvas)


def draw_stroke() -> Any:
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    return cv2.polylines(canvas, [np.array(CORNERS, np.int32)], False, 255, 80)


def holes_filled(mask: Any) -> Any:
    _, walls = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)
    around = cv2.copyMakeBorder(walls, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(around, None, (0, 0), 255)
    return cv2.max(mask, cv2.bitwise_not(around[1:-1, 1:-1]))


def largest(mask: Any) -> Any:
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return np.where(labels == 1 + statistics[1:, 4].argmax(), mask, np.uint8(0))


def cut(pixels: Any) -> Any:
    guess = np.zeros(pixels.shape[:2], np.uint8)
    left, top, right, bottom = SMALL_BOX
    box, models = (left, top, right - left, bottom - top), (np.zeros((1, 65)), np.zeros((1, 65)))
    cv2.setRNGSeed(0)
    cv2.grabCut(pixels, guess, box, *models, 1, cv2.GC_INIT_WITH_RECT)
    return np.where(guess % 2 == 1, np.uint8(255), np.uint8(0))


def draw_overlay(pixels: Any, mask: Any) -> Any:
    picture = PIL.Image.fromarray(pixels)
    share = PIL.Image.fromarray(mask).point(lambda value: round(value / 2))
    tint = PIL.Image.new("RGB", picture.size, "red")
    return np.asarray(PIL.Image.composite(tint, picture, share))


def pairs(folder: Path) -> Iterator[tuple[Node[Any], Bare]]:
    """Each node with the bare calls that give the same pixels."""
    image, clear, mask, other = pictures()
    pixels, a, b = image.numpy, mask.numpy, other.numpy
    mask.pil.save(path := folder / "mask.png", compress_level=1)
    left, top, right, bottom = BOX
    box = (left, top, right - 1, bottom - 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
    small = Mask(np.ascontiguousarray(a[::2, ::2]))
    yield MaskFromFile(path=path), lambda: np.asarray(PIL.Image.open(path).convert("L"))
    yield (
        MaskFromAlpha(image=clear),
        lambda: cv2.bitwise_not(cv2.extractChannel(clear.numpy, 3)),
    )
    yield (
        MaskFromColor(image=image, color="#808080", tolerance=60),
        lambda: cv2.inRange(pixels, (68, 68, 68), (188, 188, 188)),
    )
    yield MaskBox(image=image, box=BOX), partial(draw_with_pillow, "rectangle", box)
    yield MaskEllipse(image=image, box=BOX), partial(draw_with_pillow, "ellipse", box)
    corners = [(x, y) for x, y in CORNERS]
    yield MaskPolygon(image=image, points=CORNERS), partial(draw_with_pillow, "polygon", corners)
    yield MaskBrush(image=image, strokes=[CORNERS], radius=40), draw_stroke
    # On the whole photo OpenCV's GrabCut alone takes 40 s.
    quarter = Image(pixels[::4, ::4])
    yield (
        MaskGrabCut(image=quarter, box=SMALL_BOX, iterations=1),
        partial(cut, quarter.numpy),
    )
    yield MaskGrow(mask=mask, by=8), lambda: cv2.dilate(a, disc)
    yield MaskFeather(mask=mask, radius=4.0), lambda: cv2.GaussianBlur(a, (0, 0), 4.0)
    yield MaskInvert(mask=mask), lambda: cv2.bitwise_not(a)
    yield (
        MaskResize(mask=small, image=image),
        lambda: np.asarray(
            PIL.Image.fromarray(small.numpy).resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)
        ),
    )
    yield MaskUnion(masks=[mask, other]), lambda: cv2.max(a, b)
    yield MaskIntersect(masks=[mask, other]), lambda: cv2.min(a, b)
    yield MaskSubtract(mask=mask, less=other), lambda: cv2.subtract(a, b)
    yield MaskFillHoles(mask=mask), partial(holes_filled, a)
    yield MaskLargest(mask=mask), partial(largest, a)
    yield MaskOverlay(image=image, mask=mask), partial(draw_overlay, pixels, a)


def rows() -> Iterator[Row]:
    """CPU milliseconds of both, their ratio, and whether the pixels agree.

    Of a node it is `run` alone: what a graph takes beside it is among the figures of the engine.
    """
    with TemporaryDirectory() as folder:
        for node, script in pairs(Path(folder)):
            ours = partial(node.run, **node.arguments({}))
            image = ours()
            equal = np.array_equal(image.numpy, script())
            mine, its, ratio = measure_pair(ours, script, ROUNDS)
            yield Row(
                f"{image.width}×{image.height}: {type(node).__name__}",
                f"{mine * 1e3:.2f} ms CPU",
                f"bare calls {its * 1e3:.2f} ms",
                f"{ratio:.2f}, pixels {'equal' if equal else 'DIFFER'}",
                "≤ 1.1, equal",
            )
