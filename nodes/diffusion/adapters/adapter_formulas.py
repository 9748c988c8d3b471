"""What an adapter makes of a weight, by the formulas of the papers and of LyCORIS.

Every function takes the tensors of one layer by what they are, as `AdapterLayer` names them. W is
the weight, s the scale, α/r the alpha divided by the rank.

1. The difference D of the weights, without the scale: B·A of a LoRA, with a core in Tucker's form
   for convolutions; (a₁·b₁) ⊙ (a₂·b₂) of LoHa; w₁ ⊗ w₂ of LoKr; or the difference itself.
2. W + s·(α/r)·D.
3. For DoRA, its rows (or columns) are then given the lengths that the magnitude says.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Tensors = Mapping[str, "Tensor"]


def change_weight(weight: Tensor, tensors: Tensors, scale: float) -> Tensor:
    """A weight as a layer of an adapter changes it, in float32.

    Args:
        weight: The weight, float32, of any shape.
        tensors: The layer's tensors.
        scale: The scale of the adapter; 1 is as it was trained.
    """
    factors = tensors.get("factors", tensors.get("ia3_l"))
    if factors is not None:
        one = 1.0 if "ia3_l" in tensors else 0.0
        by_input = "ia3_l" not in tensors and bool(tensors["on_input"].item())
        return weight * (1.0 + scale * (_spread(factors.float(), weight, by_input) - one))
    changed = weight + difference(tensors, tuple(weight.shape)) * (scale * alpha_scale(tensors))
    if "magnitude" in tensors:  # in peft always of rows, whatever its shape
        return with_magnitude(changed, tensors["magnitude"].float().flatten())
    if "dora_scale" in tensors:
        return with_magnitude(changed, tensors["dora_scale"].float())
    return changed


def change_bias(bias: Tensor, tensors: Tensors, scale: float) -> Tensor:
    """A bias as a layer of an adapter changes it, in float32."""
    if "ia3_l" in tensors and not _is_of_columns(tensors["ia3_l"]):
        bias = bias * (1.0 + scale * (tensors["ia3_l"].float().flatten() - 1.0))
    if "diff_b" in tensors:
        bias = bias + scale * tensors["diff_b"].float()
    if "up_bias" in tensors:
        bias = bias + scale * alpha_scale(tensors) * tensors["up_bias"].float()
    return bias


def difference(tensors: Tensors, shape: tuple[int, ...]) -> Tensor:
    """What an adapter adds to a weight of a shape, without alpha and scale, in float32.

    Source: the modules `locon`, `loha`, `lokr` and `full` of LyCORIS (Yeh et al. 2023).
    """
    import torch

    held = {name: tensor.float() for name, tensor in tensors.items()}
    if "diff" in held:
        return held["diff"].reshape(shape)
    if "mid" in held:
        up, down = held["up"].flatten(1), held["down"].flatten(1)
        return torch.einsum("om,mn...,ni->oi...", up, held["mid"], down).reshape(shape)
    if "down" in held:
        return (held["up"].flatten(1) @ held["down"].flatten(1)).reshape(shape)
    if "hada_w1_a" in held:
        return (_product(held, "hada", 1) * _product(held, "hada", 2)).reshape(shape)
    if "lokr_w1" in held or "lokr_w1_a" in held:
        left, right = _product(held, "lokr", 1), _product(held, "lokr", 2)
        left = left.reshape(*left.shape, *(1,) * (right.dim() - left.dim()))
        return torch.kron(left, right.contiguous()).reshape(shape)
    raise ValueError("it has no tensors that change a weight")


def _product(held: Tensors, kind: str, number: int) -> Tensor:
    """One factor of LoHa or LoKr: whole, or the product of two matrices, around a core if any."""
    import torch

    begin = f"{kind}_w{number}"
    if begin in held:
        return held[begin]
    first, second, core = held[f"{begin}_a"], held[f"{begin}_b"], held.get(f"{kind}_t{number}")
    if core is None:
        return first @ second
    return torch.einsum("ij...,io,jn->on...", core, first, second)


def alpha_scale(tensors: Tensors) -> float:
    """The alpha divided by the rank; 1 without an alpha, or where LoKr has whole factors."""
    alpha = tensors.get("alpha")
    rank = _rank(tensors)
    if alpha is None or rank is None:
        return 1.0
    return float(alpha.item()) / rank


def _rank(tensors: Tensors) -> int | None:
    if "peft_rank" in tensors:  # as in peft's config; it divides by it whatever the factors are
        return int(tensors["peft_rank"].item())
    if "down" in tensors:
        return int(tensors["down"].shape[0])
    for name in ("hada_w1_b", "lokr_w1_b", "lokr_w2_b"):
        if name in tensors:
            return int(tensors[name].shape[0])
    return None


def with_magnitude(weight: Tensor, magnitude: Tensor) -> Tensor:
    """A weight whose rows have the lengths of DoRA's magnitude, or its columns.

    Args:
        weight: Out × in, or out × in × the sides of a kernel.
        magnitude: A number for each row, or 1 × in (× 1 × 1), a number for each column.
    """
    rows = weight.shape[0]
    if _is_of_columns(magnitude) and rows > 1:
        columns = weight.transpose(0, 1)
        return with_magnitude(columns, magnitude.flatten()).transpose(0, 1)
    lengths = weight.flatten(1).norm(dim=1)
    factors = magnitude.flatten() / lengths
    return weight * factors.reshape(rows, *(1,) * (weight.dim() - 1))


def _spread(factors: Tensor, weight: Tensor, by_input: bool) -> Tensor:
    """Factors of rows or of columns in a shape in which they multiply a weight."""
    count = prod(factors.shape)
    if by_input or _is_of_columns(factors):
        return factors.reshape(1, count, *(1,) * (weight.dim() - 2))
    return factors.reshape(count, *(1,) * (weight.dim() - 1))


def _is_of_columns(factors: Tensor) -> bool:
    """Whether numbers are one for each column of a weight, by their shape."""
    shape = tuple(factors.shape)
    return len(shape) > 1 and shape[0] == 1 and prod(shape) > 1
