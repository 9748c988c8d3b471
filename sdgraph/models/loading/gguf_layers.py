"""Linear layers whose weights stay in the blocks of a GGUF file, and are computed at each use.

It imports torch and diffusers: it is imported only when such a file is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.quantizers.gguf.utils import GGUFLinear, GGUFParameter

from sdgraph.models.formats import weight_keys
from sdgraph.models.formats.gguf_blocks import BlockRows, compute_weights


class BlockLinear(GGUFLinear):  # type: ignore[misc]  # diffusers' own has no types
    """diffusers' linear layer for GGUF, with weights computed in float32 and not in float16.

    So it computes the bits of a linear layer whose weights were computed when it was loaded.
    """

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """As `torch.nn.Linear` computes it."""
        return torch.nn.functional.linear(inputs, self.plain_weight(), self.bias)

    def plain_weight(self) -> torch.Tensor:
        """Its weight as numbers, in the dtype that it computes in."""
        if not isinstance(self.weight, GGUFParameter):  # a merged adapter is in its place
            return self.weight
        kind = int(self.weight.quant_type)
        return compute_weights(self.weight.as_tensor(), kind, self.compute_dtype)


def place_blocks(module: Any, weights: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """Puts the blocks among the weights of a module into its linear layers.

    Args:
        module: The module, without memory for its weights.
        weights: The weights by the names that the module has for them, some as `BlockRows`.
        dtype: The dtype that the module computes in.

    Returns:
        All weights, as the module takes them: blocks for layers of another class are computed.
    """
    placed: dict[str, Any] = {}
    for name, rows in weights.items():
        precise = weight_keys.stays_precise(module, name, dtype)
        wanted = torch.float32 if precise else getattr(torch, dtype)
        if not isinstance(rows, BlockRows):
            placed[name] = rows
        elif precise:  # models ask for the dtype of the weights of these layers
            placed[name] = rows.weights(wanted)
        else:
            placed[name] = _place(module, name, rows, wanted)
    return placed


def _place(module: Any, name: str, rows: BlockRows, dtype: torch.dtype) -> torch.Tensor:
    """Replaces the linear layer with a weight of a name; returns the weight that it has then."""
    path, _, last = name.rpartition(".")
    layer = module.get_submodule(path)
    if type(layer) is not torch.nn.Linear or last != "weight":
        return rows.weights(dtype)
    with torch.device("meta"):
        replaced = BlockLinear(
            layer.in_features, layer.out_features, layer.bias is not None, compute_dtype=dtype
        )
    replaced.weight = GGUFParameter(rows.data, requires_grad=False, quant_type=_type_of(rows.kind))
    parent, _, own = path.rpartition(".")
    setattr(module.get_submodule(parent), own, replaced)
    return replaced.weight


def _type_of(kind: int) -> Any:
    """The member of gguf's enumeration of a type."""
    import gguf

    return gguf.GGMLQuantizationType(kind)
