"""Checkpoints with random weights, called `random/NAME`, made when they are first used.

They are kept in the home folder. The nodes know how each is made; what it makes with these weights
is noise.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import sdgraph_home

_PREFIX = "random/"

_MAKER = "sdgraph.nodes.diffusion.random_checkpoints"
"""The module that makes them, which is imported by name: models know no nodes."""


def is_random(source: str) -> bool:
    """Whether a source names a checkpoint with random weights."""
    return source.startswith(_PREFIX)


def random_folder(source: str) -> Path | None:
    """The folder of a checkpoint with random weights; None if it was not made yet.

    Raises CheckpointError for a name that stands for none.
    """
    name = _name_in(source)
    folder = _home() / name
    return folder if folder.is_dir() else None


def make_random(source: str) -> Path:
    """The folder of a checkpoint with random weights, which is made if it is not there.

    It is written elsewhere and then renamed, so that no other process meets a part of it.
    """
    name = _name_in(source)
    folder = _home() / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".sdgraph-", dir=folder.parent))
    try:
        _maker().make_checkpoint(name, temporary / name)
        try:
            os.rename(temporary / name, folder)  # noqa: PTH104  another process may be first
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def random_names() -> tuple[str, ...]:
    """The names of all checkpoints with random weights, such as `random/flux`, sorted."""
    return tuple(sorted(_PREFIX + name for name in _maker().MAKERS))


def _name_in(source: str) -> str:
    names = random_names()
    if source not in names:
        found, fix = "no checkpoint with random weights of that name", did_you_mean(source, names)
        raise CheckpointError(Problem(source, found, f"one of {', '.join(names)}", fix))
    return source.removeprefix(_PREFIX)


def _home() -> Path:
    return sdgraph_home() / "random"


def _maker() -> Any:
    return import_module(_MAKER)
