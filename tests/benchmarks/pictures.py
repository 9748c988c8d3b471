"""Nodes without a model compared with a Pillow or OpenCV call, and a video with PyAV.

Pictures are 2048×2048 and go from array to array in both, as they are held. The video is 76 frames
of 512×512, written as H.264 with the same settings.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from PIL import ImageChops, ImageDraw, ImageFont, ImageOps

from sdgraph.media import write_video
from sdgraph.nodes import Blend, Compare, Composite, Crop, Pad, Resize, Text
from sdgraph.values import Image, Mask, Video

from .timing import Row, measure_pair

SIDE = 2048
ROUNDS = 31
FRAMES, FRAME_SIDE = 76, 512
VIDEO_ROUNDS = 9

Pixels = Any
LANCZOS = PIL.Image.Resampling.LANCZOS


def _pictures() -> tuple[Image, Image, Mask]:
    import skimage.data

    one, two = (
        np.asarray(PIL.Image.fromarray(photo).resize((SIDE, SIDE)))
        for photo in (skimage.data.astronaut(), skimage.data.coffee())
    )
    ramp = np.tile(np.linspace(0, 255, SIDE).astype(np.uint8), (SIDE, 1))
    return Image(one), Image(two), Mask(ramp)


def _text(pixels: Pixels) -> Pixels:
    picture = PIL.Image.fromarray(pixels)
    font = ImageFont.load_default(96)
    ImageDraw.Draw(picture).text((4, 4), "a red star", "white", font, "la", stroke_width=4)
    return np.asarray(picture)


def _blend(one: Pixels, two: Pixels, formula: Callable[[Any, Any], Any] | None) -> Pixels:
    below, above = PIL.Image.fromarray(one), PIL.Image.fromarray(two)
    above = above if formula is None else formula(below, above)
    return np.asarray(PIL.Image.blend(below, above, 0.5))


def works() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """A node's run and the bare call that makes the same, by name."""
    one, two, mask = _pictures()
    first, second, ramp = one.numpy, two.numpy, mask.numpy
    inputs: Any = {"image": one}
    resize = Resize(**inputs, width=SIDE // 2, height=SIDE // 2)
    fill = Resize(**inputs, width=900, height=400, mode="fill")
    crop = Crop(**inputs, box=[100, 200, 1900, 1800])
    pad, mirrored = (
        Pad(**inputs, left=64, top=64, right=64, bottom=64, mode=mode)
        for mode in ("color", "reflect")
    )
    over = Composite(**inputs, over=two, mask=mask)
    text = Text(**inputs, text="a red star", size=96.0, stroke=4.0)
    side, far = Compare(**inputs, other=two), Compare(**inputs, other=two, mode="difference")
    blends = {
        name: Blend(**inputs, over=two, mode=name)
        for name in ("normal", "multiply", "screen", "overlay", "difference")
    }

    gap = np.zeros((SIDE, 4, 3), np.uint8)

    def picture(pixels: Pixels) -> PIL.Image.Image:
        return PIL.Image.fromarray(pixels)

    def pad_with_opencv(way: int) -> Pixels:
        return cv2.copyMakeBorder(first, 64, 64, 64, 64, way)

    works_by_name: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "Resize to half": (
            lambda: resize.run(one),
            lambda: np.asarray(picture(first).resize((SIDE // 2, SIDE // 2), LANCZOS)),
        ),
        "Resize, fill": (
            lambda: fill.run(one),
            lambda: np.asarray(ImageOps.fit(picture(first), (900, 400), LANCZOS)),
        ),
        "Crop": (lambda: crop.run(one), lambda: first[200:1800, 100:1900].copy()),
        "Pad, black": (lambda: pad.run(one), lambda: pad_with_opencv(cv2.BORDER_CONSTANT)),
        "Pad, reflect": (
            lambda: mirrored.run(one),
            lambda: pad_with_opencv(cv2.BORDER_REFLECT_101),
        ),
        "Composite": (
            lambda: over.run(one, two, mask),
            lambda: np.asarray(PIL.Image.composite(picture(second), picture(first), picture(ramp))),
        ),
        "Text": (lambda: text.run(one, "a red star"), lambda: _text(first)),
        "Compare, side by side": (
            lambda: side.run(one, two),
            lambda: cv2.hconcat([first, gap, second]),
        ),
        "Compare, difference": (lambda: far.run(one, two), lambda: cv2.absdiff(first, second)),
    }
    for name, node in blends.items():
        formula = None if name == "normal" else getattr(ImageChops, name)
        works_by_name[f"Blend, {name}"] = (
            partial(node.run, one, two),
            partial(_blend, first, second, formula),
        )
    return works_by_name


def bare_video(video: Video, path: Path) -> None:
    """The video written by PyAV alone, as its own examples do, with the settings of sdgraph."""
    import av

    with av.open(str(path), "w") as file:
        options = {"preset": "medium", "crf": "17"}
        rate = Fraction(video.fps)
        stream = file.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = *video.size, "yuv420p"
        for pixels in video.frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))


def _video() -> Video:
    """A photo that moves across the frame."""
    import skimage.data

    photo = np.pad(skimage.data.coffee(), ((0, 112), (0, 0), (0, 0)), "edge")
    side = FRAME_SIDE
    return Video(np.stack([photo[:side, n : n + side] for n in range(FRAMES)]), 25.0)


def rows() -> Iterator[Row]:
    """Every node on a large picture, and the video."""
    for name, (ours, bare) in works().items():
        seconds, bare_seconds, ratio = measure_pair(ours, bare, ROUNDS)
        yield Row(
            f"{SIDE}×{SIDE}: {name}",
            f"{seconds * 1e3:.1f} ms CPU",
            f"bare call {bare_seconds * 1e3:.1f} ms",
            f"{ratio:.2f}",
            "≤ 1.1",
        )
    video = _video()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "video.mp4")
        seconds, bare_seconds, ratio = measure_pair(
            lambda: write_video(video, path), lambda: bare_video(video, path), VIDEO_ROUNDS
        )
    yield Row(
        f"video of {FRAMES} frames {FRAME_SIDE}×{FRAME_SIDE} written as MP4",
        f"{seconds:.2f} s CPU",
        f"PyAV {bare_seconds:.2f} s",
        f"{ratio:.2f}",
        "≤ 1.1",
    )
