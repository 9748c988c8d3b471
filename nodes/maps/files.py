"""Control maps that are finished pictures in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Generic, TypeVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import Node, SourceFile
from sdgraph.media import read_image
from sdgraph.nodes.io.files import image_problems
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
    """The fields and checks that all of these share."""

    category: ClassVar[str] = "file"

    path: SourceFile = Field(description="a picture that is such a map already")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def read(self, kind: type[M]) -> M:
        """The picture as a map of a kind; its alpha plays no part."""
        made = kind.from_pil(read_image(self.path))
        return made if made.numpy.shape[2] == 3 else kind(made.numpy[..., :3])


class EdgesFromFile(_FromFile[EdgeMap]):
    """Hard edges from a file, white on black."""

    def run(self) -> EdgeMap:
        return self.read(EdgeMap)


class SoftEdgesFromFile(_FromFile[SoftEdgeMap]):
    """Soft edges from a file, brighter where surer."""

    def run(self) -> SoftEdgeMap:
        return self.read(SoftEdgeMap)


class ScribbleFromFile(_FromFile[ScribbleMap]):
    """Hand-drawn lines from a file, white on black."""

    def run(self) -> ScribbleMap:
        return self.read(ScribbleMap)


class PoseFromFile(_FromFile[PoseMap]):
    """Skeletons from a file, drawn as OpenPose does."""

    def run(self) -> PoseMap:
        return self.read(PoseMap)


class SegmentsFromFile(_FromFile[SegmentMap]):
    """Regions from a file, in the colours of ADE20K's classes."""

    def run(self) -> SegmentMap:
        return self.read(SegmentMap)


class NormalsFromFile(_FromFile[NormalMap]):
    """Surface normals from a file: red is left, green is up, blue is near."""

    def run(self) -> NormalMap:
        return self.read(NormalMap)


class DepthFromFile(_FromFile[DepthMap]):
    """Depth from a grey file of 8, 16 or 32 bits, brighter being nearer."""

    invert: bool = Field(default=False, description="brighter is farther")

    def run(self) -> DepthMap:
        read = DepthMap.from_pil(read_image(self.path))
        return DepthMap(-read.depth) if self.invert else read
