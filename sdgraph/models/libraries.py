"""The versions of the libraries that decide which pixels come out. None of them is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PIXELS = ("numpy", "pillow", "opencv-python-headless", "opencv-python", "av")
"""What any node may make pixels with."""

MODELS = ("torch", "diffusers", "transformers", "peft", "bitsandbytes", "torchao")
"""What models compute with."""


@cache
def versions(packages: tuple[str, ...]) -> str:
    """The installed ones of some packages with their versions, as one text."""
    return ",".join(f"{name} {found}" for name in packages if (found := _version(name)))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
