"""Loads one component of one file, converted by diffusers' own functions.

The file has all components of a checkpoint, or this one alone. Its tensors have the names of LDM or
of another program, or already those of the component's own library. Components in folders whose
weights are in fp8 with scales are loaded in the same way, from one file or several.

1. The component's module is built from its config, without memory for its weights.
2. Tensors without data stand for those in the header. diffusers' function for the component renames
   them; what it gives must be exactly the tensors of the module.
3. Only the tensors of this component are read, renamed in the same way, and become the module's
   weights in the dtype that it computes in. Those of a denoiser's linear layers in a GGUF file stay
   in their blocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.formatting import with_article
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.formats import weight_keys
from sdgraph.models.formats.map_adapter_configs import map_adapter_names
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.formats.single_file_kinds import UNET_PREFIX, component_tensors
from sdgraph.models.formats.tensor_files import read_tensors

from . import devices
from .quantization import quantize_weights

_FIX = "the file may be of another base: name a folder with the configs of its own with `config:`"

_TORCH_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""The dtypes of safetensors that weights have, each with torch's name for it."""


def load_module(cls: Any, part: ResolvedPart, dtype: str, device: str) -> Any:
    """A component of a checkpoint that is one file, or whose weights have scales.

    Args:
        cls: Its class, in diffusers or transformers.
        part: The component, whose tensors are in the file or the files.
        dtype: The dtype that it computes in.
        device: The device that it is loaded onto if it is quantized.

    Returns:
        The module in evaluation mode, in host memory unless it is quantized.

    Raises:
        CheckpointError: The tensors in the file are not those of the class with its config.
    """
    folder, prefix = part.folder, part.tensor_prefix or ""
    assert folder is not None
    module = weight_keys.empty_module(cls, folder)
    refuse_other_tensors(part.name, module, part.files, prefix)
    wanted = devices.torch_dtype(dtype)
    weights = _read_weights(module, part, prefix, wanted)
    if part.quantization:
        return quantize_weights(module, part, folder, weights, dtype, device)
    if part.keeps_blocks:
        from .gguf_layers import place_blocks

        weights = place_blocks(module, weights, dtype)
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            precise = weight_keys.stays_precise(module, name, dtype)
            weights[name] = tensor.float() if precise else tensor.to(wanted)
    module.load_state_dict(weights, assign=True)
    if hasattr(module, "register_to_config"):
        module.register_to_config(_name_or_path=folder)
    return module.eval()


def _read_weights(module: Any, part: ResolvedPart, prefix: str, dtype: Any) -> dict[str, Any]:
    """The weights of a component, under the names that its module has for them."""
    # Weights that stay in float32 are rounded after they have their own names.
    rounded_to = None if weight_keys.keeps_any_precise(module) else dtype
    if part.keeps_blocks:
        try:
            tensors = _read_files(part, prefix, rounded_to, in_blocks=True)
            return convert_tensors(module, tensors, prefix)
        except (TypeError, AttributeError):
            pass  # a converter that needs the numbers
    return convert_tensors(module, _read_files(part, prefix, rounded_to), prefix)


def _read_files(
    part: ResolvedPart, prefix: str, rounded_to: Any, *, in_blocks: bool = False
) -> dict[str, Any]:
    """The tensors of a component, under their names in its files."""
    tensors: dict[str, Any] = {}
    for path in part.files:
        names = component_tensors(refuse_damaged(path).tensors, prefix)
        tensors |= read_tensors(path, names, rounded_to, in_blocks=in_blocks)
    return tensors


def convert_tensors(module: Any, tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors of a component under the names that its module has for them.

    Args:
        module: The module, without memory for its weights.
        tensors: The component's tensors, under their names in the file.
        prefix: What those names begin with.
    """
    from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES

    bare = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    state = module.state_dict()
    if 2 * sum(name in state for name in bare) > len(bare):
        return _with_own_names(module, bare, state)
    class_name = type(module).__name__
    if class_name == "T2IAdapter":
        new_names = map_adapter_names(bare)
        return {new_names[name]: tensor for name, tensor in bare.items()}
    names = SINGLE_FILE_LOADABLE_CLASSES.get(class_name)
    if names is None:
        return _convert_text_encoder(module, tensors, prefix)
    if class_name == "UNet2DConditionModel":  # whose function takes only names with this prefix
        bare = {f"{UNET_PREFIX}{name}": tensor for name, tensor in bare.items()}
    converted = names["checkpoint_mapping_fn"](checkpoint=bare, config=module.config)
    if class_name == "MotionAdapter":
        converted |= _positions(state)
    return {name: tensor for name, tensor in converted.items() if tensor is not None}


def _positions(state: Mapping[str, Any]) -> dict[str, Any]:
    """The positions of frames of a motion adapter, which diffusers computes and does not read.

    Args:
        state: The module's tensors, without data.
    """
    from diffusers.models.embeddings import SinusoidalPositionalEmbedding

    shapes = {name: tensor.shape for name, tensor in state.items() if name.endswith(".pe")}
    return {
        name: SinusoidalPositionalEmbedding(width, length).pe
        for name, (_, length, width) in shapes.items()
    }


def _with_own_names(
    module: Any, tensors: dict[str, Any], state: Mapping[str, Any]
) -> dict[str, Any]:
    """The tensors of a file that has the names of the component's library already.

    Those of the attention in old VAEs are renamed as diffusers does. A tensor that two layers of a
    text encoder share may be in the file once.
    """
    if hasattr(module, "_fix_state_dict_keys_on_load") and tensors.keys() != state.keys():
        module._fix_state_dict_keys_on_load(tensors)
    for target, source in (getattr(module, "all_tied_weights_keys", None) or {}).items():
        for absent, present in ((target, source), (source, target)):
            if absent in state and absent not in tensors and present in tensors:
                tensors[absent] = tensors[present]
    return tensors


def _convert_text_encoder(module: Any, tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The tensors of a text encoder of CLIP: in OpenCLIP's names, or in those of transformers."""
    from diffusers.loaders import single_file_utils

    tensors, prefix = _with_long_names(module, tensors, prefix)
    own = f"{prefix}model."
    if any(name.startswith(own) for name in tensors):
        converted = single_file_utils.convert_open_clip_checkpoint(module, dict(tensors), own)
    else:
        converted = single_file_utils.convert_ldm_clip_checkpoint(dict(tensors))
    bare = {name.removeprefix("text_model."): tensor for name, tensor in converted.items()}
    if not hasattr(module, "text_model"):  # since transformers 5.6 CLIPTextModel has no prefix
        return bare
    return {
        name if name.startswith("text_projection") else f"text_model.{name}": tensor
        for name, tensor in bare.items()
    }


def _with_long_names(
    module: Any, tensors: Mapping[str, Any], prefix: str
) -> tuple[Mapping[str, Any], str]:
    """The tensors of a text encoder of CLIP alone, named as in a file with all components.

    Returns them with what their names begin with; others are returned as they are.
    """
    if any(name.startswith(f"{prefix}transformer.text_model.") for name in tensors):
        prefix += "transformer."
    begins = (f"{prefix}transformer.resblocks.", f"{prefix}text_model.")
    if not any(name.startswith(begins) for name in tensors):
        return tensors, prefix
    layout = "model" if f"{prefix}positional_embedding" in tensors else "transformer"
    has_projection = "Projection" in type(module).__name__
    # diffusers leaves out the projection of Stable Diffusion 2.x, by these names.
    whole = "conditioner.embedders.0." if has_projection else "cond_stage_model."
    renamed = {
        f"{whole}{layout}.{name.removeprefix(prefix)}": tensor for name, tensor in tensors.items()
    }
    return renamed, whole


def refuse_other_tensors(part: str, module: Any, files: Iterable[Path], prefix: str) -> None:
    """Raises CheckpointError if files do not have exactly the tensors of a module.

    No tensor is read: tensors without data, of the shapes in the header, are converted.

    Args:
        part: The component's name in messages.
        module: The module, without memory for its weights.
        files: The file or files.
        prefix: What the names of the component's tensors begin with.
    """
    tensors: dict[str, Any] = {}
    for path in files:
        tensors |= _tensors_without_data(path, prefix)
    class_name = type(module).__name__
    try:
        converted = convert_tensors(module, tensors, prefix)
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        found = f"weights that cannot be converted ({type(error).__name__}: {error})"
        wanted = f"the tensors of {with_article(class_name)}, by its config"
        raise CheckpointError(Problem(part, found, wanted, _FIX)) from None
    weight_keys.refuse_difference(
        part, class_name, weight_keys.compare_tensors(module, converted), fix=_FIX
    )
    if class_name == "UNet2DConditionModel":  # the others have tensors that only training uses
        taken = {id(tensor) for tensor in converted.values()}
        left = [name for name, tensor in tensors.items() if id(tensor) not in taken]
        compared = weight_keys.KeyComparison(unexpected=tuple(left))
        weight_keys.refuse_difference(part, class_name, compared, fix=_FIX)


def _tensors_without_data(path: Path, prefix: str) -> dict[str, Any]:
    import torch

    header = refuse_damaged(path).tensors
    return {
        name: torch.empty(
            header[name]["shape"],
            dtype=getattr(torch, _TORCH_DTYPES.get(header[name]["dtype"], "uint8")),
            device="meta",
        )
        for name in component_tensors(header, prefix)
    }


def load_tokenizer(cls: Any, part: ResolvedPart) -> Any:
    """The tokenizer of a checkpoint that is one file, with a vocabulary from the hub's cache.

    Args:
        cls: Its class, in transformers.
        part: The tokenizer, whose folder has no vocabulary.
    """
    settings = dict(part.owner.config(part.part.folder, "tokenizer_config.json") or {})
    settings.pop("tokenizer_class", None)
    vocabulary, merges = part.vocabulary_files
    return cls(vocab=str(vocabulary), merges=str(merges), **settings)
