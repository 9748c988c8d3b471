"""Which ControlNet fits which kind of control map and which base, as data."""

from __future__ import annotations

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import resolve
from sdgraph.values import (
    Checkpoint,
    ControlMap,
    DepthMap,
    EdgeMap,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
)

from .families import BY_TEXT_WIDTH

NETWORKS: dict[str, dict[type[ControlMap], str]] = {
    "tiny": {
        EdgeMap: "tiny/controlnet-edges",
        DepthMap: "tiny/controlnet-depth",
    },
    "Stable Diffusion 1.x": {
        EdgeMap: "lllyasviel/sd-controlnet-canny",
        DepthMap: "lllyasviel/sd-controlnet-depth",
        PoseMap: "lllyasviel/sd-controlnet-openpose",
        SegmentMap: "lllyasviel/sd-controlnet-seg",
        ScribbleMap: "lllyasviel/sd-controlnet-scribble",
        SoftEdgeMap: "lllyasviel/sd-controlnet-hed",
        NormalMap: "lllyasviel/sd-controlnet-normal",
    },
    "Stable Diffusion 2.x": {
        EdgeMap: "thibaud/controlnet-sd21-canny-diffusers",
        DepthMap: "thibaud/controlnet-sd21-depth-diffusers",
        PoseMap: "thibaud/controlnet-sd21-openpose-diffusers",
        ScribbleMap: "thibaud/controlnet-sd21-scribble-diffusers",
    },
    "SDXL": {
        EdgeMap: "diffusers/controlnet-canny-sdxl-1.0",
        DepthMap: "diffusers/controlnet-depth-sdxl-1.0",
        PoseMap: "xinsir/controlnet-openpose-sdxl-1.0",
        SegmentMap: "SargeZT/sdxl-controlnet-seg",
        ScribbleMap: "xinsir/controlnet-scribble-sdxl-1.0",
        SoftEdgeMap: "xinsir/controlnet-scribble-sdxl-1.0",
    },
}


def default_network(base: object, kind: type) -> Checkpoint:
    """The ControlNet for a kind of control map over a base checkpoint.

    Raises CheckpointError that lists the kinds which have one.
    """
    if not isinstance(base, Checkpoint):
        raise CheckpointError(
            Problem(
                "the base",
                "a checkpoint that another node makes",
                "a network for it by name",
                "add `controlnet: …`",
            )
        )
    name = base_of(base)
    known = NETWORKS.get(name, {})
    if kind not in known:
        listed = ", ".join(each.__name__ for each in known) or "none"
        found = f"no known network for a {kind.__name__} over {name}"
        raise CheckpointError(
            Problem("", found, f"a kind that has one: {listed}", "name one with `controlnet:`")
        )
    return Checkpoint(known[kind], dtype=base.dtype)


def base_of(base: Checkpoint) -> str:
    """What a checkpoint belongs to, as people call it: "tiny", "SDXL" and so on."""
    if base.source.startswith("tiny/"):
        return "tiny"
    unet = resolve(base).config("unet")
    if unet is None:
        # Not fetched yet, so its U-Net cannot be asked; asked again once it is here.
        return "SDXL" if "xl" in base.source.lower() else "Stable Diffusion 1.x"
    width = int(unet.get("cross_attention_dim") or 0)
    return BY_TEXT_WIDTH.get(width, f"a base with text features of {width}")
