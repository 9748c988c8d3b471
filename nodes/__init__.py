"""The node library, imported as `sdgraph.nodes`, each room when its first node is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if __name__ != "sdgraph.nodes":
    # Under two names every node class would exist twice.
    raise ImportError("import these nodes as sdgraph.nodes")

if TYPE_CHECKING:
    from .diffusion.controlnet import ControlNet
    from .diffusion.depth_to_image import DepthToImage
    from .diffusion.inpaint import Inpaint
    from .diffusion.text_to_image import Image2Image, Text2Image
    from .diffusion.text_to_video import Text2Video
    from .diffusion.turbo import Turbo
    from .image.compare import Compare
    from .image.compositing import Blend, Composite
    from .image.grid import Grid
    from .image.resize import Crop, Pad, Resize
    from .image.text import Text
    from .io.files import LoadImage, LoadVideo, Save, SaveVideo
    from .maps.canny import Canny
    from .maps.depth import DepthEstimate
    from .maps.files import (
        DepthFromFile,
        EdgesFromFile,
        NormalsFromFile,
        PoseFromFile,
        ScribbleFromFile,
        SegmentsFromFile,
        SoftEdgesFromFile,
    )
    from .maps.lines import Scribble, SoftEdges
    from .maps.normals import NormalsFromDepth
    from .maps.pose import PoseDraw, PoseEstimate
    from .maps.segments import Segment
    from .masks.changes import MaskFeather, MaskGrow, MaskInvert, MaskResize
    from .masks.grabcut import MaskGrabCut
    from .masks.grounding import MaskByGrounding
    from .masks.mask import Mask
    from .masks.overlay import MaskOverlay
    from .masks.parts import MaskFillHoles, MaskLargest
    from .masks.sam import MaskBySam
    from .masks.sets import MaskIntersect, MaskSubtract, MaskUnion
    from .masks.shapes import MaskBox, MaskBrush, MaskEllipse, MaskPolygon
    from .masks.sources import MaskFromAlpha, MaskFromColor, MaskFromFile
    from .masks.words import MaskByWords
    from .training.controlnet import TrainControlNet
    from .training.data import PictureFolder, TinyWorld
    from .training.depth import TrainDepth, TrainDepthToImage
    from .training.image_encoder import TrainImageEncoder
    from .training.inpaint import TrainInpaint
    from .training.ip_adapter import TrainIPAdapter
    from .training.sdxl import TrainSdxl
    from .training.text_to_image import TrainText2Image
    from .training.turbo import TrainTurbo
    from .training.vae import TrainVae
    from .training.video import TrainText2Video
    from .video.frames import Frame, Frames, VideoFromFrames

_ROOMS = {
    "image.compare": ("Compare",),
    "image.compositing": ("Blend", "Composite"),
    "diffusion.controlnet": ("ControlNet",),
    "diffusion.depth_to_image": ("DepthToImage",),
    "maps.depth": ("DepthEstimate",),
    "maps.canny": ("Canny",),
    "io.files": ("LoadImage", "LoadVideo", "Save", "SaveVideo"),
    "video.frames": ("Frame", "Frames", "VideoFromFrames"),
    "image.grid": ("Grid",),
    "diffusion.inpaint": ("Inpaint",),
    "image.text": ("Text",),
    "maps.files": (
        "DepthFromFile",
        "EdgesFromFile",
        "NormalsFromFile",
        "PoseFromFile",
        "ScribbleFromFile",
        "SegmentsFromFile",
        "SoftEdgesFromFile",
    ),
    "maps.lines": ("Scribble", "SoftEdges"),
    "maps.normals": ("NormalsFromDepth",),
    "maps.pose": ("PoseDraw", "PoseEstimate"),
    "maps.segments": ("Segment",),
    "masks.mask": ("Mask",),
    "masks.changes": ("MaskFeather", "MaskGrow", "MaskInvert", "MaskResize"),
    "masks.grabcut": ("MaskGrabCut",),
    "masks.grounding": ("MaskByGrounding",),
    "masks.overlay": ("MaskOverlay",),
    "masks.parts": ("MaskFillHoles", "MaskLargest"),
    "masks.sam": ("MaskBySam",),
    "masks.sets": ("MaskIntersect", "MaskSubtract", "MaskUnion"),
    "masks.shapes": ("MaskBox", "MaskBrush", "MaskEllipse", "MaskPolygon"),
    "masks.sources": ("MaskFromAlpha", "MaskFromColor", "MaskFromFile"),
    "masks.words": ("MaskByWords",),
    "image.resize": ("Crop", "Pad", "Resize"),
    "diffusion.text_to_image": ("Image2Image", "Text2Image"),
    "training.controlnet": ("TrainControlNet",),
    "training.data": ("PictureFolder", "TinyWorld"),
    "training.depth": ("TrainDepth", "TrainDepthToImage"),
    "training.image_encoder": ("TrainImageEncoder",),
    "training.inpaint": ("TrainInpaint",),
    "training.ip_adapter": ("TrainIPAdapter",),
    "training.sdxl": ("TrainSdxl",),
    "training.text_to_image": ("TrainText2Image",),
    "training.turbo": ("TrainTurbo",),
    "training.vae": ("TrainVae",),
    "training.video": ("TrainText2Video",),
    "diffusion.turbo": ("Turbo",),
    "diffusion.text_to_video": ("Text2Video",),
}

PLACES = {name: f"{__name__}.{room}" for room, names in _ROOMS.items() for name in names}
"""In which module each node type is; a workflow of three types imports three of them."""


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(PLACES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Blend",
    "Canny",
    "Compare",
    "Composite",
    "ControlNet",
    "Crop",
    "DepthEstimate",
    "DepthFromFile",
    "DepthToImage",
    "EdgesFromFile",
    "Frame",
    "Frames",
    "Grid",
    "Image2Image",
    "Inpaint",
    "LoadImage",
    "LoadVideo",
    "Mask",
    "MaskBox",
    "MaskBrush",
    "MaskByGrounding",
    "MaskBySam",
    "MaskByWords",
    "MaskEllipse",
    "MaskFeather",
    "MaskFillHoles",
    "MaskFromAlpha",
    "MaskFromColor",
    "MaskFromFile",
    "MaskGrabCut",
    "MaskGrow",
    "MaskIntersect",
    "MaskInvert",
    "MaskLargest",
    "MaskOverlay",
    "MaskPolygon",
    "MaskResize",
    "MaskSubtract",
    "MaskUnion",
    "NormalsFromDepth",
    "NormalsFromFile",
    "Pad",
    "PictureFolder",
    "PoseDraw",
    "PoseEstimate",
    "PoseFromFile",
    "Resize",
    "Save",
    "SaveVideo",
    "Scribble",
    "ScribbleFromFile",
    "Segment",
    "SegmentsFromFile",
    "SoftEdges",
    "SoftEdgesFromFile",
    "Text",
    "Text2Image",
    "Text2Video",
    "TinyWorld",
    "TrainControlNet",
    "TrainDepth",
    "TrainDepthToImage",
    "TrainIPAdapter",
    "TrainImageEncoder",
    "TrainInpaint",
    "TrainSdxl",
    "TrainText2Image",
    "TrainText2Video",
    "TrainTurbo",
    "TrainVae",
    "Turbo",
    "VideoFromFrames",
]
