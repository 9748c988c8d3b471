"""Which layers of a network the layers of an adapter file are for."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from sdgraph.models import TensorShapes
from sdgraph.nodes.diffusion.families import ModelFamily, all_families

from .adapter_tensors import AdapterLayer, group_by_layer
from .lora_layers import flat_name


@dataclass(frozen=True, kw_only=True)
class LayerOwner:
    """The component that a layer of an adapter file is for, and the layer's name there.

    Args:
        component: The component's name in the model index.
        layer: The layer's name in the file, without the prefix.
        prefix: The prefix that says the component; "" if it is the denoiser by default.
    """

    component: str
    layer: str
    prefix: str


def owner_of(tensor: str, family: ModelFamily) -> LayerOwner | None:
    """The component and the layer that a tensor of an adapter is for; None for another family's.

    diffusers writes `unet.…` or `transformer.…`, kohya's scripts `lora_unet_…`, peft
    `base_model.model.…`.
    """
    prefixes = filter(tensor.startswith, family.lora_prefixes)
    prefix = max(prefixes, key=len, default=None)
    if prefix is None or prefix == tensor or (not prefix and tensor.startswith(_all_prefixes())):
        return None
    layer = tensor.removeprefix(prefix)
    return LayerOwner(component=family.lora_prefixes[prefix], layer=layer, prefix=prefix)


@cache
def _all_prefixes() -> tuple[str, ...]:
    """The prefixes of every family."""
    return tuple({prefix for family in all_families() for prefix in family.lora_prefixes if prefix})


def find_targets(
    owner: LayerOwner, family: ModelFamily, known: Container[str], blocks: int = 2
) -> tuple[str, ...] | None:
    """The layers of a network that a layer of an adapter is for, as `flat_name` writes them.

    Args:
        owner: The layer.
        family: The network's family.
        known: The names of the network's layers.
        blocks: A U-Net's `layers_per_block`.

    Returns:
        One name, or several that share the rows of one fused layer, in the order of the rows;
        None if the network lacks one of them.
    """
    flat = flat_name(owner.layer, blocks)
    own = owner.component in family.denoisers
    names = (flat,) if not own or flat in known else family.lora_names.targets(flat)
    found = [next((n for n in (name, f"{name}_0") if n in known), None) for name in names]
    targets = tuple(name for name in found if name is not None)
    return targets if len(targets) == len(names) else None


def is_as_diffusers_writes(shapes: TensorShapes, family: ModelFamily) -> bool:
    """Whether diffusers reads a file of plain LoRAs by itself and leaves nothing out.

    Its converters for other layouts leave out tensors that they do not know, ignore some alphas,
    and fit the widths of published models alone.
    """
    layers, others = group_by_layer(shapes)
    if others or not all(layer.is_lora for layer in layers.values()):
        return False
    components = {f"{name}." for name in family.networks}
    dotted = all(name.startswith(tuple(components)) for name in layers)
    if dotted:
        in_first_names = any(
            owner is not None
            and family.lora_names.targets(flat_name(owner.layer)) != (flat_name(owner.layer),)
            for owner in (owner_of(name, family) for name in layers)
        )
        old_names = any("_lora.down" in name or "lora_down" in name for name in shapes)
        is_unet = family.denoiser.name == "unet"
        has_alpha = any(layer.has_alpha for layer in layers.values())
        return not has_alpha and not in_first_names and (is_unet or not old_names)
    kohya = all(name.startswith(("lora_unet_", "lora_te")) for name in layers)
    return kohya and family.denoiser.name == "unet"


def owned_layers(
    shapes: TensorShapes, family: ModelFamily, denoiser: str | None = None
) -> Iterator[tuple[str, AdapterLayer, LayerOwner | None]]:
    """The layers of a file, each with its name as written and the component that it is for.

    Args:
        shapes: The shapes of the file's tensors.
        family: The family of the checkpoint.
        denoiser: The denoiser that the file is for; None is the family's first.
    """
    layers: Mapping[str, AdapterLayer] = group_by_layer(shapes)[0]
    for name, layer in layers.items():
        owner = owner_of(name, family)
        if owner is not None and denoiser and owner.component == family.denoiser.name:
            owner = replace(owner, component=denoiser)
        yield name, layer, owner
