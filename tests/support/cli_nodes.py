"""Small nodes for the tests of the command line and the schema; loaded by `--nodes`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, SourceFile, TargetFile
from sdgraph.media import write_image
from sdgraph.values import Checkpoint, EdgeMap, Image, Mask, Part

if TYPE_CHECKING:
    from sdgraph.models import Models


class ToySquare(Node[Image]):
    """A square of one grey.

    The simplest picture there is.
    """

    category = "other"

    size: int = Field(default=8, ge=1, le=64, description="its side in pixels")
    grey: int = Field(default=128, ge=0, le=255)
    points: list[tuple[float, float]] = Field(default=[], max_length=4)
    mode: Literal["flat", "round"] = "flat"

    def run(self) -> Image:
        return Image(np.full((self.size, self.size, 3), self.grey, np.uint8))


class ToyEdges(Node[EdgeMap]):
    """The negative of a picture, called edges."""

    category = "other"

    image: In[Image] = Field(description="what to look at")
    mask: In[Mask] | None = None
    low: int = Field(default=100, ge=0, le=255)

    def run(self, image: Image, mask: Mask | None) -> EdgeMap:
        return EdgeMap(255 - image.numpy)


class ToyStack(Node[Image]):
    """Pictures side by side."""

    images: list[In[Image]] = Field(min_length=1)
    title: In[str] = "untitled"

    def run(self, images: tuple[Image, ...], title: str) -> Image:
        return Image(np.concatenate([image.numpy for image in images], axis=1))


class ToySlow(Node[Image]):
    """Counts its steps and takes its time."""

    image: In[Image]
    steps: int = 3
    seconds: float = Field(default=0.0, ge=0, description="of each step")

    def run(self, image: Image, progress: Callable[[int, int], None]) -> Image:
        for step in range(self.steps):
            print("a node that prints")
            time.sleep(self.seconds)
            progress(step + 1, self.steps)
        return image


class ToyRead(Node[str]):
    """The text in a file."""

    path: SourceFile

    def run(self) -> str:
        return Path(self.path).read_text()


class ToyModel(Node[Image]):
    """Needs components of a checkpoint."""

    checkpoint: In[Checkpoint] = Checkpoint("tiny/inpaint")

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {name: Part(self.checkpoint, name) for name in ("unet", "vae")}

    def check(self) -> Iterator[Problem]:
        self.parts()
        yield from ()

    def run(self, checkpoint: Checkpoint, models: Models) -> Image:
        return Image(np.zeros((8, 8, 3), np.uint8))


class ToyBoom(Node[Image]):
    """Fails."""

    image: In[Image]

    def run(self, image: Image) -> Image:
        raise RuntimeError("the toy broke")


class ToyExit(Node[Image]):
    """Ends the program."""

    def run(self) -> Image:
        sys.exit(0)


class ToySave(Node[Path]):
    """Writes a picture."""

    category = "file"
    effect: ClassVar[bool] = True

    image: In[Image]
    path: TargetFile

    def run(self, image: Image, provenance: str) -> Path:
        path = Path(self.path)
        write_image(image.pil, path, provenance=provenance)
        return path


class ToySaveSlowly(ToySave):
    """Writes a picture after many steps."""

    def run(
        self, image: Image, provenance: str, progress: Callable[[int, int], None] | Any = None
    ) -> Path:
        for step in range(200):
            time.sleep(0.05)
            progress(step, 200)
        return super().run(image, provenance)
