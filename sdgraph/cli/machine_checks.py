"""What `doctor` finds on this machine: devices, folders, the hub, and what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem, SdgraphError
from sdgraph.files import memory_bytes, runs_folder, sdgraph_home
from sdgraph.formatting import format_bytes, shorten_path

from .tested_versions import Library, installed_version


@dataclass(frozen=True)
class Machine:
    """The device that a run would use, and its memory; torch is not imported."""

    python: str
    system: str
    cores: int
    host_bytes: int
    host_free: int | None
    device: str
    device_free: int | None
    torch: str | None

    @classmethod
    def inspect(cls) -> Machine:
        """This machine."""
        from sdgraph.models import guess_device
        from sdgraph.models.loading.devices import free_bytes

        device = guess_device()
        system = f"{platform.system()} {platform.machine()}"
        return cls(
            platform.python_version(),
            system,
            os.cpu_count() or 1,
            memory_bytes(),
            free_bytes("cpu"),
            device,
            free_bytes(device),
            installed_version("torch"),
        )

    @property
    def problem(self) -> Problem | None:
        """The problem that there is a card which PyTorch cannot use; None if there is none."""
        is_cpu_build = self.torch is not None and self.torch.endswith("+cpu")
        if self.device != "cuda" or not is_cpu_build:
            return None
        fix = "install PyTorch with CUDA, as its installation page says; runs use the CPU till then"
        found = f"an NVIDIA card, and PyTorch {self.torch} for CPUs only"
        return Problem("device", found, "PyTorch with CUDA", fix)

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is printed of it."""
        yield "system", f"{self.system}, Python {self.python}, {self.cores} cores"
        yield "memory", _of(self.host_free, self.host_bytes)
        free = "" if self.device == "cpu" else f", {_free(self.device_free)}"
        torch = "PyTorch is missing" if self.torch is None else f"PyTorch {self.torch}"
        yield "device", f"{self.device}{free} ({torch})"


@dataclass(frozen=True)
class Folder:
    """A folder that sdgraph uses; it need not exist.

    Args:
        use: What it is for.
        path: Where it is; "" for none.
        setting: What names another one.
        writable: Whether files can be written into it, or it can be made.
        free: The free bytes of its disk; None if that is not known.
        least: How many should be free.
    """

    use: str
    path: str
    setting: str
    writable: bool
    free: int | None
    least: int

    @classmethod
    def inspect(cls, use: str, path: Path | None, setting: str, least: int) -> Folder:
        """A folder, which is not made."""
        if path is None:
            return cls(use, "", setting, writable=False, free=None, least=least)
        existing = next((place for place in (path, *path.parents) if place.exists()), path)
        can_write = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        try:
            free = shutil.disk_usage(existing).free
        except OSError:
            free = None
        return cls(use, str(path), setting, can_write, free, least)

    @property
    def problem(self) -> Problem | None:
        """Why nothing can be written there, or that there is little room; None if all is well."""
        if not self.path or not self.least:
            return None
        if not self.writable:
            wanted, fix = (
                f"a folder for {self.use}",
                f"change its permissions, or use {self.setting}",
            )
            return Problem(self.path, "nothing can be written there", wanted, fix)
        if self.free is not None and self.free < self.least:
            found, wanted = f"{format_bytes(self.free)} free on its disk", format_bytes(self.least)
            fix = f"make room, or use {self.setting}"
            return Problem(self.path, found, f"{wanted} or more", fix)
        return None

    def row(self) -> tuple[str, str, str, str]:
        """What is printed of it."""
        if not self.path:
            return self.use, "none", "", self.setting
        return self.use, shorten_path(self.path), _free(self.free), self.setting


def folders() -> list[Folder]:
    """The folders for results, records of runs, settings and downloads."""
    from huggingface_hub.constants import HF_HUB_CACHE

    from sdgraph.models.sources.model_folders import config_file

    home: Path | None
    records: Path | None
    try:
        home, records = sdgraph_home(), runs_folder()
    except RuntimeError:  # no home folder
        home = records = None
    return [
        Folder.inspect("remembered results", home and home / "results", "$SDGRAPH_HOME", _SOME),
        Folder.inspect("records of runs", records, "$SDGRAPH_RUNS", _FEW),
        Folder.inspect("settings", config_file().parent, "", 0),
        Folder.inspect("downloads from the hub", Path(HF_HUB_CACHE), "$HF_HUB_CACHE", _MANY),
        Folder.inspect("the current folder", Path.cwd(), "--out DIR", _SOME),
    ]


_FEW, _SOME, _MANY = 10 * 2**20, 200 * 2**20, 5 * 2**30
"""The bytes for records, for pictures and results, and for a checkpoint of several gigabytes."""


def model_folder_problems() -> list[Problem]:
    """The model folders that are missing, and what is wrong with `config.toml`."""
    from sdgraph.models.sources.model_folders import model_folders

    try:
        return [problem for folder in model_folders() if (problem := folder.problem) is not None]
    except SdgraphError as error:
        return [*error.problems]


@dataclass(frozen=True)
class Hub:
    """The hub as this machine is set up for it; it is not asked."""

    endpoint: str
    offline: bool
    token: bool

    @classmethod
    def inspect(cls) -> Hub:
        """The settings of the environment, and whether there is a token, which is not read."""
        from huggingface_hub import constants

        from sdgraph.models.sources.hub import is_off

        token = bool(os.environ.get("HF_TOKEN")) or Path(constants.HF_TOKEN_PATH).is_file()
        return cls(constants.ENDPOINT, is_off(), token)

    def rows(self) -> Iterator[tuple[str, str]]:
        """What is printed of it."""
        state = "off (HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE): nothing is downloaded"
        yield "hub", state if self.offline else f"{self.endpoint}, asked only by a run or a fetch"
        login = "none: for gated checkpoints, hf auth login, or set HF_TOKEN"
        yield "token", "there is one" if self.token else login


def library_problems(found: Sequence[Library]) -> list[Problem]:
    """The libraries that are missing or too old, without optional ones that are missing."""
    return [
        Problem(
            library.name,
            library.here or "not installed",
            f"{library.needed or library.tested} or newer",
            library.fix,
        )
        for library in found
        if library.fix and not (library.is_optional and library.here is None)
    ]


@dataclass(frozen=True)
class Diagnosis:
    """Everything that `doctor` looks at."""

    machine: Machine
    libraries: Sequence[Library]
    folders: Sequence[Folder]
    hub: Hub
    model_folders: Sequence[Problem]

    @property
    def problems(self) -> list[Problem]:
        """All that is wrong, the worst first."""
        found = [self.machine.problem, *(folder.problem for folder in self.folders)]
        known = [problem for problem in found if problem is not None]
        return [*library_problems(self.libraries), *known, *self.model_folders]

    def as_data(self) -> dict[str, Any]:
        """All of it as plain data for JSON."""
        return {
            "machine": asdict(self.machine),
            "libraries": [library.as_data() for library in self.libraries],
            "folders": [asdict(folder) for folder in self.folders],
            "hub": asdict(self.hub),
            "problems": [problem.as_data() for problem in self.problems],
        }


def diagnose() -> Diagnosis:
    """Looks at this machine; writes nothing and asks nobody."""
    from .tested_versions import libraries

    return Diagnosis(
        Machine.inspect(), libraries(), folders(), Hub.inspect(), model_folder_problems()
    )


def _of(free: int | None, total: int) -> str:
    return f"{format_bytes(total)}" if free is None else f"{_free(free)} of {format_bytes(total)}"


def _free(count: int | None) -> str:
    return "free memory not known" if count is None else f"{format_bytes(count)} free"
