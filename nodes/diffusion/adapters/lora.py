"""LoRAs (Hu et al. 2021): the type of fields, checks of files by their headers, and their use."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.graph import refuse
from sdgraph.models import TensorShapes, read_tensors, resolve, tensor_shapes
from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.values import Checkpoint, Lora, Part

from .adapter_files import read_layers
from .adapter_targets import is_as_diffusers_writes, owned_layers
from .adapter_tensors import is_plain
from .lora_conversion import to_diffusers
from .lora_fit import fit_problem, format_problem
from .merged_adapters import merge_adapters

PREFIX = "lora_"
"""What the names of LoRAs among a node's components begin with."""


class _LoraSchema:
    """The schema of an adapter in a field: its source alone, or a map with its scale."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(self._parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        text = {"type": "string"}
        texts = dict.fromkeys(("source", "file", "revision", "component"), text)
        fields = {**texts, "scale": {"type": "number"}}
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
            reason = format_problem(shapes, family)
            if not reason and isinstance(checkpoint, Checkpoint) and family is not None:
                reason = fit_problem(shapes, checkpoint, family, lora.component)
                reason = reason or _quantization_problem(shapes, checkpoint, family)
            if reason:
                over = getattr(checkpoint, "source", "the checkpoint")
                yield Problem("loras", f"{lora.source}, {reason}", f"a LoRA for {over}")


def _quantization_problem(shapes: TensorShapes, checkpoint: Checkpoint, family: ModelFamily) -> str:
    """Why an adapter cannot be merged into the weights; "" if it can be, or peft computes it."""
    if is_plain(shapes):
        return ""
    encoders = {encoder.name for encoder in family.text_encoders}
    changed = {owner.component for _, _, owner in owned_layers(shapes, family) if owner}
    for name in sorted(changed):
        quantization = checkpoint.text_quantization if name in encoders else checkpoint.quantization
        if quantization is not None:
            return (
                f"which is no plain LoRA: it is merged into the weights of the {name}, which are "
                f"quantized to {quantization}"
            )
    return ""


def changes_text_encoders(loras: Sequence[Lora], family: ModelFamily) -> bool:
    """Whether an adapter changes a text encoder, or may do so because its file is not here."""
    encoders = {encoder.name for encoder in family.text_encoders}
    for lora in loras:
        try:
            shapes = resolve(lora).lora_shapes if lora.scale else {}
        except CheckpointError:  # a problem of the node
            return True
        if shapes is None:
            return True
        owners = (owner for _, _, owner in owned_layers(shapes, family))
        if any(owner is not None and owner.component in encoders for owner in owners):
            return True
    return False


@contextmanager
def apply_loras(
    pipe: Any, loras: Sequence[Lora], models: Mapping[str, Any], family: ModelFamily
) -> Iterator[None]:
    """Applies LoRAs to a pipeline, and removes them afterwards.

    Plain LoRAs are not fused, and others are merged into copies: the weights of the modules, which
    are shared, are never written to.

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
    merged = {name for name in applied if _is_merged(models[name], pipe, family)}
    layers = (
        (lora.source, lora.scale, read_layers(models[name], pipe, family, lora))
        for name, lora in applied.items()
        if name in merged
    )
    plain = {name: lora for name, lora in applied.items() if name not in merged}
    with merge_adapters(pipe, layers), _with_peft(pipe, plain, models, family):
        yield


@contextmanager
def _with_peft(
    pipe: Any, loras: Mapping[str, Lora], models: Mapping[str, Any], family: ModelFamily
) -> Iterator[None]:
    """Has peft put plain LoRAs on a pipeline, and removes them afterwards."""
    if not loras:
        yield
        return
    names = (*family.denoisers, *(encoder.name for encoder in family.text_encoders))
    modules = [module for name in names if (module := getattr(pipe, name, None)) is not None]
    marked = [module for module in modules if _MARK in vars(module)]
    try:
        for name, lora in loras.items():
            _load_lora(pipe, name, lora, models[name], family)
        pipe.set_adapters(list(loras), [lora.scale for lora in loras.values()])
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


def _is_merged(path: Path, pipe: Any, family: ModelFamily) -> bool:
    """Whether an adapter is merged: it is no plain LoRA, or for a network without peft."""
    loadable = getattr(type(pipe), "_lora_loadable_modules", ())
    return any(
        not layer.is_lora or (owner is not None and owner.component not in loadable)
        for _, layer, owner in owned_layers(tensor_shapes(path), family)
    )


def _load_lora(pipe: Any, name: str, lora: Lora, path: Path, family: ModelFamily) -> None:
    """Has peft put a plain LoRA on a pipeline's networks."""
    tensors: Any = path.parent
    more: dict[str, Any] = {"weight_name": path.name, "local_files_only": True}
    if lora.component is not None or not is_as_diffusers_writes(tensor_shapes(path), family):
        tensors, more = to_diffusers(read_layers(path, pipe, family, lora), pipe), {}
    elif path.suffix != ".safetensors":
        tensors, more = read_tensors(path), {}
    if lora.component not in (None, family.denoiser.name):
        # diffusers calls the layers of the second one transformer, too.
        begin = f"{lora.component}."
        tensors = {f"transformer.{key.removeprefix(begin)}": tensors[key] for key in tensors}
        more = {"load_into_transformer_2": True}
    try:
        with warnings.catch_warnings():
            # peft warns about a second adapter, which is intended.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            pipe.load_lora_weights(tensors, adapter_name=name, **more)
        loaded = set(chain.from_iterable(pipe.get_list_adapters().values()))
        reason = "" if name in loaded else "none of its layers is one of this network"
    except (ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
    if reason:
        wanted = "an adapter whose layers the checkpoint's network has"
        raise InvalidValueError(Problem("loras", f"{lora.source}: {reason[:300]}", wanted))
