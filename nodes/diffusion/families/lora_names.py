"""How LoRA files of other programs name the layers of a family's denoiser.

Trainers that work on a model's first code name layers as that code does. diffusers has names of
its own, and often several layers for one fused layer of the first code. A table has a pattern of
the first name, with `*` for each number, and the layers that it is in diffusers, in the order of
their rows. `{q,k,v}` stands for three names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

_NUMBER = r"(\d+)"


@dataclass(frozen=True, kw_only=True)
class LoraNames:
    """The names of the layers of a family's denoiser in LoRA files.

    Args:
        label: What such LoRAs are usually called; "" for those that have no names of their own.
        widths: The numbers of features of the layers of the published models.
        mark: A regular expression of names of layers that only this family's LoRAs have, with `_`
            for each dot.
        layers: The layers in diffusers, by the name in the model's first code.
        swapped: Those names in the first code of which diffusers stores the two halves of the rows
            in the other order.
    """

    label: str = ""
    widths: tuple[int, ...] = ()
    mark: str = ""
    layers: Mapping[str, str] = field(default_factory=dict)
    swapped: tuple[str, ...] = ()

    def targets(self, layer: str) -> tuple[str, ...]:
        """The layers in diffusers that a layer of a file is for, with `_` for each dot.

        Args:
            layer: Its name without the prefix of the component, with `_` for each dot.

        Returns:
            Its own name alone, if it is not one of the table.

        Example:
            >>> names = LoraNames(layers={"blocks.*.qkv": "layers.*.to_{q,k,v}"})
            >>> names.targets("blocks_3_qkv")
            ('layers_3_to_q', 'layers_3_to_k', 'layers_3_to_v')
        """
        for pattern, targets in self._patterns:
            match = pattern.fullmatch(layer)
            if match is not None:
                return tuple(_insert_numbers(target, match.groups()) for target in targets)
        return (layer,)

    def is_swapped(self, layer: str) -> bool:
        """Whether diffusers stores the two halves of a layer's rows in the other order."""
        return any(layer == name.replace(".", "_") for name in self.swapped)

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]:
        return tuple((_pattern(name), _expand(value)) for name, value in self.layers.items())


def _pattern(name: str) -> re.Pattern[str]:
    """The regular expression of a name with `*` for numbers, with `_` for each dot."""
    pieces = (re.escape(piece.replace(".", "_")) for piece in name.split("*"))
    return re.compile(_NUMBER.join(pieces))


def _expand(targets: str) -> tuple[str, ...]:
    """The names that `a_{b,c}` stands for, with `_` for each dot."""
    flat = targets.replace(".", "_")
    match = re.fullmatch(r"(.*)\{(.*)\}(.*)", flat)
    if match is None:
        return (flat,)
    begin, middle, end = match.groups()
    return tuple(f"{begin}{piece}{end}" for piece in middle.split(","))


def _insert_numbers(name: str, numbers: tuple[str, ...]) -> str:
    begin, *rest = name.split("*")
    return begin + "".join(number + text for number, text in zip(numbers, rest, strict=True))
