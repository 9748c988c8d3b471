"""The denoiser of each family computes with weights in fp8 and in the blocks of a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.loading.loader import load_quietly
from sdgraph.nodes import Text2Image, Text2Video
from sdgraph.nodes.diffusion.families import family_of
from sdgraph.nodes.diffusion.node import Diffusion
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES
from sdgraph.values import Part
from tests.support import gguf_files

pytestmark = pytest.mark.torch

_ALIKE = {"flux-schnell", "flux2", "flux2-klein-base", "flux2-klein-kv", "latent-consistency"}
_ALIKE |= {"pixart-alpha", "sana-sprint", "wan2.2", "wan2.2-ti2v"}
"""Random checkpoints whose denoiser is of the class of another one's."""
_WITH_PICTURES = {"cogvideox-fun", "cogvideox-i2v", "flux-control", "flux-fill", "flux-kontext"}
_WITH_PICTURES |= {"flux-redux", "hunyuan-video-i2v", "hunyuan-video-i2v-33ch", "image-variation"}
_WITH_PICTURES |= {"instruct-pix2pix", "instruct-pix2pix-xl", "qwen-image-edit", "wan-animate"}
_WITH_PICTURES |= {"qwen-image-edit-plus", "sdxl-refiner", "wan-flf2v", "wan-i2v", "wan2.2-i2v"}
_WITH_PICTURES |= {"hunyuan-video-1.5-i2v", "skyreels", "x4-upscaler"}
"""Those that make nothing from a prompt alone."""
_OF_TWO_PARTS = {"animatediff", "animatediff-xl"}
"""Those whose denoiser is put together from two components; their own knobs are fewer."""
_ALWAYS = {
    "aura-flow",
    "flux",
    "ltx-2",
    "qwen-image",
    "sana",
    "stable-diffusion-3",
    "wan",
    "z-image",
}
"""Those that are tried each time; the others where slow tests are."""
NAMES = [
    name if name in _ALWAYS else pytest.param(name, marks=pytest.mark.slow)
    for name in sorted(set(PIPELINES) - _ALIKE - _WITH_PICTURES - _OF_TWO_PARTS)
]


@cache
def session_for(name: str) -> Session:
    """A session that keeps the other components of a checkpoint for the next test."""
    return Session(device="cpu", store=None)


def node_for(folder: Path) -> Diffusion[Any]:
    checkpoint = Checkpoint(folder)
    try:
        family = family_of(checkpoint)
    except CheckpointError:
        pytest.skip("another checkpoint is needed")
    assert family is not None
    tasks = family.tasks_of(checkpoint)
    size: dict[str, Any] = {"width": 64, "height": 64, "steps": 1}
    if "text-to-image" in tasks:
        return Text2Image(prompt="a star", checkpoint=checkpoint, **size)
    if "text-to-video" in tasks:
        return Text2Video(prompt="a star", checkpoint=checkpoint, frames=9, **size)
    pytest.skip("it makes nothing from a prompt alone")


def pixels(node: Diffusion[Any], session: Session) -> Any:
    value = run(node, session=session)
    return value.frames if hasattr(value, "frames") else value.numpy


@pytest.mark.parametrize("name", NAMES)
def test_in_fp8_its_layers_are_those_of_diffusers(
    name: str, random_folder: Callable[[str], Path]
) -> None:
    import torch

    node = node_for(random_folder(name)).replace(tuning={"layerwise_casting": "float8_e4m3fn"})
    part = resolve_part(node.parts()[node.family.denoiser.name])
    session = session_for(name)
    assert pixels(node, session).size
    module: Any = next(
        each.module for each in session.models.loaded() if each.key.identity == part.fingerprint
    )
    plain = load_quietly(
        resolve_part(Part(part.part.checkpoint, part.part.folder)), "float32", "cpu"
    )
    plain.enable_layerwise_casting(torch.float8_e4m3fn, torch.float32)
    expected, found = plain.state_dict(), module.state_dict()
    assert expected.keys() == found.keys()
    for key, tensor in expected.items():
        assert tensor.dtype == found[key].dtype, key
        assert (tensor.float() == found[key].float()).all(), key
    assert torch.float8_e4m3fn in {tensor.dtype for tensor in found.values()}
    sizes = sum(tensor.numel() * tensor.itemsize for tensor in found.values())
    assert part.footprint("float32") == sizes


@pytest.mark.parametrize("name", NAMES)
def test_in_blocks_of_gguf_it_makes_the_pixels_of_the_numbers(
    name: str,
    random_folder: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("gguf")
    node = node_for(random_folder(name))
    denoiser = node.family.denoiser.name
    file = gguf_files.write_module(
        tmp_path / "x.gguf", resolve_part(Part(node.known_checkpoint, denoiser)).files
    )
    source = node.known_checkpoint.source
    fields: dict[str, Any] = {denoiser: file}
    node = node.replace(checkpoint=Checkpoint(source, **fields))
    session = session_for(name)
    made = pixels(node, session)
    part = resolve_part(node.parts()[denoiser])
    loaded = next(each for each in session.models.loaded() if each.name == part.name)
    assert loaded.bytes == part.footprint("float32")
    assert any(hasattr(layer, "plain_weight") for layer in loaded.module.modules())
    monkeypatch.setattr(ResolvedPart, "keeps_blocks", False)
    session.models.unload(str(file))
    assert np.array_equal(made, pixels(node, session))
    assert not any(each.bytes == loaded.bytes for each in session.models.loaded())
