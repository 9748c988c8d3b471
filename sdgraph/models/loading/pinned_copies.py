"""Moves modules to a CUDA device through pinned memory.

From ordinary memory the driver copies everything twice, first into a small pinned buffer of its
own, while nothing else goes on. From pinned memory the device reads by itself: while it copies one
tensor, the next is read from its mapped file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def pin_for(device: str) -> Callable[[Any], Any]:
    """The function that copies a tensor into memory which a device reads by itself.

    For devices other than CUDA, and where no more memory can be pinned, it returns the tensor.
    """
    return pin_or_keep if device.partition(":")[0] == "cuda" else lambda tensor: tensor


def pin_or_keep(tensor: Any) -> Any:
    """A copy of a tensor in pinned memory, or the tensor itself if memory cannot be pinned."""
    try:
        return tensor.pin_memory()
    except RuntimeError:  # the system limits how much memory may be pinned
        return tensor


def move_module(module: Any, device: str, pin: Callable[[Any], Any] | None = None) -> Any:
    """Moves a module to a device; returns it. Shared tensors stay shared.

    Args:
        module: A module in host memory.
        device: The device.
        pin: Copies a tensor into pinned memory; None is that of `pin_for`, and for a device
            without one the module is moved by its own `to`.
    """
    if pin is None:
        if device.partition(":")[0] != "cuda":
            return module.to(device)
        pin = pin_or_keep
    moved: dict[int, Any] = {}

    def move(tensor: Any) -> Any:
        if id(tensor) not in moved:
            # The pinned copy is kept by torch until the device has read it.
            copy = pin(tensor.data).to(device, non_blocking=True)
            moved[id(tensor)] = (copy, tensor)
        return moved[id(tensor)][0]

    for submodule in module.modules():
        for parameter in submodule._parameters.values():
            if parameter is not None:
                parameter.data = move(parameter)
        for name, buffer in submodule._buffers.items():
            if buffer is not None:
                submodule._buffers[name] = move(buffer)
    _synchronize(device)
    return module


def _synchronize(device: str) -> None:
    """Waits for the copies, so that an error belongs to the load and its seconds are true."""
    if device.partition(":")[0] == "cuda":
        import torch

        torch.cuda.synchronize(device)
