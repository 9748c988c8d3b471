"""Guiders: components of a pipeline that guide it, where its call takes no scale of guidance."""

from __future__ import annotations

from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .family_settings import Guidance
from .networks import Config

_CLASS = "ClassifierFreeGuidance"
"""The guider that is made: others guide by other passes than that with the negative prompt."""

_CONFIG = "guider_config.json"


def guider_config(checkpoint: Checkpoint, name: str) -> Config:
    """The config of a checkpoint's guider; {} if it is not on this disk.

    Args:
        checkpoint: The checkpoint.
        name: The name of the guider in its index.

    Raises:
        CheckpointError: Its guider guides in another way than by a negative prompt.
    """
    index = resolve(checkpoint).index
    if index is None:
        return {}
    named = (index.get(name) or [None, None])[1]
    if named != _CLASS:
        found = f"{checkpoint.source}, whose {name} is {named or 'missing'}"
        fix = "choose another checkpoint, or another revision of it"
        raise CheckpointError(Problem(checkpoint.source, found, _CLASS, fix))
    return resolve(checkpoint).config(name, _CONFIG) or {}


def usual_scale(checkpoint: Checkpoint, guidance: Guidance) -> float:
    """The scale of guidance of a checkpoint's guider, or the usual one if it has none."""
    if not guidance.guider:
        return guidance.scale
    own = guider_config(checkpoint, guidance.guider)
    return float(own.get("guidance_scale", guidance.scale))


def make_guider(checkpoint: Checkpoint, name: str, scale: float, rescale: float) -> Any:
    """A guider with the settings of a checkpoint's own and another scale.

    Args:
        checkpoint: The checkpoint.
        name: The name of the guider in its index.
        scale: The scale of classifier-free guidance; 1 for none.
        rescale: How far the contrast of the guided result is taken back, from 0 to 1.
    """
    import diffusers

    own = guider_config(checkpoint, name)
    settings = {**own, "guidance_scale": scale}
    if rescale:
        settings["guidance_rescale"] = rescale
    with quiet_libraries():
        return diffusers.ClassifierFreeGuidance.from_config(settings)
