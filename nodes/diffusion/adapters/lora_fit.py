"""Whether an adapter file fits a checkpoint, by the names and shapes in their headers alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod

from sdgraph.models import TensorShapes, resolve
from sdgraph.nodes.diffusion.families import ModelFamily, all_families, labels_by_text_width
from sdgraph.values import MOTION, Checkpoint

from . import adapter_tensors, lora_layers
from .adapter_targets import LayerOwner, find_targets, owned_layers, owner_of
from .adapter_tensors import AdapterLayer, Shape

_ORDINALS = ("first", "second", "third", "fourth")
_TEXT_LAYER = re.compile(r"[qkv]_proj|out_proj|fc1")


def format_problem(shapes: TensorShapes, family: ModelFamily | None) -> str:
    """What is wrong with a file that is no adapter of a known layout; "" if it is one."""
    if kind := adapter_tensors.unsupported_kind(shapes):
        return f"{kind}, which is not supported"
    layers, others = adapter_tensors.group_by_layer(shapes)
    if all(set(layer.shapes) == {"alpha"} for layer in layers.values()):
        return "which holds no LoRA (whole weights, or something else)"
    if family is None or family.denoiser.name == "unet":
        takes_motion = family is not None and MOTION in {each.name for each in family.optional}
        architecture = lora_layers.other_architecture(shapes, animated=takes_motion)
        if architecture and (family is not None or not _fits_some_family(layers)):
            return f"a LoRA for {architecture} (it has {next(iter(shapes))})"
    if others:
        return f"which has a tensor that no LoRA has ({others[0]})"
    if both := lora_layers.two_layouts(shapes):
        return f"whose layers are named in two layouts ({both[0]} and {both[1]})"
    return adapter_tensors.layer_problem(layers) if family is None else ""


def _fits_some_family(layers: Mapping[str, AdapterLayer]) -> bool:
    return all(
        any(owner_of(name, family) for family in all_families() if "lora" in family.adapters)
        for name in layers
    )


def fit_problem(
    shapes: TensorShapes,
    checkpoint: Checkpoint,
    family: ModelFamily,
    denoiser: str | None = None,
) -> str:
    """Why an adapter does not fit a checkpoint, by the layers of its networks; "" if it fits.

    Args:
        shapes: The shapes of the tensors in the adapter's file.
        checkpoint: The checkpoint.
        family: Its family.
        denoiser: The denoiser that the adapter is for; None is the first.
    """
    if denoiser is not None and denoiser not in family.denoisers:
        return f"for the {denoiser}, which is no denoiser of {family.label}"
    layers = {name: layer for name, layer, _ in owned_layers(shapes, family)}
    missing: dict[str, list[LayerOwner]] = {}
    taken: dict[str, str] = {}
    networks = {*family.networks, *family.denoisers}
    for name, layer, owner in owned_layers(shapes, family, denoiser):
        if owner is None or owner.component not in networks:
            return _describe_other_family(name, layers)
        if problem := _component_problem(owner, checkpoint, family):
            return problem
        weights = lora_layers.network_layers(checkpoint, owner.component)
        if weights is None:
            problem = _feature_problem(owner, layer, checkpoint, family)
        else:
            blocks = family.denoiser_config(checkpoint).get("layers_per_block", 2)
            targets = find_targets(owner, family, weights, blocks)
            if targets is None:
                missing.setdefault(owner.component, []).append(owner)
                continue
            problem = _shape_problem(owner.layer, layer, targets, weights)
            problem = problem or _twice(name, owner, targets, taken)
        if problem:
            return f"a LoRA for {_trained_for(layers) or 'another network'}: {problem}"
    if layers_wrong := adapter_tensors.layer_problem(layers):
        known = _trained_for(layers) if missing else ""
        return f"a LoRA for {known}: {layers_wrong}" if known else layers_wrong
    return _missing_problem(missing, layers) if missing else ""


def _component_problem(owner: LayerOwner, checkpoint: Checkpoint, family: ModelFamily) -> str:
    """Why a checkpoint has no layers of a component; "" if it has."""
    present = resolve(checkpoint).components
    if present is None or owner.component in present:
        return ""
    return f"a LoRA with layers for the {owner.component}, which this checkpoint lacks"


def _twice(name: str, owner: LayerOwner, targets: tuple[str, ...], taken: dict[str, str]) -> str:
    """The problem of two layers of a file for one of the network; `taken` are those so far."""
    for target in targets:
        other = taken.setdefault(f"{owner.component}.{target}", name)
        if other != name:
            return f"two of its layers are for one ({other} and {name})"
    return ""


def _missing_problem(
    missing: Mapping[str, list[LayerOwner]], layers: Mapping[str, AdapterLayer]
) -> str:
    """That a network lacks some layers of a file, which is then for another network."""
    component, owners = next(iter(missing.items()))
    label = _trained_for(layers)
    if not label and len(owners) == len(layers) and not owners[0].prefix:
        return f"a LoRA for another kind of network (it has {next(iter(layers))})"
    found = f"the {component} lacks {len(owners)} of its {len(layers)} layers"
    return f"a LoRA for {label or 'another network'}: {found} ({owners[0].layer})"


def _trained_for(layers: Mapping[str, AdapterLayer]) -> str:
    """The families that a file is for, by its names and the widths of its layers; "" for none."""
    for name, layer in layers.items():
        is_of_text = re.search(r"attn2[._](?:processor[._])?to_k$", name)
        width = layer.down[1] if is_of_text and layer.down is not None else 0
        if width and (label := labels_by_text_width(width)):
            return label
    return lora_layers.transformer_label({name: layer.weight for name, layer in layers.items()})


def _shape_problem(
    name: str, layer: AdapterLayer, targets: tuple[str, ...], weights: Mapping[str, Shape]
) -> str:
    """Why the matrices of a layer do not fit the weights that they are for; "" if they fit."""
    shapes = [weights[target] for target in targets]
    weight = (sum(shape[0] for shape in shapes), *shapes[0][1:])
    lacks_bias = any(f"{target}_bias" not in weights for target in targets)
    if lacks_bias and {"diff_b", "up_bias"} & set(layer.shapes):
        return f"{name} changes a bias, here it has none"
    if adapter_tensors.fits(layer, weight):
        return ""
    own = layer.weight or _known_sides(layer, weight)
    if own[1:2] != weight[1:2] and prod(own[1:]) != prod(weight[1:]):
        taken = own[1] if len(own) > 1 else "no"
        return f"{name} takes {taken} features, here there are {prod(weight[1:2])}"
    if own[:1] != weight[:1]:
        return f"{name} gives {own[0]} features, here there are {weight[0]}"
    if prod(own) == prod(weight):
        magnitude = layer.shapes.get("magnitude", layer.shapes.get("dora_scale"))
        return "" if magnitude is None else f"{name} has {prod(magnitude)} magnitudes"
    return f"{name} is for a weight of {list(own[1:])}, here it is {list(weight[1:])}"


def _known_sides(layer: AdapterLayer, weight: Shape) -> Shape:
    """The shape of the weight that an incomplete layer is for, as far as it is known.

    The sides that it does not tell are those of `weight`; `layer_problem` says what is missing.
    """
    rows = (layer.up or weight)[:1]
    return (*rows, *((0, *weight[1:]) if layer.down is None else layer.down)[1:])


def _feature_problem(
    owner: LayerOwner, layer: AdapterLayer, checkpoint: Checkpoint, family: ModelFamily
) -> str:
    """Why a layer does not fit a network of which only the config is on this disk."""
    weight = layer.weight
    if weight is None or len(weight) != 2:
        return ""
    if owner.component == family.denoiser.name:
        config = family.denoiser_config(checkpoint)
        wanted = family.denoiser.lora_features(owner.layer, config) if config else set()
    else:
        wanted = _text_features(checkpoint, owner.component, owner.layer)
    if not wanted or weight[1] in wanted:
        return ""
    numbers = " or ".join(map(str, sorted(wanted)))
    return f"{owner.layer} takes {weight[1]} features, here there are {numbers}"


def _describe_other_family(tensor: str, layers: Mapping[str, AdapterLayer]) -> str:
    """What a LoRA is for, by a tensor for a component that a checkpoint does not have."""
    for family in all_families():
        owner = owner_of(tensor, family)
        if owner is None or not owner.prefix:
            continue
        encoders = [encoder.name for encoder in family.text_encoders]
        if owner.component in encoders:
            ordinal = _ORDINALS[encoders.index(owner.component)]
            return f"a LoRA for {family.label}: it has layers for a {ordinal} text encoder"
        label = _trained_for(layers) or family.label
        return f"a LoRA for {label}: it has layers for its {owner.component}"
    return "a LoRA for another network"


def _text_features(checkpoint: Checkpoint, component: str, layer: str) -> set[int]:
    """The numbers of input features that a text encoder's layer may have; empty for any."""
    if not _TEXT_LAYER.search(layer):
        return set()
    width = (resolve(checkpoint).config(component) or {}).get("hidden_size")
    return {width} if width else set()
