"""What every node that trains has in common: its fields, and the training itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, Progress, TargetFolder
from sdgraph.values import Checkpoint

from .data import Dataset
from .data_problems import Need, caption_problems, missing_data_problems
from .loop import Settings, Trainee, train
from .state import save_skipped
from .training_folders import foreign_file_problems

NAMED = 3
"""How many of the pictures that were left out a note names."""


class Training(Node[Checkpoint]):
    """A node that trains and returns the checkpoint that it wrote into `out`."""

    category = "train"
    exclusive = True
    replaced_folders: ClassVar[tuple[str, ...]] = ("checkpoint",)
    """The folders in `out` that are replaced when the training has ended."""

    data: In[Dataset] = Field(description="captioned pictures")
    out: TargetFolder = Field(description="the folder for the checkpoint and the training's state")
    steps: int = Field(default=6_000, ge=1, description="optimizer steps")
    batch: int = Field(default=32, ge=1, description="pictures a step")
    learning_rate: float = Field(default=1e-3, gt=0, description="AdamW, decayed linearly")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the same seed gives the same weights")

    def check(self) -> Iterator[Problem]:
        for name in self.replaced_folders:  # checked now, because a training may take days
            yield from foreign_file_problems("out", self.folder / name)
        yield from missing_data_problems(self.data, *self.data_needs())
        yield from caption_problems(self.data, self.text_source())

    def data_needs(self) -> tuple[Need, ...]:
        """What the data must have besides pictures."""
        return ()

    def text_source(self) -> object:
        """The checkpoint, or the node that makes it, whose tokenizer reads the captions; or None.

        A training keeps the tokenizer of the checkpoint that it starts from.
        """
        return None

    @property
    def folder(self) -> Path:
        """The folder for the checkpoint."""
        return Path(self.out)

    @property
    def state_folder(self) -> Path:
        """The folder for the training's state."""
        return self.folder / "training"

    def settings(self, *, weight_decay: float = 0.01, **more: Any) -> Settings:
        """The loop's settings: those that are fields, and `more`."""
        return Settings(
            self.steps,
            self.batch,
            self.learning_rate,
            seed=self.seed,
            weight_decay=weight_decay,
            **more,
        )

    def fit(
        self, trainee: Trainee, data: Dataset, settings: Settings, progress: Progress
    ) -> dict[str, dict[str, Any]]:
        """Trains to the end, puts the averaged weights in place, and reports what was left out.

        Returns:
            The averaged weights, by module and by parameter.
        """
        weights = train(trainee, settings, self.state_folder, progress)
        for name, module in trainee.modules.items():
            module.load_state_dict(weights[name], strict=False)
        if data.skipped:
            save_skipped(self.state_folder, data.skipped)
            progress(settings.steps, settings.steps, note=self._skipped_note(data))
        return weights

    def _skipped_note(self, data: Dataset) -> str:
        count, total = len(data.skipped), len(data.skipped) + len(data)
        names = ", ".join(list(data.skipped)[:NAMED]) + (", …" if count > NAMED else "")
        return (
            f"{count} of {total} pictures could not be read and were left out: {names} "
            f"(why: {self.state_folder / 'skipped.txt'})"
        )


class Denoising(Training):
    """A node that trains a denoiser."""

    timestep_bias: float = Field(
        default=1.0, gt=0, le=10, description="above 1, noisy latents are learned from more often"
    )

    def settings(self, *, weight_decay: float = 0.01, **more: Any) -> Settings:
        return super().settings(weight_decay=weight_decay, timestep_bias=self.timestep_bias, **more)
