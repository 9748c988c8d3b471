"""Blocks of GGUF files stand for the numbers that gguf computes, and are taken apart by rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sdgraph.models.formats.gguf_blocks import BlockRows, compute_weights
from sdgraph.models.formats.gguf_headers import BLOCKS, KEPT_TYPES, stays_in_blocks

pytestmark = pytest.mark.torch
pytest.importorskip("gguf")


def random_blocks(kind: int, rows: int = 12, blocks: int = 2) -> Any:
    """Rows of blocks with any bytes, whose numbers are all finite."""
    from gguf.quants import dequantize

    width = BLOCKS[kind][1]
    data = np.random.default_rng(kind).integers(0, 256, (50 * rows, blocks * width), np.uint8)
    with np.errstate(all="ignore"):
        finite = np.isfinite(dequantize(data, _type(kind))).all(axis=1)
    assert finite.sum() >= rows
    return data[finite][:rows]


def _type(kind: int) -> Any:
    from gguf import GGMLQuantizationType

    return GGMLQuantizationType(kind)


@pytest.mark.parametrize("kind", sorted(KEPT_TYPES))
def test_their_numbers_are_those_of_gguf_bit_for_bit(
    kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch
    from gguf.quants import dequantize

    monkeypatch.setattr("sdgraph.models.formats.gguf_blocks._AT_ONCE", 1000)  # in several steps
    data = random_blocks(kind)
    expected = torch.from_numpy(dequantize(data, _type(kind)))
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        found = compute_weights(torch.from_numpy(data), kind, dtype)
        wanted = expected.to(dtype)
        assert found.dtype == dtype and found.shape == (
            12,
            data.shape[1] // BLOCKS[kind][1] * BLOCKS[kind][0],
        )
        assert torch.equal(found.view(torch.uint8), wanted.view(torch.uint8))


def test_rows_are_taken_and_joined_as_those_of_tensors() -> None:
    import torch

    data = torch.from_numpy(random_blocks(8))
    rows, numbers = BlockRows(data, 8), BlockRows(data, 8).weights(torch.float32)
    assert rows.shape == tuple(numbers.shape)
    for take in (
        lambda each: torch.chunk(each, 3, dim=0),
        lambda each: each.chunk(2, dim=0),
        lambda each: torch.split(each, [5, 7], dim=0),
        lambda each: each.split(4),
        lambda each: [torch.cat([*reversed(each.chunk(2, dim=0))], dim=0)],
    ):
        for found, wanted in zip(take(rows), take(numbers), strict=True):
            assert torch.equal(found.weights(torch.float32), wanted)


def test_what_needs_numbers_is_refused() -> None:
    import torch

    rows = BlockRows(torch.from_numpy(random_blocks(8)), 8)
    other = BlockRows(torch.from_numpy(random_blocks(2)), 2)
    functions: list[Callable[[], Any]] = [
        lambda: torch.chunk(rows, 2, dim=1),
        lambda: torch.cat([rows, other]),
        lambda: torch.cat([rows, torch.zeros(1)]),
        lambda: torch.stack([rows, rows]),
        lambda: torch.add(rows, 1),
        lambda: rows.reshape(2, -1),  # type: ignore[attr-defined]
    ]
    for function in functions:
        with pytest.raises((TypeError, AttributeError)):
            function()


@pytest.mark.parametrize(
    ("name", "shape", "kind", "stays"),
    [
        ("blocks.0.q.weight", [8, 64], 8, True),
        ("blocks.0.q.weight", [8, 64], 1, False),  # float16
        ("blocks.0.q.weight", [8, 256], 16, False),  # diffusers does not compute it
        ("conv.weight", [8, 64, 1, 1], 8, False),
        ("pad_token", [1, 64], 8, False),
        ("condition_embedder.time_embedder.linear_1.weight", [8, 64], 8, False),
        ("cond_type_embed.weight", [3, 64], 8, False),
        ("context_embedder.weight", [8, 64], 8, True),
        ("narrow.weight", [32, 16], 8, False),  # a block is of two rows
    ],
)
def test_weights_of_linear_layers_stay_in_blocks(
    name: str, shape: list[int], kind: int, stays: bool
) -> None:
    assert stays_in_blocks(name, {"shape": shape, "gguf_type": kind}) is stays
