"""IP-Adapters (Ye et al. 2023): defaults, checks of files by their headers, and their use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.formatting import with_article
from sdgraph.models import TensorShapes, find_lora, quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import (
    FAMILIES,
    Config,
    ModelFamily,
    labels_by_text_width,
    likely_family,
    text_width,
)
from sdgraph.values import Checkpoint, Lora

from .lora_layers import network_layers, other_architecture

ENCODER = "CLIPVisionModelWithProjection"


def default_adapter(base: object) -> Lora:
    """The IP-Adapter for a base checkpoint.

    Raises:
        CheckpointError: None is known for it; the error lists the bases that have one.
    """
    if not isinstance(base, Checkpoint):
        raise CheckpointError(
            Problem(
                "the base",
                "a checkpoint that another node makes",
                "an adapter for it by name",
                "add `ip_adapter: …`",
            )
        )
    version = likely_family(base).version_of(base)
    if version.ip_adapter is None:
        versions = (other for family in FAMILIES for other in (family.shipped, *family.versions))
        labels = ", ".join(other.label for other in versions if other.ip_adapter is not None)
        wanted, fix = f"a base that has one: {labels}", "name one with `ip_adapter:`"
        found = f"no known IP-Adapter for {version.label}"
        raise CheckpointError(Problem("", found, wanted, fix))
    return version.ip_adapter


def default_encoder(adapter: Lora) -> Checkpoint:
    """The image encoder in the folder next to an IP-Adapter, as in its authors' repository.

    In that repository adapters for SDXL with "vit-h" in their names use the encoder of the adapters
    for Stable Diffusion.
    """
    parent = Path(adapter.file or "").parent
    source = adapter.source
    if source.endswith(".safetensors"):
        source, parent = str(Path(source).parent), Path()
    if "vit-h" in (adapter.file or "") and parent.name == "sdxl_models":
        parent = parent.with_name("models")
    folder = (parent / "image_encoder").as_posix()
    return Checkpoint(source, revision=adapter.revision, subfolder=folder)


def ip_adapter_problems(
    adapter: Lora, encoder: object, base: object, family: ModelFamily | None
) -> Iterator[Problem]:
    """The problems of an IP-Adapter or its image encoder over a base, as far as headers show.

    Args:
        adapter: The IP-Adapter.
        encoder: The value of the image encoder's port; a node is not checked.
        base: The value of the checkpoint's port.
        family: The base's family; None if the base is not on this disk, which is then not compared.
    """
    over = getattr(base, "source", "the checkpoint")
    if family is not None and "ip-adapter" not in family.adapters:
        yield Problem(
            "ip_adapter",
            f"one over {over}",
            f"none: IP-Adapters for {family.label} are not supported",
        )
        return
    try:
        shapes = resolve(adapter).lora_shapes
    except CheckpointError as error:
        yield from error.as_problems_of("ip_adapter", "an IP-Adapter that can be used")
        return
    reason = "" if shapes is None else _format_problem(shapes)
    if shapes is not None and not reason and isinstance(base, Checkpoint) and family is not None:
        reason = _fit_problem(shapes, family.denoiser_config(base))
        reason = reason or _count_problem(shapes, base, family)
    if reason:
        yield Problem("ip_adapter", f"{adapter.source}, {reason}", f"an IP-Adapter for {over}")
    else:
        yield from image_encoder_problems("image_encoder", encoder, shapes)


def image_encoder_problems(
    field: str, encoder: object, shapes: TensorShapes | None = None
) -> Iterator[Problem]:
    """The problem of a checkpoint that is no image encoder, or not that of an adapter.

    Args:
        field: The name of the checkpoint's field.
        encoder: Its value; a node is not checked, nor a checkpoint that is not on this disk.
        shapes: The shapes of the adapter's tensors, by name.
    """
    if not isinstance(encoder, Checkpoint):
        return
    try:
        config = resolve(encoder).config()
    except CheckpointError as error:
        yield from error.as_problems_of(field, f"a {ENCODER}")
        return
    if config is None:
        return
    classes = config.get("architectures") or [config.get("_class_name", "model without a class")]
    class_name = classes[0]
    if class_name != ENCODER:
        yield Problem(field, f"{encoder.source}, {with_article(class_name)}", f"a {ENCODER}")
        return
    setting, wanted = _encoder_width(shapes or {})
    if wanted and config.get(setting) != wanted:
        found = f"{encoder.source}, which gives {config.get(setting)} features"
        yield Problem(field, found, f"the adapter's own: it reads {wanted}")


def _encoder_width(shapes: TensorShapes) -> tuple[str, int]:
    """The setting in the encoder's config that an adapter needs, and its value; or "" and 0."""
    widths = {
        "image_proj.proj.weight": ("projection_dim", 1),
        "image_proj.proj.0.weight": ("hidden_size", 0),
        "image_proj.proj_in.weight": ("hidden_size", 1),
    }
    for name, (field, side) in widths.items():
        if len(shapes.get(name, ())) == 2:
            return field, shapes[name][side]
    return "", 0


def _format_problem(shapes: TensorShapes) -> str:
    """What is wrong with a file that is no IP-Adapter for CLIP's features; "" if it is one."""
    layers = [shape for name, shape in shapes.items() if name.endswith("_ip.weight")]
    if not layers and (architecture := other_architecture(shapes)):
        return f"made for {architecture} (it has {next(iter(shapes))})"
    if not layers or any(len(shape) != 2 for shape in layers):
        return "which holds no IP-Adapter (a LoRA, whole weights, or something else)"
    plain = "image_proj.proj.weight" in shapes
    if "image_proj.perceiver_resampler.proj_in.weight" in shapes or (
        "image_proj.norm.weight" in shapes and not plain
    ):
        return "which reads face embeddings of insightface (FaceID): take a plus-face one"
    return "" if _encoder_width(shapes)[1] else "which holds no projection of pictures"


def _fit_problem(shapes: TensorShapes, settings: Config) -> str:
    """Why an adapter's layers do not fit a denoiser with a config; "" if they fit."""
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


def _count_problem(shapes: TensorShapes, base: Checkpoint, family: ModelFamily) -> str:
    """Why an adapter has not a layer for each cross-attention of a denoiser; "" if it has."""
    weights = network_layers(base, family.denoiser.name)
    if weights is None:
        return ""
    wanted = sum(name.endswith("attn2_to_k") for name in weights)
    count = sum(name.endswith("to_k_ip.weight") for name in shapes)
    return "" if count == wanted else f"made for {count} layers of attention, here are {wanted}"


def adapter_bytes(adapter: Lora) -> int:
    """The bytes that an applied IP-Adapter needs: those of its file, 0 if not on this disk."""
    try:
        path = find_lora(adapter)
    except CheckpointError:
        return 0
    return 0 if path is None else path.stat().st_size


def image_processor(side: int, **options: Any) -> Any:
    """CLIP's image processor for an encoder of square pictures with `side` pixels."""
    from transformers import CLIPImageProcessorPil

    size = {"height": side, "width": side}
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=size, **options)


@contextmanager
def apply_ip_adapter(pipe: Any, path: Path, adapter: Lora, family: ModelFamily) -> Iterator[None]:
    """Puts an adapter's layers into a pipeline's denoiser, and its own layers back afterwards.

    Args:
        pipe: The pipeline.
        path: The adapter's file.
        adapter: The adapter, with its scale.
        family: The pipeline's family.

    Raises:
        InvalidValueError: The denoiser does not have the adapter's layers.
    """
    from safetensors.torch import load_file

    state: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(path).items():
        part, _, key = name.partition(".")
        if part in state:
            state[part][key] = tensor
    denoiser = getattr(pipe, family.denoiser.name)
    processors, projection = dict(denoiser.attn_processors), denoiser.encoder_hid_proj
    projection_type = denoiser.config.encoder_hid_dim_type
    try:
        try:
            with quiet_libraries():
                denoiser._load_ip_adapter_weights([state])
        except (KeyError, RuntimeError, ValueError) as error:
            found = f"{adapter.source}: {str(error).partition(chr(10))[0][:300]}"
            wanted = "an adapter whose layers the checkpoint's network has"
            raise InvalidValueError(Problem("ip_adapter", found, wanted)) from None
        pipe.set_ip_adapter_scale(adapter.scale)
        yield
    finally:
        # The projection first: one with attention would count among the network's processors.
        denoiser.encoder_hid_proj = projection
        denoiser.set_attn_processor(processors)
        denoiser.config.encoder_hid_dim_type = projection_type
