"""The planned memory of merged adapters is what torch allocates for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.nodes.diffusion.adapters.lora import apply_loras
from sdgraph.nodes.diffusion.adapters.merged_memory import merged_bytes
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.values import Lora
from tests.support.bare_scripts import pipeline
from tests.support.lora_files import write
from tests.support.memory_peaks import Held

pytestmark = pytest.mark.torch

BASE = "tiny/text-to-image"
LAYERS = [
    f"down_blocks_{block}_attentions_0_transformer_blocks_0_attn{number}_to_{name}"
    for block, number, name in [(1, 1, "q"), (1, 1, "k"), (1, 2, "q"), (2, 1, "q"), (2, 1, "k")]
]


def differences(pipe: Any, path: Path, layers: list[str]) -> Lora:
    """An adapter that adds a difference to the weights of layers."""
    weights = {name.replace(".", "_"): each for name, each in pipe.unet.named_parameters()}
    held = {
        f"lora_unet_{layer}.diff": np.ones(weights[f"{layer}_weight"].shape, np.float32)
        for layer in layers
        if f"{layer}_weight" in weights
    }
    assert held
    return Lora(write(path, held), scale=0.5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_bytes_are_those_that_torch_allocates(tmp_path: Path, count: int, dtype: str) -> None:
    import torch

    pipe = pipeline("StableDiffusionPipeline", BASE)
    pipe.unet.to(getattr(torch, dtype))
    loras = [
        differences(pipe, tmp_path / f"{number}.safetensors", LAYERS[number : number + 3])
        for number in range(count)
    ]
    models = {f"lora_{number}": Path(lora.source) for number, lora in enumerate(loras)}
    planned = merged_bytes(loras, STABLE_DIFFUSION, dtype)
    with torch.no_grad(), Held(pipe.unet) as held:
        with apply_loras(pipe, loras, models, STABLE_DIFFUSION):
            assert held.now == planned.held
        assert 0.85 * planned.merging <= held.peak <= planned.merging
