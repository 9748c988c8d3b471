"""Keeps what the model libraries print off the terminal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def _only_errors(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


_quiet_blocks = 0
_quiet_lock = threading.Lock()
_filters: list[tuple[logging.Handler, list[Any]]] = []
"""The handlers of the libraries with their own filters, while any block is quiet."""


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keeps the libraries' progress bars and advice off the terminal.

    It uses a filter on their handlers, because changing a level takes half a millisecond each way.
    Blocks of several threads may overlap: the last one that ends restores what was there before.
    """
    global _quiet_blocks
    with _quiet_lock:
        _quiet_blocks += 1
        if _quiet_blocks == 1:
            _silence_libraries()
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_blocks -= 1
            if not _quiet_blocks:
                _restore_libraries()


def _silence_libraries() -> None:
    for library in _library_loggings():
        library.disable_progress_bar()
    names = ("diffusers", "transformers")
    # A set, because one handler may belong to both.
    for handler in {handler for name in names for handler in logging.getLogger(name).handlers}:
        _filters.append((handler, list(handler.filters)))
        handler.filters = [_only_errors]


def _restore_libraries() -> None:
    for handler, filters in _filters:
        handler.filters = filters
    _filters.clear()
    for library in _library_loggings():
        library.enable_progress_bar()


def _library_loggings() -> tuple[Any, Any]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    return diffusers_logging, transformers_logging
