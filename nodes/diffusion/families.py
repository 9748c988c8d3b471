"""The families of checkpoints: what each is made of, and how people are told of it."""

from __future__ import annotations

from typing import Literal

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import resolve
from sdgraph.values import Checkpoint

Family = Literal["sd", "xl", "video"]

_FAMILIES: dict[str, Family] = {
    "StableDiffusionXL": "xl",
    "StableDiffusion": "sd",
    "LatentConsistencyModel": "sd",
    "TextToVideoSD": "video",
}
"""What a pipeline's class name in a model index begins with → its family."""

TEXT = ("text_encoder", "tokenizer")
"""What the names of the components that read prompts begin with."""
PARTS: dict[Family, tuple[str, ...]] = {
    "sd": ("vae", "unet", *TEXT),
    "xl": ("vae", "unet", *TEXT, "text_encoder_2", "tokenizer_2"),
    "video": ("vae", "unet", *TEXT),
}
"""The components that the pipelines of a family compute with."""

UNCAST: dict[Family, tuple[str, ...]] = {
    "sd": (),
    "xl": (),
    "video": ("time_embedding", r"temp_convs\.\d\.conv\d\.0\."),
}
"""Layers that layerwise casting leaves alone; norms of temporal convolutions have no names."""

MAX_TOKENS = 77
"""What CLIP's text encoders read at once."""

CHANNELS = {4: "text-to-image", 5: "depth-guided", 9: "inpainting"}
"""The channels a U-Net takes → what it is for."""


BY_TEXT_WIDTH = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}
"""The width of the text features a U-Net attends to → the base it belongs to."""


def other_node(channels: int) -> str:
    """Which node takes a U-Net with so many channels, in words; "" where none does."""
    node = {4: "Text2Image", 5: "DepthToImage", 9: "Inpaint"}.get(channels)
    return f"{node} takes such a checkpoint" if node else ""


def described(family: Family) -> str:
    """A family as people call it."""
    return {"sd": "Stable Diffusion", "xl": "SDXL", "video": "text-to-video"}[family]


def kind_of(checkpoint: Checkpoint) -> str:
    """The pipeline class in a checkpoint's index."""
    named = (resolve(checkpoint).index or {}).get("_class_name")
    return str(named) if named else "single-model"


def family_of(checkpoint: Checkpoint) -> Family | None:
    """The family a checkpoint's index says it is of, None while it is not here.

    Raises CheckpointError for a family that no node knows.
    """
    found = resolve(checkpoint).index
    if found is None:
        return None
    named = str(found.get("_class_name", ""))
    for prefix, family in _FAMILIES.items():
        if named.startswith(prefix) and not named.startswith("StableDiffusion3"):
            return family
    kind = f"a checkpoint for {named}" if named else "a single model, not a pipeline"
    wanted = "Stable Diffusion 1.x or 2.x, SDXL, or text-to-video in diffusers' folder layout"
    raise CheckpointError(Problem(checkpoint.source, kind, wanted))


def own_size(checkpoint: Checkpoint) -> tuple[int, int]:
    """The width and height in pixels that a checkpoint was trained for, by its configs."""
    blocks = (resolve(checkpoint).config("vae") or {}).get("block_out_channels", (0,) * 4)
    side = int((resolve(checkpoint).config("unet") or {}).get("sample_size") or 64) * 2 ** (
        len(blocks) - 1
    )
    return side, side


def multiple_of(checkpoint: Checkpoint) -> int:
    """What sides must be multiples of, by the VAE config; 8 while it is not here."""
    if resolve(checkpoint).components is None:
        return 8
    blocks = (resolve(checkpoint).config("vae") or {}).get("block_out_channels", (0,) * 4)
    # The pipelines refuse what is no multiple of 8, whatever the VAE.
    return max(8, int(2 ** (len(blocks) - 1)))
