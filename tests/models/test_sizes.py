"""The bytes of a component told from its files are those that it takes once it is loaded."""

from __future__ import annotations

import pytest

from sdgraph import Checkpoint
from sdgraph.models.loader import load_quietly
from sdgraph.models.sizes import bytes_of, footprint
from sdgraph.values import Part


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("folder", ["unet", "vae", "text_encoder"])
def test_in_every_dtype(folder: str, dtype: str) -> None:
    part = Part(Checkpoint("tiny/text-to-image"), folder)
    assert footprint(part, dtype) == bytes_of(load_quietly(part, dtype, "cpu"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["text-to-image", "inpaint", "turbo", "text-to-video"])
def test_in_float8_norms_stay_in_the_dtype_computed_in(name: str, dtype: str) -> None:
    part = Part(Checkpoint(f"tiny/{name}"), "unet", casting="float8_e4m3fn")
    assert footprint(part, dtype) == bytes_of(load_quietly(part, dtype, "cpu"))
