"""Headers of checkpoints in the layout of LDM: names and shapes, without torch and without data."""

from __future__ import annotations

from sdgraph.models.formats.single_file_kinds import UNET_PREFIX, Base

Shapes = dict[str, tuple[int, ...]]

TEXTS = {
    768: ("cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight",),
    1024: ("cond_stage_model.model.transformer.resblocks.0.mlp.c_fc.weight",),
    2048: (
        "conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight",
        "conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.weight",
    ),
    1280: ("conditioner.embedders.0.model.transformer.resblocks.0.mlp.c_fc.weight",),
}


def header(base: Base, **more: tuple[int, ...]) -> Shapes:
    """Names and shapes that a checkpoint of a base has, most of them of no layer."""
    own = f"{UNET_PREFIX}input_blocks."
    shapes: Shapes = {
        f"{own}0.0.weight": (base.width, base.channels, 3, 3),
        f"{own}4.1.transformer_blocks.0.attn2.to_k.weight": (640, base.text_width),
    }
    others = (f"{UNET_PREFIX}layer.{n}" for n in range(max(base.tensors, 2) - 2))
    shapes |= dict.fromkeys(others, (1,))
    shapes |= dict.fromkeys(TEXTS[base.text_width], (4, 4))
    return {**shapes, "first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3), **more}
