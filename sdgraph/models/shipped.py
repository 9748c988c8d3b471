"""The checkpoints that ship inside the package, called `tiny/NAME`; they need no network.

Each is a folder in the layout of diffusers or transformers, with trained weights.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sdgraph.errors import CheckpointError, Problem, did_you_mean

_SHIPPED = Path(__file__).parents[1] / "tiny"
_PREFIX = "tiny/"


@cache
def names() -> tuple[str, ...]:
    """The names of all shipped checkpoints, sorted, as in `tiny/inpaint`."""
    return tuple(sorted(_PREFIX + entry.name for entry in _SHIPPED.iterdir() if entry.is_dir()))


def folder(name: str) -> Path:
    """The checkpoint's folder inside the package, with configs and weights.

    Raises CheckpointError for a name that is not shipped.
    """
    shipped_names = names()
    if name not in shipped_names:
        problem = Problem(
            subject=name,
            found="no shipped checkpoint of that name",
            wanted=f"one of {', '.join(shipped_names)}",
            fix=did_you_mean(name, shipped_names),
        )
        raise CheckpointError(problem)
    return _SHIPPED / name.removeprefix(_PREFIX)
