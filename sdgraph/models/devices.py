"""Which device, which dtype, how many bytes are free. Nothing else touches torch.cuda."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidValueError, Problem, did_you_mean
from sdgraph.values import DTYPES

KINDS = ("cpu", "cuda", "mps", "xpu")

Probe = Callable[[str], int | None]
"""Says how many bytes are free on a device, None where nobody can tell; injected by tests."""


def choose(device: str | None = None) -> str:
    """The device to run on: the one asked for, else the first accelerator there is, else "cpu".

    Raises InvalidValueError for a device this machine lacks.
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
        fix = "leave --device out to take what there is, or use --device cpu"
        raise InvalidValueError(Problem("device", found, "a device that is here", fix))
    number = int(device.partition(":")[2] or 0)
    if number >= backend.device_count():
        wanted = f"one of the {backend.device_count()} that are here, counted from 0"
        raise InvalidValueError(Problem("device", repr(device), wanted))
    return device


def likely(device: str | None = None) -> str:
    """The device that `choose` will most likely name, without importing torch."""
    if device is not None:
        check_name(device)
        return device
    if sys.platform == "darwin":
        return "mps" if os.uname().machine == "arm64" else "cpu"
    return "cuda" if _nvidia("index") else "cpu"


@cache
def _nvidia(asked: str) -> tuple[str, ...]:
    """What NVIDIA's own tool says of each device that programs may see; () without one."""
    import shutil
    import subprocess

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible in ("", "-1") or shutil.which("nvidia-smi") is None:
        return ()
    command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = tuple(done.stdout.split())
    if visible is None:
        return lines
    return tuple(lines[int(n)] for n in visible.split(",") if n.isdigit() and int(n) < len(lines))


def check_name(device: str) -> str:
    """The kind in a device's name, "cuda" of "cuda:1"; raises InvalidValueError. Torch-free."""
    kind, colon, number = device.partition(":")
    if kind not in KINDS or (colon and not number.isdigit()):
        fix = did_you_mean(kind, KINDS)
        raise InvalidValueError(Problem("device", repr(device), f"one of {', '.join(KINDS)}", fix))
    return kind


def dtype_for(device: str, asked: str | None = None) -> str:
    """The dtype to compute in: the one asked for, else float16 on an accelerator, else float32."""
    if asked is not None:
        return asked
    return "float32" if device.partition(":")[0] == "cpu" else "float16"


def torch_dtype(name: str) -> Any:
    """The `torch.dtype` of a name; diffusers ignores names it does not know in silence."""
    import torch

    if name not in DTYPES:
        raise InvalidValueError(Problem("dtype", repr(name), f"one of {', '.join(DTYPES)}"))
    return getattr(torch, name)


def free_bytes(device: str) -> int | None:
    """How many bytes are free on a device, None for an accelerator that is not here.

    For the CPU, and for MPS, which shares its memory: how many the system can still give.
    """
    kind, _, number = device.partition(":")
    if kind in ("cpu", "mps"):
        return _host_free_bytes()
    if kind == "cuda" and "torch" not in sys.modules:
        mebibytes, place = _nvidia("memory.free"), int(number or 0)
        return int(mebibytes[place]) * 2**20 if place < len(mebibytes) else None
    if "torch" not in sys.modules:
        return None
    import torch

    backend = getattr(torch, kind)
    if not backend.is_available() or int(number or 0) >= backend.device_count():
        return None
    return int(backend.mem_get_info(device)[0])


def _host_free_bytes() -> int:
    info = Path("/proc/meminfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def give_back(device: str, *, collect: bool = True) -> None:
    """Returns freed memory to the device, by default with what only a garbage collection frees.

    The collection goes over the whole heap, a third of a second where the libraries are imported.
    """
    if collect:
        gc.collect()
    kind = device.partition(":")[0]
    if kind in ("cuda", "mps", "xpu"):
        import torch

        getattr(torch, kind).empty_cache()


class PeakMemory:
    """The most memory that this process, and a device through torch, have in use during a run."""

    def __init__(self) -> None:
        self._before = _host_peak_bytes()
        self._seen = 0

    def begin(self, device: str) -> None:
        """Has torch, where it is at work already, forget what the device held before."""
        if (backend := _counting(device)) is not None:
            backend.reset_peak_memory_stats(device)

    def look(self) -> None:
        """Notes what the process holds now."""
        self._seen = max(self._seen, _host_held_bytes())

    def peaks(self, device: str) -> dict[str, int | None]:
        """The peaks in bytes, as `peak_host` and `peak_device`; None for what nobody can tell.

        That of the process is the system's own where the run raised it, else the most seen.
        """
        self.look()
        peak = _host_peak_bytes()
        host = peak if peak > self._before else self._seen
        backend = _counting(device)
        used = None if backend is None else int(backend.max_memory_allocated(device))
        return {"peak_host": host or None, "peak_device": used}


def _counting(device: str) -> Any:
    """The torch backend that counts a device's bytes, if torch is imported and has one."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "xpu") or "torch" not in sys.modules:
        return None
    import torch

    backend = getattr(torch, kind)
    return backend if backend.is_initialized() else None


def _host_held_bytes() -> int:
    """What this process holds of the host's memory, 0 where nobody can tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _host_peak_bytes() -> int:
    """The most it held since it began, 0 where nobody can tell."""
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
