"""Locks of devices: only one node in a process computes with models on a device at a time.

Pipelines change the modules that they compute with: adapters and hooks are put on a U-Net and taken
off again, a tokenizer keeps its padding between two calls, and trainings draw from the one global
generator of torch. A node therefore has the device for itself while it holds a lease.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager

_locks: dict[str, AbstractContextManager[object]] = {}


def device_lock(device: str) -> AbstractContextManager[object]:
    """A block within which no other thread of this process computes with models on the device.

    It waits for its turn. A thread that has it may begin such a block again, for a node that runs
    a graph of its own.

    Args:
        device: The device, such as "cuda" or "cuda:0", which are the same.
    """
    kind, _, number = device.partition(":")
    # One operation, so that two threads get the same lock.
    return _locks.setdefault(f"{kind}:{number or 0}", threading.RLock())


# A forked process has none of the threads that its parent's locks wait for.
os.register_at_fork(after_in_child=_locks.clear)
