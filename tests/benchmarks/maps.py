"""Each node that makes a control map without a model, compared with the OpenCV calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import PIL.Image

from sdgraph import Node
from sdgraph.nodes import Canny, EdgesFromFile, NormalsFromDepth, Scribble, SoftEdges
from sdgraph.values import DepthMap, Image

from .timing import Row, measure_pair

SIDE = 2048
ROUNDS = 9

Pixels = Any


def grey(pixels: Pixels) -> Pixels:
    return cv2.merge([pixels] * 3)


def slopes(pixels: Pixels, deviation: float) -> tuple[Pixels, Pixels]:
    """A Gaussian's derivative along one axis and the Gaussian along the other, both ways."""
    steps = np.arange(-round(3 * deviation), round(3 * deviation) + 1, dtype=np.float32)
    bell = np.exp(-((steps / deviation) ** 2) / 2)
    slope = steps * bell
    across, along = slope / slope[slope > 0].sum(), bell / bell.sum()
    right = cv2.sepFilter2D(pixels, cv2.CV_16S, across, along, borderType=cv2.BORDER_REPLICATE)
    down = cv2.sepFilter2D(pixels, cv2.CV_16S, along, across, borderType=cv2.BORDER_REPLICATE)
    return right, down


def soft_edges(pixels: Pixels) -> Pixels:
    right, down = (slope.astype(np.float32) for slope in slopes(pixels, 2.0))
    red, green, blue = cv2.split(cv2.magnitude(right, down))
    return grey(cv2.convertScaleAbs(cv2.max(cv2.max(red, green), blue), alpha=2))


def draw_scribble(pixels: Pixels) -> Pixels:
    lines = cv2.Canny(*slopes(pixels, 3.0), 25.5, 63.75, L2gradient=True)
    return grey(cv2.dilate(lines, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))))


def normals(depth: Any) -> Pixels:
    share = cv2.normalize(depth, None, 0, 1, cv2.NORM_MINMAX)
    border = cv2.BORDER_REPLICATE
    across = cv2.Sobel(share, cv2.CV_32F, 1, 0, scale=SIDE / 8, borderType=border)
    down = cv2.Sobel(share, cv2.CV_32F, 0, 1, scale=SIDE / 8, borderType=border)
    across[:, [0, -1]] *= 2
    down[[0, -1]] *= 2
    behind = share < 0.4
    across[behind] = down[behind] = 0
    length = cv2.magnitude(cv2.magnitude(across, down), np.ones_like(share))
    normal = cv2.merge([across / length, down / length, 1 / length])
    return np.rint(normal * 127.5 + 127.5).astype(np.uint8)


def pairs() -> Iterator[tuple[Node[Any], Callable[[], Pixels]]]:
    """Each node with the bare calls that give the same pixels."""
    import skimage.data

    photo = PIL.Image.fromarray(skimage.data.astronaut()).resize((SIDE, SIDE))
    image, pixels = Image(np.asarray(photo)), np.asarray(photo)
    depth = cv2.GaussianBlur(np.asarray(photo.convert("L"), np.float32), (0, 0), 4.0)
    yield Canny(image=image), lambda: grey(cv2.Canny(pixels, 100, 200))
    yield SoftEdges(image=image), partial(soft_edges, pixels)
    yield Scribble(image=image), partial(draw_scribble, pixels)
    yield NormalsFromDepth(depth=DepthMap(depth)), partial(normals, depth)
    with TemporaryDirectory() as folder:
        path = Path(folder, "edges.png")
        photo.save(path)
        # The other maps from files are read by the same code.
        yield EdgesFromFile(path=path), lambda: np.asarray(PIL.Image.open(path).convert("RGB"))


def rows() -> Iterator[Row]:
    """CPU milliseconds of both, their ratio, and whether the pixels agree to one level."""
    for node, bare in pairs():
        ours = partial(node.run, **node.arguments({}))
        far = np.abs(ours().numpy.astype(int) - bare()).max()
        mine, its, ratio = measure_pair(ours, bare, ROUNDS)
        yield Row(
            f"{SIDE}×{SIDE}: {type(node).__name__}",
            f"{mine * 1e3:.1f} ms CPU",
            f"bare calls {its * 1e3:.1f} ms",
            f"{ratio:.2f}, pixels {'equal' if far <= 1 else 'DIFFER'}",
            "≤ 1.1, equal",
        )
