"""Devices and their memory: the device to run on, the dtype to use, the free bytes.

No other module uses torch.cuda.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidValueError, Problem, did_you_mean
from sdgraph.values import DTYPES

KINDS = ("cpu", "cuda", "mps", "xpu")

Probe = Callable[[str], int | None]
"""Returns the free bytes on a device, None if they are not known; tests use their own."""


def choose_device(device: str | None = None) -> str:
    """The device to run on.

    Args:
        device: A name such as "cuda:1"; None is the first accelerator, or "cpu" if there is none.

    Raises:
        InvalidValueError: This machine has no such device.
    """
    import torch

    if device is None:
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator.type if accelerator is not None else "cpu"
    kind = check_name(device)
    if kind == "cpu":
        return device
    backend = getattr(torch, kind)
    if not backend.is_available():
        found = f"{device!r}, and torch sees no {kind} device here"
        fix = "leave --device out to use an available device, or use --device cpu"
        raise InvalidValueError(Problem("device", found, "a device that is here", fix))
    number = int(device.partition(":")[2] or 0)
    if number >= backend.device_count():
        wanted = f"one of the {backend.device_count()} that are here, counted from 0"
        raise InvalidValueError(Problem("device", repr(device), wanted))
    return device


def guess_device(device: str | None = None) -> str:
    """The device that `choose_device` will most likely return; torch is not imported."""
    if device is not None:
        check_name(device)
        return device
    if sys.platform == "darwin":
        return "mps" if os.uname().machine == "arm64" else "cpu"
    return "cuda" if _nvidia("index") else "cpu"


@cache
def _nvidia(field: str) -> tuple[str, ...]:
    """A field of nvidia-smi for each device that programs may use; () if there is none."""
    import shutil
    import subprocess

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = tuple(result.stdout.split())
    if visible is None:
        return lines
    return tuple(lines[int(n)] for n in visible.split(",") if n.isdigit() and int(n) < len(lines))


def check_name(device: str) -> str:
    """The kind of a device: "cuda" for "cuda:1". Raises InvalidValueError; torch-free."""
    kind, colon, number = device.partition(":")
    if kind not in KINDS or (colon and not re.fullmatch("[0-9]{1,4}", number)):
        fix = did_you_mean(kind, KINDS)
        raise InvalidValueError(Problem("device", repr(device), f"one of {', '.join(KINDS)}", fix))
    return kind


def default_dtype(device: str) -> str:
    """The dtype to compute in if the user names none: float32 on a CPU, float16 elsewhere."""
    return "float32" if device.partition(":")[0] == "cpu" else "float16"


def torch_dtype(name: str) -> Any:
    """The `torch.dtype` of a name; raises InvalidValueError for a name that is not in `DTYPES`."""
    import torch

    if name not in DTYPES:
        raise InvalidValueError(Problem("dtype", repr(name), f"one of {', '.join(DTYPES)}"))
    return getattr(torch, name)


def free_bytes(device: str) -> int | None:
    """The free bytes on a device; None for an accelerator that is not available.

    For the CPU, and for MPS, which shares its memory, these are the bytes that the system reports
    as available.
    """
    kind, _, number = device.partition(":")
    if kind in ("cpu", "mps"):
        return _host_free_bytes()
    if kind == "cuda" and "torch" not in sys.modules:
        mebibytes, index = _nvidia("memory.free"), int(number or 0)
        return int(mebibytes[index]) * 2**20 if index < len(mebibytes) else None
    if "torch" not in sys.modules:
        return None
    import torch

    backend = getattr(torch, kind)
    if not backend.is_available() or int(number or 0) >= backend.device_count():
        return None
    return int(backend.mem_get_info(device)[0])


def _host_free_bytes() -> int:
    with suppress(OSError), Path("/proc/meminfo").open("rb", buffering=0) as info:
        # It is read before each run; the line stands near the beginning.
        _, found, rest = info.read(1024).partition(b"\nMemAvailable:")
        if found:
            return int(rest.split(maxsplit=1)[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def give_back(device: str, *, collect: bool = True) -> None:
    """Returns freed memory from torch's cache to the device.

    Args:
        device: The device.
        collect: Whether to collect garbage first. This takes a third of a second once the libraries
            are imported, because it goes over the whole heap.
    """
    if collect:
        gc.collect()
    kind = device.partition(":")[0]
    if kind in ("cuda", "mps", "xpu"):
        import torch

        getattr(torch, kind).empty_cache()


class PeakMemory:
    """The most memory that the process, and torch on a device, use during a run."""

    def __init__(self) -> None:
        self._before = _host_peak_bytes()
        self._largest = 0

    def begin(self, device: str) -> None:
        """Resets torch's count of the device's peak, if torch is in use already."""
        if (backend := _counting_backend(device)) is not None:
            backend.reset_peak_memory_stats(device)

    def sample(self) -> None:
        """Takes a sample of the memory that the process uses now."""
        self._largest = max(self._largest, _host_held_bytes())

    def peaks(self, device: str) -> dict[str, int | None]:
        """The peaks in bytes, as "peak_host" and "peak_device"; None if they are not known.

        The peak of the process is the system's own figure if it has risen during the run, else the
        largest sample.
        """
        self.sample()
        peak = _host_peak_bytes()
        host = peak if peak > self._before else self._largest
        backend = _counting_backend(device)
        used = None if backend is None else int(backend.max_memory_allocated(device))
        return {"peak_host": host or None, "peak_device": used}


def _counting_backend(device: str) -> Any:
    """The torch backend that counts the bytes of a device; None if torch is not in use."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "xpu") or "torch" not in sys.modules:
        return None
    import torch

    backend = getattr(torch, kind)
    return backend if backend.is_initialized() else None


def _host_held_bytes() -> int:
    """The bytes of host memory that this process uses; 0 if they are not known."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _host_peak_bytes() -> int:
    """The most bytes of host memory that this process has used; 0 if they are not known."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
