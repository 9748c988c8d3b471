"""Plain LoRAs of any layout in the layout of diffusers, which peft computes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .adapter_files import TargetedLayer
from .adapter_formulas import alpha_scale

if TYPE_CHECKING:
    from torch import Tensor


def to_diffusers(layers: Iterable[TargetedLayer], pipe: Any) -> dict[str, Tensor]:
    """The tensors of plain LoRAs as diffusers names them, without alphas.

    1. An alpha is multiplied into the matrices, both by a power of two as far as possible, as
       diffusers does it.
    2. A LoRA of a fused layer becomes one for each layer: the first matrix is the same for all,
       the rows of the second one are shared out.
    """
    import torch

    converted: dict[str, Tensor] = {}
    for layer in layers:
        down_scale, up_scale = _split(alpha_scale(layer.tensors))
        down = layer.tensors["down"] * down_scale
        up = layer.tensors["up"] * up_scale
        if layer.swapped:
            up = torch.cat(up.chunk(2)[::-1])
        module = pipe.components[layer.component]
        rows = [module.get_parameter(f"{name}.weight").shape[0] for name in layer.layers]
        for name, part in zip(layer.layers, up.split(rows), strict=True):
            begin = f"{layer.component}.{name}"
            converted[f"{begin}.lora_A.weight"] = down
            converted[f"{begin}.lora_B.weight"] = part.contiguous()
    return converted


def _split(scale: float) -> tuple[float, float]:
    """Two numbers whose product is a scale, the second one a power of two."""
    down, up = scale, 1.0
    while 0 < down * 2 < up:
        down, up = down * 2, up / 2
    return down, up
