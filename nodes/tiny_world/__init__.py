"""The tiny world: endless captioned scenes, their ground truth, and a judge of pictures."""

from .captions import CaptionContent, CaptionThing, caption, parse_caption, surroundings, vocabulary
from .drawing import canny_edges, depth, edges, frame_masks, frames, masks, render
from .judge import Verdict, compare, depth_correlation, edge_f1, inside, judge
from .motion import Motion, motion
from .reading import DetectedThing, PictureReading, read_picture
from .scenes import Scene, Thing, is_held_out, rearrange, scene
from .words import BACKGROUNDS, COLOURS, MOTIONS, PLACES, SHAPES

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "MOTIONS",
    "PLACES",
    "SHAPES",
    "CaptionContent",
    "CaptionThing",
    "DetectedThing",
    "Motion",
    "PictureReading",
    "Scene",
    "Thing",
    "Verdict",
    "canny_edges",
    "caption",
    "compare",
    "depth",
    "depth_correlation",
    "edge_f1",
    "edges",
    "frame_masks",
    "frames",
    "inside",
    "is_held_out",
    "judge",
    "masks",
    "motion",
    "parse_caption",
    "read_picture",
    "rearrange",
    "render",
    "scene",
    "surroundings",
    "vocabulary",
]
