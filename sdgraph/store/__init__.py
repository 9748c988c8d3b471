"""Remembered results: their keys, their serialization, and the stores in memory and on disk."""

from .disk import DEFAULT_BYTES, LostRecordError, Shelf
from .keys import stage_key, surroundings
from .lookup import LookedUp, look_up
from .store import Found, Remembered, Store, result_key

__all__ = [
    "DEFAULT_BYTES",
    "Found",
    "LookedUp",
    "LostRecordError",
    "Remembered",
    "Shelf",
    "Store",
    "look_up",
    "result_key",
    "stage_key",
    "surroundings",
]
