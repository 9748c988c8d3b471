"""The parts of a pipeline in memory, found by what they are for and not by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from sdgraph.nodes.diffusion.families import (
    DISABLED_EXTRAS,
    SCHEDULER,
    ModelFamily,
    Task,
)


@dataclass(frozen=True, eq=False)
class PipelineParts(Mapping[str, Any]):
    """Modules, tokenizers and the scheduler of a pipeline, by their names in a model index.

    `parts | {"name": module}` is a copy in which parts are added or replaced.

    Args:
        family: The family that gives the parts their names.
        by_name: The parts; there may be further ones, such as a ControlNet.
    """

    family: ModelFamily
    by_name: Mapping[str, Any]

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_name)

    def __len__(self) -> int:
        return len(self.by_name)

    def __or__(self, others: Mapping[str, Any]) -> PipelineParts:
        return PipelineParts(self.family, {**self, **others})

    def select(self, *names: str) -> dict[str, Any]:
        """Some of the parts, by name."""
        return {name: self[name] for name in names}

    @property
    def denoiser(self) -> Any:
        """The network that runs once a step."""
        return self[self.family.denoiser.name]

    @property
    def decoder(self) -> Any:
        """The autoencoder."""
        return self[self.family.decoder.name]

    @property
    def text_encoders(self) -> tuple[Any, ...]:
        """The text encoders, in the family's order."""
        return tuple(self[each.name] for each in self.family.text_encoders)

    @property
    def tokenizers(self) -> tuple[Any, ...]:
        """The tokenizers, in the order of their text encoders."""
        return tuple(self[name] for name in self.family.tokenizers)

    @property
    def scheduler(self) -> Any:
        """The checkpoint's scheduler."""
        return self[SCHEDULER]


def make_pipeline(parts: PipelineParts, task: Task, **more: Any) -> Any:
    """Diffusers' pipeline for a task, of the parts as they are and a scheduler of its own.

    It shows no progress bar, and does without safety checker and watermark.

    Args:
        parts: What the pipeline computes with.
        task: One that the parts' family can do.
        more: Further arguments of the pipeline, such as a ControlNet.
    """
    import diffusers

    cls = getattr(diffusers, parts.family.pipelines[task])
    accepted = signature(cls).parameters
    settings = {name: value for name, value in DISABLED_EXTRAS.items() if name in accepted}
    scheduler = type(parts.scheduler).from_config(parts.scheduler.config)
    components = parts.select(*parts.family.components)
    pipe = cls(**{**settings, **components, SCHEDULER: scheduler, **more})
    pipe.set_progress_bar_config(disable=True)
    return pipe
