"""The running average of weights: what samples and checkpoints are made with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .state import State


def average(state: State, keep: float) -> None:
    """Moves the average to the trained weights, and keeps a share of what it was."""
    import torch

    now = [value.detach() for value in state.student.parameters.values()]
    torch._foreach_lerp_(list(state.average.values()), now, 1 - keep)


@contextmanager
def use_averaged_weights(
    parameters: Mapping[str, Any], average: Mapping[str, Any]
) -> Iterator[None]:
    """The modules with their averaged weights in place, and the trained ones back after."""
    import torch

    with torch.no_grad():
        kept = {name: value.detach().clone() for name, value in parameters.items()}
        for name, value in parameters.items():
            value.copy_(average[name])
        try:
            yield
        finally:
            for name, value in parameters.items():
                value.copy_(kept[name])
