"""Where training computes: the one place that moves modules and batches to a device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def device() -> Any:
    """The accelerator that torch finds, or the CPU."""
    import torch

    found = torch.accelerator.is_available()
    return torch.accelerator.current_accelerator() if found else torch.device("cpu")


def to_device(tensor: Any, where: Any) -> Any:
    """A tensor on a device.

    Random numbers are drawn on the CPU and placed after, so that a run draws the same everywhere.
    """
    return tensor.to(where)


def move_modules(parts: Iterable[Any]) -> None:
    """Moves those of a checkpoint's parts that are modules to where training computes."""
    where = device()
    for part in parts:
        if hasattr(part, "parameters"):
            part.to(where)
