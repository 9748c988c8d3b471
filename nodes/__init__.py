"""The node library, imported as `sdgraph.nodes`."""

if __name__ != "sdgraph.nodes":
    # Under two names every node class would exist twice.
    raise ImportError("import these nodes as sdgraph.nodes")

from .comparison import Compare
from .compositing import Blend, Composite
from .controlnet import ControlNet
from .depth import DepthEstimate, DepthToImage
from .edges import Canny
from .files import LoadImage, LoadVideo, Save, SaveVideo
from .frames import Frame, Frames, VideoFromFrames
from .grid import Grid
from .inpaint import Inpaint
from .lettering import Text
from .maps.lines import Scribble, SoftEdges
from .maps.normals import NormalsFromDepth
from .maps.pose import PoseDraw, PoseEstimate
from .maps.segments import Segment
from .mask import Mask
from .masks.changes import MaskFeather, MaskGrow, MaskInvert, MaskResize
from .masks.grabcut import MaskGrabCut
from .masks.grounding import MaskByGrounding
from .masks.overlay import MaskOverlay
from .masks.parts import MaskFillHoles, MaskLargest
from .masks.sam import MaskBySam
from .masks.sets import MaskIntersect, MaskSubtract, MaskUnion
from .masks.shapes import MaskBox, MaskBrush, MaskEllipse, MaskPolygon
from .masks.sources import MaskFromAlpha, MaskFromColor, MaskFromFile
from .masks.words import MaskByWords
from .picture import Crop, Pad, Resize
from .text_to_image import Image2Image, Text2Image
from .training.controlnet import TrainControlNet
from .training.data import PictureFolder, TinyWorld
from .training.depth import TrainDepth, TrainDepthToImage
from .training.inpaint import TrainInpaint
from .training.sdxl import TrainSdxl
from .training.text_to_image import TrainText2Image
from .training.turbo import TrainTurbo
from .training.vae import TrainVae
from .training.video import TrainText2Video
from .turbo import Turbo
from .video import Text2Video

__all__ = [
    "Blend",
    "Canny",
    "Compare",
    "Composite",
    "ControlNet",
    "Crop",
    "DepthEstimate",
    "DepthToImage",
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
    "Pad",
    "PictureFolder",
    "PoseDraw",
    "PoseEstimate",
    "Resize",
    "Save",
    "SaveVideo",
    "Scribble",
    "Segment",
    "SoftEdges",
    "Text",
    "Text2Image",
    "Text2Video",
    "TinyWorld",
    "TrainControlNet",
    "TrainDepth",
    "TrainDepthToImage",
    "TrainInpaint",
    "TrainSdxl",
    "TrainText2Image",
    "TrainText2Video",
    "TrainTurbo",
    "TrainVae",
    "Turbo",
    "VideoFromFrames",
]
