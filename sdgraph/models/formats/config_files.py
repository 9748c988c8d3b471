"""Reads the configs of checkpoints, and refuses those that name code or have absurd numbers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp, read_text

from .config_limits import config_problems

MODULAR_INDEX = "modular_model_index.json"
"""The file that lists the components of a modular pipeline's checkpoint."""

MAX_CONFIG_BYTES = 64 * 2**20
"""The largest JSON file that is read; vocabularies and large indexes have a few megabytes."""

_CODE_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines")
"""Settings that name code in the checkpoint's own files, or on the hub."""

_KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation")
"""Settings that transformers reads the name of a kernel from, which may be code on the hub."""

_NEVER_RUN = "classes of the libraries: custom code from checkpoints is never run"
_FIX = "choose a checkpoint, or a revision of it, whose classes are part of the library"


def read_config(path: str | Path) -> Mapping[str, Any] | None:
    """The config in a file, None if there is no such file.

    Raises CheckpointError for one that is damaged, names code or has absurd numbers.
    """
    stamp = FileStamp.of_regular(str(path))
    return None if stamp is None else _read_config(stamp)


@lru_cache(maxsize=1024)
def _read_config(stamp: FileStamp) -> Mapping[str, Any]:
    path = stamp.path
    config = read_json(Path(path), stamp)
    problems = [*_code_problems(config, path), *config_problems(config, path)]
    if problems:
        raise CheckpointError(problems[:5])
    return config


def read_json(path: Path, stamp: FileStamp | None = None) -> Mapping[str, Any]:
    """The JSON object in a file; raises CheckpointError if it holds anything else.

    Args:
        path: The file.
        stamp: Its stamp, if that is known already.
    """
    return _read_json(path, stamp or FileStamp.of(path))


@lru_cache(maxsize=1024)
def _read_json(path: Path, stamp: FileStamp) -> Mapping[str, Any]:
    if stamp.size > MAX_CONFIG_BYTES:
        found, wanted = f"{stamp.size} bytes", f"a config of at most {MAX_CONFIG_BYTES} bytes"
        raise CheckpointError(Problem(str(path), found, wanted, "copy it again"))
    try:
        data = json.loads(read_text(path, MAX_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        found, fix = f"not readable as JSON ({error})", "the file is damaged: copy it again"
        raise CheckpointError(Problem(str(path), found, "a JSON object", fix)) from None
    if not isinstance(data, dict):
        raise CheckpointError(Problem(str(path), type(data).__name__, "a JSON object"))
    return data


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


def read_index(path: str | Path) -> Mapping[str, Any] | None:
    """The model index in a file, None if there is no such file.

    Where there is none, the index of a modular pipeline next to it is read as one: in that each
    component has a third entry, which says where it comes from.

    Raises CheckpointError for one that names code, or whose components are not plain names.
    """
    stamp = FileStamp.of_regular(str(path))
    if stamp is not None:
        return _read_index(stamp)
    stamp = FileStamp.of_regular(os.path.join(os.path.dirname(path), MODULAR_INDEX))  # noqa: PTH118, PTH120  faster
    if stamp is None:
        return None
    index = _read_index(stamp)
    return {name: each[:2] if _is_component(each) else each for name, each in index.items()}


def _is_component(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 3 and isinstance(entry[2], Mapping)


@lru_cache(maxsize=256)
def _read_index(stamp: FileStamp) -> Mapping[str, Any]:
    index = _read_config(stamp)
    for name, entry in index.items():
        if isinstance(entry, list) and not re.fullmatch(r"[A-Za-z_]\w*", name):
            problem = Problem(
                stamp.path,
                f"a component {name!r}",
                "the plain name of a folder in the checkpoint, such as 'vae'",
                "the file is damaged or made to read other folders: copy the checkpoint again",
            )
            raise CheckpointError(problem)
    return index
