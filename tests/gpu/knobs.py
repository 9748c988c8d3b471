"""Every setting of offload, tuning and quantization, each beside the same node without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, get_args

import numpy as np

from sdgraph.nodes.diffusion.tuning.offloading import Offload
from sdgraph.nodes.diffusion.tuning.performance import knob_choices
from sdgraph.values import QUANTIZATIONS

from .check import Bench, Check, SkippedError
from .systems import node, pixels, run, session

TUNINGS = {
    name: tuple(choice for choice in choices if choice is not False)
    for name, choices in knob_choices().items()
}
"""Every choice of every knob that changes something."""

_ONLY_ON_CARDS = ("_native_efficient", "_native_cudnn", "xformers")
_OF_TRANSFORMERS = ("cache",)
"""The knobs that are tried on FLUX; the others are tried on Stable Diffusion."""


def _differs(bench: Bench, name: str, fields: Mapping[str, Any]) -> str:
    """Runs a node with and without settings; returns the sizes and how much they differ by."""
    on = session(bench)
    plain = pixels(run(on, node(bench, name)))
    set_up = pixels(run(on, node(bench, name, **fields)))
    if plain.shape != set_up.shape:
        raise AssertionError(f"{set_up.shape} in place of {plain.shape}")
    mean = float(np.abs(plain.astype(int) - set_up.astype(int)).mean())
    if not int(set_up.max()) > int(set_up.min()):
        raise AssertionError("the picture is of one colour")
    return f"mean difference of the pixels {mean:.2f} of 255"


def _try_offload(offload: str, bench: Bench) -> tuple[bool, str]:
    return True, _differs(bench, "text", {"offload": offload})


def _try_tuning(knob: str, choice: Any, bench: Bench) -> tuple[bool, str]:
    if choice in _ONLY_ON_CARDS:
        bench.needs_card("the kernel is not on CPUs")
    if choice == "xformers" and find_spec("xformers") is None:
        raise SkippedError("the package xformers is not installed")
    if knob == "compile":
        bench.needs_card("compiling takes minutes on a CPU; tests of `slow` do it")
    name = "flux" if knob in _OF_TRANSFORMERS else "text"
    return True, _differs(bench, name, {"tuning": {knob: choice}})


def _try_quantization(name: str, bench: Bench) -> tuple[bool, str]:
    bench.needs_card("bits and speed of quantized layers are those of a card")
    if find_spec(QUANTIZATIONS[name]) is None:
        raise SkippedError(f"the package {QUANTIZATIONS[name]} is not installed")
    return True, _differs(bench, "flux", {"checkpoint": {"quantization": name}})


def checks() -> Iterator[Check]:
    """One check for every choice."""
    for offload in get_args(Offload)[1:]:
        wanted = "a picture of the same size"
        yield Check(f"offload: {offload}", wanted, partial(_try_offload, offload))
    for knob, choices in TUNINGS.items():
        for choice in choices:
            limit = 120 if knob == "compile" else 60
            run_it = partial(_try_tuning, knob, choice)
            yield Check(f"{knob}: {choice}", "a picture of the same size", run_it, limit)
    for name in QUANTIZATIONS:
        run_it = partial(_try_quantization, name)
        yield Check(f"quantization: {name}", "a picture of the same size", run_it)
