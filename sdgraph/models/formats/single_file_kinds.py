"""Tells what one file of weights holds, by the tensor names and shapes in its header (no torch).

1. Files that change or accompany a checkpoint (LoRAs, embeddings, ControlNets) are told first:
   their names contain those of the networks that they are for.
2. A file with a U-Net in the layout of LDM (CompVis, A1111, ComfyUI) is a checkpoint. The channels
   that its U-Net takes and the width of its text features tell which base it is of.
3. Everything else is told by names that occur in one kind of file alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .other_weights import add_on_kind, other_kind
from .safetensors_files import TensorShapes
from .scaled_weights import is_scale

UNET_PREFIX = "model.diffusion_model."
"""What the names of a U-Net's tensors begin with in the layout of LDM."""

_VAE_PREFIX = "first_stage_model."
_FIRST_LAYER = f"{UNET_PREFIX}input_blocks.0.0.weight"
_NETWORKS = (UNET_PREFIX, _VAE_PREFIX, "cond_stage_model.", "conditioner.", "model_ema.")
_TEXT_LAYER = re.compile(r"model\.diffusion_model\..*\.attn2\.to_k\.weight")
_VIDEO_LAYER = f"{UNET_PREFIX}input_blocks.1.0.time_stack.in_layers.0.weight"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A published checkpoint whose configs ship with sdgraph, and what its fine-tunes share.

    Args:
        label: Its usual name.
        name: The folder of its configs; "" for a base that is only recognised.
        channels: The channels that its U-Net takes.
        width: The channels of its U-Net's first layer.
        text_width: The width of the text features that its U-Net attends to.
        tensors: How many tensors its U-Net has; 0 for any number.
        v_name: The folder of the configs of its kind that predicts v; "" if it is the same.
        advice: What to do with a base that is only recognised.
    """

    label: str
    name: str = ""
    channels: int = 4
    width: int = 320
    text_width: int
    tensors: int = 0
    v_name: str = ""
    advice: str = ""


_NOT_RUN = "no node takes it yet: choose another checkpoint"

BASES = (
    Base(label="Stable Diffusion 1.x", name="stable-diffusion-v1-5", text_width=768, tensors=686),
    Base(
        label="Stable Diffusion 1.x inpainting",
        name="stable-diffusion-v1-5-inpainting",
        channels=9,
        text_width=768,
        tensors=686,
    ),
    Base(label="InstructPix2Pix", channels=8, text_width=768, advice=_NOT_RUN),
    Base(
        label="Stable Diffusion 2.x",
        name="stable-diffusion-2-1-base",
        v_name="stable-diffusion-2-1",
        text_width=1024,
        tensors=686,
    ),
    Base(
        label="Stable Diffusion 2.x inpainting",
        name="stable-diffusion-2-inpainting",
        channels=9,
        text_width=1024,
        tensors=686,
    ),
    Base(
        label="Stable Diffusion 2.x depth",
        name="stable-diffusion-2-depth",
        channels=5,
        text_width=1024,
        tensors=686,
    ),
    Base(
        label="the Stable Diffusion x4 upscaler",
        channels=7,
        width=256,
        text_width=1024,
        advice=_NOT_RUN,
    ),
    Base(label="SDXL", name="stable-diffusion-xl-base-1.0", text_width=2048, tensors=1680),
    Base(
        label="SDXL inpainting",
        name="stable-diffusion-xl-1.0-inpainting-0.1",
        channels=9,
        text_width=2048,
        tensors=1680,
    ),
    Base(label="InstructPix2Pix of SDXL", channels=8, text_width=2048, advice=_NOT_RUN),
    Base(
        label="the SDXL refiner",
        width=384,
        text_width=1280,
        advice="refiners are not run yet: name the base model, whose pictures need no refiner",
    ),
)
"""The bases of checkpoints in the layout of LDM."""

_STABLE_VIDEO = Base(
    label="Stable Video Diffusion",
    channels=8,
    text_width=1024,
    advice="diffusers converts no such file: name a folder in diffusers' layout, or its hub id, "
    "such as stabilityai/stable-video-diffusion-img2vid-xt",
)


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """What a file of weights holds.

    Args:
        label: What it is, with its article: "a LoRA", "a checkpoint of SDXL".
        base: The base whose configs it has; None if it is no checkpoint, or of another base.
        prefixes: What the names of the tensors of each component begin with; {} unless it is a
            checkpoint in the layout of LDM.
        advice: What to do with a file that is no checkpoint.
        prediction: What its U-Net predicts, if the file says so: "epsilon" or "v_prediction".
        zero_snr: Whether it was trained with a noise schedule that ends in noise alone.
        has_ema: Whether it has averaged weights too, which are not used.
        channels: The channels that its U-Net takes; 0 if it has none.
        width: The channels of its U-Net's first layer.
        text_width: The width of the text features that its U-Net attends to.
        tensors: How many tensors its U-Net has.
    """

    label: str
    base: Base | None = None
    prefixes: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    prediction: str | None = None
    zero_snr: bool = False
    has_ema: bool = False
    channels: int = 0
    width: int = 0
    text_width: int = 0
    tensors: int = 0

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a checkpoint in the layout of LDM."""
        return bool(self.prefixes)

    @property
    def is_prediction_unknown(self) -> bool:
        """Whether bases of its kind predict epsilon or v, and the file does not say which."""
        return self.base is not None and bool(self.base.v_name) and self.prediction is None


def kind_of(shapes: TensorShapes, metadata: Mapping[str, str] | None = None) -> FileKind:
    """What a file of weights holds.

    Args:
        shapes: The shapes of its tensors, by name.
        metadata: What its header says besides, such as `modelspec.prediction_type`.

    Example:
        >>> kind_of({"lora_unet_mid_block_x.lora_down.weight": (4, 320)}).label
        'a LoRA'
    """
    is_checkpoint = len(shapes.get(_FIRST_LAYER, ())) == 4
    names = iter(shapes)
    if is_checkpoint:  # most names are those of its networks, which say nothing else
        names = (name for name in shapes if not name.startswith(_NETWORKS))
    other = add_on_kind(names)
    if other is None and is_checkpoint:
        return _checkpoint_kind(shapes, metadata or {})
    label, advice = other or other_kind(shapes)
    return FileKind(label=label, advice=advice)


def _checkpoint_kind(shapes: TensorShapes, metadata: Mapping[str, str]) -> FileKind:
    width, channels = shapes[_FIRST_LAYER][:2]
    text_width = _text_width(shapes)
    tensors = sum(name.startswith(UNET_PREFIX) for name in shapes)
    base = _base_of(channels, width, text_width, tensors)
    label = f"a checkpoint of {base.label}" if base else "a checkpoint of an unknown base"
    if _VIDEO_LAYER in shapes:
        base, label = _STABLE_VIDEO, f"a checkpoint of {_STABLE_VIDEO.label}"
    if "edm_mean" in shapes:
        base, label = None, "a checkpoint of Playground 2.5"
    return FileKind(
        label=label,
        base=base,
        prefixes=_prefixes(shapes),
        prediction=_prediction(shapes, metadata),
        zero_snr="ztsnr" in shapes,
        has_ema=any(name.startswith("model_ema.") for name in shapes),
        channels=channels,
        width=width,
        text_width=text_width,
        tensors=tensors,
    )


def _text_width(shapes: TensorShapes) -> int:
    """The width of the text features that a U-Net attends to; 0 for one without them."""
    found = (shape for name, shape in shapes.items() if _TEXT_LAYER.fullmatch(name))
    return next((shape[-1] for shape in found if shape), 0)


def _base_of(channels: int, width: int, text_width: int, tensors: int) -> Base | None:
    for base in BASES:
        of_base = (base.channels, base.width, base.text_width) == (channels, width, text_width)
        if of_base and base.tensors in (0, tensors):
            return base
    return None


def _prefixes(shapes: TensorShapes) -> dict[str, str]:
    """What the names of each component's tensors begin with, of those that the file has."""
    prefixes = {"unet": UNET_PREFIX, "vae": _VAE_PREFIX}
    if any(name.startswith("conditioner.embedders.1.") for name in shapes):
        prefixes["text_encoder"] = "conditioner.embedders.0."
        prefixes["text_encoder_2"] = "conditioner.embedders.1."
    elif any(name.startswith("conditioner.embedders.0.model.") for name in shapes):
        prefixes["text_encoder_2"] = "conditioner.embedders.0."
    elif any(name.startswith("conditioner.embedders.0.") for name in shapes):
        prefixes["text_encoder"] = "conditioner.embedders.0."
    else:
        prefixes["text_encoder"] = "cond_stage_model."
    begins = {prefix for prefix in prefixes.values() if _begins(shapes, prefix)}
    return {name: prefix for name, prefix in prefixes.items() if prefix in begins}


def _begins(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _prediction(shapes: TensorShapes, metadata: Mapping[str, str]) -> str | None:
    """What a file says that its U-Net predicts, by marks among its tensors or its metadata."""
    if "v_pred" in shapes:
        return "v_prediction"
    written = str(metadata.get("modelspec.prediction_type", "")).lower()
    if written.startswith("v"):
        return "v_prediction"
    if written.startswith("eps"):
        return "epsilon"
    return None


_UNUSED = re.compile(
    r".*\.position_ids|.*\.logit_scale|.*\.attn_mask"
    # Stable Diffusion 2.x uses the features before the last layer of its text encoder.
    r"|cond_stage_model\.model\.(transformer\.resblocks\.23\..*|text_projection)"
)


def component_tensors(names: Iterable[str], prefix: str) -> list[str]:
    """The names of the tensors of a component, without those that it does not compute with.

    Args:
        names: The names of all tensors in the file.
        prefix: What those of the component begin with.

    Example:
        >>> component_tensors(["vae.a", "text.b", "text.position_ids"], "text.")
        ['text.b']
    """
    return [
        name
        for name in names
        if name.startswith(prefix) and not _UNUSED.fullmatch(name) and not is_scale(name)
    ]
