"""A component from its folder, by the library and class that its checkpoint names."""

from __future__ import annotations

import gc
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, OutOfMemoryError, Problem, out_of_memory
from sdgraph.values import QUANTIZATIONS

from . import devices
from .checkpoint_files import is_processor
from .resolved import ResolvedPart

Loader = Callable[[ResolvedPart, str, str], Any]
"""Loads a component in a dtype onto a device."""

# One load at a time, whichever cache asks: diffusers patches torch process-wide while it loads.
_one_at_a_time = threading.Lock()

_PATTERNS = 8192


def load_or_raise(load: Loader, part: ResolvedPart, dtype: str, device: str) -> Any:
    """What a loader loads; raises CheckpointError, or OutOfMemoryError, whatever it raises."""
    try:
        with _one_at_a_time:
            return load(part, dtype, device)
    except CheckpointError:
        raise
    except Exception as error:
        # Frames of the failed load hold tensors; `from None` with a text lets them go.
        error.__traceback__ = None
        if (said := out_of_memory(error)) is not None:
            raise OutOfMemoryError(said) from None
        # The libraries raise many kinds for a damaged file.
        found = f"it cannot be loaded ({type(error).__name__}: {error})"
        fix = "the files may be damaged or of another kind: download or copy them again"
        raise CheckpointError(Problem(str(part), found, "weights of its class", fix)) from None


def load_quietly(part: ResolvedPart, dtype: str, device: str) -> Any:
    """What `load_part` loads, with the libraries' bars and advice kept off the terminal."""
    with quiet_libraries(), _uncollected(), _patterns_kept():
        return load_part(part, dtype, device)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Holds off the garbage collector, which finds nothing among what is being built.

    A module is some ten thousand objects, enough to send it over the whole heap more than once.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def _patterns_kept() -> Iterator[None]:
    """Lets Python remember as many regular expressions as a text encoder has tensors.

    transformers makes one for each, some of them alike in every encoder of a kind; of the 512 that
    Python remembers, none is left when the next is loaded. Where its cache has another name, they
    are made anew each time, as before.
    """
    limit = getattr(re, "_MAXCACHE", None)
    if limit is None:
        yield
        return
    re._MAXCACHE = max(limit, _PATTERNS)  # type: ignore[attr-defined]  # it has no public name
    try:
        yield
    finally:
        re._MAXCACHE = limit  # type: ignore[attr-defined]


def load_part(part: ResolvedPart, dtype: str, device: str) -> Any:
    """A component from its checkpoint by the library and class the checkpoint names.

    Models come in `dtype` on `device`, in evaluation mode and frozen. Pickles are refused unless
    they are allowed, and then the libraries make tensors of them and nothing else. Of an adapter it
    is the path of its file.
    """
    checkpoint = part.owner.fetched()
    if checkpoint is not part.owner:
        part = checkpoint.part(part.part)
    if part.is_lora:
        return checkpoint.lora_file
    library, name = part.library_and_class
    folder = part.folder
    assert folder is not None
    if "Tokenizer" in name:
        return _load_tokenizer(_class(part, library, name), folder, part.part.max_tokens)
    if is_processor(name):
        return _load_processor(part, folder)
    pickled = any(path.suffix != ".safetensors" for path in part.files)
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": not pickled}
    if part.part.checkpoint.variant:
        options["variant"] = part.part.checkpoint.variant
    if part.quantization:
        refuse_device(part, device)
        options["quantization_config"] = _quantization(part.quantization, dtype)
    cls = _class(part, library, name)
    module = None if pickled or part.quantization else _built(cls, part, folder, dtype)
    if part.quantization:
        module = cls.from_pretrained(folder, dtype=devices.torch_dtype(dtype), **options)
    elif module is None:
        module, told = cls.from_pretrained(
            folder, dtype=devices.torch_dtype(dtype), output_loading_info=True, **options
        )
        if not part.part.partial:
            _refuse_missing(part, name, sorted(told["missing_keys"]))
    if part.part.casting:
        _cast_by_layer(module, part, dtype)
    if device != "cpu" and not _stays(part):
        module = module.to(device)
    return module.requires_grad_(False)


def _refuse_missing(part: ResolvedPart, name: str, missing: list[str]) -> None:
    """Raises CheckpointError for weights that lack a tensor: the module would be random there."""
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        problem = Problem(
            str(part),
            f"weights without {missing[0]}{more}",
            f"all that a {name} has",
            "fetch or copy the checkpoint again; config and weights may be of different models",
        )
        raise CheckpointError(problem)


def _built(cls: Any, part: ResolvedPart, folder: Path, dtype: str) -> Any:
    """What diffusers' `from_pretrained` loads, in two thirds of its time; None if it is to load it.

    That is where weights and modules do not match name by name, for it renames those of older
    versions; where they lie in several files; and where some stay in float32.
    """
    import diffusers

    weights = part.files
    if len(weights) != 1 or not issubclass(cls, diffusers.ModelMixin) or cls._keep_in_fp32_modules:
        return None
    from accelerate import init_empty_weights
    from safetensors.torch import load_file
    from transformers.initialization import no_init_weights

    wanted = devices.torch_dtype(dtype)
    state = load_file(weights[0])
    with init_empty_weights(), no_init_weights():
        module = cls.from_config(cls.load_config(folder, local_files_only=True))
    own = module.state_dict()
    if any(each.shape != getattr(state.get(name), "shape", None) for name, each in own.items()):
        return None
    if own.keys() != state.keys():
        return None
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.to(wanted)
    module.load_state_dict(state, assign=True)
    module.register_to_config(_name_or_path=folder)
    return module.eval()


def refuse_device(part: ResolvedPart, device: str) -> None:
    """Raises CheckpointError where a device cannot hold a part as its checkpoint asks."""
    if _stays(part) and device.partition(":")[0] != "cuda":
        found = f"quantization {part.quantization} on {device}"
        wanted = "cuda, the one device that bitsandbytes quantizes on, without offload"
        fix = "leave the quantization out, or take int8wo or float8wo of torchao"
        raise CheckpointError(Problem(part.part.checkpoint.source, found, wanted, fix))


def _stays(part: ResolvedPart) -> bool:
    """Whether a part is loaded onto its device and cannot be moved."""
    return part.quantization is not None and QUANTIZATIONS[part.quantization] == "bitsandbytes"


def _quantization(name: str, dtype: str) -> Any:
    """The diffusers config that quantizes a component while it loads."""
    import diffusers

    if name == "int8":
        return diffusers.BitsAndBytesConfig(load_in_8bit=True)
    if name in ("nf4", "fp4"):
        return diffusers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type=name,
            bnb_4bit_compute_dtype=devices.torch_dtype(dtype),
        )
    quantization = import_module("torchao.quantization")
    kinds = {"int8wo": "Int8WeightOnlyConfig", "float8wo": "Float8WeightOnlyConfig"}
    return diffusers.TorchAoConfig(getattr(quantization, kinds[name])())


def _cast_by_layer(module: Any, part: ResolvedPart, dtype: str) -> None:
    import torch

    module.enable_layerwise_casting(
        storage_dtype=getattr(torch, str(part.part.casting)),
        compute_dtype=devices.torch_dtype(dtype),
    )


def _class(part: ResolvedPart, library: str, name: str) -> Any:
    found = getattr(import_module(library), name, None)
    if found is None:
        found = f"the class {name}, which this {library} does not have"
        fix = f"a newer {library} may have it"
        raise CheckpointError(Problem(str(part), found, f"a class of {library}", fix))
    return found


def _load_tokenizer(cls: Any, folder: Path, max_tokens: int | None) -> Any:
    tokenizer = cls.from_pretrained(folder, local_files_only=True)
    if max_tokens is not None and tokenizer.model_max_length > 1_000_000:
        # A tokenizer without a maximum length overflows when a pipeline pads.
        tokenizer.model_max_length = max_tokens
    return tokenizer


def _load_processor(part: ResolvedPart, folder: Path) -> Any:
    """An image processor that works without torchvision, also under its class's old name."""
    import transformers

    own = part.owner.config(part.part.folder, "preprocessor_config.json") or {}
    named = str(own.get("image_processor_type") or own.get("feature_extractor_type") or "")
    stem = (
        named.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    )
    cls = getattr(transformers, f"{stem}Pil", None) or getattr(transformers, stem, None)
    if cls is None or not stem:
        found = f"the image processor {named}" if named else "no image processor named"
        raise CheckpointError(Problem(str(part), found, "one that transformers has"))
    return cls.from_pretrained(folder, local_files_only=True)


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps the libraries' loading bars and advice to script authors off the terminal.

    By a filter on their handlers: changing a level costs half a millisecond, each way.
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = (of_diffusers, of_transformers)
    for library in libraries:
        library.disable_progress_bar()
    names = ("diffusers", "transformers")
    handlers = [handler for name in names for handler in logging.getLogger(name).handlers]
    before = [list(handler.filters) for handler in handlers]
    for handler in handlers:
        handler.filters = [_only_errors]
    try:
        yield
    finally:
        for handler, filters in zip(handlers, before, strict=True):
            handler.filters = filters
        for library in libraries:
            library.enable_progress_bar()
