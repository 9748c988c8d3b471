"""Every node of the library, made from as little as it takes."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdgraph.nodes
from sdgraph import Checkpoint, Node
from sdgraph.nodes.training.data import Dataset, WorldDataset
from sdgraph.values import DepthMap, EdgeMap, Image, Mask, Video
from tests.support.photos import noisy, photo, picture, spot
from tests.support.redux_files import redux

NODE_CLASSES: list[type[Node[Any]]] = [
    getattr(sdgraph.nodes, name) for name in sdgraph.nodes.__all__
]

every_node = pytest.mark.parametrize("cls", NODE_CLASSES, ids=lambda cls: cls.__name__)

LITERALS: dict[type, Any] = {
    Image: photo(8, 8),
    Mask: spot(8, 8),
    Video: Video(noisy((2, 8, 8, 3)), 8),
    EdgeMap: EdgeMap(noisy((8, 8, 3))),
    DepthMap: DepthMap(np.eye(8)),
    Checkpoint: Checkpoint("tiny/sdxl"),
    str: "a star",
    Dataset: WorldDataset(1, 0, 32),
}
"""A value for a port, by its kind."""

_PARAMETERS: dict[str, Any] = {
    "path": "file.png",
    "out": "out",
    "width": 64,
    "height": 64,
    "box": [1, 1, 3, 3],
    "points": [[0, 0], [5, 0], [0, 5]],
    "strokes": [[[1, 1]]],
    "color": "red",
    "people": [{"nose": [8, 8]}],
}
"""A value for a field that is required, by its name."""

_ALTERNATIVES: dict[str, dict[str, Any]] = {
    "ControlNet": {"control": LITERALS[EdgeMap]},
    "Crop": {"width": 4},
    "Grid": {"images": [photo(8, 8)]},
    "Mask": {"path": "mask.png"},
    "MaskBySam": {"box": [1, 1, 3, 3]},
    "MaskIntersect": {"masks": [spot(8, 8), spot(8, 8)]},
    "MaskUnion": {"masks": [spot(8, 8), spot(8, 8)]},
    "VideoControl": {"control": LITERALS[Video]},
}
"""Fields of which a node needs some, though none of them is required."""


def required_fields(cls: type[Node[Any]]) -> dict[str, Any]:
    """The fewest fields that make a node; the files that it names need not be there."""
    fields = dict(_ALTERNATIVES.get(cls.__name__, {}))
    for name, field in cls.model_fields.items():
        if field.is_required() and name not in fields:
            port = cls.definition.ports.get(name)
            kinds = [] if port is None else port.kinds
            fitting = [v for k, v in LITERALS.items() if any(issubclass(k, kind) for kind in kinds)]
            fields[name] = fitting[0] if fitting else _PARAMETERS[name]
    return fields


def write_files(folder: Path) -> dict[str, Any]:
    """Writes the files that nodes read; returns what goes into the fields of that name."""
    folder.mkdir(exist_ok=True)
    for name, width in (("file.png", 8), ("other.png", 9)):
        (folder / name).write_bytes(_png(width))
    (folder / "file.mp4").write_bytes(b"video")
    (folder / "other.mp4").write_bytes(b"other video")
    for name, width in (("pictures", 8), ("other", 9)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "a.png").write_bytes(_png(width))
        (folder / name / "a.txt").write_text("a ring")
    return {"path": folder / "file.png", "out": folder / "out"}


def fields_with_files(cls: type[Node[Any]], folder: Path) -> dict[str, Any]:
    """The fewest fields that make a node; every file that it reads is written to the folder."""
    files = write_files(folder)
    if cls.definition.folders:
        files["path"] = folder / "pictures"
    if cls.effect:
        files["path"] = folder / ("out.mp4" if "video" in cls.model_fields else "out.png")
    fields = required_fields(cls)
    if "redux" in fields:
        fields["redux"] = Checkpoint(redux(folder / "redux"))
    return {k: files.get(k, v) if isinstance(v, str) else v for k, v in fields.items()}


@cache
def _png(width: int) -> bytes:
    picture(width, 8).save(file := BytesIO(), format="png")
    return file.getvalue()
