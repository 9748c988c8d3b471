"""The tiny world: captioned scenes without end, their ground truth, and a judge of pictures."""

from .captions import Wanted, WantedThing, caption, parse, surroundings, vocabulary
from .drawing import depth, edges, edges_of, frame_masks, frames, masks, render
from .judge import Verdict, compare, depth_correlation, edge_f1, inside, judge
from .motion import Motion, motion
from .reading import Reading, Seen, read
from .scenes import Scene, Thing, elsewhere, is_held_out, scene
from .words import BACKGROUNDS, COLOURS, MOTIONS, PLACES, SHAPES

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "MOTIONS",
    "PLACES",
    "SHAPES",
    "Motion",
    "Reading",
    "Scene",
    "Seen",
    "Thing",
    "Verdict",
    "Wanted",
    "WantedThing",
    "caption",
    "compare",
    "depth",
    "depth_correlation",
    "edge_f1",
    "edges",
    "edges_of",
    "elsewhere",
    "frame_masks",
    "frames",
    "inside",
    "is_held_out",
    "judge",
    "masks",
    "motion",
    "parse",
    "read",
    "render",
    "scene",
    "surroundings",
    "vocabulary",
]
