"""T2I-Adapters (Mou et al. 2023): small networks that read a control map once, before all steps.

They stand where a ControlNet may stand, and their configs tell them from one. Pipelines of their
own take them, which start from noise alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from sdgraph.errors import Problem
from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import Config, MapAdapterSettings, ModelFamily, Task
from sdgraph.values import Checkpoint

from .control_maps import Control

MAP_ADAPTER = "adapter"
"""The pipelines' argument for T2I-Adapters."""

_CLASS_NAME = "T2IAdapter"
_OTHER_BASE = "use a T2I-Adapter trained for this base"
_TYPES = {"full_adapter_xl": "SDXL"}
"""What adapters of a type are for; others are for Stable Diffusion."""

Feature = tuple[int, int]
"""A result of a level: its channels, and how much smaller than the map its sides are."""


def is_map_adapter(network: object) -> bool:
    """Whether a network is a T2I-Adapter, by its config; False if it is not on this disk."""
    if not isinstance(network, Checkpoint):
        return False
    return (resolve(network).config() or {}).get("_class_name") == _CLASS_NAME


def takes_map_adapters(controls: Sequence[Control], family: ModelFamily) -> bool:
    """Whether the networks of a node are T2I-Adapters that a family has a pipeline for."""
    has_pipeline = family.control.map_adapters is not None
    return has_pipeline and all(is_map_adapter(control.network) for control in controls)


def arrange_map_adapters(networks: Sequence[Any]) -> Any:
    """The loaded T2I-Adapters, one for each control map, as the argument of a pipeline."""
    # The pipeline of Stable Diffusion decodes by a method that it calls deprecated itself.
    warnings.filterwarnings("ignore", "The decode_latents method", FutureWarning)
    if len(networks) == 1:
        return networks[0]
    import diffusers

    return diffusers.MultiAdapter(list(networks))


def map_adapter_arguments(controls: Sequence[Control], family: ModelFamily) -> dict[str, Any]:
    """How strongly and how long each map is followed, as arguments of a pipeline's call.

    Args:
        controls: The maps, one or several.
        family: The pipeline's family.
    """
    scales = [float(control.scale) for control in controls]
    arguments: dict[str, Any] = {
        "adapter_conditioning_scale": scales if len(scales) > 1 else scales[0]
    }
    settings = family.control.map_adapters
    if settings is not None and settings.has_end:
        arguments["adapter_conditioning_factor"] = float(controls[0].end)
    return arguments


def map_as_read(picture: Any, network: Checkpoint | None) -> Any:
    """A control map with the channels that a T2I-Adapter reads: grey for one, or colours.

    Args:
        picture: The map, as a picture of Pillow.
        network: The adapter.
    """
    config = (resolve(network).config() if network is not None else None) or {}
    return picture.convert("L") if config.get("in_channels") == 1 else picture


def map_multiple(controls: Sequence[Control], multiple: int) -> int:
    """What sides must be a multiple of for a pipeline with T2I-Adapters.

    Args:
        controls: The maps with their adapters.
        multiple: What they must be a multiple of for the family.
    """
    networks = (control.checkpoint for control in controls)
    configs = (resolve(network).config() or {} for network in networks if network is not None)
    return math.lcm(multiple, *(int(config.get("downscale_factor") or 8) for config in configs))


def map_adapter_problems(
    controls: Sequence[Control], base: Checkpoint, family: ModelFamily, task: Task
) -> Iterator[Problem]:
    """The problems of T2I-Adapters with their base, by configs.

    Args:
        controls: The maps with their networks, of which at least one is a T2I-Adapter.
        base: The base checkpoint.
        family: Its family.
        task: What the node does.
    """
    settings = family.control.map_adapters
    if settings is None:
        found = f"a T2I-Adapter over {family.label}, which has no pipeline for one"
        fix = "use a ControlNet for this kind of map"
        yield Problem("controlnet", found, f"a ControlNet for {family.label}", fix)
        return
    if not all(is_map_adapter(control.network) for control in controls):
        fix = "take ControlNets for all maps, or T2I-Adapters for all"
        yield Problem("controlnet", "ControlNets and T2I-Adapters", "networks of one sort", fix)
        return
    if task != "controlnet":
        found = "a picture to start from, with a T2I-Adapter"
        fix = "leave `image` and `mask` out, or take a ControlNet"
        yield Problem("image", found, "none: it follows maps from noise alone", fix)
    yield from _part_problems(controls, family, settings)
    seen: list[Checkpoint] = []
    for control in controls:
        network = control.checkpoint
        if network is not None and network not in seen:
            seen.append(network)
            yield from _fit_problems(network, base, family)


def map_adapter_reference_problems(
    controls: Sequence[Control], family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a reference picture with T2I-Adapters whose pipeline takes no IP-Adapter."""
    settings = family.control.map_adapters
    if settings is None or settings.takes_reference or not takes_map_adapters(controls, family):
        return
    found = f"a reference with a T2I-Adapter over {family.label}"
    fix = "leave it out, or take a ControlNet"
    yield Problem("reference", found, "none: diffusers has no pipeline for both", fix)


def _part_problems(
    controls: Sequence[Control], family: ModelFamily, settings: MapAdapterSettings
) -> Iterator[Problem]:
    """The problem of parts of the steps in which the pipeline cannot follow a map."""
    wanted = "start 0 and one end for all maps" if settings.has_end else "start 0 and end 1"
    ends = {control.end for control in controls}
    for control in controls:
        allowed = len(ends) == 1 if settings.has_end else control.end == 1
        if control.start != 0 or not allowed:
            found = f"start {control.start:g}, end {control.end:g} for a T2I-Adapter"
            fix = f"T2I-Adapters over {family.label} know no other parts of the steps"
            yield Problem("start" if control.start else "end", found, wanted, fix)
            return


def _fit_problems(network: Checkpoint, base: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problem of an adapter whose results are not of the sizes of those of the U-Net."""
    if network.dtype not in (None, base.dtype):
        base_dtype = base.dtype or "what the device prefers"
        found = f"{network.source} in {network.dtype} over {base.source} in {base_dtype}"
        yield Problem("controlnet", found, "one dtype", "set the dtype of the checkpoint alone")
    config, settings = resolve(network).config() or {}, family.denoiser_config(base)
    channels = config.get("in_channels", 3)
    if channels not in (1, 3):
        found = f"{network.source}, which reads {channels} channels"
        yield Problem("controlnet", found, "one that reads grey or coloured maps (1 or 3)")
        return
    made = adapter_features(config)
    wanted = unet_features(settings, family.latent_scale(base)) if settings else made
    if made == wanted or made == wanted[:-1]:
        return
    kind = _TYPES.get(str(config.get("adapter_type")), "Stable Diffusion")
    found = f"{network.source}, made for {kind} with levels {_described(made)}"
    yield Problem("controlnet", found, f"{base.source}: {_described(wanted[:-1])}", _OTHER_BASE)


def _described(features: Sequence[Feature]) -> str:
    return ", ".join(f"{width} wide (1/{reduction})" for width, reduction in features)


def adapter_features(config: Config) -> list[Feature]:
    """The results of a T2I-Adapter, by its config.

    Example:
        >>> adapter_features({"channels": [320, 640], "adapter_type": "full_adapter"})
        [(320, 8), (640, 16)]
    """
    channels = list(config.get("channels") or (320, 640, 1280, 1280))
    kind = config.get("adapter_type", "full_adapter")
    factor = int(config.get("downscale_factor") or 8)
    if kind == "full_adapter_xl":  # it has one level that makes its map smaller, the third
        return [(width, factor * (2 if level > 1 else 1)) for level, width in enumerate(channels)]
    if kind == "light_adapter":
        channels.append(channels[-1])
    return [(width, factor * 2**level) for level, width in enumerate(channels)]


def unet_features(settings: Config, scale: int) -> list[Feature]:
    """The places in a U-Net where it adds the results of a T2I-Adapter, the last one at choice.

    Args:
        settings: The U-Net's config.
        scale: The length of a picture's side divided by that of its latents.
    """
    widths = settings.get("block_out_channels") or ()
    blocks = settings.get("down_block_types") or ("CrossAttnDownBlock2D",) * len(widths)
    last = len(widths) - 1
    features = []
    for level, (width, block) in enumerate(zip(widths, blocks, strict=False)):
        # A level with attention adds it before it makes its result smaller, others after that.
        is_smaller = not str(block).startswith("CrossAttn") and level < last
        features.append((width, scale * 2 ** (level + is_smaller)))
    return [*features, (widths[-1], scale * 2**last)] if widths else []
