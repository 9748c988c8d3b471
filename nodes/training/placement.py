"""Where training computes: the one module that moves modules and batches to a device."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def training_device() -> Any:
    """The accelerator that torch finds, or the CPU."""
    import torch

    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()
    return torch.device("cpu")


def to_device(tensor: Any, device: Any) -> Any:
    """A tensor on a device.

    Random numbers are drawn on the CPU and moved afterwards, so that a run draws the same numbers
    on every device.
    """
    return tensor.to(device)


def move_modules(parts: Iterable[Any]) -> None:
    """Moves those of a checkpoint's parts that are modules to where training computes."""
    device = training_device()
    for part in parts:
        if hasattr(part, "parameters"):
            part.to(device)
