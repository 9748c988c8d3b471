"""Loads a component by the library and the class that its checkpoint names."""

from __future__ import annotations

import gc
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, OutOfMemoryError, Problem, out_of_memory
from sdgraph.files import FileStamp
from sdgraph.models.checkpoint.checkpoint_files import is_processor, is_tokenizer
from sdgraph.models.checkpoint.component_classes import (
    MODULES,
    SCHEDULERS,
    refuse_class,
    refuse_other_class,
    role_of,
)
from sdgraph.models.checkpoint.part_checks import CHECKED_QUANTIZATION, stored_quantization
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.formats import weight_keys
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.formats.scaled_weights import has_scales

from . import devices, single_file_loader
from .library_output import quiet_libraries
from .pinned_copies import move_module
from .prefetched_weights import State, WeightsKey, prefetched_weights, read_weights
from .quantization import is_immovable, quantization_config, refuse_device

Loader = Callable[[ResolvedPart, str, str], Any]
"""Loads a component in a dtype onto a device."""

# One load at a time in a process: diffusers patches torch for all threads while it loads.
_one_at_a_time = threading.Lock()

_PATTERNS = 8192
"""How many regular expressions Python caches: more than a large text encoder has tensors."""


def load_or_raise(load: Loader, part: ResolvedPart, dtype: str, device: str) -> Any:
    """Calls a loader; turns its exceptions into CheckpointError or OutOfMemoryError."""
    try:
        with _one_at_a_time:
            return load(part, dtype, device)
    except CheckpointError:
        raise
    except Exception as error:
        # The frames of the failed load keep its tensors alive. Clearing them, together with `from
        # None`, frees the tensors.
        error.__traceback__ = None
        if (message := out_of_memory(error)) is not None:
            raise OutOfMemoryError(message) from None
        # The libraries raise many kinds of exceptions for a damaged file.
        found = f"it cannot be loaded ({type(error).__name__}: {error})"
        fix = "the files may be damaged or of another kind: download or copy them again"
        raise CheckpointError(Problem(str(part), found, "weights of its class", fix)) from None


def load_quietly(part: ResolvedPart, dtype: str, device: str) -> Any:
    """Calls `load_part` without the progress bars and advice of the libraries on the terminal."""
    with quiet_libraries(), _without_garbage_collection(), _larger_pattern_cache():
        return load_part(part, dtype, device)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Switches the garbage collector off while a module is built.

    A module consists of about ten thousand objects, none of them garbage, which would make the
    collector go over the whole heap several times.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _larger_pattern_cache() -> Iterator[None]:
    """Makes Python cache as many regular expressions as a text encoder has tensors.

    transformers compiles one for each tensor, and many are the same in all encoders of a kind. But
    Python caches only 512, so none would be left when the next encoder is loaded. If a version of
    Python has another name for the limit, they are compiled each time.
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
    """A component, loaded by the library and the class that its checkpoint names.

    Pickles are refused unless they are allowed; then the libraries read only tensors from them.

    Args:
        part: The component; missing files of its checkpoint are fetched first.
        dtype: The dtype that a model computes in.
        device: The device that a model is put on.

    Returns:
        A model in evaluation mode and frozen, a tokenizer, an image processor, a scheduler, or the
        path of a LoRA's file.
    """
    checkpoint = part.owner.fetch()
    if checkpoint is not part.owner:
        part = checkpoint.part(part.part)
    if part.is_lora:
        return checkpoint.lora_file
    refuse_device(part, device)
    part.check()  # files that were fetched for the run are checked here
    library, name = part.library_and_class
    folder = part.folder
    assert folder is not None
    if part.needs_vocabulary:
        return single_file_loader.load_tokenizer(_class(part, library, name), part)
    if is_tokenizer(name):
        return _load_tokenizer(_class(part, library, name), folder, part.part.max_tokens)
    if is_processor(name):
        return _load_processor(part, folder)
    cls = _class(part, library, name)
    if name in SCHEDULERS:
        scheduler = cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        settings = part.owner.scheduler_settings
        return cls.from_config(scheduler.config, **settings) if settings else scheduler
    module = _load_module(cls, part, folder, dtype, device)
    if part.part.casting:
        _cast_by_layer(module, part, dtype)
    if device != "cpu" and not is_immovable(part):
        is_packed = part.quantization or part.keeps_blocks or stored_quantization(part) is not None
        module = module.to(device) if is_packed else move_module(module, device)
    return module.requires_grad_(False)


def _load_module(cls: Any, part: ResolvedPart, folder: Path, dtype: str, device: str) -> Any:
    """Loads a model with its class's own method, or faster with `_build_module` if that can."""
    state = prefetched_weights.take(WeightsKey.of(part.files, dtype))
    if part.tensor_prefix is not None or _has_scales(part):
        return single_file_loader.load_module(cls, part, dtype, device)
    pickled = any(path.suffix != ".safetensors" for path in part.files)
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": not pickled}
    if part.part.checkpoint.variant and not part.lacks_variant:
        options["variant"] = part.part.checkpoint.variant
    if part.quantization:
        options["quantization_config"] = quantization_config(part.quantization, dtype, cls)
    stored = stored_quantization(part)
    empty, same_names = None, False
    if not pickled and stored in (None, CHECKED_QUANTIZATION):
        empty, same_names = _check_keys(cls, part, folder, packed=stored is not None)
    module = None
    if empty is not None and same_names and not part.quantization and stored is None:
        module = _build_module(empty, part, folder, dtype, state)
    if module is None:
        module, info = cls.from_pretrained(
            folder,
            dtype=devices.torch_dtype(dtype),
            output_loading_info=True,
            trust_remote_code=False,
            **options,
        )
        if not part.quantization and stored is None:
            compared = weight_keys.compare_after_loading(info)
            weight_keys.refuse_difference(
                part.name, cls.__name__, compared, partial=part.part.partial
            )
    return module


def _has_scales(part: ResolvedPart) -> bool:
    """Whether the weights in a component's folder are in fp8 with scales."""
    paths = (path for path in part.files if path.suffix == ".safetensors")
    is_plain = stored_quantization(part) is None
    return is_plain and any(has_scales(refuse_damaged(path).tensors) for path in paths)


def _check_keys(
    cls: Any, part: ResolvedPart, folder: Path, *, packed: bool = False
) -> tuple[Any, bool]:
    """Raises CheckpointError if the tensors in a part's files are not those of its class.

    No tensor is read. Returns the module without memory for its weights if it is one of diffusers,
    None if it is one of transformers; and whether its tensors and those in the files have the same
    names.
    """
    import diffusers

    empty = None
    compared: weight_keys.KeyComparison | None
    if issubclass(cls, diffusers.ModelMixin):
        empty = weight_keys.empty_module(cls, folder)
        compared = weight_keys.compare_diffusers(empty, part.files, packed=packed)
    else:
        stamps = tuple(map(FileStamp.of, (folder / "config.json", *part.files)))
        compared = weight_keys.compare_transformers(cls, folder, stamps, packed=packed)
    if compared is not None:
        weight_keys.refuse_difference(part.name, cls.__name__, compared, partial=part.part.partial)
    return empty, compared is not None and compared.same_names


def _build_module(
    module: Any, part: ResolvedPart, folder: Path, dtype: str, state: State | None = None
) -> Any:
    """The module that diffusers' `from_pretrained` loads, in two thirds of its time, or None.

    None if only `from_pretrained` can load it, because some of its weights stay in float32.

    Args:
        module: The module without memory for its weights, whose names are those in the file.
        part: The component.
        folder: Its folder.
        dtype: The dtype that it computes in.
        state: Its weights if they were read ahead.
    """
    if module._keep_in_fp32_modules:
        return None
    if state is None:
        state = read_weights(part.files, devices.torch_dtype(dtype))
    module.load_state_dict(state, assign=True)
    module.register_to_config(_name_or_path=folder)
    return module.eval()


def _cast_by_layer(module: Any, part: ResolvedPart, dtype: str) -> None:
    import torch

    module.enable_layerwise_casting(
        storage_dtype=getattr(torch, str(part.part.casting)),
        compute_dtype=devices.torch_dtype(dtype),
    )


def _class(part: ResolvedPart, library: str, name: str) -> Any:
    cls = getattr(import_module(MODULES.get(name, library)), name, None)
    if cls is None:
        found = f"the class {name}, which this {library} does not have"
        fix = f"a newer {library} may have it"
        raise CheckpointError(Problem(str(part), found, f"a class of {library}", fix))
    role = "tokenizer" if part.part.tokenizer else role_of(part.part.component)
    refuse_other_class(part.name, role, cls)
    return cls


def _load_tokenizer(cls: Any, folder: Path, max_tokens: int | None) -> Any:
    tokenizer = cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if max_tokens is not None and tokenizer.model_max_length > 1_000_000:
        # Without a maximum length, padding in a pipeline would overflow.
        tokenizer.model_max_length = max_tokens
    return tokenizer


def _load_processor(part: ResolvedPart, folder: Path) -> Any:
    """Loads an image processor in a class that needs no torchvision; old class names work too."""
    import transformers

    own = part.owner.config(part.part.folder, "preprocessor_config.json") or {}
    named = str(own.get("image_processor_type") or own.get("feature_extractor_type") or "")
    if named:
        refuse_class(str(part), "image_processor", "transformers", named)
    stem = (
        named.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    )
    cls = getattr(transformers, f"{stem}Pil", None) or getattr(transformers, stem, None)
    if cls is None or not named:
        found = f"the image processor {named}" if named else "no image processor named"
        raise CheckpointError(Problem(str(part), found, "one that transformers has"))
    refuse_other_class(str(part), "processor", cls)
    return cls.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
