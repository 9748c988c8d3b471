"""The files of IP-Adapters: which network one is for, and whether it fits a denoiser, by headers.

Those for U-Nets have two layers for each cross-attention; those of XLabs for FLUX.1 have biases
too, and those of InstantX for Stable Diffusion 3 norms that follow the timestep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from sdgraph.models import TensorShapes
from sdgraph.nodes.diffusion.families import (
    Config,
    IpAdapterLayout,
    labels_by_text_width,
    text_width,
    transformer_width,
)

from .lora_layers import other_architecture

_LABELS: Mapping[IpAdapterLayout, str] = {
    "unet": "a U-Net (Stable Diffusion, SDXL)",
    "flux": "FLUX.1",
    "sd3": "Stable Diffusion 3",
}
"""What adapters of a layout are for."""

_FLUX_NAMES = {
    "ip_adapter_proj_model.": "image_proj.",
    "double_blocks.": "ip_adapter.",
    "processor.": "",
    "ip_adapter_double_stream_k_proj": "to_k_ip",
    "ip_adapter_double_stream_v_proj": "to_v_ip",
}
"""The parts of the names in XLabs' files, with those that diffusers has for them."""

_TOKENS, _MORE_TOKENS, _WITH_MORE = 4, 16, 65536
"""The tokens of a picture for FLUX.1, and those of a projection with a number of features."""


class _Layout(NamedTuple):
    """What is checked of a file.

    Args:
        format_problem: What is wrong with a file that is no such adapter; "" if it is one.
        encoder_width: The setting in the encoder's config that it needs, and its value.
        fit_problem: Why its layers do not fit a denoiser with a config; "" if they fit.
        layer: What the names of the denoiser's layers end with, of which each has one of its own.
    """

    format_problem: Callable[[TensorShapes], str]
    encoder_width: Callable[[TensorShapes], tuple[str, int]]
    fit_problem: Callable[[TensorShapes, Config], str]
    layer: str


def with_usual_names(name: str) -> str:
    """The name of a tensor of an IP-Adapter as diffusers has it.

    Example:
        >>> with_usual_names("double_blocks.3.processor.ip_adapter_double_stream_k_proj.bias")
        'ip_adapter.3.to_k_ip.bias'
    """
    for own, usual in _FLUX_NAMES.items():
        name = name.replace(own, usual)
    return name


def layout_of(shapes: TensorShapes) -> IpAdapterLayout | None:
    """The network that an IP-Adapter is for; None if a file holds none.

    Args:
        shapes: The shapes of its tensors, by their usual names.
    """
    names = tuple(shapes)
    if not any(name.endswith("to_k_ip.weight") for name in names):
        return None
    if any(".norm_ip." in name for name in names):
        return "sd3"
    return "flux" if any(name.endswith("to_k_ip.bias") for name in names) else "unet"


def file_problem(shapes: TensorShapes, layout: IpAdapterLayout) -> str:
    """What is wrong with a file that is no IP-Adapter for a kind of network; "" if it is one.

    Args:
        shapes: The shapes of its tensors, by their usual names.
        layout: The network.
    """
    own = layout_of(shapes)
    if own is None and (architecture := other_architecture(shapes)):
        return f"made for {architecture} (it has {next(iter(shapes))})"
    if own is None or any(
        len(shape) != 2 for name, shape in shapes.items() if name.endswith("_ip.weight")
    ):
        return "which holds no IP-Adapter (a LoRA, whole weights, or something else)"
    if own != layout:
        return f"made for {_LABELS[own]}"
    return _LAYOUTS[layout].format_problem(shapes)


def encoder_width(shapes: TensorShapes, layout: IpAdapterLayout) -> tuple[str, int]:
    """The setting in the encoder's config that an adapter needs, and its value; or "" and 0."""
    return _LAYOUTS[layout].encoder_width(shapes)


def fit_problem(shapes: TensorShapes, settings: Config, layout: IpAdapterLayout) -> str:
    """Why an adapter's layers do not fit a denoiser with a config; "" if they fit."""
    return _LAYOUTS[layout].fit_problem(shapes, settings)


def count_problem(shapes: TensorShapes, layers: Mapping[str, object], settings: Config) -> str:
    """Why an adapter has not a layer for each attention of a denoiser; "" if it has.

    Args:
        shapes: The shapes of the adapter's tensors, by their usual names.
        layers: The layers of the denoiser, by their names with underscores.
        settings: The denoiser's config.
    """
    layout = layout_of(shapes)
    assert layout is not None
    end = _LAYOUTS[layout].layer
    wanted = sum(name.endswith(end) and "single_" not in name for name in layers)
    count = sum(name.endswith("to_k_ip.weight") for name in shapes)
    return "" if count == wanted else f"made for {count} layers of attention, here are {wanted}"


def _widths(shapes: TensorShapes, names: Mapping[str, tuple[str, int]]) -> tuple[str, int]:
    for name, (field, side) in names.items():
        if len(shapes.get(name, ())) == 2:
            return field, shapes[name][side]
    return "", 0


def _unet_encoder(shapes: TensorShapes) -> tuple[str, int]:
    return _widths(
        shapes,
        {
            "image_proj.proj.weight": ("projection_dim", 1),
            "image_proj.proj.0.weight": ("hidden_size", 0),
            "image_proj.proj_in.weight": ("hidden_size", 1),
        },
    )


def _unet_format(shapes: TensorShapes) -> str:
    plain = "image_proj.proj.weight" in shapes
    if "image_proj.perceiver_resampler.proj_in.weight" in shapes or (
        "image_proj.norm.weight" in shapes and not plain
    ):
        return "which reads face embeddings of insightface (FaceID): take a plus-face one"
    return "" if _unet_encoder(shapes)[1] else "which holds no projection of pictures"


def _unet_fit(shapes: TensorShapes, settings: Config) -> str:
    width = text_width(settings)
    levels = set(settings.get("block_out_channels", ()))
    keys = (shape for name, shape in shapes.items() if name.endswith("to_k_ip.weight"))
    for layer, text in keys:
        if width is not None and text != width:
            label = labels_by_text_width(text)
            over = f" for {label}" if label else ""
            return f"made{over} for text features of {text}, here there are {width}"
        if levels and layer not in levels:
            widths = ", ".join(map(str, sorted(levels)))
            return f"made for layers {layer} wide, here there are {widths}"
    return ""


def _flux_encoder(shapes: TensorShapes) -> tuple[str, int]:
    return _widths(shapes, {"image_proj.proj.weight": ("projection_dim", 1)})


def _flux_format(shapes: TensorShapes) -> str:
    return "" if _flux_encoder(shapes)[1] else "which holds no projection that diffusers reads"


def _flux_fit(shapes: TensorShapes, settings: Config) -> str:
    features = shapes["image_proj.proj.weight"][0]
    made = features // (_MORE_TOKENS if features == _WITH_MORE else _TOKENS)
    width, text = transformer_width(settings), settings.get("joint_attention_dim")
    for name, shape in shapes.items():
        if not name.endswith("to_k_ip.weight"):
            continue
        if width and shape[0] != width:
            return f"made for layers {shape[0]} wide, here they are {width}"
        if text and (shape[1] != text or made != text):
            return f"made for features of {made}, here there are {text}"
    return ""


def _sd3_encoder(shapes: TensorShapes) -> tuple[str, int]:
    return _widths(shapes, {"image_proj.proj_in.weight": ("hidden_size", 1)})


def _sd3_format(shapes: TensorShapes) -> str:
    wanted = ("image_proj.proj_in.weight", "image_proj.proj_out.weight", "image_proj.latents")
    return "" if all(name in shapes for name in wanted) else "which holds no projection of pictures"


def _sd3_fit(shapes: TensorShapes, settings: Config) -> str:
    width = transformer_width(settings)
    for name, shape in shapes.items():
        if name.endswith("to_k_ip.weight") and width and shape != (width, width):
            return f"made for layers {shape[0]} wide, here they are {width}"
    return ""


_LAYOUTS: Mapping[IpAdapterLayout, _Layout] = {
    "unet": _Layout(_unet_format, _unet_encoder, _unet_fit, "attn2_to_k"),
    # Its other blocks have one attention for words and picture, which the adapter leaves alone.
    "flux": _Layout(_flux_format, _flux_encoder, _flux_fit, "attn_to_k"),
    "sd3": _Layout(_sd3_format, _sd3_encoder, _sd3_fit, "_to_k"),
}
