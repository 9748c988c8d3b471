"""Every node of the library keeps the promises that `sdgraph.testing` checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Lora, Node
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Frames
from sdgraph.nodes.training.data import WorldDataset
from sdgraph.testing import check_node
from sdgraph.values import DepthMap, EdgeMap, Image, Video
from tests.support.library_nodes import LITERALS, NODE_CLASSES, fields_with_files
from tests.support.photos import clear_photo, photo, spot

VIDEO = Path(__file__).parents[2] / "workflows" / "samples" / "moving_star.mp4"


@dataclass(frozen=True)
class Example:
    """A node of the library for `check_node`."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Its fields besides the required ones."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()


def example(*fixed: str, changes: Mapping[str, Any] | None = None, **fields: Any) -> Example:
    return Example(fields, changes or {}, frozenset(fixed))


TUNING = {"tuning": {"vae": "tiled"}}
ADAPTER = {
    "ip_adapter": Lora(shipped_folder("tiny/ip-adapter")),
    "image_encoder": Checkpoint("tiny/depth", subfolder="image_encoder"),
}
WITHOUT_REFERENCE = example(*ADAPTER, changes=TUNING)
WITH_REFERENCE = example(changes={**TUNING, **ADAPTER}, reference=photo(8, 8))
EDGES = EdgeMap(np.zeros((8, 8, 3), np.uint8))
BRIGHT_SQUARE = Image(
    np.pad(np.full((12, 12, 3), 230, np.uint8), ((10, 10), (10, 10), (0, 0)), constant_values=20)
)
MASK_SOURCES = {
    "path": None,
    "box": [0, 0, 4, 4],
    "ellipse": [0, 0, 4, 4],
    "polygon": [[0, 0], [5, 0], [0, 5]],
    "color": "#e6e6e6",
    "alpha": True,
}
"""Of these fields of Mask exactly one may be given."""

CANNOT_CHANGE_ALONE = {("Mask", "alpha")}


def mask_examples() -> Iterator[Example]:
    """A Mask by each of its sources."""
    yield example(*MASK_SOURCES.keys() - {"path"}, "width", "height")
    picture = Image(np.dstack([np.full((8, 8, 3), 230, np.uint8), np.eye(8, dtype=np.uint8)]))
    for source, value in list(MASK_SOURCES.items())[1:]:
        others = MASK_SOURCES.keys() - {source}
        size = {"width": 8, "height": 8}
        changes = {"color": "#e5e5e5"} if source == "color" else {}
        fixed = others | ({"alpha"} if source == "alpha" else set())
        fields = {"path": None, "image": picture, source: value, **size}
        yield example(*fixed, changes=changes, **fields)


EXAMPLES: dict[str, list[Example]] = {
    "AnimateCharacter": [
        example("background", "mask", changes=TUNING),
        example(background=LITERALS[Video], mask=spot(8, 8), changes=TUNING),
    ],
    "Compare": [example(changes={"labels": ["one", "other"]})],
    "ControlNet": [
        example(
            "start", "mask", "padding_mask_crop", *ADAPTER, changes={**TUNING, "control": EDGES}
        ),
        example(
            changes={**TUNING, **ADAPTER, "control": EDGES, "start": 0.5, "padding_mask_crop": 8},
            image=photo(8, 8),
            mask=spot(8, 8),
            reference=photo(8, 8),
        ),
    ],
    "Crop": [example("box"), example("width", "height", width=None, box=[0, 0, 4, 4])],
    "DepthToImage": [example(changes={**TUNING, "depth": DepthMap(np.eye(8))})],
    "Edit": [example(changes=TUNING)],
    "Variation": [example(changes=TUNING)],
    "Upscale": [example(changes=TUNING)],
    "Image2Image": [example(changes=TUNING)],
    "Image2Video": [
        example("between", "at", changes=TUNING),
        example(
            between=[photo(8, 8)], at=[1], changes={**TUNING, "between": [photo(9, 9)], "at": [2]}
        ),
    ],
    "Inpaint": [WITHOUT_REFERENCE, WITH_REFERENCE],
    "Modular": [
        example(
            changes={
                "prompt": "a cat",
                "image": photo(8, 8),
                "mask": spot(8, 8),
                "inputs": {"width": 64},
                "checkpoint": Checkpoint("tiny/turbo"),
            },
            checkpoint=Checkpoint("tiny/text-to-image"),
        )
    ],
    "LoadVideo": [example(path=VIDEO)],
    "Mask": [*mask_examples()],
    "MaskBySam": [
        example("points", "labels"),
        example(
            points=[[1, 1]],
            labels=[1],
            changes={"points": [[2, 2]], "labels": [0], "box": [0, 0, 3, 3]},
        ),
    ],
    "MaskFromAlpha": [example(image=clear_photo(8, 8))],
    "MaskFromColor": [example(color="#e6e6e6", image=BRIGHT_SQUARE)],
    "MaskGrabCut": [example(box=[8, 8, 24, 24], image=BRIGHT_SQUARE)],
    "MaskOverlay": [example(changes={"color": "blue"})],
    "Text": [example(changes={"position": [1, 2]})],
    "Text2Image": [
        example(*ADAPTER, "refiner_start", changes=TUNING),
        example("refiner_start", changes={**TUNING, **ADAPTER}, reference=photo(8, 8)),
        example(
            *ADAPTER,
            changes={
                **TUNING,
                "checkpoint": Checkpoint("tiny/turbo"),
                "refiner_start": 0.5,
            },
            checkpoint=Checkpoint("tiny/sdxl"),
            refiner=Checkpoint("tiny/sdxl"),
        ),
    ],
    "Text2Video": [example(changes=TUNING)],
    "TinyWorld": [
        example("motions", count=2),
        example("pairs", count=2, moving=True, changes={"motions": ["growing"]}),
    ],
    "Turbo": [example("image", changes=TUNING), example(steps=4, changes=TUNING)],
    "Video2Video": [example(changes=TUNING)],
    "VideoControl": [
        example("video", "mask", "frames", "seconds", changes=TUNING),
        example(
            *("control", "video", "mask", "seconds"),
            changes=TUNING,
            control=None,
            reference=photo(8, 8),
        ),
        example("frames", "seconds", video=LITERALS[Video], mask=spot(8, 8), changes=TUNING),
        example(
            *("control", "video", "mask", "frames"),
            changes={**TUNING, "seconds": 2.0},
            control=None,
            reference=photo(8, 8),
        ),
    ],
    "VideoFromFrames": [example(frames=Frames(video=LITERALS[list(LITERALS)[2]]))],
}
"""The nodes for which `check_node` needs more than the fields that are required."""

CASES = [(cls, each) for cls in NODE_CLASSES for each in EXAMPLES.get(cls.__name__, [Example()])]


def write_inputs(folder: Path) -> None:
    """Gives a grey picture to the nodes that read one."""
    PIL.Image.linear_gradient("L").save(folder / "grey.png")


@pytest.mark.parametrize(
    ("cls", "case"), CASES, ids=lambda value: getattr(value, "__name__", "example")
)
def test_it_keeps_its_promises(cls: type[Node[Any]], case: Example, tmp_path: Path) -> None:
    fields = {**fields_with_files(cls, tmp_path), **case.fields}
    write_inputs(tmp_path)
    if cls.__name__ == "DepthFromFile":
        fields["path"] = tmp_path / "grey.png"
    needs_weights = "models" in cls.definition.services or cls.definition.weights
    runs = not needs_weights and cls is not Frames  # which runs below, under VideoFromFrames
    changes = {**case.changes}
    if "data" in cls.definition.ports:
        changes["data"] = WorldDataset(1, 1, 32)
    check_node(cls(**fields), changes=changes, fixed=case.fixed, runs=bool(runs))


def test_each_field_is_changed_in_some_example() -> None:
    for name, examples in EXAMPLES.items():
        for fixed in frozenset.intersection(*(each.fixed for each in examples)):
            assert (name, fixed) in CANNOT_CHANGE_ALONE
