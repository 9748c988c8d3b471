"""The data to train on, and the node that makes it of scenes of the tiny world."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem, did_you_mean
from sdgraph.graph import Node, refuse

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TinyWorld"]


class Dataset:
    """Captioned square pictures: `pictures` is uint8, count × side × side × 3."""

    captions: tuple[str, ...]
    side: int
    skipped: Mapping[str, str] = {}
    """The files that could not be read and were left out, by name, each with the reason."""

    @property
    def content(self) -> str:
        """A hash of all pictures and captions, or of what they follow from."""
        raise NotImplementedError

    @property
    def pictures(self) -> npt.NDArray[np.uint8]:
        """Every picture, computed when first needed and kept."""
        raise NotImplementedError

    def masks(self, indices: Sequence[int]) -> list[list[npt.NDArray[np.uint8]]]:
        """A mask of each object of some pictures: 255 or 0, side × side; none where unknown."""
        return [[] for _ in indices]

    def references(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Other pictures of the subjects of some pictures: uint8, count × side × side × 3.

        The pictures themselves where there are no others.
        """
        return self.pictures[list(indices)]

    @property
    def surroundings(self) -> Sequence[str]:
        """The captions without their subjects; whole captions where the subject is unknown."""
        return self.captions

    def depths(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        """The true depth of some pictures, larger where nearer: float32, count × side × side.

        Raises:
            InvalidValueError: It is not known.
        """
        del indices
        wanted = "some whose true depth is known"
        raise InvalidValueError(
            Problem(type(self).__name__, "pictures without depth", wanted, "use TinyWorld")
        )

    def examples(self, count: int) -> Dataset:
        """At least so many pictures for samples, which are not trained on if there are such."""
        del count
        return self

    def __len__(self) -> int:
        return len(self.captions)


class WorldDataset(Dataset):
    """Scenes of the tiny world with their ground truth.

    Args:
        count: How many scenes.
        seed: The first scene's seed; the others follow it.
        side: The side of the pictures in pixels.
        moving: Whether the scenes have one object that moves.
        held_out: Whether they are all of those that no training set has, or none is.
        pairs: The share of scenes with two objects; None leaves it to the world.
        motions: The motions to take; () for all.
        time: The moment of a motion that its picture shows, 0..1.
    """

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
        from sdgraph.nodes.tiny_world import describe_scene, random_scene

        self.side = side
        self._options: dict[str, Any] = {
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
        candidates = (
            random_scene(
                number, moving=moving, held_out=held_out, objects=_object_count(number, pairs)
            )
            for number in itertools.count(seed)
        )
        chosen = (each for each in candidates if not motions or each.motion in motions)
        self.scenes = list(itertools.islice(chosen, count))
        self._shown = [each.at(time) for each in self.scenes]
        self.captions = tuple(describe_scene(each) for each in self.scenes)

    @property
    def content(self) -> str:
        from sdgraph.nodes.tiny_world import BACKGROUNDS, COLOURS, PLACES, SHAPES

        words = f"{self._name} {BACKGROUNDS} {COLOURS} {PLACES} {SHAPES} {self.captions[:16]}"
        return blake2b(words.encode(), digest_size=16).hexdigest()

    @cached_property
    def pictures(self) -> npt.NDArray[np.uint8]:
        import numpy as np

        from sdgraph.nodes.tiny_world import render_scene

        return np.stack([render_scene(each, self.side) for each in self._shown])

    def masks(self, indices: Sequence[int]) -> list[list[npt.NDArray[np.uint8]]]:
        from sdgraph.nodes.tiny_world import render_masks

        return [render_masks(self._shown[index], self.side) for index in indices]

    def depths(self, indices: Sequence[int]) -> npt.NDArray[np.float32]:
        import numpy as np

        from sdgraph.nodes.tiny_world import render_depth

        return np.stack([render_depth(self._shown[index], self.side) for index in indices])

    def references(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        import numpy as np

        from sdgraph.nodes.tiny_world import rearrange, render_scene

        return np.stack(
            [render_scene(rearrange(self._shown[index], index), self.side) for index in indices]
        )

    @cached_property
    def surroundings(self) -> Sequence[str]:
        from sdgraph.nodes.tiny_world import describe_surroundings

        return tuple(map(describe_surroundings, self.scenes))

    def examples(self, count: int) -> Dataset:
        return WorldDataset(count, 5_000_000, self.side, held_out=True, **self._options)


_GOLDEN = 0.6180339887498949


def _object_count(number: int, pairs: float | None) -> int | None:
    """How many objects a scene has, by its number; None leaves it to the world.

    Args:
        number: The scene's seed.
        pairs: The share of scenes with two objects.
    """
    if pairs is None:
        return None
    # Multiples of the golden ratio are spread evenly, so any series of scenes has that share.
    return 2 if number * _GOLDEN % 1 < pairs else 1


class DataNode(Node[Dataset]):
    """A node that makes data; it says before the run what trainings ask about that data."""

    category = "train"

    @property
    def knows_depth(self) -> bool:
        """Whether the true depth of its pictures is known."""
        return False

    @property
    def knows_motion(self) -> bool:
        """Whether its pictures are moments of scenes that move."""
        return False

    def known_captions(self) -> Sequence[str] | None:
        """The captions, or the first of many; None if the run alone can tell."""
        return None


class TinyWorld(DataNode):
    """Captioned scenes of the tiny world: shapes, colours, places and grounds, without limit."""

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
    def _check_motions(self) -> TinyWorld:
        if self.moving and self.pairs:
            found = f"pairs {self.pairs:g} of scenes that move"
            raise refuse("pairs", found=found, wanted="one object each", fix="leave pairs out")
        if self.motions and not self.moving:
            found = f"motions {', '.join(self.motions)} of scenes that stand still"
            raise refuse("motions", found=found, wanted="scenes that move", fix="set moving: true")
        for motion in self.motions:
            _refuse_unknown_motion(motion)
        return self

    @property
    def knows_depth(self) -> bool:
        return True

    @property
    def knows_motion(self) -> bool:
        return self.moving

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


def _refuse_unknown_motion(motion: str) -> None:
    # Imported here because the tiny world imports OpenCV.
    from sdgraph.nodes.tiny_world.words import MOTIONS

    if motion not in MOTIONS:
        raise refuse(
            "motions",
            found=repr(motion),
            wanted=f"one of {', '.join(MOTIONS)}",
            fix=did_you_mean(motion, MOTIONS),
        )
