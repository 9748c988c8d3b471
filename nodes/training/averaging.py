"""The running average of weights, with which samples and checkpoints are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .state import State


def update_average(state: State, decay: float) -> None:
    """Moves the average towards the trained weights.

    Args:
        state: The state of the run, whose average is changed.
        decay: The share of the average that stays, 0..1.
    """
    import torch

    weights = [value.detach() for value in state.student.parameters.values()]
    torch._foreach_lerp_(list(state.average.values()), weights, 1 - decay)


@contextmanager
def use_averaged_weights(
    parameters: Mapping[str, Any], average: Mapping[str, Any]
) -> Iterator[None]:
    """Puts averaged weights in place; the trained ones are back at the end."""
    import torch

    with torch.no_grad():
        trained = {name: value.detach().clone() for name, value in parameters.items()}
        for name, value in parameters.items():
            value.copy_(average[name])
        try:
            yield
        finally:
            for name, value in parameters.items():
                value.copy_(trained[name])
