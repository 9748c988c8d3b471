"""The scales of weights in fp8 belong to weights, or are refused."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph.models.formats.scaled_weights import scale_problem, scales_by_weight


def tensors(**shapes: tuple[str, list[int]]) -> dict[str, dict[str, Any]]:
    return {
        name.replace("__", "."): {"dtype": dtype, "shape": shape}
        for name, (dtype, shape) in shapes.items()
    }


WEIGHT = ("F8_E4M3", [6, 4])


@pytest.mark.parametrize("scale", ["scale_weight", "weight_scale"])
@pytest.mark.parametrize("shape", [[], [1], [6], [6, 1]])
def test_a_scale_for_a_layer_or_for_each_output_is_taken(scale: str, shape: list[int]) -> None:
    header = tensors(a__weight=WEIGHT, a__bias=("F32", [6]), scaled_fp8=("F8_E4M3", [2]))
    header |= tensors(**{f"a__{scale}": ("F32", shape), "a__scale_input": ("F32", [])})
    assert scales_by_weight(header) == {"a.weight": f"a.{scale}"}
    assert scale_problem(header) is None


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"a__weight_scale": ("F32", [3, 2])}, "a.weight_scale of shape"),
        ({"a__weight_scale_inv": ("F32", [1, 1])}, "a scale of blocks"),
        ({"a__weight_scale_2": ("F32", [])}, "a scale of blocks"),
        ({"b__scale_weight": ("F32", [])}, "b.scale_weight without b.weight"),
        ({"c__weight": ("U8", [6, 2]), "c__weight_scale": ("F32", [6])}, "c.weight in U8"),
    ],
)
def test_other_scales_are_refused(more: dict[str, tuple[str, list[int]]], found: str) -> None:
    problem = scale_problem(tensors(a__weight=WEIGHT, **more))
    assert problem is not None and found in problem.found
