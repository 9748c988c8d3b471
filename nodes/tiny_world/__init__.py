"""The tiny world: random scenes with captions and ground truth, and a judge of pictures of them."""

from .backgrounds import Pixels
from .captions import (
    CaptionContent,
    CaptionObject,
    describe_scene,
    describe_surroundings,
    parse_caption,
    vocabulary,
)
from .drawing import (
    canny_edges,
    render_depth,
    render_edges,
    render_frame_masks,
    render_frames,
    render_masks,
    render_scene,
)
from .judge import (
    Verdict,
    depth_correlation,
    edge_f1,
    find_largest_object,
    judge_picture,
    judge_reading,
)
from .motion import Motion, measure_motion
from .reading import DetectedObject, PictureReading, read_picture
from .scenes import Scene, SceneObject, is_held_out, random_scene, rearrange
from .words import BACKGROUNDS, COLOURS, MOTIONS, PLACES, SHAPES

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "MOTIONS",
    "PLACES",
    "SHAPES",
    "CaptionContent",
    "CaptionObject",
    "DetectedObject",
    "Motion",
    "PictureReading",
    "Pixels",
    "Scene",
    "SceneObject",
    "Verdict",
    "canny_edges",
    "depth_correlation",
    "describe_scene",
    "describe_surroundings",
    "edge_f1",
    "find_largest_object",
    "is_held_out",
    "judge_picture",
    "judge_reading",
    "measure_motion",
    "parse_caption",
    "random_scene",
    "read_picture",
    "rearrange",
    "render_depth",
    "render_edges",
    "render_frame_masks",
    "render_frames",
    "render_masks",
    "render_scene",
    "vocabulary",
]
