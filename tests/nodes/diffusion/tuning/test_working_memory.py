"""The working memory that nodes declare, compared with torch's peak, without computing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from sdgraph.nodes import (
    Canny,
    ControlNet,
    Crop,
    Image2Image,
    Inpaint,
    LoadImage,
    MaskBox,
    Pad,
    Resize,
    Text2Image,
    Text2Video,
)
from sdgraph.nodes.diffusion.families import autoencoder_memory, unet_memory
from sdgraph.nodes.diffusion.tuning.working_memory import (
    complete_size,
    offloaded_bytes,
    planned_size,
)
from sdgraph.nodes.vision.memory import depth_estimation_memory
from sdgraph.values import Image
from tests.support.effort import each_nth
from tests.support.memory_peaks import empty, meta_module, peak
from tests.support.memory_peaks import (
    use_attention_without_matrix as _without_matrix,  # noqa: F401
)

BASE: dict[str, Any] = {
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "block_out_channels": (320, 640, 1280, 1280),
}
SD15 = {**BASE, "cross_attention_dim": 768, "attention_head_dim": 8}
SD2 = {
    **BASE,
    "cross_attention_dim": 1024,
    "attention_head_dim": (5, 10, 20, 20),
    "use_linear_projection": True,
}
XL = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
}
VIDEO = {
    "down_block_types": ("CrossAttnDownBlock3D",) * 3 + ("DownBlock3D",),
    "up_block_types": ("UpBlock3D",) + ("CrossAttnUpBlock3D",) * 3,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": 64,
    "cross_attention_dim": 1024,
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}


@pytest.mark.parametrize("config", [SD15, SD2, XL], ids=["sd15", "sd2", "xl"])
@pytest.mark.parametrize("shape", each_nth([(2, 96, 128), (1, 64, 64), (2, 64, 64)], 3), ids=str)
def test_a_step_of_a_unet(config: dict[str, Any], shape: tuple[int, int, int]) -> None:
    import diffusers

    unet = meta_module(diffusers.UNet2DConditionModel, config, torch.float16)
    images, height, width = shape
    words = empty(images, 77, config["cross_attention_dim"])
    latents, time = empty(images, 4, height, width), empty(1)
    measured = peak(unet, lambda: unet(latents, time, words))
    assert unet_memory(config, images, height * width, "float16") == pytest.approx(
        measured, rel=0.05
    )


@pytest.mark.parametrize("config", [SD15, XL], ids=["sd15", "xl"])
@pytest.mark.parametrize("count", each_nth([2, 1], 2))
def test_a_step_with_control_nets(config: dict[str, Any], count: int) -> None:
    import diffusers

    unet = meta_module(diffusers.UNet2DConditionModel, config, torch.float16)
    control_config = {name: value for name, value in config.items() if name != "up_block_types"}
    nets = [
        meta_module(diffusers.ControlNetModel, control_config, torch.float16) for _ in range(count)
    ]
    words, time = empty(2, 77, config["cross_attention_dim"]), empty(1)
    latents, picture = empty(2, 4, 64, 64), empty(2, 3, 512, 512)
    several = diffusers.MultiControlNetModel(nets)

    def step() -> None:
        down, mid = several(
            latents, time, words, [picture] * count, [1.0] * count, return_dict=False
        )
        unet(
            latents,
            time,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
        )

    measured = peak(torch.nn.ModuleList([unet, *nets]), step)
    estimated = unet_memory(config, 2, 64 * 64, "float16", controls=[control_config] * count)
    assert estimated == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("frames", each_nth([16, 8], 2))
def test_a_step_of_a_video(frames: int) -> None:
    import diffusers

    unet = meta_module(diffusers.UNet3DConditionModel, VIDEO, torch.float16)
    latents, words, time = empty(2, 4, frames, 32, 32), empty(2, 77, 1024), empty(1)
    measured = peak(unet, lambda: unet(latents, time, words))
    assert unet_memory(VIDEO, 2 * frames, 32 * 32, "float16") == pytest.approx(measured, rel=0.05)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("images, side", [(1, 512), (3, 512), (1, 1024)])
def test_decoding(dtype: str, images: int, side: int) -> None:
    import diffusers

    vae = meta_module(diffusers.AutoencoderKL, VAE, getattr(torch, dtype))
    latents = empty(images, 4, side // 8, side // 8, dtype=getattr(torch, dtype))
    measured = peak(vae, lambda: vae.decode(latents))
    assert autoencoder_memory(VAE, images, side**2, dtype) == pytest.approx(measured, rel=0.05)


def test_estimating_depth() -> None:
    import transformers

    config = transformers.DPTConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    )
    model = meta_module(transformers.DPTForDepthEstimation, config, torch.float16)
    measured = peak(model, lambda: model(empty(1, 3, 384, 384)))
    assert depth_estimation_memory(config.to_dict(), "float16") == pytest.approx(measured, rel=0.1)


def test_slices_and_tiles_are_less() -> None:
    at_once = autoencoder_memory(VAE, 4, 1024**2, "float16")
    assert autoencoder_memory(VAE, 4, 1024**2, "float16", "sliced") == at_once // 4
    assert autoencoder_memory(VAE, 4, 1024**2, "float16", "tiled") == at_once // 4
    assert autoencoder_memory(VAE, 4, 1024**2, "float16", "both") == at_once // 16


def memory_of(node: Any, dtype: str = "float32") -> int:
    return int(node.working_memory(dict.fromkeys(node.parts(), 0), dtype))


def test_a_node_grows_with_its_picture_and_its_guidance() -> None:
    small, large = (
        Text2Image(prompt="x", width=64, height=64),
        Text2Image(prompt="x", width=256, height=128),
    )
    assert memory_of(small) > 0 and memory_of(large) == 8 * memory_of(small)
    assert memory_of(Text2Image(prompt="x")) == memory_of(small), "the size that it was trained for"
    assert memory_of(large, "float16") == memory_of(large) // 2
    assert memory_of(Text2Video(prompt="x", frames=8)) < memory_of(
        Text2Video(prompt="x", frames=16)
    )
    tiled = large.replace(tuning={"vae": "tiled"})
    assert memory_of(tiled) < memory_of(large)
    assert memory_of(tiled.replace(guidance=1)) == memory_of(tiled) // 2


def test_the_size_of_a_picture_is_known_from_its_file_and_the_nodes_it_went_through(
    tmp_path: Path,
) -> None:
    PIL.Image.new("RGB", (320, 192)).save(tmp_path / "wide.png")
    wide = LoadImage(path=tmp_path / "wide.png")
    assert planned_size(wide) == (320, 192)
    assert planned_size(Canny(image=wide)) == (320, 192)
    assert planned_size(Canny(image=Resize(image=wide, width=64, height=128))) == (64, 128)
    assert planned_size(Image(np.zeros((5, 7, 3), np.uint8))) == (7, 5)
    assert planned_size(Text2Image(prompt="x")) is None
    assert planned_size(LoadImage(path=tmp_path / "later.png")) is None
    plain = Image2Image(image=Text2Image(prompt="x"), prompt="x")
    assert memory_of(Image2Image(image=Canny(image=wide), prompt="x")) == memory_of(plain) * 15


def test_what_is_put_around_a_picture_or_cut_off_counts() -> None:
    wide = Text2Image(prompt="x", width=320, height=192)
    assert planned_size(Pad(image=wide, left=100, top=8)) == (420, 200)
    assert planned_size(Pad(image=wide, width=640, bottom=8)) == (640, 200)
    assert planned_size(Crop(image=wide, box=[10, 20, 40, 60])) == (30, 40)
    assert planned_size(Crop(image=wide, height=50)) == (320, 50)
    twice = Pad(image=Canny(image=Crop(image=wide, width=20)), left=1, right=2)
    assert planned_size(twice) == (23, 192)
    assert planned_size(Pad(image=Text2Image(prompt="x"), left=1)) is None


def test_around_a_mask_it_works_at_the_checkpoints_own_size() -> None:
    large = Text2Image(prompt="x", width=2048, height=1024)
    edges = Canny(image=large)
    fields: dict[str, Any] = {
        "prompt": "x",
        "image": large,
        "mask": MaskBox(image=large, box=[0, 0, 9, 9]),
    }
    small = Text2Image(prompt="x", width=64, height=64)
    inpaint, control = Inpaint(**fields), ControlNet(control=edges, **fields)
    resized = control.replace(image=small, control=Canny(image=small))
    assert (
        memory_of(inpaint.replace(padding_mask_crop=32))
        == memory_of(inpaint.replace(image=small))
        < memory_of(inpaint)
    )
    assert (
        memory_of(control.replace(padding_mask_crop=32)) == memory_of(resized) < memory_of(control)
    )


def test_a_control_and_weights_that_visit_are_added() -> None:
    fields: dict[str, Any] = {"prompt": "x", "tuning": {"vae": "tiled"}}
    free = Text2Image(width=256, height=256, **fields)
    assert memory_of(ControlNet(control=Canny(image=free), **fields)) > memory_of(free)
    assert (
        offloaded_bytes("none", {"unet": 300}) == offloaded_bytes("sequential", {"unet": 300}) == 0
    )
    assert offloaded_bytes("model", {"unet": 300, "vae": 9}) == 300
    assert offloaded_bytes("group", {"unet": 300, "vae": 9}) == 100


def test_of_a_size_with_one_side_the_other_is_the_native_one() -> None:
    assert complete_size((None, None), (64, 64)) is None
    assert complete_size(Image(np.zeros((8, 8, 3), np.uint8)), (64, 64)) is None
    bare = Text2Image(prompt="a")
    wide = bare.replace(width=2048)
    assert wide.planned_size() == (2048, 64) and bare.planned_size() is None
    whole = bare.replace(width=2048, height=64)
    assert wide.working_memory({}, "float32") == whole.working_memory({}, "float32")
    assert Text2Video(prompt="a", height=512).planned_size() == (64, 512)


@pytest.mark.parametrize(
    ("config", "settings"),
    [(SD15, {}), (XL, {"adapter_type": "full_adapter_xl", "downscale_factor": 16})],
    ids=["sd15", "xl"],
)
def test_a_step_with_a_t2i_adapter(config: dict[str, Any], settings: dict[str, Any]) -> None:
    import diffusers

    unet = meta_module(diffusers.UNet2DConditionModel, config, torch.float16)
    adapter = meta_module(diffusers.T2IAdapter, settings, torch.float16)
    words, time = empty(2, 77, config["cross_attention_dim"]), empty(1)
    latents = empty(2, 4, 64, 64)

    def step() -> None:
        results = [torch.cat([result] * 2) for result in adapter(empty(1, 3, 512, 512))]
        copies = [result.clone() for result in results]
        unet(latents, time, words, down_intrablock_additional_residuals=copies)

    measured = peak(torch.nn.ModuleList([unet, adapter]), step)
    controls = [{"_class_name": "T2IAdapter"}]
    estimated = unet_memory(config, 2, 64 * 64, "float16", controls=controls)
    assert estimated == pytest.approx(measured, rel=0.05)
