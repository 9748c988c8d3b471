"""Batches go where the modules are, whichever device that is.

The other device is "meta": it refuses tensors of two devices in one operation, as they all do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.nodes.training import (
    controlnet,
    depth,
    depth_to_image,
    diffusion,
    inpaint,
    placement,
    sdxl,
    turbo,
    vae,
)
from sdgraph.nodes.training.data import WorldDataset
from sdgraph.nodes.training.loading import (
    load_autoencoder,
    load_parts,
    untrained_model,
    untrained_parts,
)
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.starting_weights import load_widened_parts
from sdgraph.nodes.training.text_to_image import TextToImageTrainee
from sdgraph.nodes.training.video import VideoTrainee

from .test_controlnet import parts_of
from .test_turbo import make_trainee as make_turbo_trainee

BASE = Checkpoint("tiny/text-to-image")
SETTINGS = Settings(4, 2, 1e-3)
PLACING = (controlnet, depth, depth_to_image, diffusion, inpaint, sdxl, turbo, vae)
"""The modules that place tensors."""


def data() -> WorldDataset:
    return WorldDataset(4, 0, 64)


def text_to_image_trainee() -> Any:
    parts = untrained_parts(BASE, ("text_encoder", "unet"), 0) | {"vae": load_autoencoder(BASE)}
    return TextToImageTrainee(parts, data(), SETTINGS)


def sdxl_trainee() -> Any:
    like = Checkpoint("tiny/sdxl")
    parts = untrained_parts(like, ("text_encoder", "text_encoder_2", "unet"), 0)
    return sdxl.SdxlTrainee(parts | {"vae": load_autoencoder(like)}, data(), SETTINGS)


def inpaint_trainee() -> Any:
    parts = load_widened_parts(BASE, Checkpoint("tiny/inpaint"), 0)
    return inpaint.InpaintTrainee(parts, data(), SETTINGS)


def depth_trainee() -> Any:
    parts = load_widened_parts(BASE, Checkpoint("tiny/depth"), 0)
    return depth_to_image.DepthToImageTrainee(parts, data(), SETTINGS)


def controlnet_trainee() -> Any:
    return controlnet.ControlNetTrainee(parts_of(), data(), SETTINGS)


def estimator_trainee() -> Any:
    like = Checkpoint("tiny/depth-estimator")
    return depth.DepthTrainee(untrained_model(like, 0), depth.Preparation(like), data(), SETTINGS)


def vae_trainee() -> Any:
    return vae.VaeTrainee(load_autoencoder(BASE).requires_grad_(True), data(), SETTINGS)


def video_trainee() -> Any:
    fresh = untrained_parts(Checkpoint("tiny/text-to-video"), ("unet", "text_encoder"), 0)
    parts = fresh | load_parts(BASE).select("vae", "tokenizer")
    moving = WorldDataset(2, 0, 64, moving=True)
    base_unet = load_parts(BASE, ("unet",)).denoiser
    return VideoTrainee(parts, moving, SETTINGS, base_unet=base_unet, frames=2)


EVERY = [
    text_to_image_trainee,
    sdxl_trainee,
    inpaint_trainee,
    depth_trainee,
    controlnet_trainee,
    estimator_trainee,
    vae_trainee,
    make_turbo_trainee,
    video_trainee,
]


def move_to_meta(trainee: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The trainee with all that it computes with on another device."""
    import torch

    monkeypatch.setattr(placement, "training_device", lambda: torch.device("meta"))
    placement.move_modules(getattr(trainee, "parts", {}).values())
    placement.move_modules(trainee.modules.values())
    if hasattr(trainee, "adversary"):
        placement.move_modules([trainee.teacher, *trainee.adversary.modules.values()])
    if hasattr(trainee, "_empty_caption"):
        trainee._empty_caption = trainee.read_captions(torch.tensor([len(trainee.tokens) - 1]))
    return trainee


@pytest.mark.parametrize("make_trainee", EVERY, ids=lambda make_trainee: make_trainee.__name__)
def test_a_batch_is_where_the_modules_are(
    make_trainee: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainee = move_to_meta(make_trainee(), monkeypatch)
    if hasattr(trainee, "adversary"):
        assert trainee.adversary.loss(0).device.type == "meta"
    loss = trainee.loss(0)
    assert (loss.device.type, loss.shape) == ("meta", ())
    loss.backward()


@pytest.mark.parametrize("forgotten", range(3))
def test_a_tensor_that_is_left_behind_is_refused(
    forgotten: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainee = move_to_meta(text_to_image_trainee(), monkeypatch)
    calls = iter(range(100))
    for module in PLACING:
        monkeypatch.setattr(
            module,
            "to_device",
            lambda tensor, where: tensor if next(calls) == forgotten else tensor.to(where),
        )
    with pytest.raises((RuntimeError, NotImplementedError)):
        trainee.loss(0)


def test_what_is_there_already_is_not_copied() -> None:
    import torch

    tensor = torch.ones(2)
    assert placement.to_device(tensor, torch.device("cpu")) is tensor


def test_training_computes_on_the_accelerator_that_torch_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert placement.training_device() == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("xpu"))
    assert placement.training_device() == torch.device("xpu")
