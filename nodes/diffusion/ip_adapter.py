"""IP-Adapters (Ye et al. 2023): files checked from their headers, put on a U-Net and taken off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.models import TensorShapes, find_lora, quiet_libraries, resolve
from sdgraph.values import Checkpoint, Lora

from .controlnet_defaults import base_of
from .families import BY_TEXT_WIDTH

ENCODER = "CLIPVisionModelWithProjection"

_KNOWN = {
    "tiny": Lora("tiny/ip-adapter"),
    "Stable Diffusion 1.x": Lora("h94/IP-Adapter", file="models/ip-adapter_sd15.safetensors"),
    "SDXL": Lora("h94/IP-Adapter", file="sdxl_models/ip-adapter_sdxl_vit-h.safetensors"),
}
"""The adapter for a base where none is named."""


def default_adapter(base: object) -> Lora:
    """The adapter for a base checkpoint; raises CheckpointError where none is known."""
    if not isinstance(base, Checkpoint):
        raise CheckpointError(
            Problem(
                "the base",
                "a checkpoint that another node makes",
                "an adapter for it by name",
                "add `ip_adapter: …`",
            )
        )
    name = base_of(base)
    if name not in _KNOWN:
        wanted = f"a base that has one: {', '.join(_KNOWN)}"
        fix = "name one with `ip_adapter:`"
        raise CheckpointError(Problem("", f"no known IP-Adapter for {name}", wanted, fix))
    return _KNOWN[name]


def default_encoder(adapter: Lora) -> Checkpoint:
    """The image encoder that lies beside an adapter, as in its authors' repository.

    There those for SDXL with "vit-h" in their names read the encoder of those for Stable Diffusion.
    """
    below = Path(adapter.file or "").parent
    source = adapter.source
    if source.endswith(".safetensors"):
        source, below = str(Path(source).parent), Path()
    if "vit-h" in (adapter.file or "") and below.name == "sdxl_models":
        below = below.with_name("models")
    folder = (below / "image_encoder").as_posix()
    return Checkpoint(source, revision=adapter.revision, subfolder=folder)


def problems(adapter: Lora, encoder: object, base: object) -> Iterator[Problem]:
    """Why an adapter or its encoder cannot be used over a base, as far as headers here show."""
    try:
        shapes = resolve(adapter).lora_shapes
    except CheckpointError as error:
        yield from error.as_problems_of("ip_adapter", "an IP-Adapter that can be used")
        return
    found = "" if shapes is None else _unreadable(shapes)
    if shapes is not None and not found and isinstance(base, Checkpoint):
        found = _unfit(shapes, resolve(base).config("unet") or {})
    if found:
        over = getattr(base, "source", "the checkpoint")
        yield Problem("ip_adapter", f"{adapter.source}, {found}", f"an IP-Adapter for {over}")
    else:
        yield from encoder_problems("image_encoder", encoder, shapes)


def encoder_problems(
    field: str, encoder: object, shapes: TensorShapes | None = None
) -> Iterator[Problem]:
    """Why a checkpoint is no image encoder, or not an adapter's, as far as configs show."""
    if not isinstance(encoder, Checkpoint):
        return
    try:
        own = resolve(encoder).config()
    except CheckpointError as error:
        yield from error.as_problems_of(field, f"a {ENCODER}")
        return
    if own is None:
        return
    named = (own.get("architectures") or [own.get("_class_name", "model without a class")])[0]
    if named != ENCODER:
        yield Problem(field, f"{encoder.source}, a {named}", f"a {ENCODER}")
        return
    setting, wanted = _read(shapes or {})
    if wanted and own.get(setting) != wanted:
        found = f"{encoder.source}, which gives {own.get(setting)} features"
        yield Problem(field, found, f"the adapter's own: it reads {wanted}")


def _read(shapes: TensorShapes) -> tuple[str, int]:
    """The setting of an encoder that an adapter's projection hangs on, and its value."""
    widths = {
        "image_proj.proj.weight": ("projection_dim", 1),
        "image_proj.proj.0.weight": ("hidden_size", 0),
        "image_proj.proj_in.weight": ("hidden_size", 1),
    }
    for name, (field, side) in widths.items():
        if len(shapes.get(name, ())) == 2:
            return field, shapes[name][side]
    return "", 0


def _unreadable(shapes: TensorShapes) -> str:
    """What a file is that is no IP-Adapter for CLIP's features, or nothing."""
    heard = [shape for name, shape in shapes.items() if name.endswith("_ip.weight")]
    if not heard or any(len(shape) != 2 for shape in heard):
        return "which holds no IP-Adapter (a LoRA, whole weights, or something else)"
    plain = "image_proj.proj.weight" in shapes
    if "image_proj.perceiver_resampler.proj_in.weight" in shapes or (
        "image_proj.norm.weight" in shapes and not plain
    ):
        return "which reads face embeddings of insightface (FaceID): take a plus-face one"
    return "" if _read(shapes)[1] else "which holds no projection of pictures"


def _unfit(shapes: TensorShapes, unet: Mapping[str, Any]) -> str:
    """Why an adapter's layers do not fit a U-Net's, or nothing."""
    width = unet.get("cross_attention_dim")
    levels = set(unet.get("block_out_channels", ()))
    heard = {name: shape for name, shape in shapes.items() if name.endswith("to_k_ip.weight")}
    for own, text in heard.values():
        if isinstance(width, int) and text != width:
            over = f" for {BY_TEXT_WIDTH[text]}" if text in BY_TEXT_WIDTH else ""
            return f"made{over} for text features of {text}, here there are {width}"
        if levels and own not in levels:
            many = ", ".join(map(str, sorted(levels)))
            return f"made for layers {own} wide, here there are {many}"
    return ""


def held(adapter: Lora) -> int:
    """The bytes that an adapter takes while it is put on: those of its file, 0 if not here."""
    try:
        path = find_lora(adapter)
    except CheckpointError:
        return 0
    return 0 if path is None else path.stat().st_size


def processor(side: int, **options: Any) -> Any:
    """What prepares pictures for an image encoder that sees them at a size: CLIP's own."""
    from transformers import CLIPImageProcessorPil

    size = {"height": side, "width": side}
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size, **options)


@contextmanager
def put_on(pipe: Any, path: Path, adapter: Lora) -> Iterator[None]:
    """The pipeline with an adapter's layers in its U-Net, which has its own back afterwards.

    Raises InvalidValueError where they are not those of this network.
    """
    from safetensors.torch import load_file

    state: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(path).items():
        part, _, key = name.partition(".")
        if part in state:
            state[part][key] = tensor
    unet = pipe.unet
    processors, hidden = dict(unet.attn_processors), unet.encoder_hid_proj
    kind = unet.config.encoder_hid_dim_type
    try:
        try:
            with quiet_libraries():
                unet._load_ip_adapter_weights([state])
        except (KeyError, RuntimeError, ValueError) as error:
            found = f"{adapter.source}: {str(error).partition(chr(10))[0][:300]}"
            wanted = "an adapter whose layers the checkpoint's network has"
            raise InvalidValueError(Problem("ip_adapter", found, wanted)) from None
        pipe.set_ip_adapter_scale(adapter.scale)
        yield
    finally:
        # The projection first: one that attends would count among the U-Net's processors.
        unet.encoder_hid_proj = hidden
        unet.set_attn_processor(processors)
        unet.config.encoder_hid_dim_type = kind
