"""Advice for a class that the installed diffusers or transformers may be too old for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_KEYS = {"diffusers": "_diffusers_version", "transformers": "transformers_version"}
"""The keys of configs that say with which version of each library they were written."""


def newer_version_advice(library: object, *configs: Mapping[str, Any] | None) -> str:
    """What to do if configs were written by a newer library than is installed; "" if not.

    Args:
        library: "diffusers" or "transformers".
        configs: The configs of the checkpoint that may say with which version they were written.
    """
    key = _KEYS.get(str(library), "")
    written = [str(config[key]) for config in configs if config and config.get(key)]
    try:
        installed = version(str(library)) if written else ""
    except PackageNotFoundError:
        return ""
    newest = max(written, key=_numbers, default="")
    if not newest or _numbers(newest) <= _numbers(installed):
        return ""
    return (
        f"it wants {library} of {newest}, and {installed} is here: upgrade {library} and sdgraph, "
        "or choose another checkpoint"
    )


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers of a version, such as (0, 43, 0) for "0.43.0.dev0"."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])
