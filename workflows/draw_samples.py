"""Draws the samples of the shipped workflows: `python -m sdgraph.workflows.draw_samples`.

For the workflows of the tiny world, scenes of it. For the reference workflows, flat pictures with
near and far, clear edges, and something to mask; drawn large and shrunk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
from PIL import Image, ImageDraw

from sdgraph.media import write_video
from sdgraph.nodes.tiny_world import Scene, SceneObject, render_frames, render_masks, render_scene
from sdgraph.values import Video

SMALL = 64
"""The side of the tiny world's pictures."""

CIRCLE = Scene("gray", (SceneObject("circle", "red", "center", 0.2),))
SQUARE = Scene("gray", (SceneObject("square", "blue", "center", 0.2),))
STAR = Scene("teal", (SceneObject("star", "red", "left", 0.19),))
MOVING = Scene("teal", (SceneObject("star", "red", "center", 0.2),), "moving right")

MARGIN = 5
"""How far the circle's mask reaches beyond it: a rim left of the circle would show its colour."""

SIDE = 512
OVERSAMPLING = 4

Colour = tuple[int, int, int]


class Canvas:
    """A picture in units of its final pixels, drawn at four times the size."""

    def __init__(self, top: Colour, bottom: Colour) -> None:
        side = SIDE * OVERSAMPLING
        gradient = Image.linear_gradient("L").resize((side, side))
        self.picture = Image.composite(
            Image.new("RGB", (side, side), bottom), Image.new("RGB", (side, side), top), gradient
        )
        self._draw = ImageDraw.Draw(self.picture)

    def box(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        """Draws a filled rectangle."""
        self._draw.rectangle(self._scaled(left, top, right, bottom), fill=colour)

    def ellipse(self, left: int, top: int, right: int, bottom: int, colour: Colour) -> None:
        """Draws a filled ellipse that touches the four sides."""
        self._draw.ellipse(self._scaled(left, top, right, bottom), fill=colour)

    def polygon(self, colour: Colour, *corners: tuple[int, int]) -> None:
        """Draws a filled polygon."""
        self._draw.polygon(self._scaled(*(n for corner in corners for n in corner)), fill=colour)

    def line(self, colour: Colour, width: int, *corners: tuple[int, int]) -> None:
        """Draws a line through the corners."""
        points = self._scaled(*(n for corner in corners for n in corner))
        self._draw.line(points, fill=colour, width=width * OVERSAMPLING, joint="curve")

    def finished(self) -> Image.Image:
        """The picture at its final size."""
        return self.picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    @staticmethod
    def _scaled(*numbers: int) -> list[float]:
        return [float(number * OVERSAMPLING) for number in numbers]


def bench() -> Image.Image:
    """A dog on a park bench."""
    canvas = Canvas((150, 200, 240), (225, 240, 250))
    canvas.box(0, 300, 512, 512, (105, 165, 80))
    for left, size in ((30, 150), (350, 180)):
        canvas.box(left + size // 2 - 10, 210, left + size // 2 + 10, 320, (110, 80, 50))
        canvas.ellipse(left, 90, left + size, 90 + size, (60, 120, 60))
    for top in (270, 300, 330):
        canvas.box(70, top, 442, top + 18, (150, 100, 55))
    canvas.box(50, 372, 462, 394, (165, 110, 60))
    for left in (80, 415):
        canvas.box(left, 260, left + 16, 460, (90, 60, 35))
    fur, dark = (195, 150, 95), (95, 65, 40)
    canvas.ellipse(196, 250, 316, 392, fur)
    canvas.ellipse(190, 130, 322, 270, fur)
    canvas.polygon(dark, (196, 165), (180, 235), (216, 220))
    canvas.polygon(dark, (316, 165), (332, 235), (296, 220))
    for left in (225, 271):
        canvas.ellipse(left, 180, left + 16, 198, (30, 25, 20))
    canvas.ellipse(240, 215, 272, 238, (30, 25, 20))
    canvas.line((30, 25, 20), 3, (238, 248), (256, 254), (274, 248))
    return canvas.finished()


def bench_mask() -> Image.Image:
    """White where the dog's head is in `bench`."""
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).ellipse((170, 112, 342, 284), fill=255)
    return mask


def man() -> Image.Image:
    """A man's head and shoulders before a wall with a window."""
    canvas = Canvas((205, 195, 180), (170, 160, 150))
    canvas.box(340, 60, 470, 230, (160, 205, 235))
    canvas.line((240, 240, 235), 8, (405, 60), (405, 230))
    canvas.line((240, 240, 235), 8, (340, 145), (470, 145))
    canvas.polygon((45, 65, 105), (60, 512), (110, 400), (256, 360), (402, 400), (452, 512))
    skin, hair = (225, 180, 150), (70, 50, 35)
    canvas.box(222, 310, 290, 400, (205, 160, 130))
    canvas.ellipse(160, 110, 352, 350, skin)
    canvas.polygon(
        hair,
        (158, 220),
        (165, 120),
        (256, 78),
        (347, 120),
        (354, 220),
        (330, 160),
        (256, 140),
        (182, 160),
    )
    for left in (200, 276):
        canvas.ellipse(left, 205, left + 36, 229, (250, 250, 250))
        canvas.ellipse(left + 11, 208, left + 27, 226, (60, 80, 60))
        canvas.line(hair, 5, (left - 3, 196), (left + 39, 192))
    canvas.line((185, 135, 110), 5, (256, 225), (244, 270), (262, 272))
    canvas.line((150, 70, 65), 6, (222, 302), (256, 312), (290, 302))
    return canvas.finished()


def drinks() -> Image.Image:
    """Two glasses on a table before an empty room."""
    canvas = Canvas((185, 190, 200), (215, 215, 215))
    canvas.polygon((120, 80, 55), (0, 512), (0, 360), (512, 330), (512, 512))
    for left, top in ((110, 170), (290, 200)):
        glass, juice = (225, 235, 240), (150, 200, 70)
        canvas.polygon(
            glass, (left, top), (left + 120, top), (left + 100, top + 240), (left + 20, top + 240)
        )
        canvas.polygon(
            juice,
            (left + 6, top + 60),
            (left + 114, top + 60),
            (left + 98, top + 232),
            (left + 22, top + 232),
        )
        canvas.ellipse(left, top - 14, left + 120, top + 14, (240, 246, 250))
        canvas.ellipse(left + 78, top - 34, left + 134, top + 22, (175, 215, 90))
        canvas.line((235, 90, 80), 7, (left + 30, top - 60), (left + 66, top + 200))
    return canvas.finished()


def world(scene: Scene) -> Image.Image:
    """A scene of the tiny world."""
    return Image.fromarray(render_scene(scene, SMALL))


def red_circle_mask() -> Image.Image:
    """White where the circle is, and somewhat around it."""
    round_it = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    return Image.fromarray(cv2.dilate(render_masks(CIRCLE, SMALL)[0], round_it))


SAMPLES: dict[str, Callable[[], Image.Image]] = {
    "samples/blue_square": lambda: world(SQUARE),
    "samples/red_circle": lambda: world(CIRCLE),
    "samples/red_circle_mask": red_circle_mask,
    "samples/red_star": lambda: world(STAR),
    "reference/samples/bench": bench,
    "reference/samples/bench_mask": bench_mask,
    "reference/samples/drinks": drinks,
    "reference/samples/man": man,
}
"""Where each sample lies below the workflows → what draws it."""


VIDEOS: dict[str, Callable[[], Video]] = {
    "samples/moving_star": lambda: Video(render_frames(MOVING, 16, SMALL), 8.0),
}


def draw(folder: Path) -> None:
    """Draws every sample below a folder: pictures as PNG, videos as MP4."""
    for name, make in SAMPLES.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        make().save(path, optimize=True)
    for name, make_video in VIDEOS.items():
        write_video(make_video(), folder / f"{name}.mp4")


if __name__ == "__main__":
    draw(Path(__file__).parent)
