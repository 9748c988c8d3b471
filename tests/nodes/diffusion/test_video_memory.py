"""The working memory of the families of video, compared with torch's peak, without computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.support.effort import each_nth
from tests.support.memory_peaks import empty, meta_module, peak
from tests.support.memory_peaks import (
    use_attention_without_matrix as _without_matrix,  # noqa: F401
)

from .test_transformer_memory import family_called

WAN_1B: dict[str, Any] = {"num_attention_heads": 12, "ffn_dim": 8960}
WAN_14B: dict[str, Any] = {"num_attention_heads": 40, "ffn_dim": 13824}
FROM_PICTURE = {**WAN_14B, "in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120}
ANIMATE = {**WAN_14B, "added_kv_proj_dim": 5120, "inject_face_latents_blocks": 2}
VACE_1B = {**WAN_1B, "num_layers": 8, "vace_layers": [*range(8)]}
VACE_14B = {**WAN_14B, "vace_layers": [0, 1]}
WAN_5B: dict[str, Any] = {"num_attention_heads": 24, "ffn_dim": 14336}
WAN_5B |= {"in_channels": 48, "out_channels": 48}
HUNYUAN: dict[str, Any] = {
    "num_single_layers": 2,
    "num_refiner_layers": 1,
    "guidance_embeds": True,
}
REPLACED: dict[str, Any] = {**HUNYUAN, "image_condition_type": "token_replace"}
CONCATENATED: dict[str, Any] = {
    **HUNYUAN,
    "guidance_embeds": False,
    "in_channels": 33,
    "image_condition_type": "latent_concat",
}
COG_2B: dict[str, Any] = {"num_attention_heads": 30}
COG_5B: dict[str, Any] = {"num_attention_heads": 48, "use_rotary_positional_embeddings": True}

WAN_5B_VAE: dict[str, Any] = {
    "base_dim": 160,
    "decoder_base_dim": 256,
    "z_dim": 48,
    "is_residual": True,
    "in_channels": 12,
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "latents_mean": [0.0] * 48,
    "latents_std": [1.0] * 48,
}
COG_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 256, 512),
    "down_block_types": ("CogVideoXDownBlock3D",) * 4,
    "up_block_types": ("CogVideoXUpBlock3D",) * 4,
    "latent_channels": 16,
}


def short(value: object) -> str:
    """A test's name for a value, without long configs."""
    return value if isinstance(value, str) else ""


def wan(config: Any, frames: int, height: int, width: int, *, timed: bool) -> Callable[[Any], Any]:
    tokens = frames * height // 2 * width // 2
    times = empty(1, tokens) if timed else empty(1)
    channels = config.get("in_channels", 16)
    seen = empty(1, 257, 1280) if "image_dim" in config else None
    return lambda module: module(
        empty(1, channels, frames, height, width),
        times,
        empty(1, 512, 4096),
        encoder_hidden_states_image=seen,
    )


def vace(config: Any, frames: int, height: int, width: int, *, timed: bool) -> Callable[[Any], Any]:
    return lambda module: module(
        empty(1, 16, frames, height, width),
        empty(1),
        empty(1, 512, 4096),
        control_hidden_states=empty(1, 96, frames, height, width),
        control_hidden_states_scale=empty(len(config["vace_layers"])),
    )


def animate(
    config: Any, frames: int, height: int, width: int, *, timed: bool
) -> Callable[[Any], Any]:
    return lambda module: module(
        hidden_states=empty(1, 36, frames, height, width),
        timestep=empty(1),
        encoder_hidden_states=empty(1, 512, 4096),
        encoder_hidden_states_image=empty(1, 257, 1280),
        pose_hidden_states=empty(1, 16, frames - 1, height, width),  # the character has none
        face_pixel_values=empty(1, 3, 4 * frames - 7, 512, 512),
    )


def ltx(config: Any, frames: int, height: int, width: int, *, timed: bool) -> Callable[[Any], Any]:
    tokens = frames * height * width
    inputs = {
        "hidden_states": empty(1, tokens, 128),
        "encoder_hidden_states": empty(1, 128, 4096),
        "encoder_attention_mask": empty(1, 128),
        "timestep": empty(1, tokens) if timed else empty(1),
        "num_frames": frames,
        "height": height,
        "width": width,
        "rope_interpolation_scale": (1, 32, 32),
    }
    return lambda module: module(**inputs)


def ltx2(config: Any, frames: int, height: int, width: int, *, timed: bool) -> Callable[[Any], Any]:
    tokens, sound = frames * height * width, frames * 8

    def call(module: Any) -> Any:
        place, device = module.rope.prepare_video_coords, torch.device("meta")
        return module(
            hidden_states=empty(1, tokens, 128),
            audio_hidden_states=empty(1, sound, 128),
            encoder_hidden_states=empty(1, 1024, 3840),
            audio_encoder_hidden_states=empty(1, 1024, 3840),
            timestep=empty(1, tokens) if timed else empty(1),
            audio_timestep=empty(1),
            sigma=empty(1),
            encoder_attention_mask=empty(1, 1024),
            audio_encoder_attention_mask=empty(1, 1024),
            num_frames=frames,
            height=height,
            width=width,
            audio_num_frames=sound,
            video_coords=place(1, frames, height, width, device, fps=24.0),
            audio_coords=module.audio_rope.prepare_audio_coords(1, sound, device),
            use_cross_timestep=True,
        )

    return call


def cog(config: Any, frames: int, height: int, width: int, *, timed: bool) -> Callable[[Any], Any]:
    tokens = frames * height // 2 * width // 2
    places = (empty(tokens, 64), empty(tokens, 64)) if len(config) > 1 else None
    return lambda module: module(
        hidden_states=empty(1, frames, 16, height, width),
        encoder_hidden_states=empty(1, 226, 4096),
        timestep=empty(1),
        image_rotary_emb=places,
    )


def hunyuan(
    config: Any, frames: int, height: int, width: int, *, timed: bool
) -> Callable[[Any], Any]:
    words = 400 if "image_condition_type" in config else 256  # and every fourth token of a picture
    return lambda module: module(
        hidden_states=empty(1, config.get("in_channels", 16), frames, height, width),
        timestep=empty(1),
        encoder_hidden_states=empty(1, words, 4096),
        encoder_attention_mask=empty(1, words),
        pooled_projections=empty(1, 768),
        guidance=empty(1),
    )


@pytest.mark.parametrize(
    ("label", "class_name", "make", "config", "timed"),
    each_nth(
        [
            ("Wan", "WanTransformer3DModel", wan, WAN_1B, False),
            ("Wan", "WanTransformer3DModel", wan, WAN_14B, False),
            ("Wan", "WanTransformer3DModel", wan, FROM_PICTURE, False),
            ("Wan", "WanTransformer3DModel", wan, WAN_5B, True),
            ("Wan VACE", "WanVACETransformer3DModel", vace, VACE_1B, False),
            ("Wan VACE", "WanVACETransformer3DModel", vace, VACE_14B, False),
            ("Wan Animate", "WanAnimateTransformer3DModel", animate, ANIMATE, False),
            ("LTX-Video", "LTXVideoTransformer3DModel", ltx, {}, False),
            ("LTX-Video", "LTXVideoTransformer3DModel", ltx, {}, True),
            ("LTX-2", "LTX2VideoTransformer3DModel", ltx2, {"rope_type": "split"}, False),
            ("LTX-2", "LTX2VideoTransformer3DModel", ltx2, {"rope_type": "split"}, True),
            ("CogVideoX", "CogVideoXTransformer3DModel", cog, COG_2B, False),
            ("CogVideoX", "CogVideoXTransformer3DModel", cog, COG_5B, False),
            ("HunyuanVideo", "HunyuanVideoTransformer3DModel", hunyuan, HUNYUAN, False),
            ("HunyuanVideo I2V", "HunyuanVideoTransformer3DModel", hunyuan, REPLACED, False),
            ("HunyuanVideo I2V", "HunyuanVideoTransformer3DModel", hunyuan, CONCATENATED, False),
        ],
        16,
        arguments=5,
    ),
    ids=short,
)
@pytest.mark.parametrize("size", each_nth([(21, 60, 104), (5, 30, 52)], 2), ids=str)
def test_a_step(
    label: str, class_name: str, make: Any, config: Any, timed: bool, size: tuple[int, int, int]
) -> None:
    import diffusers

    frames, height, width = size
    module = meta_module(getattr(diffusers, class_name), {"num_layers": 2, **config}, torch.float16)
    call = make(config, frames, height, width, timed=timed)
    measured = peak(module, lambda: call(module))
    denoiser = family_called(label).denoiser
    memory = denoiser.timed_memory if timed else denoiser.memory
    assert memory is not None
    estimated = memory(dict(module.config), frames, height * width, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


class MasksOfHalf(TorchFunctionMode):  # type: ignore[misc]
    """Takes masks, which have no numbers here, to select half of the rows.

    Replacing `torch.Tensor.__getitem__` for a test would leave all tensors of the process with
    another type: `torch.tensor([torch.tensor(1.0)])` fails from then on.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.all:
            return torch.tensor(False)
        if func is torch.Tensor.__getitem__:
            tensor, key = args
            if isinstance(key, torch.Tensor) and key.dtype == torch.bool:
                args = (tensor, slice(0, len(tensor) // 2))
        return func(*args, **(kwargs or {}))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(31, 30, 53), (9, 30, 53), (5, 15, 26)], ids=str)
def test_a_step_whose_masks_are_of_all_pairs_of_tokens(size: tuple[int, int, int]) -> None:
    import diffusers

    module = meta_module(
        diffusers.HunyuanVideo15Transformer3DModel,
        {"num_layers": 2, "num_refiner_layers": 1},
        torch.float16,
    )
    inputs = {
        "hidden_states": empty(1, 65, *size),
        "timestep": empty(1),
        "encoder_hidden_states": empty(1, 1000, 3584),
        "encoder_attention_mask": empty(1, 1000),
        "encoder_hidden_states_2": empty(1, 256, 1472),
        "encoder_attention_mask_2": empty(1, 256),
        "image_embeds": empty(1, 729, 1152),
    }
    with MasksOfHalf():
        measured = peak(module, lambda: module(**inputs))
    assert torch.tensor([torch.tensor(1.0)]).shape == (1,)
    frames, height, width = size
    memory = family_called("HunyuanVideo 1.5").denoiser.memory
    estimated = memory(dict(module.config), frames, height * width, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "class_name", "config", "shape", "scale", "frames"),
    [
        ("Wan", "AutoencoderKLWan", {}, (16, 1), 8, 1),
        ("Wan", "AutoencoderKLWan", {}, (16, 3), 8, 9),
        ("Wan", "AutoencoderKLWan", WAN_5B_VAE, (48, 1), 16, 1),
        ("Wan", "AutoencoderKLWan", WAN_5B_VAE, (48, 3), 16, 9),
        ("LTX-Video", "AutoencoderKLLTXVideo", {}, (128, 3), 32, 17),
        ("LTX-Video", "AutoencoderKLLTXVideo", {}, (128, 5), 32, 33),
        ("LTX-2", "AutoencoderKLLTX2Video", {}, (128, 1), 32, 1),
        ("LTX-2", "AutoencoderKLLTX2Video", {}, (128, 5), 32, 33),
        ("CogVideoX", "AutoencoderKLCogVideoX", COG_VAE, (16, 1), 8, 1),
        ("CogVideoX", "AutoencoderKLCogVideoX", COG_VAE, (16, 3), 8, 9),
        ("CogVideoX", "AutoencoderKLCogVideoX", COG_VAE, (16, 5), 8, 17),
        ("HunyuanVideo 1.5", "AutoencoderKLHunyuanVideo15", {}, (32, 1), 16, 1),
        ("HunyuanVideo 1.5", "AutoencoderKLHunyuanVideo15", {}, (32, 5), 16, 17),
        ("HunyuanVideo", "AutoencoderKLHunyuanVideo", {}, (16, 1), 8, 1),
        ("HunyuanVideo", "AutoencoderKLHunyuanVideo", {}, (16, 5), 8, 17),
    ],
    ids=short,
)
def test_decoding_a_video(
    label: str, class_name: str, config: Any, shape: tuple[int, int], scale: int, frames: int
) -> None:
    import diffusers

    family = family_called(label)
    module = meta_module(getattr(diffusers, class_name), config, torch.float16)
    latents = empty(1, *shape, 16, 22)
    measured = peak(module, lambda: module.decode(latents))
    area = 16 * 22 * scale**2
    estimated = family.decoder.memory(dict(module.config), frames, area, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "class_name", "config", "channels"),
    [
        ("Wan", "AutoencoderKLWan", {}, 3),
        ("Wan", "AutoencoderKLWan", WAN_5B_VAE, 3),
        ("CogVideoX", "AutoencoderKLCogVideoX", COG_VAE, 3),
    ],
    ids=short,
)
def test_encoding_a_video_takes_less_than_decoding_one(
    label: str, class_name: str, config: Any, channels: int
) -> None:
    import diffusers

    module = meta_module(getattr(diffusers, class_name), config, torch.float16)
    video = empty(1, channels, 17, 128, 192)
    measured = peak(module, lambda: module.encode(video))
    decoder = family_called(label).decoder
    assert measured < decoder.memory(dict(module.config), 17, 128 * 192, "float16")


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [1, 2])
def test_bringing_embeddings_to_the_width_of_the_denoiser(prompts: int) -> None:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    module = meta_module(LTX2TextConnectors, {"rope_type": "split"}, torch.float16)
    embeddings = empty(prompts, 1024, 3840 * 49)
    mask = torch.ones(prompts, 1024, dtype=torch.int64, device="meta")
    measured = peak(module, lambda: module(embeddings, mask))
    memory = family_called("LTX-2").prompt_encoding.memory
    assert memory is not None
    estimated = memory({"caption_channels": 3840}, prompts, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


AS_2D: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280, 1280),
    "num_attention_heads": 8,
    "cross_attention_dim": 768,
}
AS_XL: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlockMotion", "CrossAttnDownBlockMotion", "CrossAttnDownBlockMotion"),
    "up_block_types": ("CrossAttnUpBlockMotion", "CrossAttnUpBlockMotion", "UpBlockMotion"),
    "transformer_layers_per_block": (1, 2, 10),
    "num_attention_heads": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "use_motion_mid_block": False,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "config"), [("AnimateDiff", AS_2D), ("AnimateDiff XL", AS_XL)], ids=short
)
@pytest.mark.parametrize("size", [(16, 64, 64), (8, 48, 64)], ids=str)
def test_a_step_with_a_motion_adapter(label: str, config: Any, size: tuple[int, int, int]) -> None:
    import diffusers

    frames, height, width = size
    module = meta_module(diffusers.UNetMotionModel, config, torch.float16)
    words = empty(2 * frames, 77, config["cross_attention_dim"])
    measured = peak(module, lambda: module(empty(2, 4, *size), empty(1), words))
    memory = family_called(label).denoiser.memory
    estimated = memory(dict(module.config), 2 * frames, height * width, "float16")
    assert estimated == pytest.approx(measured, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(14, 72, 128), (8, 40, 64)], ids=str)
def test_a_step_and_the_decoding_of_stable_video_diffusion(size: tuple[int, int, int]) -> None:
    import diffusers

    frames, height, width = size
    family = family_called("Stable Video Diffusion")
    unet = meta_module(diffusers.UNetSpatioTemporalConditionModel, {}, torch.float16).to("meta")
    inputs = (empty(2, frames, 8, height, width), empty(1), empty(2, 1, 1024), empty(2, 3))

    def step() -> None:
        with torch.device("meta"):
            unet(*inputs)

    estimated = family.denoiser.memory(dict(unet.config), 2 * frames, height * width, "float16")
    assert estimated == pytest.approx(peak(unet, step), rel=0.05)
    config = {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2}
    config["down_block_types"] = ("DownEncoderBlock2D",) * 4
    vae = meta_module(diffusers.AutoencoderKLTemporalDecoder, config, torch.float16).to("meta")
    latents = empty(frames, 4, height, width)
    measured = peak(vae.decoder, lambda: vae.decode(latents, num_frames=frames))
    decoded = family.decoder.memory(dict(vae.config), frames, height * width * 64, "float16")
    assert decoded == pytest.approx(measured, rel=0.05)
