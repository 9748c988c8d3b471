# Written by `python -m sdgraph.graph.node_stub sdgraph.nodes`; do not edit.

from .diffusion.animate_character import AnimateCharacter as AnimateCharacter
from .diffusion.controlnet import ControlNet as ControlNet
from .diffusion.depth_to_image import DepthToImage as DepthToImage
from .diffusion.edit import Edit as Edit
from .diffusion.image_to_video import Image2Video as Image2Video
from .diffusion.inpaint import Inpaint as Inpaint
from .diffusion.modular import Modular as Modular
from .diffusion.text_to_image import Image2Image as Image2Image
from .diffusion.text_to_image import Text2Image as Text2Image
from .diffusion.text_to_video import Text2Video as Text2Video
from .diffusion.turbo import Turbo as Turbo
from .diffusion.upscale import Upscale as Upscale
from .diffusion.variation import Variation as Variation
from .diffusion.video_control import VideoControl as VideoControl
from .diffusion.video_to_video import Video2Video as Video2Video
from .image.compare import Compare as Compare
from .image.compositing import Blend as Blend
from .image.compositing import Composite as Composite
from .image.grid import Grid as Grid
from .image.resize import Crop as Crop
from .image.resize import Pad as Pad
from .image.resize import Resize as Resize
from .image.text import Text as Text
from .io.load import LoadImage as LoadImage
from .io.load import LoadVideo as LoadVideo
from .io.save import Save as Save
from .io.save import SaveVideo as SaveVideo
from .maps.canny import Canny as Canny
from .maps.depth import DepthEstimate as DepthEstimate
from .maps.files import DepthFromFile as DepthFromFile
from .maps.files import EdgesFromFile as EdgesFromFile
from .maps.files import NormalsFromFile as NormalsFromFile
from .maps.files import PoseFromFile as PoseFromFile
from .maps.files import ScribbleFromFile as ScribbleFromFile
from .maps.files import SegmentsFromFile as SegmentsFromFile
from .maps.files import SoftEdgesFromFile as SoftEdgesFromFile
from .maps.lines import Scribble as Scribble
from .maps.lines import SoftEdges as SoftEdges
from .maps.normals import NormalsFromDepth as NormalsFromDepth
from .maps.pose import PoseDraw as PoseDraw
from .maps.pose import PoseEstimate as PoseEstimate
from .maps.segments import Segment as Segment
from .masks.changes import MaskFeather as MaskFeather
from .masks.changes import MaskGrow as MaskGrow
from .masks.changes import MaskInvert as MaskInvert
from .masks.changes import MaskResize as MaskResize
from .masks.clipseg import MaskByWords as MaskByWords
from .masks.connected_parts import MaskFillHoles as MaskFillHoles
from .masks.connected_parts import MaskLargest as MaskLargest
from .masks.grabcut import MaskGrabCut as MaskGrabCut
from .masks.grounding import MaskByGrounding as MaskByGrounding
from .masks.mask import Mask as Mask
from .masks.overlay import MaskOverlay as MaskOverlay
from .masks.sam import MaskBySam as MaskBySam
from .masks.sets import MaskIntersect as MaskIntersect
from .masks.sets import MaskSubtract as MaskSubtract
from .masks.sets import MaskUnion as MaskUnion
from .masks.shapes import MaskBox as MaskBox
from .masks.shapes import MaskBrush as MaskBrush
from .masks.shapes import MaskEllipse as MaskEllipse
from .masks.shapes import MaskPolygon as MaskPolygon
from .masks.sources import MaskFromAlpha as MaskFromAlpha
from .masks.sources import MaskFromColor as MaskFromColor
from .masks.sources import MaskFromFile as MaskFromFile
from .training.controlnet import TrainControlNet as TrainControlNet
from .training.data import TinyWorld as TinyWorld
from .training.depth import TrainDepth as TrainDepth
from .training.depth_to_image import TrainDepthToImage as TrainDepthToImage
from .training.image_encoder import TrainImageEncoder as TrainImageEncoder
from .training.inpaint import TrainInpaint as TrainInpaint
from .training.ip_adapter import TrainIPAdapter as TrainIPAdapter
from .training.picture_folder import PictureFolder as PictureFolder
from .training.sdxl import TrainSdxl as TrainSdxl
from .training.text_to_image import TrainText2Image as TrainText2Image
from .training.turbo import TrainTurbo as TrainTurbo
from .training.vae import TrainVae as TrainVae
from .training.video import TrainText2Video as TrainText2Video
from .video.frames import Frame as Frame
from .video.frames import Frames as Frames
from .video.frames import VideoFromFrames as VideoFromFrames

NODE_MODULES: dict[str, str]

__all__ = [
    "AnimateCharacter",
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
    "Edit",
    "Frame",
    "Frames",
    "Grid",
    "Image2Image",
    "Image2Video",
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
    "Modular",
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
    "Upscale",
    "Variation",
    "Video2Video",
    "VideoControl",
    "VideoFromFrames",
]
