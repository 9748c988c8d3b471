"""The versions of the libraries that decide which pixels come out. None of them is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PIXEL_LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "opencv-python", "av")
"""What any node may make pixels with: part of every key."""

MODEL_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "bitsandbytes", "torchao")
"""What models compute with: part of the keys of nodes that use models."""

RECORDED_LIBRARIES = ("sdgraph", *MODEL_LIBRARIES, "xformers", *PIXEL_LIBRARIES)
"""What the record of a saved file names with its version."""


@cache
def installed_version(package: str) -> str | None:
    """The version of an installed package, None for one that is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def library_versions(packages: tuple[str, ...]) -> str:
    """The installed packages among these with their versions, as one text."""
    return ",".join([f"{name} {here}" for name in packages if (here := installed_version(name))])
