"""LoRAs over AnimateDiff make the bits of diffusers' own pipeline, and leave the weights alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, run
from sdgraph.models import tensor_shapes
from sdgraph.values import Lora
from tests.support.failing_runs import problems_of
from tests.support.lora_files import RANK, lora, write

from .test_animated_pipelines import animated_pipeline, call, node_for, session

BASES = {
    "AnimateDiffPipeline": "tiny/text-to-image",
    "AnimateDiffSDXLPipeline": "tiny/turbo",
}
"""The checkpoints for pictures that a motion adapter animates, by diffusers' pipeline."""

WITHIN = ("attn1.to_q", "attn1.to_v", "attn2.to_out.0")
"""The layers of motion modules that LoRAs of camera movements change, among others."""


def motion_lora(folder: Path, adapter: Path) -> Lora:
    """A LoRA of a motion adapter's layers alone, such as those of camera movements."""
    (weights,) = adapter.glob("*.safetensors")
    draw = np.random.default_rng(3)
    arrays: dict[str, Any] = {}
    for name, shape in tensor_shapes(weights).items():
        layer = name.removesuffix(".weight")
        if layer.endswith(WITHIN):
            for side, size in (("down", (RANK, shape[1])), ("up", (shape[0], RANK))):
                values = draw.normal(0, 0.4, size).astype(np.float32)
                arrays[f"unet.{layer}.lora.{side}.weight"] = values
    assert arrays
    folder.mkdir()
    return Lora(write(folder / "motion.safetensors", arrays))


def by_diffusers(pipeline: str, adapter: Path, *loras: Lora) -> Any:
    """The frames of diffusers' pipeline over a checkpoint for pictures, with LoRAs."""
    pipe = animated_pipeline(BASES[pipeline], pipeline, adapter)
    names = [f"number {n}" for n in range(len(loras))]
    for name, each in zip(names, loras, strict=True):
        pipe.load_lora_weights(each.source, adapter_name=name)
    pipe.set_adapters(names, [each.scale for each in loras])
    return call(pipe, "text-to-video")


@pytest.mark.parametrize("pipeline", BASES)
def test_loras_of_the_base_make_what_diffusers_makes(
    random_folder: Callable[[str], Path], tmp_path: Path, pipeline: str
) -> None:
    adapter, base = random_folder("motion-adapter"), BASES[pipeline]
    style = Lora(lora(tmp_path / "style", base).source, scale=0.6)
    node = node_for(Checkpoint(base, motion=adapter), "text-to-video", loras=[style])
    assert not problems_of(node)
    made = run(node, session=session())
    assert (made.frames == by_diffusers(pipeline, adapter, style)).all()


def test_a_lora_of_motion_next_to_one_of_style_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    pipeline, adapter = next(iter(BASES)), random_folder("motion-adapter")
    style = lora(tmp_path / "style", BASES[pipeline])
    zoom = Lora(motion_lora(tmp_path / "zoom", adapter).source, scale=-0.5)
    node = node_for(Checkpoint(BASES[pipeline], motion=adapter), "text-to-video", loras=[style])
    both = node.replace(loras=[style, zoom])
    assert not problems_of(both)
    same = session()
    made = run(both, session=same)
    assert (made.frames == by_diffusers(pipeline, adapter, style, zoom)).all()
    assert run(node, session=same) == run(node, session=session()) != made
