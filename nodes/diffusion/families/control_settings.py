"""How the pipelines of a family take ControlNets, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdgraph.values import ControlMap

from .networks import Config

Misfit = tuple[str, str]
"""Why a ControlNet does not fit its base: what it is, and what is wanted."""


def _fits(config: Config, denoiser: Config) -> Misfit | None:
    return None


@dataclass(frozen=True, kw_only=True)
class UnionSettings:
    """Union ControlNets: one network for several kinds of maps, with a number for each kind.

    Args:
        class_name: Their class in diffusers.
        count: The setting in their config with the number of kinds that they know; a network of
            the same class without it reads any map as it is.
        modes: The number of each kind of map.
        pipelines: The pipelines that take them, by the pipelines that take other ControlNets; {}
            if they are the same.
    """

    class_name: str
    count: str
    modes: Mapping[type[ControlMap], int]
    pipelines: Mapping[str, str] = field(default_factory=dict)

    def known_modes(self, count: int) -> dict[type[ControlMap], int]:
        """The kinds that a network with a number of kinds knows, each with its number."""
        return {kind: mode for kind, mode in self.modes.items() if mode < count}


@dataclass(frozen=True, kw_only=True)
class MapAdapterSettings:
    """T2I-Adapters, which may stand where a ControlNet stands.

    Args:
        pipeline: The pipeline that takes them, from noise.
        has_end: Whether it can leave them out from a share of the steps on.
        takes_reference: Whether it takes an IP-Adapter too.
    """

    pipeline: str
    has_end: bool = False
    takes_reference: bool = False


@dataclass(frozen=True, kw_only=True)
class ControlSettings:
    """How a family's pipelines take ControlNets.

    Args:
        class_name: The class of the ControlNets in diffusers.
        built_in: Whether the checkpoint reads maps itself, without a ControlNet.
        map_argument: The argument for the map of a pipeline that starts from noise.
        several: Whether several maps are read by a network each, or all by one network, or not.
        wrapper: The class in diffusers with which one network reads several maps; "" if its
            pipelines take the network itself.
        has_timing: Whether a network may follow its map in a part of the steps only.
        has_strength: Whether the pipeline that repaints starts from the picture; otherwise it
            starts from noise.
        repaints_by_map: Whether the pipeline that repaints reads a map too; otherwise its
            ControlNet reads the picture and the mask alone.
        repainting_channels: The setting with the number of channels that a ControlNet for
            repainting reads besides the latents; "" if the same ControlNets are used.
        same_settings: The settings that a ControlNet's config has as its base's does.
        misfit: Why a ControlNet does not fit its base, by the configs of both; None if it does.
        repainting_misfit: Why it cannot repaint, by the same configs.
        union: Its union ControlNets, for several kinds of maps; None if there are none.
        map_adapters: Its T2I-Adapters; None if it has no pipeline for them.
        borrows_layers: Whether a pipeline puts layers of the denoiser into its ControlNet.
        samples_unseeded: Whether a pipeline encodes pictures by random numbers that do not follow
            from its generator.
    """

    class_name: str = "ControlNetModel"
    built_in: bool = False
    map_argument: str = "control_image"
    several: Literal["networks", "one network", "no"] = "networks"
    wrapper: str = ""
    has_timing: bool = True
    has_strength: bool = True
    repaints_by_map: bool = True
    repainting_channels: str = ""
    same_settings: tuple[str, ...] = ()
    misfit: Callable[[Config, Config], Misfit | None] = _fits
    repainting_misfit: Callable[[Config, Config], Misfit | None] = _fits
    union: UnionSettings | None = None
    map_adapters: MapAdapterSettings | None = None
    borrows_layers: bool = False
    samples_unseeded: bool = False


UNET_CONTROL = ControlSettings(
    map_argument="image", same_settings=("block_out_channels", "layers_per_block")
)
"""The ControlNets of U-Nets (Zhang et al. 2023)."""
