"""The layers of a LoRA file and of a network, compared by the names and shapes in their headers.

Three programs name the same layer in three ways:

- diffusers and peft write `unet.down_blocks.0.attentions.0.proj_in.lora_A.weight`,
- older versions of diffusers `unet.….attn1.processor.to_q_lora.down.weight`,
- kohya's scripts `lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight`, and for SDXL the
  block names of its first code: `lora_unet_input_blocks_4_1_proj_in.lora_down.weight`.

`flat_name` makes one name of all of them, with `_` for each dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp
from sdgraph.models import TensorShapes, resolve_part, tensor_shapes
from sdgraph.values import Checkpoint, Part

Shape = tuple[int, ...]

_TENSOR = re.compile(
    r"(?P<layer>.+?)"
    r"(?:[._](?:lora_|lora\.|lora_linear_layer\.)(?P<side>A|B|down|up)\.weight|\.(?P<alpha>alpha))"
)
"""The name of a tensor of a LoRA: the layer, then what the tensor is."""

_SIDES = {"A": "down", "B": "up", "down": "down", "up": "up"}

_KINDS = {
    r"dora_scale|lora_magnitude": "a DoRA adapter",
    r"hada_w": "a LoHa adapter",
    r"lokr_w": "a LoKr adapter",
    r"oft_blocks|oft_diag|oft_R|boft_": "an OFT adapter",
    r"lora_mid": "a LoCon adapter in Tucker's form (lora_mid)",
    r"\.on_input$|ia3_l": "an IA³ adapter",
    r"\.[ab][12]\.weight$": "a GLoRA adapter",
    r"\.diff$|\.diff_b$|\.w_norm$|\.b_norm$": "an adapter with whole differences of weights (diff)",
    r"^bundle_emb": "a LoRA with textual inversions in one file (bundle_emb)",
    r"lora_controlnet|^input_blocks\.\d+\.\d+\.weight$": "a Control-LoRA",
    r"_embed\.lora_embedding|lora_embedding_[AB]": "a LoRA of embeddings",
    r"lora_[AB]\.bias$": "a LoRA with biases",
}
"""Kinds of adapters that are not supported, by a regular expression of the names of their tensors.

diffusers ignores some of their tensors or computes others in another way.
"""

_ARCHITECTURES = {
    r"img_mlp_fc|_mod_linear|individual_token_refiner": "HunyuanVideo",
    r"double_blocks|single_blocks|single_transformer_blocks|distilled_guidance": "Flux",
    r"joint_blocks|text_encoder_3|lora_te3_": "Stable Diffusion 3",
    r"motion_modules": "AnimateDiff",
    r"(?:^|[._])blocks[._]\d+[._](?:cross_attn|self_attn|ffn)": "Wan",
    r"lora_prior_|^prior\.": "a prior, such as Stable Cascade's",
    r"^(?:lora_)?transformer[._]|^diffusion_model\.": "a diffusion transformer",
    r"model\.layers\.\d+\.self_attn": "a language model",
}
"""Networks that no family here has, by a regular expression of names in LoRAs for them."""

_FIRST_BLOCKS = re.compile(r"lora_unet_((input|output)_blocks_\d|middle_block_\d)")
_OWN_BLOCKS = re.compile(r"lora_unet_((down|up)_blocks_\d|mid_block_)")
_UNET_BLOCK = r"(?:down_blocks|mid_block|up_blocks)\."


@dataclass
class LoraLayer:
    """The shapes of the two matrices of a layer, as far as the file has them."""

    down: Shape | None = None
    up: Shape | None = None
    has_alpha: bool = False

    @property
    def weight(self) -> Shape | None:
        """The shape of the weight that the layer changes; None if a matrix is missing.

        The matrices of a convolution are `rank × in × height × width` and `out × rank × 1 × 1`.
        """
        return None if self.down is None or self.up is None else (self.up[0], *self.down[1:])


def group_by_layer(shapes: TensorShapes) -> tuple[dict[str, LoraLayer], list[str]]:
    """The layers of a file by their names as written, and the names of tensors of no layer."""
    layers: dict[str, LoraLayer] = {}
    others = []
    for name, shape in shapes.items():
        match = _TENSOR.fullmatch(name)
        if match is None:
            others.append(name)
            continue
        layer = layers.setdefault(match["layer"], LoraLayer())
        if match["alpha"]:
            layer.has_alpha = True
        elif _SIDES[match["side"]] == "down":
            layer.down = shape
        else:
            layer.up = shape
    return layers, others


def unsupported_kind(names: Iterable[str]) -> str:
    """What kind of adapter a file is that is not supported, with its article; "" if none."""
    return _first_match(_KINDS, names)


def other_architecture(names: Iterable[str]) -> str:
    """The network of no family here that a LoRA is for, by the names of its tensors; or ""."""
    return _first_match(_ARCHITECTURES, names)


def _first_match(labels: Mapping[str, str], names: Iterable[str]) -> str:
    listed = tuple(names)
    matching = (
        label for pattern, label in labels.items() if any(re.search(pattern, n) for n in listed)
    )
    return next(matching, "")


def lacks_prefix(names: Iterable[str]) -> bool:
    """Whether names begin with a U-Net's block or peft's own prefix, which diffusers ignores."""
    return any(re.match(rf"(?:base_model\.model\.)?{_UNET_BLOCK}", name) for name in names)


def two_layouts(names: Iterable[str]) -> tuple[str, str] | None:
    """A name with SDXL's first block names and one with those of diffusers, if a file has both.

    diffusers renames all blocks of such a file or none.
    """
    listed = [name for name in names if name.startswith("lora_unet_")]
    first = next((name for name in listed if _FIRST_BLOCKS.match(name)), None)
    own = next((name for name in listed if _OWN_BLOCKS.match(name)), None)
    return None if first is None or own is None else (first, own)


def layer_problem(layers: Mapping[str, LoraLayer]) -> str:
    """What is wrong with the layers themselves: half of one is missing, or its ranks differ."""
    for name, layer in layers.items():
        if layer.down is None or layer.up is None:
            if layer.down is None and layer.up is None:
                return f"which has an alpha and no matrices for {name}"
            missing = "up (B)" if layer.up is None else "down (A)"
            return f"which is incomplete: {name} has no {missing} matrix"
        if min(len(layer.down), len(layer.up)) < 2 or layer.down[0] != layer.up[1]:
            ranks = f"{list(layer.down)} and {list(layer.up)}"
            return f"which is damaged: the matrices of {name} are {ranks}, of two ranks"
        if layer.has_alpha and not name.startswith("lora_"):
            return f"whose alphas would be ignored ({name}.alpha, in a layout of diffusers)"
    return ""


def flat_name(layer: str, blocks: int = 2) -> str:
    """A layer's name in a LoRA file, without its component's prefix, as in `network_layers`.

    Args:
        layer: The name, such as `input_blocks_4_1_proj_in`.
        blocks: The U-Net's `layers_per_block`.

    Example:
        >>> flat_name("input_blocks_4_1_proj_in")
        'down_blocks_1_attentions_0_proj_in'
        >>> flat_name("mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out")
        'mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0'
    """
    name = layer.replace(".processor.", ".").replace(".", "_").removeprefix("text_model_")
    name = re.sub(r"_attn([12])_to_out$", r"_attn\1_to_out_0", name)
    name = re.sub(r"_self_attn_to_(q|k|v|out)$", r"_self_attn_\1_proj", name)
    for pattern, replacement in _OUTER_LAYERS.items():
        name = re.sub(pattern, replacement, name)
    match = re.fullmatch(r"(input_blocks|output_blocks|middle_block)_(\d+)(?:_(\d+))?_(.+)", name)
    if match is None:
        return name
    side, number, rest = match[1], int(match[2]), match[4]
    if side == "middle_block":
        # Its inner numbers belong to the layer: middle_block_1_transformer_blocks_0_….
        rest = name.removeprefix(f"middle_block_{number}_")
        block = "mid_block", ("resnets_0", "attentions_0", "resnets_1")[min(number, 2)]
    else:
        down = side == "input_blocks"
        block_number, index = divmod(number - 1 if down else number, blocks + 1)
        inner = int(match[3] or 0)
        kinds = (f"resnets_{index}", f"attentions_{index}", "upsamplers_0")
        kind = "downsamplers_0" if down and rest == "op" else kinds[min(inner, 2)]
        if not down and rest == "conv":
            kind = "upsamplers_0"
        block = f"{'down' if down else 'up'}_blocks_{block_number}", kind
    for pattern, replacement in _INNER_LAYERS.items():
        rest = re.sub(pattern, replacement, rest)
    return "_".join((*block, rest))


_OUTER_LAYERS = {
    r"^input_blocks_0_0$": "conv_in",
    r"^out_2$": "conv_out",
    r"^time_embed_0$": "time_embedding_linear_1",
    r"^time_embed_2$": "time_embedding_linear_2",
    r"^label_emb_0_0$": "add_embedding_linear_1",
    r"^label_emb_0_2$": "add_embedding_linear_2",
}
"""Layers outside of the blocks: their names in the first code of SDXL, and in diffusers."""

_INNER_LAYERS = {
    r"^in_layers_2$": "conv1",
    r"^out_layers_3$": "conv2",
    r"^emb_layers_1$": "time_emb_proj",
    r"^skip_connection$": "conv_shortcut",
    r"^op$": "conv",
}
"""Layers of blocks: their names in the first code of SDXL, and in diffusers."""


def network_layers(checkpoint: Checkpoint, component: str) -> Mapping[str, Shape] | None:
    """The shapes of a network's weights by `flat_name`; None if its files do not tell.

    That is where they are not on this disk, are pickles, are stored quantized, or have the names
    of LDM, as in a checkpoint of one file.
    """
    try:
        part = resolve_part(Part(checkpoint, component))
        files = () if part.tensor_prefix is not None else part.files
        stamps = tuple((path, FileStamp.of(path)) for path in files)
    except (CheckpointError, OSError):
        return None
    if not files or any(path.suffix != ".safetensors" for path in files):
        return None
    return _weight_shapes(stamps)


@lru_cache(maxsize=16)
def _weight_shapes(files: tuple[tuple[Path, FileStamp], ...]) -> Mapping[str, Shape] | None:
    shapes: dict[str, Shape] = {}
    for path, _ in files:
        try:
            tensors = tensor_shapes(path)
        except CheckpointError:  # reported where the checkpoint itself is checked
            return None
        for name, shape in tensors.items():
            if "quant" in name or name.endswith((".absmax", ".SCB")):
                return None
            if name.endswith(".weight"):
                shapes[flat_name(name.removesuffix(".weight"))] = shape
    return shapes
