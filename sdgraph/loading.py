"""A component from its folder, by the library and class that its checkpoint names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import checkpoints, devices
from .checkpoints import Part
from .errors import CheckpointError


def load_quietly(part: Part, dtype: str, device: str) -> Any:
    """What `load_part` loads, with the libraries' bars and advice kept off the terminal."""
    with quiet():
        return load_part(part, dtype, device)


def load_part(part: Part, dtype: str, device: str) -> Any:
    """A component from its checkpoint by the library and class the checkpoint names.

    Models come in `dtype` on `device`, in evaluation mode and frozen; safetensors only.
    """
    root = checkpoints.weights(part.checkpoint)
    library, name = checkpoints.class_of(part)
    folder = root / part.folder
    if "Tokenizer" in name:
        return _load_tokenizer(_class(part, library, name), folder)
    if name.removesuffix("Fast").endswith(
        ("ImageProcessor", "ImageProcessorPil", "FeatureExtractor")
    ):
        return _load_processor(part, folder)
    checkpoints.files(part)
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if part.checkpoint.variant:
        options["variant"] = part.checkpoint.variant
    cls = _class(part, library, name)
    module = cls.from_pretrained(folder, dtype=devices.torch_dtype(dtype), **options)
    return module.to(device).eval().requires_grad_(False)


def _class(part: Part, library: str, name: str) -> Any:
    import importlib

    found = getattr(importlib.import_module(library), name, None)
    if found is None:
        raise CheckpointError(
            f"{part}: {library} has no class {name}; a newer {library} may have it"
        )
    return found


def _load_tokenizer(cls: Any, folder: Path) -> Any:
    made = cls.from_pretrained(folder, local_files_only=True)
    if made.model_max_length > 1_000_000:
        # A tokenizer without a maximum length overflows when a pipeline pads; 77 is CLIP's.
        made.model_max_length = 77
    return made


def _load_processor(part: Part, folder: Path) -> Any:
    """An image processor that works without torchvision, also under its class's old name."""
    import transformers

    own = checkpoints.config(part.checkpoint, part.folder, "preprocessor_config.json") or {}
    named = str(own.get("image_processor_type") or own.get("feature_extractor_type") or "")
    stem = (
        named.removesuffix("Fast").removesuffix("Pil").replace("FeatureExtractor", "ImageProcessor")
    )
    cls = getattr(transformers, f"{stem}Pil", None) or getattr(transformers, stem, None)
    if cls is None or not stem:
        raise CheckpointError(f"{part}: transformers has no image processor {named or 'named'}")
    return cls.from_pretrained(folder, local_files_only=True)


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


@contextmanager
def quiet() -> Iterator[None]:
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
