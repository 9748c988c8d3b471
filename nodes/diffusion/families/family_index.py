"""Where each model family is defined, so that a checkpoint's family is imported and no other.

The name of a pipeline's class or of a checkpoint tells its family; the module of that family is
then imported. A test compares the entries with the families themselves.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import NamedTuple

from .model_family import ModelFamily


class FamilyEntry(NamedTuple):
    """The module of a family, relative to this package, and two of its fields.

    Attributes:
        module: The module that defines it.
        class_names: Its `class_names`: what the names of its pipelines' classes begin with.
        name_hint: Its `name_hint`: the texts in names of checkpoints that suggest it.
    """

    module: str
    class_names: tuple[str, ...]
    name_hint: str = ""


FAMILY_INDEX: dict[str, FamilyEntry] = {
    "STABLE_DIFFUSION": FamilyEntry(".stable_diffusion", ("StableDiffusion",)),
    "SDXL": FamilyEntry(".sdxl", ("StableDiffusionXL",), "xl"),
    "TEXT_TO_VIDEO": FamilyEntry(".text_to_video", ("TextToVideoSD",)),
    "ANIMATEDIFF": FamilyEntry(".animatediff", ("AnimateDiff",), "animatediff"),
    "ANIMATEDIFF_XL": FamilyEntry(".animatediff", ("AnimateDiffSDXL",), "animatediff-xl"),
    "INSTRUCT_PIX2PIX_XL": FamilyEntry(
        ".instruct_pix2pix", ("StableDiffusionXLInstructPix2Pix",), "xl-instruct"
    ),
    "INSTRUCT_PIX2PIX": FamilyEntry(
        ".instruct_pix2pix", ("StableDiffusionInstructPix2Pix",), "pix2pix"
    ),
    "LATENT_CONSISTENCY": FamilyEntry(".latent_consistency", ("LatentConsistencyModel",), "lcm"),
    "STABLE_DIFFUSION_UPSCALER": FamilyEntry(
        ".stable_diffusion_upscaler", ("StableDiffusionUpscale",), "upscaler"
    ),
    "IMAGE_VARIATION": FamilyEntry(
        ".image_variation", ("StableDiffusionImageVariation",), "image-variation"
    ),
    "STABLE_DIFFUSION_3": FamilyEntry(
        ".stable_diffusion_3", ("StableDiffusion3",), "stable-diffusion-3"
    ),
    "FLUX": FamilyEntry(
        ".flux", ("FluxPipeline", "FluxImg2Img", "FluxInpaint", "FluxControlNet"), "flux.1"
    ),
    "FLUX_CONTROL": FamilyEntry(
        ".flux_control",
        ("FluxControlPipeline", "FluxControlImg2Img", "FluxControlInpaint"),
        "flux.1-canny|flux.1-depth|flux-control",
    ),
    "FLUX_FILL": FamilyEntry(".flux", ("FluxFill",), "flux.1-fill"),
    "FLUX_KONTEXT": FamilyEntry(".flux", ("FluxKontext",), "kontext"),
    "FLUX2_KLEIN_KV": FamilyEntry(
        ".flux2_klein", ("Flux2KleinKV",), "flux.2-klein-9b-kv|klein-9b-kv"
    ),
    "FLUX2_KLEIN": FamilyEntry(".flux2_klein", ("Flux2Klein",), "flux.2-klein|klein"),
    "FLUX2": FamilyEntry(".flux2", ("Flux2Pipeline",), "flux.2"),
    "QWEN_IMAGE_EDIT_PLUS": FamilyEntry(
        ".qwen_image_edit", ("QwenImageEditPlus",), "qwen-image-edit-2"
    ),
    "QWEN_IMAGE_EDIT": FamilyEntry(
        ".qwen_image_edit", ("QwenImageEditPipeline", "QwenImageEditInpaint"), "qwen-image-edit"
    ),
    "QWEN_IMAGE": FamilyEntry(
        ".qwen_image",
        ("QwenImagePipeline", "QwenImageImg2Img", "QwenImageInpaint", "QwenImageControl"),
        "qwen-image",
    ),
    "Z_IMAGE": FamilyEntry(
        ".z_image",
        ("ZImagePipeline", "ZImageImg2Img", "ZImageInpaint", "ZImageControlNet"),
        "z-image",
    ),
    "CHROMA": FamilyEntry(
        ".chroma", ("ChromaPipeline", "ChromaImg2Img", "ChromaInpaint"), "chroma"
    ),
    "PIXART_ALPHA": FamilyEntry(".pixart_alpha", ("PixArtAlpha",), "pixart-xl-2"),
    "PIXART_SIGMA": FamilyEntry(".pixart_sigma", ("PixArtSigma",), "pixart-sigma"),
    "SANA": FamilyEntry(".sana", ("SanaPipeline", "SanaControlNet"), "sana"),
    "SANA_SPRINT": FamilyEntry(".sana", ("SanaSprint",), "sana_sprint"),
    "LUMINA2": FamilyEntry(".lumina2", ("Lumina2",), "lumina-image-2"),
    "AURA_FLOW": FamilyEntry(".aura_flow", ("AuraFlow",), "auraflow"),
    "WAN_VACE": FamilyEntry(".wan_vace", ("WanVACE",), "vace"),
    "WAN_ANIMATE": FamilyEntry(".wan_animate", ("WanAnimate",), "animate-14b"),
    "WAN": FamilyEntry(".wan", ("WanPipeline", "WanImageToVideo", "WanVideoToVideo"), "wan"),
    "LTX2": FamilyEntry(
        ".ltx2", ("LTX2Pipeline", "LTX2ImageToVideo", "LTX2Condition", "LTX2InContext"), "ltx-2"
    ),
    "LTX_VIDEO": FamilyEntry(
        ".ltx_video", ("LTXPipeline", "LTXImageToVideo", "LTXCondition"), "ltx"
    ),
    "COGVIDEOX_FUN": FamilyEntry(".cogvideox", ("CogVideoXFunControl",), "cogvideox-fun"),
    "COGVIDEOX": FamilyEntry(
        ".cogvideox",
        ("CogVideoXPipeline", "CogVideoXImageToVideo", "CogVideoXVideoToVideo"),
        "cogvideox",
    ),
    "HUNYUAN_VIDEO_IMAGE": FamilyEntry(
        ".hunyuan_video_image", ("HunyuanVideoImageToVideo",), "hunyuanvideo-i2v"
    ),
    "HUNYUAN_VIDEO": FamilyEntry(".hunyuan_video", ("HunyuanVideoPipeline",), "hunyuanvideo"),
    "HUNYUAN_VIDEO_15": FamilyEntry(".hunyuan_video_15", ("HunyuanVideo15",), "hunyuanvideo-1.5"),
    "SKYREELS": FamilyEntry(".skyreels", ("HunyuanSkyreels",), "skyreels-v1"),
    "STABLE_VIDEO": FamilyEntry(".stable_video", ("StableVideoDiffusion",), "stable-video"),
}
"""All families by the names of their constants; the first is assumed where nothing gives a hint."""


def import_family(name: str) -> ModelFamily:
    """The family of an entry."""
    family: ModelFamily = getattr(import_module(FAMILY_INDEX[name].module, __package__), name)
    return family


@cache
def all_families() -> tuple[ModelFamily, ...]:
    """All families in the order of the index; imports their modules."""
    return tuple(map(import_family, FAMILY_INDEX))


@cache
def family_by_class(class_name: str) -> ModelFamily | None:
    """The family whose pipelines have a class's name, or begin like it; None if none does."""
    lengths = {
        name: max(
            (len(start) for start in entry.class_names if class_name.startswith(start)), default=0
        )
        for name, entry in FAMILY_INDEX.items()
    }
    name = max(lengths, key=lengths.__getitem__)
    return import_family(name) if lengths[name] else None


def names_by_hint(source: str) -> list[str]:
    """The names of all families, first those that a checkpoint's name suggests most strongly.

    Of families that it suggests equally, the first in the index comes first.
    """
    source = source.lower()

    def letters(name: str) -> int:
        hints = filter(None, FAMILY_INDEX[name].name_hint.split("|"))
        return max((len(hint) for hint in hints if hint in source), default=0)

    return sorted(FAMILY_INDEX, key=letters, reverse=True)
