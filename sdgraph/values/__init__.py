"""The values that travel on the edges of a graph: images, masks, maps, videos, checkpoints."""

from .arrays import Pixels, check_array
from .checkpoint import (
    COMPONENTS,
    DTYPE_BYTES,
    DTYPES,
    MOTION,
    QUANTIZATIONS,
    Checkpoint,
    Lora,
)
from .content import content_of, refuse_value, size_of
from .frames import Series, run_per_frame
from .image import Image, Mask
from .maps import (
    ControlMap,
    DepthMap,
    EdgeMap,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
)
from .pack_name import pack_name
from .part import ComponentSource, Part
from .streams import ArrayStream, Stream, read_ahead
from .value import Value, find_kind, is_media_file, shipped_kinds
from .video import Video

__all__ = [
    "COMPONENTS",
    "DTYPES",
    "DTYPE_BYTES",
    "MOTION",
    "QUANTIZATIONS",
    "ArrayStream",
    "Checkpoint",
    "ComponentSource",
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
    "Stream",
    "Value",
    "Video",
    "check_array",
    "content_of",
    "find_kind",
    "is_media_file",
    "pack_name",
    "read_ahead",
    "refuse_value",
    "run_per_frame",
    "shipped_kinds",
    "size_of",
]
