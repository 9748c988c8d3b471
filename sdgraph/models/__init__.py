"""Model weights on disk and in memory: checkpoints, LoRA files, hashes, devices, the cache."""

from .cache import ModelCache, Models, Planned
from .checkpoint_files import INDEX, Part, class_of, components, config, configs, index, weights
from .component import planned_component
from .devices import DTYPES, check_name
from .file_hashes import content
from .fingerprints import contents, every_file
from .loader import quiet
from .prefetch import Reader, Reading
from .process_records import Record

__all__ = [
    "DTYPES",
    "INDEX",
    "ModelCache",
    "Models",
    "Part",
    "Planned",
    "Reader",
    "Reading",
    "Record",
    "check_name",
    "class_of",
    "components",
    "config",
    "configs",
    "content",
    "contents",
    "every_file",
    "index",
    "planned_component",
    "quiet",
    "weights",
]
