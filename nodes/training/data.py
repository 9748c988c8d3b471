"""What is trained on: scenes of the tiny world, or a folder of pictures and captions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sdgraph.errors import MediaError, ValueRefused
from sdgraph.node import Node

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class Dataset:
    """Captioned square pictures: `pictures` is uint8, count × side × side × 3."""

    captions: tuple[str, ...]
    side: int

    @property
    def content(self) -> str:
        """A hash of everything in it."""
        raise NotImplementedError

    @property
    def pictures(self) -> npt.NDArray[np.uint8]:
        """Every picture, made at the first use and kept."""
        raise NotImplementedError

    def masks(self, places: Sequence[int]) -> list[list[npt.NDArray[np.uint8]]]:
        """Where each object of these pictures is, 255 or 0, side × side; none where unknown."""
        return [[] for _ in places]

    def depths(self, places: Sequence[int]) -> npt.NDArray[np.float32]:
        """How near everything in these pictures is: float32, count × side × side.

        Raises ValueRefused where nobody knows.
        """
        del places
        raise ValueRefused(
            f"{type(self).__name__}: found pictures without depth, wanted some whose true depth is "
            "known: use TinyWorld"
        )

    def examples(self, count: int) -> Dataset:
        """Pictures to look at on the way, not trained on where there are such; at least `count`."""
        del count
        return self

    def __len__(self) -> int:
        return len(self.captions)


class WorldDataset(Dataset):
    """Scenes of the tiny world by their seeds, with their ground truth; all held out, or none."""

    def __init__(
        self, count: int, seed: int, side: int, *, moving: bool = False, held_out: bool = False
    ) -> None:
        from sdgraph.nodes.world import caption, scene

        self.side = side
        self._moving = moving
        self._name = f"world {count} {seed} {side} {moving}{' held out' if held_out else ''}"
        self.scenes = [
            scene(seed + number, moving=moving, held_out=held_out) for number in range(count)
        ]
        self.captions = tuple(caption(each) for each in self.scenes)

    @property
    def content(self) -> str:
        from sdgraph.nodes.world import BACKGROUNDS, COLOURS, PLACES, SHAPES

        words = f"{self._name} {BACKGROUNDS} {COLOURS} {PLACES} {SHAPES} {self.captions[:16]}"
        return blake2b(words.encode(), digest_size=16).hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        from sdgraph.nodes.world import render

        return np.stack([render(each, self.side) for each in self.scenes])

    def masks(self, places: Sequence[int]) -> list[list[npt.NDArray[np.uint8]]]:
        from sdgraph.nodes.world import masks

        return [masks(self.scenes[place], self.side) for place in places]

    def depths(self, places: Sequence[int]) -> npt.NDArray[np.float32]:
        import numpy as np

        from sdgraph.nodes.world import depth

        return np.stack([depth(self.scenes[place], self.side) for place in places])

    def examples(self, count: int) -> Dataset:
        return WorldDataset(count, 5_000_000, self.side, moving=self._moving, held_out=True)


class FolderDataset(Dataset):
    """Pictures of a folder, each cut to its middle square; the caption is in NAME.txt beside it.

    A picture that cannot be read is left out and named in `skipped`.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.skipped: list[str] = []
        self._digest = blake2b(f"folder {side}".encode(), digest_size=16)
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise ValueRefused(f"{folder}: found no picture, wanted some of {', '.join(SUFFIXES)}")
        self._pictures, captions = self._read(found)
        self.captions = tuple(captions)
        if not captions:
            raise ValueRefused(f"{folder}: none of {len(found)} pictures can be read")

    def _read(self, paths: Sequence[Path]) -> tuple[list[Any], list[str]]:
        import numpy as np
        import PIL.ImageOps

        from sdgraph.media import read_image

        pictures, captions = [], []
        for path in paths:
            try:
                picture = read_image(path).convert("RGB")
            except MediaError as error:
                self.skipped.append(str(error).splitlines()[0])
                continue
            pictures.append(np.asarray(PIL.ImageOps.fit(picture, (self.side, self.side))))
            words = path.with_suffix(".txt")
            captions.append(words.read_text("utf-8").strip() if words.is_file() else path.stem)
            self._digest.update(pictures[-1].tobytes() + captions[-1].encode())
        return pictures, captions

    @property
    def content(self) -> str:
        return self._digest.hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        return np.stack(self._pictures)


class TinyWorld(Node[Dataset]):
    """Captioned scenes of the tiny world: shapes, colours, places and grounds, without limit."""

    category: ClassVar[str] = "train"

    count: int = Field(default=8_000, ge=1, le=1_000_000, description="how many scenes")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the first scene's seed")
    side: int = Field(default=64, ge=32, le=512, description="pixels")
    moving: bool = Field(default=False, description="scenes with one object that moves, for video")

    def run(self) -> Dataset:
        return WorldDataset(self.count, self.seed, self.side, moving=self.moving)


class PictureFolder(Node[Dataset]):
    """A folder of pictures of one's own, with the caption of NAME.png in NAME.txt."""

    category: ClassVar[str] = "train"

    path: str = Field(description="the folder")
    side: int = Field(
        default=512, ge=32, le=2048, description="pixels; each picture is cut to a square"
    )

    def run(self) -> Dataset:
        return FolderDataset(Path(self.path), self.side)
