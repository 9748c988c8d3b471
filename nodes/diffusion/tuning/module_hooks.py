"""Leaves modules without the hooks that diffusers attaches to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_new_hooks(modules: Sequence[Any]) -> Iterator[None]:
    """Takes from modules and their layers what diffusers' hooks leave behind when they are removed.

    diffusers leaves an empty list of hooks and an own `forward` on each layer that had a hook.
    Layers that had hooks before, such as those of layerwise casting, keep them.
    """
    before = {
        id(layer): (layer, "forward" in vars(layer), "_diffusers_hook" in vars(layer))
        for module in modules
        for layer in module.modules()
    }
    try:
        yield
    finally:
        for layer, had_forward, had_hooks in before.values():
            if not had_hooks:
                vars(layer).pop("_diffusers_hook", None)
                if not had_forward:
                    vars(layer).pop("forward", None)
