"""Small checkpoints of the model families with random weights, made when they are first used.

They show noise. Tests and examples run families with them whose real weights take gigabytes.
"""

from __future__ import annotations

from pathlib import Path

from sdgraph.models import quiet_libraries

from . import (
    animated_pipelines,
    audio_video_pipelines,
    pipelines,
    unet_pipelines,
    video_pipelines,
)
from .control_networks import CONTROL_NETWORKS
from .map_adapters import MAP_ADAPTERS

PIPELINES = {
    **animated_pipelines.PIPELINES,
    **pipelines.PIPELINES,
    **unet_pipelines.PIPELINES,
    **video_pipelines.PIPELINES,
    **audio_video_pipelines.PIPELINES,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""

SEED = 0

MAKERS = {
    **PIPELINES,
    **CONTROL_NETWORKS,
    **MAP_ADAPTERS,
    "motion-adapter": animated_pipelines.motion_adapter,
}
"""What makes each checkpoint, by its name without `random/`."""


def make_checkpoint(name: str, folder: Path) -> None:
    """Writes a checkpoint in diffusers' folder layout; the same name gives the same weights.

    Args:
        name: A name in `MAKERS`, such as "flux".
        folder: Where it is written.
    """
    import torch

    with torch.random.fork_rng(), quiet_libraries():
        torch.manual_seed(SEED)
        MAKERS[name]().save_pretrained(folder, safe_serialization=True)


__all__ = ["CONTROL_NETWORKS", "MAKERS", "PIPELINES", "make_checkpoint"]
