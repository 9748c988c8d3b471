"""Adapters (LoRA) in use: fields of nodes, checked from their headers, put on and taken off."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.graph import refuse
from sdgraph.models import Models, TensorShapes, resolve
from sdgraph.values import Checkpoint, Lora, Part

from .families import BY_TEXT_WIDTH

PREFIX = "lora_"
"""What the names of adapters among a node's components begin with."""

_ENCODER = {
    "text_encoder": "text_encoder",
    "te": "text_encoder",
    "te1": "text_encoder",
    "text_encoder_2": "text_encoder_2",
    "te2": "text_encoder_2",
}
_LAYER = re.compile(r"(?:(unet|text_encoder|text_encoder_2)\.|lora_(unet|te|te1|te2)_)(.+)")
"""A tensor's name as diffusers and peft write it (`unet.…`), and as kohya does (`lora_unet_…`)."""

_ATTENTION = re.compile(r"attn([12])[._](?:processor[._])?to_([qkv])(?![a-z])")
_DOWN = ("lora_A.weight", "lora.down.weight", "lora_down.weight", "_layer.down.weight")
_SPECIAL = {"dora_scale": "DoRA", "hada_": "LoHa", "lokr_": "LoKr", "lora_magnitude": "DoRA"}


class _Written:
    """How an adapter may be written in a field: its source alone, or a map with its scale."""

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


Adapter = Annotated[Lora, _Written()]
"""A field's item: a `Lora`, or what describes one."""


def parts(loras: Sequence[Lora]) -> dict[str, Part]:
    """The adapters that are put on, as components; one at a scale of 0 is not."""
    return {
        f"{PREFIX}{number}": Part(lora.unscaled, on_host=True)
        for number, lora in enumerate(loras)
        if lora.scale
    }


def problems(loras: Sequence[Lora], checkpoint: object, family: str | None) -> Iterator[Problem]:
    """Why adapters cannot be used, or not with a checkpoint as far as its configs are here."""
    if loras and family == "video":
        found = f"{len(loras)} over {getattr(checkpoint, 'source', 'a checkpoint')}"
        yield Problem("loras", found, "none: diffusers puts no adapters on a 3-D U-Net")
        return
    for lora in loras:
        try:
            shapes = resolve(lora).lora_shapes
        except CheckpointError as error:
            yield from error.as_problems_of("loras", "an adapter that can be used")
            continue
        if shapes is not None:
            found = _unreadable(shapes)
            if not found and isinstance(checkpoint, Checkpoint) and family is not None:
                found = _unfit(shapes, checkpoint, family)
            if found:
                over = getattr(checkpoint, "source", "the checkpoint")
                yield Problem("loras", f"{lora.source}, {found}", f"a LoRA for {over}")


def _unreadable(shapes: TensorShapes) -> str:
    """What a file is that is no LoRA of a known layout, or nothing."""
    for mark, kind in _SPECIAL.items():
        if any(mark in name for name in shapes):
            return f"a {kind} adapter, which is not taken"
    if not any(PREFIX in name or ".lora." in name or "_lora." in name for name in shapes):
        return "which holds no LoRA (whole weights, or something else)"
    strange = [name for name in shapes if not _LAYER.match(name)]
    if strange:
        return f"a LoRA for another kind of network (it has {strange[0]})"
    return ""


def _unfit(shapes: TensorShapes, checkpoint: Checkpoint, family: str) -> str:
    """Why a LoRA does not fit a checkpoint, from what its layers take in; or nothing."""
    unet = resolve(checkpoint).config("unet") or {}
    for name, shape in shapes.items():
        match = _LAYER.match(name)
        assert match is not None, "asked before"
        part, layer = match[1] or match[2], match[3]
        if _ENCODER.get(part) == "text_encoder_2" and family != "xl":
            return "a LoRA for SDXL: it has layers for a second text encoder"
        if not name.endswith(_DOWN) or len(shape) != 2:
            continue
        wanted = _taken(layer, unet) if part == "unet" else _width(checkpoint, part, layer)
        if wanted and shape[1] not in wanted:
            many = " or ".join(map(str, sorted(wanted)))
            over = BY_TEXT_WIDTH.get(shape[1], "") if "attn2" in layer else ""
            made = f"a LoRA for {over}" if over else "a LoRA for another network"
            return f"{made}: {layer} takes {shape[1]} features, here there are {many}"
    return ""


def _taken(layer: str, unet: Mapping[str, Any]) -> set[int]:
    """How many features an attention layer of this U-Net can take in; empty where it is open."""
    match = _ATTENTION.search(layer)
    if match is None:
        return set()
    if match[1] == "2" and match[2] in "kv":
        width = unet.get("cross_attention_dim")
        return {width} if isinstance(width, int) else set(width or ())
    return set(unet.get("block_out_channels", ()))


def _width(checkpoint: Checkpoint, part: str, layer: str) -> set[int]:
    if not re.search(r"[qkv]_proj|out_proj|fc1", layer):
        return set()
    width = (resolve(checkpoint).config(_ENCODER[part]) or {}).get("hidden_size")
    return {width} if width else set()


@contextmanager
def put_on(pipe: Any, loras: Sequence[Lora], models: Models) -> Iterator[None]:
    """The pipeline with adapters beside the layers they change, and without any afterwards.

    Nothing is fused: the shared modules' own weights are never written to. Raises InvalidValueError
    for an adapter whose layers this network does not have.
    """
    worn = {f"{PREFIX}{number}": lora for number, lora in enumerate(loras) if lora.scale}
    if not worn:
        yield
        return
    modules = [
        getattr(pipe, name)
        for name in ("unet", "text_encoder", "text_encoder_2")
        if getattr(pipe, name, None) is not None
    ]
    marked = [module for module in modules if _LOADED in vars(module)]
    try:
        for name, lora in worn.items():
            _load(pipe, name, lora, models[name])
        pipe.set_adapters(list(worn), [lora.scale for lora in worn.values()])
        for module in modules:
            # An adapter's own dropout would draw random numbers.
            module.eval()
        yield
    finally:
        pipe.unload_lora_weights()
        for module in modules:
            if module not in marked:
                vars(module).pop(_LOADED, None)


_LOADED = "_hf_peft_config_loaded"
"""The mark that diffusers and transformers leave on a module that has had an adapter."""


def _load(pipe: Any, name: str, lora: Lora, path: Any) -> None:
    try:
        with warnings.catch_warnings():
            # peft asks whether a second adapter is meant.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            pipe.load_lora_weights(
                path.parent, weight_name=path.name, adapter_name=name, local_files_only=True
            )
        known = {each for names in pipe.get_list_adapters().values() for each in names}
        reason = "" if name in known else "none of its layers is one of this network"
    except (ValueError, RuntimeError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if reason:
        wanted = "an adapter whose layers the checkpoint's network has"
        raise InvalidValueError(Problem("loras", f"{lora.source}: {reason[:300]}", wanted))
