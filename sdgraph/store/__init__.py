"""Remembered results: their keys, their serialization, and the stores in memory and on disk."""

from .admission import has_cheap_content, is_worth_keeping
from .disk import DEFAULT_BYTES, DiskStore
from .disk_result import LostRecordError
from .keys import batch_in_key, execution_context, stage_key
from .lookup import LookupResult, look_up
from .store import MemoryResult, Store, StoredResult, result_key

__all__ = [
    "DEFAULT_BYTES",
    "DiskStore",
    "LookupResult",
    "LostRecordError",
    "MemoryResult",
    "Store",
    "StoredResult",
    "batch_in_key",
    "execution_context",
    "has_cheap_content",
    "is_worth_keeping",
    "look_up",
    "result_key",
    "stage_key",
]
