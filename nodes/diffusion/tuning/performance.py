"""Settings of speed and memory: their schema and checks, and how a pipeline gets them.

Attention has the names of diffusers' backends, of those that a U-Net of Stable Diffusion can use.
`set_attention_backend` itself does not reach these networks (their attention calls torch's scaled
dot product directly), so torch itself is told which kernels to use.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any, Literal, NoReturn, TypedDict, cast, get_args, get_type_hints

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from sdgraph.errors import InvalidValueError, Problem, did_you_mean
from sdgraph.formatting import with_article
from sdgraph.graph import refuse
from sdgraph.models import resolve, resolve_part
from sdgraph.nodes.diffusion.families import CONTROLNET, ModelFamily
from sdgraph.values import Checkpoint, Lora, Part

from .compile_cache import keep_compiled_code
from .step_caches import StepCache, use_step_cache


class Knobs(TypedDict, total=False):
    """Settings of speed and memory; those left out keep the defaults of the libraries."""

    vae: Literal["sliced", "tiled", "both"]
    attention: Literal[
        "native",
        "_native_math",
        "_native_flash",
        "_native_efficient",
        "_native_cudnn",
        "xformers",
        "sliced",
    ]
    channels_last: bool
    compile: bool
    layerwise_casting: Literal["float8_e4m3fn", "float8_e5m2"]
    cache: StepCache


KNOBS = tuple(Knobs.__annotations__)
"""The names of the settings."""


@cache
def knob_choices() -> Mapping[str, tuple[Any, ...]]:
    """The values that each setting may have, by its name."""
    kinds = get_type_hints(Knobs)
    return {name: (True, False) if kind is bool else get_args(kind) for name, kind in kinds.items()}


_DESCRIPTIONS = {
    "vae": "decode one picture at a time (sliced), or by tiles that are blended (tiled)",
    "attention": "which kernel computes it; sliced does so head by head",
    "channels_last": "the memory format of the denoiser's convolutions",
    "compile": "torch.compile for the denoiser; needs a C++ compiler, slow at first",
    "layerwise_casting": "keep the denoiser's layers in this dtype, compute in the checkpoint's",
    "cache": "reuse what the denoiser's layers computed in earlier steps; it changes the picture",
}

_KERNELS = {
    "native": (),
    "_native_math": ("MATH",),
    "_native_flash": ("FLASH_ATTENTION", "MATH"),
    "_native_efficient": ("EFFICIENT_ATTENTION", "MATH"),
    "_native_cudnn": ("CUDNN_ATTENTION", "MATH"),
}
"""Torch's kernels for a backend; the second computes what the first cannot (masks, widths)."""

_CUDA_ONLY = ("_native_efficient", "_native_cudnn", "xformers")


class _FrozenKnobs(dict[str, Any]):
    """A read-only mapping, like the node that holds it."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("the tuning of a node is frozen; make another node by `replace(tuning=…)`")

    __setitem__ = __delitem__ = update = pop = clear = setdefault = popitem = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return _FrozenKnobs, (dict(self),)

    def __deepcopy__(self, memo: Any) -> _FrozenKnobs:
        return self


class _KnobsSchema:
    """The schema of the settings in a field."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(_parse)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        knobs = {
            key: {"enum": list(choices), "description": _DESCRIPTIONS[key]}
            for key, choices in knob_choices().items()
        }
        return {"type": "object", "additionalProperties": False, "properties": knobs}


def _parse(value: Any) -> _FrozenKnobs:
    if not isinstance(value, Mapping):
        wanted = f"a map with any of {', '.join(KNOBS)}"
        raise refuse("tuning", found=repr(value), wanted=wanted, fix="write {vae: tiled}")
    for key, chosen in value.items():
        if key not in KNOBS:
            wanted, fix = f"one of {', '.join(KNOBS)}", did_you_mean(str(key), KNOBS)
            raise refuse("tuning", found=f"a key {key!r}", wanted=wanted, fix=fix)
        choices = knob_choices()[key]
        if chosen not in choices or type(chosen) is not type(choices[0]):
            words = ["true", "false"] if choices[0] is True else [str(choice) for choice in choices]
            raise refuse(
                "tuning",
                found=f"{key}: {chosen!r}",
                wanted=f"one of {', '.join(words)}",
                fix=did_you_mean(str(chosen), words),
            )
    # A setting that is off is left out, so that the node's key is the same as without it.
    return _FrozenKnobs({key: chosen for key, chosen in value.items() if chosen is not False})


Tuning = Annotated[Knobs, _KnobsSchema()]
"""The type of a field: a map with any of the settings."""

NO_TUNING = cast(Knobs, _FrozenKnobs())


def tuning_problems(
    tuning: Knobs,
    offload: str,
    loras: Sequence[Lora],
    checkpoint: object,
    family: ModelFamily | None,
) -> Iterator[Problem]:
    """The problems of settings: on this machine, together, or with a checkpoint.

    Args:
        tuning: The settings.
        offload: The node's `offload`.
        loras: The node's LoRAs.
        checkpoint: The value of the checkpoint's port.
        family: The checkpoint's family; None if it is not on this disk.
    """
    yield from _environment_problems(tuning, offload, loras)
    if isinstance(checkpoint, Checkpoint) and family is not None:
        yield from _checkpoint_problems(tuning, checkpoint, family)
        if offload == "sequential":
            yield from _block_problems(checkpoint, family)


def _block_problems(checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """Denoisers in blocks of GGUF, whose weights accelerate cannot move one by one."""
    for name in family.denoisers:
        if name in checkpoint.parts and resolve_part(Part(checkpoint, name)).keeps_blocks:
            found = f"sequential, over the GGUF file {checkpoint.parts[name].source}"
            yield Problem("offload", found, "none, model or group", "offload: group")


def _environment_problems(tuning: Knobs, offload: str, loras: Sequence[Lora]) -> Iterator[Problem]:
    if tuning.get("compile"):
        if not _compiler():
            found = "compile, and no C++ compiler here"
            yield Problem("tuning", found, "g++, clang++ or $CXX", "install one, or leave it out")
        if offload != "none":
            found = f"compile with offload {offload}"
            yield Problem("tuning", found, "one of the two", "set offload to none")
    if tuning.get("layerwise_casting") and any(lora.scale for lora in loras):
        # peft gives an adapter the dtype of its layer, and cannot compute in float8.
        found = "layerwise_casting with loras"
        yield Problem("tuning", found, "one of the two", "leave one out")
    if tuning.get("attention") == "xformers" and find_spec("xformers") is None:
        yield Problem(
            "tuning",
            "attention: xformers, and no package xformers here",
            "the package",
            "pip install xformers, or attention: native",
        )


def _checkpoint_problems(
    tuning: Knobs, checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    for knob in tuning:
        if knob not in family.knobs and knob != "cache":
            found = f"{knob} for {checkpoint.source}, a {family.label} checkpoint"
            fitting = ", ".join(family.knobs) or "none"
            yield Problem("tuning", found, f"knobs that fit it: {fitting}", f"leave `{knob}` out")
    if tuning.get("layerwise_casting") and checkpoint.quantization:
        found = f"layerwise_casting over weights quantized to {checkpoint.quantization}"
        yield Problem("tuning", found, "one of the two", "leave one out")
    decoder = family.decoder
    settings = resolve(checkpoint).config(decoder.name) if "vae" in tuning else None
    class_name = (settings or {}).get("_class_name")
    if class_name is not None and class_name not in decoder.sliceable:
        whose = f"whose {decoder.label} is {with_article(class_name)}"
        found = f"vae: {tuning.get('vae')} for {checkpoint.source}, {whose}"
        yield Problem("tuning", found, f"an {decoder.sliceable[0]}", "leave `vae` out")


def _compiler() -> str | None:
    chosen = os.environ.get("CXX")
    for name in [chosen] if chosen else ["g++", "clang++", "c++", "cl"]:
        if path := shutil.which(name):
            return path
    return None


@contextmanager
def apply_tuning(
    pipe: Any, tuning: Knobs, device: str, family: ModelFamily, *, steps: int = 0
) -> Iterator[None]:
    """Applies settings to a pipeline, and undoes them afterwards, for its modules are shared.

    Args:
        pipe: The pipeline.
        tuning: The settings; `layerwise_casting` is applied when the denoiser is loaded.
        device: The device that the pipeline runs on.
        family: The pipeline's family.
        steps: The number of denoising steps.

    Raises:
        InvalidValueError: The device does not have the attention kernel.
    """
    with ExitStack() as stack:
        if mode := tuning.get("vae"):
            stack.enter_context(_decode_in_parts(getattr(pipe, family.decoder.name), mode))
        if backend := tuning.get("attention"):
            stack.enter_context(_use_attention(pipe, backend, device, family))
        if tuning.get("channels_last"):
            for module in _networks(pipe, family):
                stack.enter_context(_use_channels_last(module))
        if cache := tuning.get("cache"):
            denoisers = [getattr(pipe, name) for name in _denoisers(pipe, family)]
            stack.enter_context(use_step_cache(pipe, cache, denoisers, steps))
        if tuning.get("compile"):
            for name in _denoisers(pipe, family):
                stack.enter_context(_compile(pipe, name))
        yield


def chosen_kernels(tuning: Knobs) -> str | None:
    """The name of torch's kernels for attention, which text encoders use too; None for any."""
    backend = tuning.get("attention")
    return backend if backend is not None and _KERNELS.get(backend) else None


@contextmanager
def apply_kernels(tuning: Knobs, device: str) -> Iterator[None]:
    """Has torch use the kernels for attention that settings name, if they name any.

    Args:
        tuning: The settings.
        device: The device, such as "cuda".

    Raises:
        InvalidValueError: The device does not have the kernels.
    """
    name = chosen_kernels(tuning)
    if name is None:
        yield
        return
    _refuse_device(name, device)
    with _use_kernels(_KERNELS[name]):
        yield


def _networks(pipe: Any, family: ModelFamily) -> list[Any]:
    """The modules that run once per step."""
    modules = (getattr(pipe, name, None) for name in (*_denoisers(pipe, family), CONTROLNET))
    return [module for module in modules if module is not None]


def _denoisers(pipe: Any, family: ModelFamily) -> list[str]:
    """The names of the denoisers that a pipeline has."""
    return [name for name in family.denoisers if getattr(pipe, name, None) is not None]


@contextmanager
def _decode_in_parts(decoder: Any, mode: str) -> Iterator[None]:
    before = {name: getattr(decoder, name) for name in ("use_slicing", "use_tiling")}
    try:
        if mode in ("sliced", "both"):
            decoder.enable_slicing()
        if mode in ("tiled", "both"):
            decoder.enable_tiling()
        yield
    finally:
        for name, value in before.items():
            setattr(decoder, name, value)


@contextmanager
def _use_attention(pipe: Any, backend: str, device: str, family: ModelFamily) -> Iterator[None]:
    _refuse_device(backend, device)
    if backend in _KERNELS:
        with _use_kernels(_KERNELS[backend]):
            yield
        return
    processors = [
        (module, module.processor)
        for network in (*_networks(pipe, family), getattr(pipe, family.decoder.name))
        for module in network.modules()
        if hasattr(module, "set_processor")
    ]
    try:
        if backend == "xformers":
            pipe.enable_xformers_memory_efficient_attention()
        else:
            pipe.enable_attention_slicing()
        yield
    finally:
        for module, processor in processors:
            module.set_processor(processor)


def _refuse_device(backend: str, device: str) -> None:
    """Raises InvalidValueError for an attention kernel that a device does not have."""
    if backend in _CUDA_ONLY and not device.startswith("cuda"):
        found = f"attention: {backend} on {device}"
        raise InvalidValueError(
            Problem("tuning", found, "cuda", "leave it out, or attention: native")
        )


@contextmanager
def _use_kernels(names: tuple[str, ...]) -> Iterator[None]:
    if not names:
        yield
        return
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with sdpa_kernel([getattr(SDPBackend, name) for name in names], set_priority=True):
        yield


@contextmanager
def _use_channels_last(module: Any) -> Iterator[None]:
    import torch

    before = [(weight, weight.stride()) for weight in module.parameters() if weight.dim() == 4]
    try:
        for weight, _ in before:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        for weight, stride in before:
            if weight.stride() != stride:
                # A 1×1 kernel is contiguous in both formats, so `contiguous` would not change it.
                old = torch.empty_strided(
                    weight.shape, stride, dtype=weight.dtype, device=weight.device
                )
                weight.data = old.copy_(weight.data)


@contextmanager
def _compile(pipe: Any, name: str) -> Iterator[None]:
    """Wraps a component of a pipeline by `torch.compile`, and unwraps it afterwards."""
    import torch

    keep_compiled_code()
    module = getattr(pipe, name)
    try:
        setattr(pipe, name, torch.compile(module))
        yield
    finally:
        setattr(pipe, name, module)
