"""The networks of a ControlNet pipeline as it takes them, without a change of the leased ones.

Some pipelines put layers of the denoiser into their ControlNet, or encode a picture by random
numbers that do not follow from their generator. The leased modules belong to other nodes too, so
such a pipeline gets copies, which have the same weights and modules of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator


def copy_module(module: Any) -> Any:
    """A module with the same weights and submodules, in which others can be put."""
    copied = copy.copy(module)
    for name in ("_modules", "_parameters", "_buffers"):
        vars(copied)[name] = dict(vars(module)[name])
    return copied


def arrange_networks(networks: Sequence[Any], family: ModelFamily, *, shared: bool) -> Any:
    """The ControlNets as the argument of a family's pipeline.

    Args:
        networks: One for each control map.
        family: The pipeline's family.
        shared: Whether one network reads all maps.
    """
    if family.control.borrows_layers:
        networks = [copy_module(network) for network in networks]
    if len(networks) == 1:
        return networks[0]
    if not shared:
        return list(networks)
    if not family.control.wrapper:
        return networks[0]
    import diffusers

    return getattr(diffusers, family.control.wrapper)([networks[0]])


def seed_encoding(decoder: Any, seed: int) -> Any:
    """A copy of an autoencoder that draws latents by a seed where it is given no generator.

    Args:
        decoder: The autoencoder.
        seed: The seed.
    """
    copied, generator = copy_module(decoder), random_generator(seed)
    encode = copied.encode

    def encode_by_seed(*pictures: Any, **options: Any) -> Any:
        output = encode(*pictures, **options)
        sample = output.latent_dist.sample
        output.latent_dist.sample = lambda own=None: sample(own or generator)
        return output

    copied.encode = encode_by_seed
    return copied
