"""The values that travel on the edges of a graph: images, masks, maps, videos, checkpoints."""

from typing import TYPE_CHECKING

from .arrays import ArrayValue
from .checkpoint import DTYPE_BYTES, DTYPES, QUANTIZATIONS, Checkpoint, Lora, Part
from .frames import Series, once_for_each
from .kinds import (
    ControlMap,
    DepthMap,
    EdgeMap,
    Image,
    Mask,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
    Video,
)
from .value import Value, content_of, size_of

if TYPE_CHECKING:
    from .arrays import Pixels

__all__ = [
    "DTYPES",
    "DTYPE_BYTES",
    "QUANTIZATIONS",
    "ArrayValue",
    "Checkpoint",
    "ControlMap",
    "DepthMap",
    "EdgeMap",
    "Image",
    "Lora",
    "Mask",
    "NormalMap",
    "Part",
    "Pixels",
    "PoseMap",
    "ScribbleMap",
    "SegmentMap",
    "Series",
    "SoftEdgeMap",
    "Value",
    "Video",
    "content_of",
    "once_for_each",
    "size_of",
]
