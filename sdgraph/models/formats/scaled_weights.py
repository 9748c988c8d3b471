"""Weights in fp8 with scales: which tensor is the scale of which weight.

A weight of 8 bits is multiplied by a scale of its layer: `LAYER.scale_weight` (ComfyUI) or
`LAYER.weight_scale` (ModelOpt, llm-compressor), one number, or one for each output. The scales of
inputs are for computing in fp8, and are not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sdgraph.errors import Problem

FP8_DTYPES = ("F8_E4M3", "F8_E5M2")

_SCALE = re.compile(r"(?P<layer>.*\.)(scale_weight|weight_scale)$")
_UNUSED_SCALE = re.compile(r"(.*\.)?(scaled_fp8|scale_input|input_scale|comfy_quant)$")
_OTHER_SCALE = re.compile(r"(.*\.)?(weight_scale_(inv|2)|activation_scale)$")
_FIX = "use the weights in bf16 or fp16, or fp8 with one scale for each layer or output"


def is_scale(name: str) -> bool:
    """Whether a tensor is a scale, or a mark of weights with scales, by its name.

    Example:
        >>> is_scale("blocks.0.q.scale_weight"), is_scale("scaled_fp8"), is_scale("a.weight")
        (True, True, False)
    """
    return any(each.match(name) for each in (_SCALE, _UNUSED_SCALE, _OTHER_SCALE))


def without_scales(names: Iterable[str]) -> list[str]:
    """The names of the tensors that are no scales, in order."""
    return [name for name in names if not is_scale(name)]


def has_scales(names: Iterable[str]) -> bool:
    """Whether a file has weights with scales, by the names of its tensors."""
    return any(map(is_scale, names))


def scales_by_weight(tensors: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The name of the scale of each weight that has one.

    Args:
        tensors: The tensors in the header of a file.
    """
    found = ((match["layer"], match[0]) for name in tensors if (match := _SCALE.match(name)))
    return {f"{layer}weight": scale for layer, scale in found}


def scale_problem(tensors: Mapping[str, Mapping[str, Any]]) -> Problem | None:
    """Why weights with scales cannot be computed; None if they can, or there are none.

    Args:
        tensors: The tensors in the header of a file.
    """
    wanted = "fp8 weights with a scale for each layer or output, or weights without scales"
    other = next((name for name in tensors if _OTHER_SCALE.match(name)), None)
    if other is not None:
        return Problem("", f"{other}, a scale of blocks of weights", wanted, _FIX)
    for name, scale in scales_by_weight(tensors).items():
        weight, factor = tensors.get(name), tensors[scale]
        if weight is None:
            return Problem("", f"{scale} without {name}", wanted, _FIX)
        if weight["dtype"] not in FP8_DTYPES:
            return Problem("", f"{name} in {weight['dtype']} with a scale", wanted, _FIX)
        shape, outputs = list(factor["shape"]), list(weight["shape"])[:1]
        if shape not in ([], [1], outputs, [*outputs, 1]) or factor["dtype"] in FP8_DTYPES:
            found = f"{scale} of shape {tuple(shape)} for {name} of {tuple(weight['shape'])}"
            return Problem("", found, wanted, _FIX)
    return None
