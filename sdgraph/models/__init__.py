"""Model weights on disk and in memory: checkpoints, LoRAs, hashes, devices, the model cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdgraph.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .checkpoint.checkpoint_cache import CheckpointCache
    from .checkpoint.checkpoint_files import MODEL_INDEX, places_elsewhere
    from .checkpoint.component_classes import LIBRARIES, SCHEDULERS
    from .checkpoint.library_versions import newer_version_advice
    from .checkpoint.part_checks import part_warnings
    from .checkpoint.resolved import (
        ResolvedCheckpoint,
        fetch_checkpoint,
        memoized_resolutions,
        resolve,
        resolve_part,
        session_scope,
    )
    from .checkpoint.resolved_part import ResolvedPart
    from .formats.config_files import MODULAR_INDEX, read_config, read_json
    from .formats.file_hashes import file_sha256
    from .formats.safetensors_files import TensorShapes, tensor_shapes
    from .formats.tensor_files import read_tensors
    from .loading.cache import ModelCache
    from .loading.component import Models
    from .loading.devices import check_name, guess_device
    from .loading.library_output import quiet_libraries
    from .loading.loader import load_part
    from .loading.prefetch import Prefetcher, PrefetchRequest, Weights
    from .loading.process_records import ProcessRecord
    from .loading.quantization import device_problem
    from .sources.lora_files import PEFT_CONFIG, PEFT_NAME, find_lora
    from .sources.model_files import source_for_field
    from .sources.modular_index import ComponentPlace
    from .sources.random_checkpoints import is_random

__all__ = [
    "LIBRARIES",
    "MODEL_INDEX",
    "MODULAR_INDEX",
    "PEFT_CONFIG",
    "PEFT_NAME",
    "SCHEDULERS",
    "CheckpointCache",
    "ComponentPlace",
    "ModelCache",
    "Models",
    "PrefetchRequest",
    "Prefetcher",
    "ProcessRecord",
    "ResolvedCheckpoint",
    "ResolvedPart",
    "TensorShapes",
    "Weights",
    "check_name",
    "device_problem",
    "fetch_checkpoint",
    "file_sha256",
    "find_lora",
    "guess_device",
    "is_random",
    "load_part",
    "memoized_resolutions",
    "newer_version_advice",
    "part_warnings",
    "places_elsewhere",
    "quiet_libraries",
    "read_config",
    "read_json",
    "read_tensors",
    "resolve",
    "resolve_part",
    "session_scope",
    "source_for_field",
    "tensor_shapes",
]

_EXPORTS = {
    "checkpoint.checkpoint_files": ("MODEL_INDEX", "places_elsewhere"),
    "checkpoint.component_classes": ("LIBRARIES", "SCHEDULERS"),
    "checkpoint.checkpoint_cache": ("CheckpointCache",),
    "checkpoint.library_versions": ("newer_version_advice",),
    "checkpoint.part_checks": ("part_warnings",),
    "checkpoint.resolved": (
        "ResolvedCheckpoint",
        "fetch_checkpoint",
        "memoized_resolutions",
        "resolve",
        "resolve_part",
        "session_scope",
    ),
    "checkpoint.resolved_part": ("ResolvedPart",),
    "formats.config_files": ("MODULAR_INDEX", "read_config", "read_json"),
    "formats.file_hashes": ("file_sha256",),
    "formats.safetensors_files": ("TensorShapes", "tensor_shapes"),
    "formats.tensor_files": ("read_tensors",),
    "loading.cache": ("ModelCache",),
    "loading.component": ("Models",),
    "loading.devices": ("check_name", "guess_device"),
    "loading.library_output": ("quiet_libraries",),
    "loading.loader": ("load_part",),
    "loading.prefetch": ("PrefetchRequest", "Prefetcher", "Weights"),
    "loading.process_records": ("ProcessRecord",),
    "loading.quantization": ("device_problem",),
    "sources.lora_files": ("PEFT_CONFIG", "PEFT_NAME", "find_lora"),
    "sources.model_files": ("source_for_field",),
    "sources.modular_index": ("ComponentPlace",),
    "sources.random_checkpoints": ("is_random",),
}
"""Which module defines each name."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is there
    __getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
