"""Quantizes components while they are loaded, by the functions of diffusers and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.values import QUANTIZATIONS

from . import devices


def refuse_device(part: ResolvedPart, device: str) -> None:
    """Raises CheckpointError if a device cannot quantize a component as its checkpoint says."""
    if (problem := device_problem(part, device)) is not None:
        raise CheckpointError(problem)


def device_problem(part: ResolvedPart, device: str) -> Problem | None:
    """Why a device cannot quantize a component as its checkpoint says; None if it can.

    Args:
        part: The component.
        device: The device that models run on.
    """
    own_device = "cpu" if part.part.on_host else device
    if not is_immovable(part) or own_device.partition(":")[0] == "cuda":
        return None
    found = f"quantization {part.quantization} on {own_device}"
    wanted = "cuda, the only device for bitsandbytes, without offload"
    fix = "leave the quantization out, or use int8wo or float8wo of torchao"
    return Problem(part.part.checkpoint.source, found, wanted, fix)


def is_immovable(part: ResolvedPart) -> bool:
    """Whether a component is loaded onto its device and cannot be moved."""
    return part.quantization is not None and QUANTIZATIONS[part.quantization] == "bitsandbytes"


def quantization_config(name: str, dtype: str, cls: Any) -> Any:
    """The config that quantizes a component of diffusers or transformers while it loads.

    Args:
        name: One of `QUANTIZATIONS`.
        dtype: The dtype that the component computes in.
        cls: Its class.
    """
    import diffusers
    import transformers

    library: Any = diffusers if issubclass(cls, diffusers.ModelMixin) else transformers
    if name == "int8":
        return library.BitsAndBytesConfig(load_in_8bit=True)
    if name in ("nf4", "fp4"):
        return library.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=name,
            bnb_4bit_compute_dtype=devices.torch_dtype(dtype),
        )
    quantization = import_module("torchao.quantization")
    kinds = {"int8wo": "Int8WeightOnlyConfig", "float8wo": "Float8WeightOnlyConfig"}
    return library.TorchAoConfig(getattr(quantization, kinds[name])())


def quantize_weights(
    cls: Any, part: ResolvedPart, folder: Path, weights: Mapping[str, Any], dtype: str, device: str
) -> Any:
    """A component made from weights in memory, whose linear layers are quantized.

    Args:
        cls: Its class.
        part: The component.
        folder: The folder with its config.
        weights: The weights by the names that the class has for them.
        dtype: The dtype that it computes in.
        device: The device that it is loaded onto.

    Raises:
        CheckpointError: diffusers loads no file of this class.
    """
    import diffusers
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    config = quantization_config(str(part.quantization), dtype, cls)
    options: dict[str, Any] = {
        "quantization_config": config,
        "dtype": devices.torch_dtype(dtype),
        "local_files_only": True,
    }
    if not issubclass(cls, diffusers.ModelMixin):
        own = cls.config_class.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        return cls.from_pretrained(None, config=own, state_dict=dict(weights), **options)
    if cls.__name__ not in SINGLE_FILE_LOADABLE_CLASSES:
        found = f"quantization {part.quantization} of one file of a {cls.__name__}"
        fix = "leave the quantization out, or take a folder in diffusers' layout"
        raise CheckpointError(Problem(part.name, found, "a class whose files diffusers loads", fix))
    return cls.from_single_file(dict(weights), config=str(folder), device=device, **options)
