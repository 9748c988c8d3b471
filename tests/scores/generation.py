"""Runs the nodes whose images and clips are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sdgraph import Checkpoint, Node, Session, run
from sdgraph.models import fetch_checkpoint, resolve
from sdgraph.nodes import DepthEstimate
from sdgraph.values import Image

from .table import Row

T = TypeVar("T")


@dataclass(frozen=True)
class GenerationSettings:
    """How each image and clip is generated."""

    steps: int = 20
    teacher_steps: int = 50
    guidance: float = 3.0
    frames: int = 16
    rounds: int = 9
    """How many times a timed run is repeated."""


class CheckpointRunner:
    """A session over one family of checkpoints, and the rows of its scores."""

    def __init__(
        self, family: Path | None = None, options: GenerationSettings | None = None, jobs: int = 1
    ) -> None:
        self.options = options or GenerationSettings()
        self.session = Session(device="cpu", store=None)
        self.family = None if family is None else family.absolute()
        self.jobs = jobs
        """The number of processes that generate clips, which take the longest."""

    def checkpoint(self, name: str) -> Checkpoint:
        """The family's checkpoint of a name; the shipped one where no family is given.

        A family may be what the training workflow left: FOLDER/NAME/checkpoint.
        """
        if self.family is None:
            return Checkpoint(f"tiny/{name}")
        trained = self.family / name / "checkpoint"
        return Checkpoint(trained if trained.is_dir() else self.family / name)

    def run(self, node: Node[T]) -> T:
        """The result of a node."""
        return run(node, session=self.session)

    def guided(self) -> dict[str, Any]:
        """The fields of a guided run."""
        return {"steps": self.options.steps, "guidance": self.options.guidance}

    def depth(self, picture: Image) -> Any:
        """The depth that the family's estimator sees: float32, height × width, larger is nearer."""
        checkpoint = self.checkpoint("depth-estimator")
        return self.run(DepthEstimate(image=picture, checkpoint=checkpoint)).depth

    def settings(self, name: str, steps: int | None = None, guidance: float | None = None) -> str:
        """How a checkpoint was run, in words: "20 DDIM steps, guidance 3"."""
        steps = self.options.steps if steps is None else steps
        guidance = self.options.guidance if guidance is None else guidance
        scheduler = resolve(self.checkpoint(name)).config("scheduler") or {}
        kind = str(scheduler.get("_class_name", "")).removesuffix("Scheduler")
        return f"{steps} {kind} step{'s' if steps > 1 else ''}, guidance {guidance:g}"

    def row(
        self,
        system: str,
        measure: str,
        values: Sequence[float],
        aim: str = "",
        *,
        settings: str = "",
        checkpoint: str | None = None,
        count: int | None = None,
    ) -> Row:
        """The mean of the values as a row; `count` where they are not one a picture."""
        name = checkpoint or system
        of = len(values) if count is None else count
        mean = round(float(np.mean(values)), 6)
        return Row(system, measure, mean, aim, of, settings, name, digest(self.checkpoint(name)))


@cache
def digest(checkpoint: Checkpoint) -> str:
    """Twelve letters that change with any weight of a checkpoint; no config counts."""
    folder = fetch_checkpoint(checkpoint)
    hashed = blake2b(digest_size=6)
    for path in sorted(folder.rglob("*.safetensors")):
        hashed.update(path.relative_to(folder).as_posix().encode() + b"\n")
        hashed.update(blake2b(path.read_bytes()).digest())
    return hashed.hexdigest()
