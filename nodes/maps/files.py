"""Loads finished control maps from picture files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import Node, SourceFile
from sdgraph.media import read_image
from sdgraph.nodes.io.load import image_problems
from sdgraph.values import (
    ControlMap,
    DepthMap,
    EdgeMap,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
)

if TYPE_CHECKING:
    import PIL.Image

__all__ = [
    "DepthFromFile",
    "EdgesFromFile",
    "NormalsFromFile",
    "PoseFromFile",
    "ScribbleFromFile",
    "SegmentsFromFile",
    "SoftEdgesFromFile",
]

M = TypeVar("M", bound=ControlMap)
T_co = TypeVar("T_co", bound=ControlMap, covariant=True)


class _FromFile(Node[T_co], Generic[T_co]):
    """The field and the check that all of these nodes share."""

    category = "file"

    path: SourceFile = Field(description="a picture file of such a map")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def size_source(self) -> object:
        return self.path

    def read(self, kind: type[M]) -> M:
        """The picture as a map of that kind, without its alpha."""
        control_map = kind.from_pil(read_image(self.path))
        pixels = control_map.numpy
        return control_map if pixels.shape[2] == 3 else kind(pixels[..., :3])


class EdgesFromFile(_FromFile[EdgeMap]):
    """Loads a map of hard edges, white on black."""

    def run(self) -> EdgeMap:
        return self.read(EdgeMap)


class SoftEdgesFromFile(_FromFile[SoftEdgeMap]):
    """Loads a map of soft edges, brighter where an edge is clearer."""

    def run(self) -> SoftEdgeMap:
        return self.read(SoftEdgeMap)


class ScribbleFromFile(_FromFile[ScribbleMap]):
    """Loads a map of hand-drawn lines, white on black."""

    def run(self) -> ScribbleMap:
        return self.read(ScribbleMap)


class PoseFromFile(_FromFile[PoseMap]):
    """Loads a map of skeletons, drawn as OpenPose does."""

    def run(self) -> PoseMap:
        return self.read(PoseMap)


class SegmentsFromFile(_FromFile[SegmentMap]):
    """Loads a map of regions in the colours of ADE20K's classes."""

    def run(self) -> SegmentMap:
        return self.read(SegmentMap)


class NormalsFromFile(_FromFile[NormalMap]):
    """Loads a map of surface normals: red is left, green is up, blue faces the viewer."""

    def run(self) -> NormalMap:
        return self.read(NormalMap)


class DepthFromFile(_FromFile[DepthMap]):
    """Loads a depth map from a grey picture of 8, 16 or 32 bits: brighter is nearer."""

    invert: bool = Field(default=False, description="for a file in which brighter is farther")

    def run(self) -> DepthMap:
        picture = read_image(self.path)
        if not _is_grey(picture):
            found = f"a colour picture (mode {picture.mode})"
            fix = "make the depth of a photo by DepthEstimate"
            raise InvalidValueError(Problem(str(self.path), found, "a grey picture", fix))
        depth_map = DepthMap.from_pil(picture)
        return DepthMap(-depth_map.depth) if self.invert else depth_map


def _is_grey(picture: PIL.Image.Image) -> bool:
    """Whether all pixels have equal shares of red, green and blue."""
    if picture.mode.startswith(("I", "F")):
        return True
    red, green, blue = picture.convert("RGB").split()
    return red.tobytes() == green.tobytes() == blue.tobytes()
