"""The versions of libraries: needed, tested, and installed."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any, Literal

TESTED = {
    "accelerate": "1.15.0",
    "av": "18.1.0",
    "diffusers": "0.42.1",
    "ftfy": "6.3.1",
    "gguf": "0.19.0",
    "huggingface-hub": "2.4.0",
    "networkx": "3.6.1",
    "numpy": "2.4.6",
    "opencv-python-headless": "5.0.0.93",
    "peft": "0.21.2",
    "pillow": "13.0.0",
    "pydantic": "2.14.4",
    "pyyaml": "6.0.4",
    "rich": "15.0.0",
    "safetensors": "0.8.0",
    "scipy": "1.17.1",
    "torch": "2.13.0",
    "transformers": "5.24.0",
    "typer": "0.29.2",
}
"""The newest version of each library with which all tests were run."""

_REQUIREMENT = re.compile(r"([\w.-]+?)(?:\[[^]]*\])?>=([\w.]+)")
_OPTIONAL = {"gguf": "sdgraph[gguf]"}
"""Libraries without which sdgraph runs, and what is installed to have them."""

State = Literal["tested", "older than tested", "newer than tested", "too old", "missing"]


@dataclass(frozen=True)
class Library:
    """A library that sdgraph uses.

    Args:
        name: Its name for pip.
        here: The version that is installed; None if it is not.
        needed: The oldest version that works; "" if that is not known.
        tested: The newest version with which all tests were run.
    """

    name: str
    here: str | None
    needed: str
    tested: str

    @cached_property
    def state(self) -> State:
        """How the version that is here compares with the others."""
        if self.here is None:
            return "missing"
        here, tested = numbers(self.here), numbers(self.tested)
        if self.needed and here < numbers(self.needed):
            return "too old"
        if here == tested:
            return "tested"
        return "newer than tested" if here > tested else "older than tested"

    @property
    def is_optional(self) -> bool:
        """Whether only some workflows need it."""
        return self.name in _OPTIONAL

    @property
    def fix(self) -> str:
        """The command that installs a version that works; "" if one is here."""
        if self.state not in ("missing", "too old"):
            return ""
        package = _OPTIONAL.get(self.name, f"{self.name}>={self.needed or self.tested}")
        return f"pip install '{package}'"

    def as_data(self) -> dict[str, Any]:
        """The library as plain data for JSON."""
        return {**asdict(self), "state": self.state, "optional": self.is_optional, "fix": self.fix}


def libraries() -> list[Library]:
    """The libraries that sdgraph uses, by name; none of them is imported."""
    needed = _needed_versions()
    return [
        Library(name, installed_version(name), needed.get(name, ""), tested)
        for name, tested in TESTED.items()
    ]


def installed_version(name: str) -> str | None:
    """The version of a package that is installed; None if it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version without trailing zeros: (2, 13) for "2.13.0+cpu".

    Example:
        >>> numbers("2.13.0+cu130"), numbers("0.42.1")
        ((2, 13), (0, 42, 1))
    """
    release = re.match(r"\d+(?:\.\d+)*", text)
    found = [int(number) for number in release[0].split(".")] if release else []
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def _needed_versions() -> dict[str, str]:
    """The oldest version of each library that the installed sdgraph allows."""
    try:
        texts = requires("sdgraph") or []
    except PackageNotFoundError:  # a source tree that is not installed
        return {}
    found = (_REQUIREMENT.match(text) for text in texts)
    return {match[1].lower(): match[2] for match in found if match}
