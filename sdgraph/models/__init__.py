"""Model weights on disk and in memory: checkpoints, LoRAs, hashes, devices, the model cache."""

from .cache import ModelCache, Models
from .checkpoint_files import MODEL_INDEX
from .component_classes import SCHEDULERS
from .devices import check_name
from .file_hashes import file_sha256
from .loader import load_part, quiet_libraries
from .lora_files import find_lora
from .model_files import source_for_field
from .part_checks import part_warnings
from .prefetch import Prefetcher, PrefetchRequest
from .process_records import ProcessRecord
from .random_checkpoints import is_random
from .resolved import (
    ResolvedCheckpoint,
    fetch_checkpoint,
    memoized_resolutions,
    resolve,
    resolve_part,
)
from .resolved_part import ResolvedPart
from .safetensors_files import TensorShapes, tensor_shapes

__all__ = [
    "MODEL_INDEX",
    "SCHEDULERS",
    "ModelCache",
    "Models",
    "PrefetchRequest",
    "Prefetcher",
    "ProcessRecord",
    "ResolvedCheckpoint",
    "ResolvedPart",
    "TensorShapes",
    "check_name",
    "fetch_checkpoint",
    "file_sha256",
    "find_lora",
    "is_random",
    "load_part",
    "memoized_resolutions",
    "part_warnings",
    "quiet_libraries",
    "resolve",
    "resolve_part",
    "source_for_field",
    "tensor_shapes",
]
