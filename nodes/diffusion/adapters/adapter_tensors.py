"""The tensors of adapter files, grouped by the layer that they change, by names and shapes alone.

A LoRA (Hu et al. 2021) has two matrices for a layer. Others have more: DoRA (Liu et al. 2024) a
magnitude, LoHa and LoKr (Yeh et al. 2023, LyCORIS) the factors of a Hadamard or a Kronecker
product, Tucker's form a core between the matrices of a convolution, IA³ (Liu et al. 2022) factors
of rows or columns, and full differences the change itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from sdgraph.memoize import scope_results
from sdgraph.models import TensorShapes

Shape = tuple[int, ...]

_LORA_TENSORS = {
    "A": "down",
    "B": "up",
    "down": "down",
    "up": "up",
    "mid": "mid",
    "magnitude_vector": "magnitude",
}
"""What the tensor of a LoRA is, by the name that peft, diffusers or kohya's scripts give it."""

_TENSOR = re.compile(
    r"(?P<layer>.+?)(?:"
    r"[._](?:lora_|lora\.|lora_linear_layer\.)(?P<lora>A|B|down|up|mid|magnitude_vector)"
    r"(?:\.default)?(?P<what>\.weight|\.bias)?"
    r"|(?<=lora1|lora2)\.(?P<side>down|up)\.weight"
    r"|\.(?P<other>alpha|dora_scale|hada_(?:w[12]_[ab]|t[12])|lokr_(?:w[12](?:_[ab])?|t2)"
    r"|diff|diff_b|w_norm|b_norm|on_input|ia3_l)(?:\.default)?"
    r")"
)
"""The name of a tensor of an adapter: the layer, then what the tensor is."""

_OTHER_TENSORS = {"w_norm": "diff", "b_norm": "diff_b"}

UNSUPPORTED_KINDS = {
    r"oft_blocks|oft_diag|oft_R|boft_": "an OFT adapter",
    r"\.[ab][12]\.weight$": "a GLoRA adapter",
    r"^bundle_emb": "a LoRA with textual inversions in one file (bundle_emb)",
    r"query_norm\.scale$": "a Control LoRA of Flux (with scales of norms)",
    r"lora_controlnet|^input_blocks\.\d+\.\d+\.weight$": "a Control-LoRA",
    r"_embed\.lora_embedding|lora_embedding_[AB]": "a LoRA of embeddings",
    r"lora_A\.bias$": "a LoRA with biases within",
}
"""Kinds of adapters that are not supported, by a regular expression of the names of their tensors.

diffusers ignores some of their tensors or computes others in another way.
"""


@dataclass
class AdapterLayer:
    """The tensors of an adapter that change one layer.

    Args:
        names: The names of the tensors in the file, by what they are: `down`, `up`, `mid`,
            `magnitude` (peft's), `dora_scale` (LyCORIS's), `alpha`, `up_bias`, `hada_w1_a`,
            `lokr_w2`, `diff`, `diff_b` and so on.
        shapes: Their shapes.
    """

    names: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)

    @property
    def down(self) -> Shape | None:
        """The shape of the matrix that a LoRA multiplies its input by."""
        return self.shapes.get("down")

    @property
    def up(self) -> Shape | None:
        """The shape of the matrix that makes a LoRA's output."""
        return self.shapes.get("up")

    @property
    def has_alpha(self) -> bool:
        """Whether it is scaled by an alpha divided by its rank."""
        return "alpha" in self.shapes

    @property
    def is_lora(self) -> bool:
        """Whether it is a plain LoRA, which peft computes."""
        return set(self.shapes) <= {"down", "up", "alpha"}

    @property
    def is_of_weight(self) -> bool:
        """Whether it changes a weight, not a bias alone."""
        return bool(set(self.shapes) - {"diff_b", "alpha"})

    @property
    def weight(self) -> Shape | None:
        """The shape of the weight that it changes; None if that is not known or tensors lack.

        The kernel of a convolution may be joined with its input channels. The matrices of a LoRA
        for a convolution are `rank × in × height × width` and `out × rank × 1 × 1`.
        """
        shapes = self.shapes
        if "diff" in shapes:
            return shapes["diff"]
        if self.down is not None and self.up is not None:
            kernel = shapes.get("mid", self.down)[2:]
            return (self.up[0], self.down[1], *kernel)
        if {"hada_w1_a", "hada_w1_b"} <= set(shapes):
            first, second = shapes["hada_w1_a"], shapes["hada_w1_b"]
            core = shapes.get("hada_t1")
            return (first[0], second[1]) if core is None else (first[1], second[1], *core[2:])
        left, right = self._factor("1"), self._factor("2")
        if left is None or right is None:
            return None
        return (left[0] * right[0], left[1] * right[1], *right[2:])

    def _factor(self, number: str) -> Shape | None:
        """The shape of one factor of a Kronecker product."""
        whole = self.shapes.get(f"lokr_w{number}")
        first, second = self.shapes.get(f"lokr_w{number}_a"), self.shapes.get(f"lokr_w{number}_b")
        core = self.shapes.get(f"lokr_t{number}")
        if whole is not None or first is None or second is None:
            return whole
        return (first[0], second[1]) if core is None else (first[1], second[1], *core[2:])


def group_by_layer(shapes: TensorShapes) -> tuple[dict[str, AdapterLayer], list[str]]:
    """The layers of a file by their names as written, and the names of tensors of no layer.

    While a graph is checked and planned, they are remembered with the shapes of the file.
    """
    results = scope_results.get()
    if results is None:
        return _group_by_layer(shapes)
    key = (group_by_layer, id(shapes))
    if key not in results:
        # The shapes are kept too, so that no other object gets their id.
        results[key] = (shapes, _group_by_layer(shapes))
    layers: tuple[dict[str, AdapterLayer], list[str]] = results[key][1]
    return layers


def _group_by_layer(shapes: TensorShapes) -> tuple[dict[str, AdapterLayer], list[str]]:
    layers: dict[str, AdapterLayer] = {}
    others = []
    for name, shape in shapes.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            others.append(name)
            continue
        layer = layers.setdefault(match["layer"], AdapterLayer())
        what = _what(match)
        layer.names[what] = name
        layer.shapes[what] = shape
    _add_factors(layers, others, shapes)
    return layers, others


def _what(match: re.Match[str]) -> str:
    """What a tensor of a layer is."""
    if match["other"]:
        return _OTHER_TENSORS.get(match["other"], match["other"])
    if match["side"]:
        return str(match["side"])
    bias = "_bias" if match["what"] == ".bias" else ""
    return _LORA_TENSORS[match["lora"]] + bias


def _add_factors(
    layers: Mapping[str, AdapterLayer], others: list[str], shapes: TensorShapes
) -> None:
    """Adds the factors of LyCORIS's IA³, `weight`, to their layers, which also have `on_input`."""
    for layer, tensors in layers.items():
        name = f"{layer}.weight"
        if "on_input" in tensors.shapes and name in others:
            others.remove(name)
            tensors.names["factors"], tensors.shapes["factors"] = name, shapes[name]


def is_plain(shapes: TensorShapes) -> bool:
    """Whether all layers of a file are plain LoRAs, which peft computes without merging."""
    return all(layer.is_lora for layer in group_by_layer(shapes)[0].values())


def unsupported_kind(names: Iterable[str]) -> str:
    """What kind of adapter a file is that is not supported, with its article; "" if none."""
    return first_match(UNSUPPORTED_KINDS, names)


def first_match(labels: Mapping[str, str], names: Iterable[str]) -> str:
    """The label of the first regular expression that one of the names matches; "" for none."""
    lines = "\n".join(names)
    matching = (label for pattern, label in labels.items() if re.search(pattern, lines, re.M))
    return next(matching, "")


_NEEDED = (
    ("down", "up"),
    ("up", "down"),
    ("mid", "down"),
    ("up_bias", "up"),
    ("hada_w1_a", "hada_w1_b"),
    ("hada_w1_b", "hada_w1_a"),
    ("hada_w1_a", "hada_w2_a"),
    ("hada_w2_a", "hada_w2_b"),
    ("hada_w2_b", "hada_w1_a"),
    ("hada_t1", "hada_t2"),
    ("hada_t2", "hada_t1"),
    ("lokr_w1_a", "lokr_w1_b"),
    ("lokr_w1_b", "lokr_w1_a"),
    ("lokr_w2_a", "lokr_w2_b"),
    ("lokr_w2_b", "lokr_w2_a"),
    ("on_input", "factors"),
)
"""Tensors that a layer must have if it has another one: (the one, what it needs)."""

_SIDES = {"down": "down (A)", "up": "up (B)"}


def layer_problem(layers: Mapping[str, AdapterLayer]) -> str:
    """What is wrong with the layers themselves: a part of one is missing, or its ranks differ."""
    for name, layer in layers.items():
        shapes = layer.shapes
        if set(shapes) == {"alpha"}:
            return f"which has an alpha and no matrices for {name}"
        if set(shapes) <= {"alpha", "magnitude", "dora_scale"}:
            return f"which has a DoRA magnitude and no matrices for {name}"
        for what, needed in _NEEDED:
            if what in shapes and needed not in shapes:
                missing = _SIDES.get(needed, needed)
                return f"which is incomplete: {name} has no {missing} matrix"
        if any(what.startswith("lokr") for what in shapes) and layer.weight is None:
            return f"which is incomplete: {name} has one factor of a Kronecker product"
        if problem := _rank_problem(name, layer):
            return f"which is damaged: {problem}"
    return ""


def _rank_problem(name: str, layer: AdapterLayer) -> str:
    """Why the matrices of a layer cannot be multiplied; "" if they can."""
    for left, right in _products(layer):
        shapes = layer.shapes[left], layer.shapes[right]
        if min(map(len, shapes)) < 2 or shapes[0][1] != shapes[1][0]:
            ranks = " and ".join(str(list(shape)) for shape in reversed(shapes))
            return f"the matrices of {name} are {ranks}, of two ranks"
    return ""


def _products(layer: AdapterLayer) -> Iterable[tuple[str, str]]:
    """The matrices of a layer that are multiplied: the first one's columns by the other's rows."""
    shapes = layer.shapes
    if "mid" in shapes:
        yield from (("up", "mid"), ("mid", "down"))
    elif "up" in shapes:
        yield "up", "down"
    for kind, number in (("hada", "1"), ("hada", "2"), ("lokr", "1"), ("lokr", "2")):
        begin = f"{kind}_w{number}"
        if f"{begin}_a" in shapes and f"{kind}_t{number}" not in shapes:
            yield f"{begin}_a", f"{begin}_b"


def fits(layer: AdapterLayer, weight: Shape) -> bool:
    """Whether a layer of an adapter can change a weight, by their shapes."""
    shapes = layer.shapes
    if not layer.is_of_weight:
        return True
    if factors := shapes.get("factors") or shapes.get("ia3_l"):
        return prod(factors) in weight[:2]
    implied = layer.weight
    if implied is None:
        return False
    magnitude = shapes.get("magnitude", shapes.get("dora_scale"))
    if magnitude is not None and prod(magnitude) not in weight[:2]:
        return False
    return implied == weight or (implied[0] == weight[0] and prod(implied[1:]) == prod(weight[1:]))
