"""LoRAs (Hu et al. 2021): the type of fields, checks of files by their headers, and their use."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.graph import refuse
from sdgraph.models import TensorShapes, resolve
from sdgraph.values import Checkpoint, Lora, Part

from . import lora_layers
from .families import FAMILIES, ModelFamily, labels_by_text_width
from .lora_layers import LoraLayer

PREFIX = "lora_"
"""What the names of LoRAs among a node's components begin with."""

_TRANSFORMER = "transformer."
"""What the names of tensors of LoRAs for transformers begin with, in the layout of diffusers."""

_ORDINALS = ("first", "second", "third", "fourth")
_TEXT_LAYER = re.compile(r"[qkv]_proj|out_proj|fc1")


class _LoraSchema:
    """The schema of an adapter in a field: its source alone, or a map with its scale."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(self._parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        text = {"type": "string"}
        fields = {"source": text, "scale": {"type": "number"}, "file": text, "revision": text}
        described = {"type": "object", "required": ["source"], "additionalProperties": False}
        return {"anyOf": [text, {**described, "properties": fields}]}

    @staticmethod
    def _parse(value: Any) -> Lora:
        try:
            return Lora.parse(value)
        except InvalidValueError as error:
            problem = error.problems[0]
            found = f"{problem.subject.rpartition('.')[2]}: {problem.found}"
            raise refuse("loras", found=found, wanted=problem.wanted, fix=problem.fix) from None


LoraField = Annotated[Lora, _LoraSchema()]
"""The type of a field or of its items: a `Lora`, or what describes one."""


def lora_parts(loras: Sequence[Lora]) -> dict[str, Part]:
    """The components for LoRAs, without those with a scale of 0, which are not applied."""
    return {
        f"{PREFIX}{number}": Part(lora.unscaled, on_host=True)
        for number, lora in enumerate(loras)
        if lora.scale
    }


def lora_problems(
    loras: Sequence[Lora], checkpoint: object, family: ModelFamily | None
) -> Iterator[Problem]:
    """The problems of LoRAs, alone or with a checkpoint, as far as its configs are on this disk.

    Args:
        loras: The LoRAs.
        checkpoint: The value of the checkpoint's port.
        family: The checkpoint's family; None if it is not on this disk.
    """
    over = getattr(checkpoint, "source", "a checkpoint")
    if loras and family is not None and "lora" not in family.adapters:
        found = f"{len(loras)} over {over}"
        wanted = f"none: diffusers puts no adapters on a {family.denoiser.label}"
        yield Problem("loras", found, wanted)
        return
    for lora in loras:
        try:
            shapes = resolve(lora).lora_shapes
        except CheckpointError as error:
            yield from error.as_problems_of("loras", "an adapter that can be used")
            continue
        if shapes is not None:
            reason = _format_problem(shapes, family)
            if not reason and isinstance(checkpoint, Checkpoint) and family is not None:
                reason = _fit_problem(shapes, checkpoint, family)
            if reason:
                over = getattr(checkpoint, "source", "the checkpoint")
                yield Problem("loras", f"{lora.source}, {reason}", f"a LoRA for {over}")


def _format_problem(shapes: TensorShapes, family: ModelFamily | None) -> str:
    """What is wrong with a file that is no LoRA of a known layout; "" if it is one."""
    if kind := lora_layers.unsupported_kind(shapes):
        return f"{kind}, which is not supported"
    layers, others = lora_layers.group_by_layer(shapes)
    if not any(layer.down or layer.up for layer in layers.values()):
        return "which holds no LoRA (whole weights, or something else)"
    if family is not None and _TRANSFORMER in family.lora_prefixes:
        foreign = next((name for name in shapes if _layer_of(name, family) is None), None)
        if foreign is None:
            return ""
        return f"whose names do not begin with {_TRANSFORMER} as in diffusers (it has {foreign})"
    if architecture := lora_layers.other_architecture(shapes):
        return f"a LoRA for {architecture} (it has {next(iter(shapes))})"
    if lora_layers.lacks_prefix(shapes):
        return f"a LoRA whose names lack the prefix unet. (it has {next(iter(shapes))})"
    unknown = [name for name in shapes if not any(_layer_of(name, family) for family in FAMILIES)]
    if unknown:
        return f"a LoRA for another kind of network (it has {unknown[0]})"
    if others:
        return f"which has a tensor that no LoRA has ({others[0]})"
    if both := lora_layers.two_layouts(shapes):
        return f"whose layers are named in two layouts ({both[0]} and {both[1]})"
    return ""


def _layer_of(tensor: str, family: ModelFamily) -> tuple[str, str] | None:
    """The component and the layer that a tensor of a LoRA is for; None for another family's.

    diffusers and peft write `unet.…`, kohya's scripts `lora_unet_…`.
    """
    prefixes = filter(tensor.startswith, family.lora_prefixes)
    prefix = max(prefixes, key=len, default="")
    if not prefix or prefix == tensor:
        return None
    return family.lora_prefixes[prefix], tensor.removeprefix(prefix)


def _fit_problem(shapes: TensorShapes, checkpoint: Checkpoint, family: ModelFamily) -> str:
    """Why a LoRA does not fit a checkpoint, by the layers of its networks; "" if it fits."""
    layers, _ = lora_layers.group_by_layer(shapes)
    missing: dict[str, list[str]] = {}
    for name, layer in layers.items():
        target = _layer_of(name, family)
        if target is None:
            return _describe_other_family(name)
        component, own_name = target
        weights = lora_layers.network_layers(checkpoint, component)
        if weights is None:
            problem = _feature_problem(own_name, layer, checkpoint, component, family)
        else:
            blocks = family.denoiser_config(checkpoint).get("layers_per_block", 2)
            weight = weights.get(lora_layers.flat_name(own_name, blocks))
            if weight is None:
                missing.setdefault(component, []).append(own_name)
                continue
            problem = _shape_problem(own_name, layer, weight)
        if problem:
            return f"a LoRA for {_trained_for(layers) or 'another network'}: {problem}"
    for component, names in missing.items():
        found = f"the {component} lacks {len(names)} of its {len(layers)} layers"
        return f"a LoRA for {_trained_for(layers) or 'another network'}: {found} ({names[0]})"
    return lora_layers.layer_problem(layers)


def _trained_for(layers: Mapping[str, LoraLayer]) -> str:
    """The versions of families whose text features a LoRA's cross-attention reads; "" for none."""
    for name, layer in layers.items():
        if re.search(r"attn2[._](?:processor[._])?to_k$", name) and layer.down is not None:
            return labels_by_text_width(layer.down[1])
    return ""


def _shape_problem(name: str, layer: LoraLayer, weight: tuple[int, ...]) -> str:
    """Why the matrices of a layer do not fit the weight that they are for; "" if they fit."""
    if layer.down is not None and layer.down[1:2] != weight[1:2]:
        return f"{name} takes {layer.down[1]} features, here there are {weight[1]}"
    if layer.up is not None and layer.up[0] != weight[0]:
        return f"{name} gives {layer.up[0]} features, here there are {weight[0]}"
    if layer.down is not None and layer.down[1:] != weight[1:]:
        return f"{name} is for a weight of {list(layer.down[1:])}, here it is {list(weight[1:])}"
    return ""


def _feature_problem(
    name: str, layer: LoraLayer, checkpoint: Checkpoint, component: str, family: ModelFamily
) -> str:
    """Why a layer does not fit a network of which only the config is on this disk."""
    if layer.down is None or len(layer.down) != 2:
        return ""
    if component == family.denoiser.name:
        wanted = family.denoiser.lora_features(name, family.denoiser_config(checkpoint))
    else:
        wanted = _text_features(checkpoint, component, name)
    if not wanted or layer.down[1] in wanted:
        return ""
    numbers = " or ".join(map(str, sorted(wanted)))
    return f"{name} takes {layer.down[1]} features, here there are {numbers}"


def _describe_other_family(tensor: str) -> str:
    """What a LoRA is for, by a tensor for a component that a checkpoint does not have."""
    for family in FAMILIES:
        target = _layer_of(tensor, family)
        if target is None:
            continue
        encoders = [encoder.name for encoder in family.text_encoders]
        if target[0] in encoders:
            ordinal = _ORDINALS[encoders.index(target[0])]
            return f"a LoRA for {family.label}: it has layers for a {ordinal} text encoder"
        return f"a LoRA for {family.label}: it has layers for its {target[0]}"
    return "a LoRA for another network"


def _text_features(checkpoint: Checkpoint, component: str, layer: str) -> set[int]:
    """The numbers of input features that a text encoder's layer may have; empty for any."""
    if not _TEXT_LAYER.search(layer):
        return set()
    width = (resolve(checkpoint).config(component) or {}).get("hidden_size")
    return {width} if width else set()


@contextmanager
def apply_loras(
    pipe: Any, loras: Sequence[Lora], models: Mapping[str, Any], family: ModelFamily
) -> Iterator[None]:
    """Applies LoRAs to a pipeline, and removes them afterwards.

    The LoRAs are not fused: the weights of the modules, which are shared, are never written to.

    Args:
        pipe: The pipeline.
        loras: The LoRAs with their scales.
        models: The leased components, among them the paths of the LoRAs' files.
        family: The pipeline's family.

    Raises:
        InvalidValueError: The networks do not have the layers of a LoRA.
    """
    applied = {f"{PREFIX}{number}": lora for number, lora in enumerate(loras) if lora.scale}
    if not applied:
        yield
        return
    names = (family.denoiser.name, *(encoder.name for encoder in family.text_encoders))
    modules = [module for name in names if (module := getattr(pipe, name, None)) is not None]
    marked = [module for module in modules if _MARK in vars(module)]
    try:
        for name, lora in applied.items():
            _load_lora(pipe, name, lora, models[name])
        pipe.set_adapters(list(applied), [lora.scale for lora in applied.values()])
        for module in modules:
            # An adapter's own dropout would draw random numbers.
            module.eval()
        yield
    finally:
        pipe.unload_lora_weights()
        for module in modules:
            if module not in marked:
                vars(module).pop(_MARK, None)


_MARK = "_hf_peft_config_loaded"
"""The mark that diffusers and transformers leave on a module that has had an adapter."""


def _load_lora(pipe: Any, name: str, lora: Lora, path: Any) -> None:
    try:
        with warnings.catch_warnings():
            # peft warns about a second adapter, which is intended.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            pipe.load_lora_weights(
                path.parent, weight_name=path.name, adapter_name=name, local_files_only=True
            )
        loaded = set(chain.from_iterable(pipe.get_list_adapters().values()))
        reason = "" if name in loaded else "none of its layers is one of this network"
    except (ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    if reason:
        wanted = "an adapter whose layers the checkpoint's network has"
        raise InvalidValueError(Problem("loras", f"{lora.source}: {reason[:300]}", wanted))
