"""Weights that are read into host memory before the module that they belong to is built.

A module must not be built in a second thread, because the libraries change torch's default dtype
for all threads while they load. What takes long is not the module but its tensors: reading them,
casting them and, for a CUDA device, copying them into pinned memory. Those steps are safe in any
thread.

1. The prefetching thread's queue announces the weights of a component.
2. The thread reads them into memory. An error is forgotten: the load meets it again and tells it.
3. The load takes them. It waits for those that are being read; those that are still in the queue
   it withdraws, and reads itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any, NamedTuple

from sdgraph.files import FileStamp
from sdgraph.models.checkpoint.part_checks import stored_quantization
from sdgraph.models.checkpoint.resolved_part import ResolvedPart

State = Mapping[str, Any]
"""Tensors in host memory by their names."""


class WeightsKey(NamedTuple):
    """The files of a component's weights as they are now, and the dtype that they are cast to."""

    stamps: tuple[FileStamp, ...]
    dtype: str

    @classmethod
    def of(cls, files: Iterable[Path], dtype: str) -> WeightsKey | None:
        """The key of some files; None if one of them cannot be found."""
        try:
            return cls(tuple(map(FileStamp.of, files)), dtype)
        except OSError:
            return None


class PrefetchedWeights:
    """Announced weights, and those that were read and not taken yet. Safe to share by threads."""

    def __init__(self) -> None:
        self._futures: dict[WeightsKey, Future[State | None]] = {}
        self._lock = threading.Lock()

    def announce(self, key: WeightsKey) -> bool:
        """Says that weights will be read; returns False if they are announced already."""
        with self._lock:
            if key in self._futures:
                return False
            self._futures[key] = Future()
            return True

    def make(self, key: WeightsKey, read: Callable[[], State | None]) -> bool:
        """Reads announced weights; returns False if they were withdrawn or cannot be read."""
        with self._lock:
            future = self._futures.get(key)
        if future is None or not future.set_running_or_notify_cancel():
            return False
        state = None
        try:
            state = read()
        except Exception:  # the load meets the error again, and tells it once
            pass
        finally:
            future.set_result(state)
        return state is not None

    def take(self, key: WeightsKey | None) -> State | None:
        """Takes weights, which are then the caller's own.

        Returns:
            The tensors; None if the caller has to read them.
        """
        with self._lock:
            future = None if key is None else self._futures.pop(key, None)
        if future is None or future.cancel():
            return None
        try:
            return future.result()
        except CancelledError:
            return None

    def drop(self, keys: Iterable[WeightsKey]) -> None:
        """Forgets weights, and withdraws those that are not being read yet."""
        with self._lock:
            for key in keys:
                if (future := self._futures.pop(key, None)) is not None:
                    future.cancel()

    def __len__(self) -> int:
        """How many components' weights are announced or in memory."""
        return len(self._futures)


prefetched_weights = PrefetchedWeights()
"""Those of this process."""


def can_prefetch(part: ResolvedPart) -> bool:
    """Whether a component is built from tensors that were read before, not by a library's reader.

    Raises CheckpointError or OSError if its files cannot be read.
    """
    if part.is_lora or part.tensor_prefix is not None or part.quantization or not part.files:
        return False
    if any(path.suffix != ".safetensors" for path in part.files):
        return False
    return part.library_and_class[0] == "diffusers" and stored_quantization(part) is None


def read_weights(
    files: Iterable[Path],
    dtype: Any,
    *,
    pin: Callable[[Any], Any] = lambda tensor: tensor,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any] | None:
    """The tensors of safetensors files; floating ones are cast, the others are as stored.

    Tensors that need no cast and are not pinned stay mapped files, of which no copy is made.

    Args:
        files: The files. Where a name is in several, the last counts.
        dtype: The `torch.dtype` of floating tensors.
        pin: Copies a tensor into pinned memory.
        stopped: Asked before each tensor whether to stop.

    Returns:
        The tensors by their names; None if it was stopped.
    """
    from safetensors import safe_open

    state: dict[str, Any] = {}
    for path in files:
        with safe_open(path, framework="pt", device="cpu") as opened:
            for name in opened.keys():  # noqa: SIM118  # it is no mapping
                if stopped():
                    return None
                tensor = opened.get_tensor(name)
                if tensor.is_floating_point():
                    tensor = tensor.to(dtype)
                state[name] = pin(tensor)
    return state
