"""Checks whether a ControlNet fits its base checkpoint, by their configs."""

from __future__ import annotations

from collections.abc import Iterator

from sdgraph.errors import Problem
from sdgraph.formatting import with_article
from sdgraph.models import resolve
from sdgraph.values import Checkpoint

from .families import Config, ModelFamily, text_width

SUPPORTED_CLASS = "ControlNetModel"
"""The class of the ControlNets that the families' pipelines take."""

MAP_CHANNELS = 3
"""The channels of a control map: red, green and blue."""

_SAME_SETTINGS = ("block_out_channels", "layers_per_block")
"""The settings that decide the shapes of the residuals that a ControlNet adds to its base's."""


def network_problems(
    network: Checkpoint, base: Checkpoint, family: ModelFamily | None
) -> Iterator[Problem]:
    """The problems of a ControlNet with its base, as far as configs are on this disk.

    Args:
        network: The ControlNet's checkpoint.
        base: The base checkpoint.
        family: The family of the base, None if it is not on this disk.
    """
    if network.dtype not in (None, base.dtype):
        base_dtype = base.dtype or "what the device prefers"
        found = f"{network.source} in {network.dtype} over {base.source} in {base_dtype}"
        yield Problem("controlnet", found, "one dtype", "set the dtype of the checkpoint alone")
    config = resolve(network).config()
    if config is None:
        return
    class_name = str(config.get("_class_name") or (config.get("architectures") or ["nothing"])[0])
    if class_name != SUPPORTED_CLASS:
        found, wanted = (
            f"{network.source}, {with_article(class_name)}",
            f"a ControlNet checkpoint ({SUPPORTED_CLASS})",
        )
        yield Problem("controlnet", found, wanted, _class_advice(class_name))
        return
    channels = config.get("conditioning_channels", MAP_CHANNELS)
    if channels != MAP_CHANNELS:
        found = f"{network.source}, which reads {channels} channels"
        yield Problem("controlnet", found, f"one that reads control maps ({MAP_CHANNELS} channels)")
    settings = {} if family is None else family.denoiser_config(base)
    if family is not None and settings:
        yield from _base_problems(network, config, base, settings, family)


def _class_advice(class_name: str) -> str:
    if "ControlNetUnion" in class_name:
        return "use a ControlNet for one kind of map; those for several (Union) are not supported"
    if "Adapter" in class_name:
        return "T2I adapters are not supported: use a ControlNet for this kind of map"
    if "ControlNet" in class_name:
        return "it is for another family of models"
    return ""


def _base_problems(
    network: Checkpoint, config: Config, base: Checkpoint, settings: Config, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a ControlNet that does not fit its base.

    `config` is that of the ControlNet, `settings` that of the base's denoiser.
    """
    fix = "use a ControlNet trained for this base"
    if text_width(config) != text_width(settings):
        found = f"{network.source}, for text features of {text_width(config)}"
        yield Problem("controlnet", found, f"one for {base.source} ({text_width(settings)})", fix)
        return
    for name in _SAME_SETTINGS:
        own, others = config.get(name), settings.get(name)
        if own is not None and others is not None and own != others:
            found = f"{network.source}, whose {name} is {own}"
            yield Problem("controlnet", found, f"one for {base.source} ({others})", fix)
            return
    latents = family.decoder_config(base).get("latent_channels")
    if latents is not None and config.get("in_channels", latents) != latents:
        found = f"{network.source}, for latents of {config['in_channels']} channels"
        yield Problem("controlnet", found, f"one for {base.source} ({latents})", fix)
        return
    embedding = config.get("addition_embed_type")
    if embedding is not None and settings.get("addition_embed_type") != embedding:
        found = f"{network.source}, which reads an embedding of the size too ({embedding})"
        yield Problem("controlnet", found, f"one for {family.label}", fix)
        return
    stages, scale = config.get("conditioning_embedding_out_channels"), family.latent_scale(base)
    if stages and 2 ** (len(stages) - 1) != scale:
        found = f"{network.source}, for latents {2 ** (len(stages) - 1)} times smaller than the map"
        yield Problem("controlnet", found, f"one for {base.source} ({scale} times)", fix)
