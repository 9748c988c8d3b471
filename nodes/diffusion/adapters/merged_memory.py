"""The memory of adapters that are merged into copies of the weights that they change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from sdgraph.errors import CheckpointError
from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.values import DTYPE_BYTES, Lora

from .adapter_targets import owned_layers
from .adapter_tensors import is_plain
from .lora_layers import flat_name

_ALONE, _SUMMED, _CONVERTED = 2, 4, 5
"""How many float32 tensors of a layer's size exist at most while it is changed: by one adapter, by
several, and if the weight itself is not float32."""


@dataclass(frozen=True)
class MergedBytes:
    """The bytes of a node's merged adapters, at most.

    Args:
        held: Those of the changed weights, as long as the node runs.
        merging: Those that are needed at once while the weights are changed, before the first step.
    """

    held: int = 0
    merging: int = 0


def merged_bytes(loras: Sequence[Lora], family: ModelFamily, dtype: str) -> MergedBytes:
    """The bytes of the weights that adapters change while they are merged, at most.

    The changes of one adapter are stored in the weights' own dtype at once. Those of several are
    summed in float32, layer by layer, and rounded at the end.

    Args:
        loras: The adapters of a node.
        family: The family of its checkpoint.
        dtype: The dtype of the weights.
    """
    numbers: dict[tuple[str, str], int] = {}
    files: list[int] = []
    for lora in loras:
        try:
            shapes = resolve(lora).lora_shapes if lora.scale else None
        except CheckpointError:  # a problem of the node
            continue
        if shapes is None or is_plain(shapes):
            continue
        files.append(resolve(lora).lora_file.stat().st_size)
        for name, layer, owner in owned_layers(shapes, family, lora.component):
            if layer.weight is not None:
                key = ("", name) if owner is None else (owner.component, flat_name(owner.layer))
                numbers[key] = max(numbers.get(key, 0), prod(layer.weight))
    if not files:
        return MergedBytes()
    total, width = sum(numbers.values()), DTYPE_BYTES.get(dtype, 4)
    several = len(files) > 1
    kept = int(total * (4 if several else width))
    largest = max(numbers.values(), default=0)
    at_once = _CONVERTED if width != 4 else _SUMMED if several else _ALONE
    return MergedBytes(int(total * width), kept + max(files) + 4 * at_once * largest)
