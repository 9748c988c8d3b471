"""Reads the configs of checkpoints, and refuses those that name code or have absurd numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp

from .config_limits import config_problems
from .file_hashes import read_json

_CODE_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines")
"""Settings that name code in the checkpoint's own files, or on the hub."""

_KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Settings that transformers reads the name of a kernel from, which may be code on the hub."""

_NEVER_RUN = "classes of the libraries: custom code from checkpoints is never run"
_FIX = "choose a checkpoint, or a revision of it, whose classes are part of the library"


def read_config(path: Path) -> Mapping[str, Any]:
    """The config in a file; raises CheckpointError for one that names code or absurd numbers."""
    return _read_config(path, FileStamp.of(path))


@lru_cache(maxsize=1024)
def _read_config(path: Path, stamp: FileStamp) -> Mapping[str, Any]:
    config = read_json(path)
    problems = [*_code_problems(config, str(path)), *config_problems(config, str(path))]
    if problems:
        raise CheckpointError(problems[:5])
    return config


def _code_problems(config: Mapping[str, Any], file: str) -> Iterator[Problem]:
    """The settings that name code, also in the configs of parts of a model."""
    nested = [config]
    while nested:
        settings = nested.pop()
        nested += [value for value in settings.values() if isinstance(value, Mapping)]
        for found in _names_of_code(settings):
            yield Problem(file, f"{found}, which is code", _NEVER_RUN, _FIX)


def _names_of_code(settings: Mapping[str, Any]) -> Iterator[str]:
    for key in _CODE_KEYS:
        if settings.get(key):
            yield f"{key} {settings[key]!r}"[:200]
    if isinstance(name := settings.get("_class_name"), list):
        yield f"_class_name {name!r}"[:200]
    for key in _KERNEL_KEYS:
        value = settings.get(key)
        for text in value.values() if isinstance(value, Mapping) else (value,):
            # The implementations of transformers have plain names; others are on the hub.
            if text and not re.fullmatch(r"\w+", str(text)):
                yield f"{key} {text!r}"[:200]


def read_index(path: Path) -> Mapping[str, Any]:
    """The model index in a file.

    Raises CheckpointError for one that names code, or whose components are not plain names.
    """
    index = read_config(path)
    for name, entry in index.items():
        if isinstance(entry, list) and not re.fullmatch(r"[A-Za-z_]\w*", name):
            problem = Problem(
                str(path),
                f"a component {name!r}",
                "the plain name of a folder in the checkpoint, such as 'vae'",
                "the file is damaged or made to read other folders: copy the checkpoint again",
            )
            raise CheckpointError(problem)
    return index
