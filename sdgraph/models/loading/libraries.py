"""The versions of the libraries that the pixels depend on. None of them is imported."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

PIXEL_LIBRARIES = ("numpy", "pillow", "opencv-python-headless", "opencv-python", "av")
"""The libraries that any node may make pixels with: part of every key."""

MODEL_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "bitsandbytes", "torchao", "gguf")
"""The libraries that models compute with: part of the keys of nodes that use models."""

RECORDED_LIBRARIES = ("sdgraph", *MODEL_LIBRARIES, "xformers", *PIXEL_LIBRARIES)
"""The packages whose versions are in the record of a saved file."""


@cache
def installed_version(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def library_versions(packages: tuple[str, ...]) -> str:
    """The names and versions of those of the packages that are installed, as one text."""
    return ",".join([f"{name} {here}" for name in packages if (here := installed_version(name))])
