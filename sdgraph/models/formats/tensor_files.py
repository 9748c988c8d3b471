"""Reads whole files of tensors: of safetensors, and of torch where pickles are allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .pickles import is_pickle, read_pickle
from .safetensors_files import refuse_damaged


def read_tensors(path: Path) -> dict[str, Any]:
    """All tensors of a file by name, as torch tensors in host memory.

    Raises:
        CheckpointError: It is a pickle, and pickles are not allowed or it holds something else.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if is_pickle(start):
        return read_pickle(path, list(refuse_damaged(path).tensors))
    from safetensors.torch import load_file

    tensors: dict[str, Any] = load_file(path)
    return tensors
