"""Quantizes components while they are loaded, by the functions of diffusers and transformers."""

from __future__ import annotations

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
    module: Any, part: ResolvedPart, folder: Path, weights: dict[str, Any], dtype: str, device: str
) -> Any:
    """A component made from weights in memory, whose linear layers are quantized.

    diffusers' own methods that load files would read and convert them once more. So its functions
    for a quantized model are called here, in the order in which its `from_pretrained` does it.

    Args:
        module: The component, without memory for its weights.
        part: The component on this disk.
        folder: The folder with its config.
        weights: The weights by the names that the module has for them.
        dtype: The dtype that it computes in.
        device: The device that it is loaded onto.
    """
    import diffusers

    cls, wanted = type(module), devices.torch_dtype(dtype)
    config = quantization_config(str(part.quantization), dtype, cls)
    if isinstance(module, diffusers.ModelMixin):
        return _quantize(module, config, weights, wanted, device).eval()
    own = cls.config_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    return cls.from_pretrained(
        None,
        config=own,
        state_dict=weights,
        quantization_config=config,
        dtype=wanted,
        local_files_only=True,
        trust_remote_code=False,
    )


def _quantize(module: Any, config: Any, weights: dict[str, Any], dtype: Any, device: str) -> Any:
    """A module of diffusers with weights that are quantized one after the other."""
    from diffusers.models.model_loading_utils import load_model_dict_into_meta
    from diffusers.quantizers import DiffusersAutoQuantizer

    quantizer = DiffusersAutoQuantizer.from_config(config, pre_quantized=False)
    devices_by_name = quantizer.update_device_map({"": device})
    quantizer.validate_environment(torch_dtype=dtype, device_map=devices_by_name)
    dtype = quantizer.update_torch_dtype(dtype)
    keeps_precise = getattr(quantizer, "use_keep_in_fp32_modules", False)
    precise = list(module._keep_in_fp32_modules or ()) if keeps_precise else []
    quantizer.preprocess_model(
        model=module,
        device_map=devices_by_name,
        keep_in_fp32_modules=precise,
        state_dict=weights,
    )
    load_model_dict_into_meta(
        module,
        weights,
        dtype=dtype,
        device_map=devices_by_name,
        hf_quantizer=quantizer,
        keep_in_fp32_modules=precise,
        unexpected_keys=[],
    )
    quantizer.postprocess_model(module)
    module.hf_quantizer = quantizer
    return module
