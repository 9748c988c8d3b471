"""The size of a picture is known before a run where files and fields tell it, and is then exact."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Graph, Node, Session, run
from sdgraph import nodes as library
from sdgraph.nodes.image.known_size import known_size
from sdgraph.values import DepthMap, EdgeMap, Image, Mask
from tests.support import toys

SIZE = (40, 24)


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., Path]:
    """Writes a picture of a size, with a red box and transparent parts, into a file."""

    def write(name: str = "photo.png", size: tuple[int, int] = SIZE, mode: str = "RGB") -> Path:
        pixels = PIL.Image.new("RGBA" if mode == "RGBA" else "RGB", size, "navy")
        pixels.paste("red", (2, 2, size[0] // 2, size[1] // 2))
        if mode == "RGBA":
            pixels.putalpha(PIL.Image.linear_gradient("L").resize(size))
        (pixels if mode == "RGBA" else pixels.convert(mode)).save(tmp_path / name)
        return tmp_path / name

    return write


def nodes_of_known_size(photo: Any, clear: Any, mask: Any) -> list[Node[Any]]:
    """A node of each model-free type whose size is known before the run."""
    depth = library.DepthFromFile(path=mask.path)
    return [
        photo,
        mask,
        library.Resize(image=photo, width=17, height=9),
        library.Resize(image=photo, width=17, height=16, mode="fit"),
        library.Resize(image=photo, width=33, height=30, mode="fit", multiple=8),
        library.Resize(image=photo, width=33, height=30, mode="fill", multiple=8),
        library.Crop(image=photo, width=10),
        library.Crop(image=photo, box=[1, 2, 9, 20]),
        library.Pad(image=photo, left=3, bottom=4),
        library.Pad(image=photo, width=50, height=60),
        library.Composite(image=photo, over=clear),
        library.Blend(image=photo, over=photo),
        library.Text(image=photo, text="a"),
        library.Canny(image=photo),
        library.SoftEdges(image=photo),
        library.Scribble(image=photo),
        depth,
        library.NormalsFromDepth(depth=depth),
        library.EdgesFromFile(path=photo.path),
        library.PoseDraw(people=[{"nose": [3, 4]}], width=30, height=20),
        library.MaskBox(image=photo, box=[1, 1, 9, 9]),
        library.MaskGrabCut(image=photo, box=[1, 1, 24, 16]),
        library.MaskFromAlpha(image=clear),
        library.MaskFromColor(image=photo, color="red"),
        library.MaskGrow(mask=mask),
        library.MaskFeather(mask=mask),
        library.MaskInvert(mask=mask),
        library.MaskResize(mask=mask, image=library.Crop(image=photo, width=10)),
        library.MaskFillHoles(mask=mask),
        library.MaskLargest(mask=mask),
        library.MaskUnion(masks=[mask, library.MaskInvert(mask=mask)]),
        library.MaskIntersect(masks=[mask, library.MaskInvert(mask=mask)]),
        library.MaskSubtract(mask=mask, less=mask),
        library.MaskOverlay(image=photo, mask=mask),
        library.Mask(image=photo, box=[1, 1, 9, 9]),
        library.Mask(path=photo.path),
        library.Mask(path=photo.path, width=30, height=20),
        library.Mask(box=[1, 1, 9, 9], width=30, height=20),
    ]


def test_what_is_known_before_is_what_the_run_makes(picture: Callable[..., Path]) -> None:
    photo = library.LoadImage(path=picture())
    clear = library.LoadImage(path=picture("clear.png", mode="RGBA"))
    mask = library.MaskFromFile(path=picture("mask.png", mode="L"))
    nodes = nodes_of_known_size(photo, clear, mask)
    values = run(*nodes, session=Session(device="cpu", store=None))
    for node, value in zip(nodes, values, strict=True):
        assert known_size(node) == value.size, node


def test_an_unknown_node_or_a_long_chain_has_no_known_size(picture: Callable[..., Path]) -> None:
    assert known_size(toys.Square()) is None
    node: Any = library.LoadImage(path=picture())
    assert known_size(Image(np.zeros((3, 5, 3), np.uint8))) == (5, 3)
    for _ in range(100):
        node = library.Blend(image=node, over=node)
    assert known_size(node) is None
    assert known_size(library.LoadImage(path="no.png")) is None
    assert known_size(library.Text2Image(prompt="a")) is None
    assert known_size(library.Text2Image(prompt="a", width=64, height=72)) == (64, 72)


def graphs(photo: Any, mask: Any, edges: Any, depth: Any, small: Any) -> list[tuple[Any, str, str]]:
    """Nodes whose pictures differ in size, each with the field that is wrong, and the words."""
    plain: dict[str, Any] = {"prompt": "a", "steps": 2}
    return [
        (library.Inpaint(image=photo, mask=mask, **plain), "mask", "20×10, and the image is 40×24"),
        (library.ControlNet(control=edges, image=photo, **plain), "control", "control map 1"),
        (library.ControlNet(control=[library.Canny(image=photo), edges], **plain), "control", "2"),
        (library.DepthToImage(image=photo, depth=depth, **plain), "depth", "20×10"),
        (library.MaskOverlay(image=photo, mask=mask), "mask", "resize the mask"),
        (library.Composite(image=photo, over=photo, mask=mask), "mask", "picture on top is 40×24"),
        (library.Blend(image=photo, over=small), "over", "20×10"),
        (library.Compare(image=photo, other=small, mode="difference"), "other", "20×10"),
        (library.VideoFromFrames(frames=[photo, small]), "frames", "picture number 2"),
        (
            library.MaskUnion(masks=[mask, library.MaskBox(image=photo, box=[1, 1, 3, 3])]),
            "masks",
            "40×24, and the first mask is 20×10",
        ),
        (
            library.MaskSubtract(mask=mask, less=library.MaskBox(image=photo, box=[1, 1, 3, 3])),
            "less",
            "mask to subtract",
        ),
        (library.Crop(image=small, width=30), "image", "reaches beyond the 20×10"),
        (library.Pad(image=photo, width=30), "width", "at least 40"),
    ]


def test_pictures_of_two_sizes_are_refused_before_the_run(picture: Callable[..., Path]) -> None:
    small_file = picture("small.png", (20, 10), "L")
    photo = library.LoadImage(path=picture())
    mask = library.MaskFromFile(path=small_file)
    edges, depth = library.EdgesFromFile(path=small_file), library.DepthFromFile(path=small_file)
    small = library.LoadImage(path=small_file)
    for node, field, words in graphs(photo, mask, edges, depth, small):
        problems = Graph.of(node).check()
        assert len(problems) == 1, node
        assert problems[0].subject.endswith(f".{field}") and words in str(problems[0])


def test_literal_values_are_compared_too() -> None:
    grey = np.zeros((8, 6, 3), np.uint8)
    node = library.Inpaint(
        image=Image(grey), mask=Mask(np.zeros((4, 4), np.uint8)), prompt="a", steps=2
    )
    assert [problem.subject for problem in node.check()] == ["mask"]
    maps: Any = [EdgeMap(grey), DepthMap(np.arange(20, dtype=np.float32).reshape(4, 5))]
    control = library.ControlNet(control=maps, prompt="a", steps=2)
    assert [problem.subject for problem in control.check()] == ["control"]


def test_the_same_sizes_are_no_problem(picture: Callable[..., Path]) -> None:
    photo = library.LoadImage(path=picture())
    mask = library.MaskResize(mask=library.MaskFromFile(path=picture("m.png", (9, 9))), image=photo)
    assert list(library.Inpaint(image=photo, mask=mask, prompt="a", steps=2).check()) == []
