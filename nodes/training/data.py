"""What is trained on: scenes of the tiny world, or a folder of pictures and captions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, MediaError, Problem, did_you_mean
from sdgraph.graph import Node, refuse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PictureFolder", "TinyWorld"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class Dataset:
    """Captioned square pictures: `pictures` is uint8, count × side × side × 3."""

    captions: tuple[str, ...]
    side: int
    skipped: Mapping[str, str] = {}
    """What could not be read and was left out, by name, and why."""

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

    def references(self, places: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Pictures of the subjects of these: count × side × side × 3; themselves if no others are.

        What a picture is made from that shall show the same subject.
        """
        return self.pictures[list(places)]

    @property
    def surroundings(self) -> Sequence[str]:
        """The captions without their subjects; whole where nobody knows what in them that is."""
        return self.captions

    def depths(self, places: Sequence[int]) -> npt.NDArray[np.float32]:
        """How near everything in these pictures is: float32, count × side × side.

        Raises InvalidValueError where nobody knows.
        """
        del places
        wanted = "some whose true depth is known"
        raise InvalidValueError(
            Problem(type(self).__name__, "pictures without depth", wanted, "use TinyWorld")
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
        self,
        count: int,
        seed: int,
        side: int,
        *,
        moving: bool = False,
        held_out: bool = False,
        pairs: float | None = None,
        motions: Sequence[str] = (),
        time: float = 0.5,
    ) -> None:
        from sdgraph.nodes.tiny_world import caption, scene

        self.side = side
        self._how: dict[str, Any] = {
            "moving": moving,
            "pairs": pairs,
            "motions": motions,
            "time": time,
        }
        self._name = f"world {count} {seed} {side} {moving}{' held out' if held_out else ''}"
        if pairs is not None:
            self._name += f" pairs {pairs}"
        if motions:
            self._name += f" {', '.join(motions)}"
        if time != 0.5:
            self._name += f" at {time:g}"
        drawn = (
            scene(number, moving=moving, held_out=held_out, things=_things(number, pairs))
            for number in itertools.count(seed)
        )
        wanted = (each for each in drawn if not motions or each.motion in motions)
        self.scenes = list(itertools.islice(wanted, count))
        self._shown = [each.at(time) for each in self.scenes]
        self.captions = tuple(caption(each) for each in self.scenes)

    @property
    def content(self) -> str:
        from sdgraph.nodes.tiny_world import BACKGROUNDS, COLOURS, PLACES, SHAPES

        words = f"{self._name} {BACKGROUNDS} {COLOURS} {PLACES} {SHAPES} {self.captions[:16]}"
        return blake2b(words.encode(), digest_size=16).hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        from sdgraph.nodes.tiny_world import render

        return np.stack([render(each, self.side) for each in self._shown])

    def masks(self, places: Sequence[int]) -> list[list[npt.NDArray[np.uint8]]]:
        from sdgraph.nodes.tiny_world import masks

        return [masks(self._shown[place], self.side) for place in places]

    def depths(self, places: Sequence[int]) -> npt.NDArray[np.float32]:
        import numpy as np

        from sdgraph.nodes.tiny_world import depth

        return np.stack([depth(self._shown[place], self.side) for place in places])

    def references(self, places: Sequence[int]) -> npt.NDArray[np.uint8]:
        import numpy as np

        from sdgraph.nodes.tiny_world import rearrange, render

        return np.stack([render(rearrange(self._shown[n], n), self.side) for n in places])

    @cached_property
    def surroundings(self) -> Sequence[str]:
        from sdgraph.nodes.tiny_world import surroundings

        return tuple(map(surroundings, self.scenes))

    def examples(self, count: int) -> Dataset:
        return WorldDataset(count, 5_000_000, self.side, held_out=True, **self._how)


_GOLDEN = 0.6180339887498949


def _things(number: int, pairs: float | None) -> int | None:
    """How many objects a scene has, by its number alone; None leaves it to the world."""
    if pairs is None:
        return None
    # Multiples of the golden ratio spread evenly, so that any run of scenes has its share.
    return 2 if number * _GOLDEN % 1 < pairs else 1


class FolderDataset(Dataset):
    """Pictures of a folder, each cut to its middle square; the caption is in NAME.txt beside it.

    A picture that cannot be read, or whose caption is no UTF-8, is left out and named in `skipped`.
    Raises InvalidValueError where there is none that can be read.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.skipped: dict[str, str] = {}
        self._digest = blake2b(f"folder {side}".encode(), digest_size=16)
        found = pictures_in(folder)
        for problem in folder_problems("pictures", folder):
            raise InvalidValueError(problem)
        self._pictures, captions = self._read(found)
        self.captions = tuple(captions)
        if not captions:
            why = "; ".join(f"{name}: {why}" for name, why in list(self.skipped.items())[:3])
            unread = f"none of {len(found)} pictures can be read ({why})"
            raise InvalidValueError(Problem(str(folder), unread, "one at least"))

    def _read(self, paths: Sequence[Path]) -> tuple[list[Any], list[str]]:
        import numpy as np
        import PIL.ImageOps

        from sdgraph.media import read_image

        pictures, captions = [], []
        for path in paths:
            words = path.with_suffix(".txt")
            try:
                picture = read_image(path).convert("RGB")
                caption = words.read_text("utf-8").strip() if words.is_file() else path.stem
            except MediaError as error:
                self.skipped[path.name] = error.problems[0].found
                continue
            except (OSError, UnicodeDecodeError) as error:
                self.skipped[path.name] = f"its caption {words.name} cannot be read ({error})"
                continue
            pictures.append(np.asarray(PIL.ImageOps.fit(picture, (self.side, self.side))))
            captions.append(caption)
            self._digest.update(pictures[-1].tobytes() + captions[-1].encode())
        return pictures, captions

    @property
    def content(self) -> str:
        return self._digest.hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        return np.stack(self._pictures)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, by their suffixes, sorted; none where it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def folder_problems(field: str, folder: Path) -> Iterator[Problem]:
    """Why there is nothing to train on in a folder."""
    if not folder.is_dir():
        yield Problem(field, f"no folder {folder}", "a folder of pictures")
    elif not pictures_in(folder):
        yield Problem(field, f"no picture in {folder}", f"some of {', '.join(SUFFIXES)}")


class TinyWorld(Node[Dataset]):
    """Captioned scenes of the tiny world: shapes, colours, places and grounds, without limit."""

    category = "train"

    count: int = Field(default=8_000, ge=1, le=1_000_000, description="how many scenes")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the first scene's seed")
    side: int = Field(default=64, ge=32, le=512, description="pixels")
    moving: bool = Field(default=False, description="scenes with one object that moves, for video")
    motions: Sequence[str] = Field(
        default=(), description='only scenes that move so, "growing" say; by default in any way'
    )
    pairs: float | None = Field(
        default=None, ge=0, le=1, description="the share with two objects; by default about 0.35"
    )

    time: float = Field(
        default=0.5, ge=0, le=1, description="of a motion, which its picture shows: 0 is its start"
    )

    @model_validator(mode="after")
    def _one_moves(self) -> TinyWorld:
        if self.moving and self.pairs:
            found = f"pairs {self.pairs:g} of scenes that move"
            raise refuse("pairs", found=found, wanted="one object each", fix="leave pairs out")
        if self.motions and not self.moving:
            found = f"motions {', '.join(self.motions)} of scenes that stand still"
            raise refuse("motions", found=found, wanted="scenes that move", fix="set moving: true")
        for motion in self.motions:
            _refuse_unknown(motion)
        return self

    def run(self) -> Dataset:
        return WorldDataset(
            self.count,
            self.seed,
            self.side,
            moving=self.moving,
            pairs=self.pairs,
            motions=self.motions,
            time=self.time,
        )


def _refuse_unknown(motion: str) -> None:
    # Imported here: to know the world is to know OpenCV.
    from sdgraph.nodes.tiny_world.words import MOTIONS

    if motion not in MOTIONS:
        raise refuse(
            "motions",
            found=repr(motion),
            wanted=f"one of {', '.join(MOTIONS)}",
            fix=did_you_mean(motion, MOTIONS),
        )


class PictureFolder(Node[Dataset]):
    """A folder of pictures of one's own, with the caption of NAME.png in NAME.txt."""

    category = "train"

    path: str = Field(description="the folder")
    side: int = Field(
        default=512, ge=32, le=2048, description="pixels; each picture is cut to a square"
    )

    def check(self) -> Iterator[Problem]:
        yield from folder_problems("path", Path(self.path).expanduser())

    def run(self) -> Dataset:
        return FolderDataset(Path(self.path).expanduser(), self.side)
