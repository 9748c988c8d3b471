"""Control maps that are finished pictures in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.media import read_image
from sdgraph.node import Node, SourceFile
from sdgraph.nodes.files import picture_problems
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

T_co = TypeVar("T_co", bound=ControlMap, covariant=True)


class _FromFile(Node[T_co], Generic[T_co]):
    """The fields and checks that all of these share."""

    category: ClassVar[str] = "file"

    path: SourceFile = Field(description="a picture that is such a map already")

    def check(self) -> Iterator[Problem]:
        yield from picture_problems(self.path)

    def shown(self) -> PIL.Image.Image:
        """The picture as RGB; its alpha plays no part."""
        return read_image(self.path).convert("RGB")


class EdgesFromFile(_FromFile[EdgeMap]):
    """Hard edges from a file, white on black."""

    def run(self) -> EdgeMap:
        return EdgeMap.from_pil(self.shown())


class SoftEdgesFromFile(_FromFile[SoftEdgeMap]):
    """Soft edges from a file, brighter where surer."""

    def run(self) -> SoftEdgeMap:
        return SoftEdgeMap.from_pil(self.shown())


class ScribbleFromFile(_FromFile[ScribbleMap]):
    """Hand-drawn lines from a file, white on black."""

    def run(self) -> ScribbleMap:
        return ScribbleMap.from_pil(self.shown())


class PoseFromFile(_FromFile[PoseMap]):
    """Skeletons from a file, drawn as OpenPose does."""

    def run(self) -> PoseMap:
        return PoseMap.from_pil(self.shown())


class SegmentsFromFile(_FromFile[SegmentMap]):
    """Regions from a file, in the colours of ADE20K's classes."""

    def run(self) -> SegmentMap:
        return SegmentMap.from_pil(self.shown())


class NormalsFromFile(_FromFile[NormalMap]):
    """Surface normals from a file: red is left, green is up, blue is near."""

    def run(self) -> NormalMap:
        return NormalMap.from_pil(self.shown())


class DepthFromFile(_FromFile[DepthMap]):
    """Depth from a grey file of 8, 16 or 32 bits, brighter being nearer."""

    invert: bool = Field(default=False, description="brighter is farther")

    def run(self) -> DepthMap:
        read = DepthMap.from_pil(read_image(self.path))
        return DepthMap(-read.depth) if self.invert else read
