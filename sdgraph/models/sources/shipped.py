"""The checkpoints that ship inside the package, called `tiny/NAME`; they need no network.

Each is a folder in the layout of diffusers or transformers, with trained weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdgraph.errors import CheckpointError, Problem, did_you_mean

_FOLDER = Path(__file__).parents[2] / "tiny"
_PREFIX = "tiny/"


@cache
def shipped_names() -> tuple[str, ...]:
    """The names of all shipped checkpoints, such as `tiny/inpaint`, sorted."""
    return tuple(sorted(_PREFIX + entry.name for entry in _FOLDER.iterdir() if entry.is_dir()))


def shipped_folder(name: str) -> Path:
    """The folder of a shipped checkpoint in the package, with its configs and weights.

    Raises CheckpointError for a name of no shipped checkpoint.
    """
    names = shipped_names()
    if name not in names:
        problem = Problem(
            subject=name,
            found="no shipped checkpoint of that name",
            wanted=f"one of {', '.join(names)}",
            fix=did_you_mean(name, names),
        )
        raise CheckpointError(problem)
    return _FOLDER / name.removeprefix(_PREFIX)
