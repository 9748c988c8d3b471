"""IP-Adapters (Ye et al. 2023): defaults, checks of files by their headers, and their use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, InvalidValueError, Problem
from sdgraph.formatting import with_article
from sdgraph.models import TensorShapes, find_lora, quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import (
    UNET_IP_ADAPTER,
    IpAdapterSettings,
    ModelFamily,
    all_families,
    likely_family,
)
from sdgraph.values import Checkpoint, Image, Lora

from .ip_adapter_layouts import (
    count_problem,
    encoder_width,
    file_problem,
    fit_problem,
    with_usual_names,
)
from .lora_layers import network_layers

_PROJECTIONS = ("encoder_hid_proj", "image_proj")
"""The attributes of denoisers in which diffusers puts what projects the features of pictures."""

_WHOLE_MODELS = {
    "CLIPVisionModelWithProjection": "CLIPModel",
    "SiglipVisionModel": "SiglipModel",
}
"""The models that have an image encoder of a class as a part."""

_PROJECTION_TYPE = "encoder_hid_dim_type"
"""The setting of a denoiser's config that diffusers changes with them."""


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
        versions = (
            other for family in all_families() for other in (family.shipped, *family.versions)
        )
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
    settings = (family or all_families()[0]).ip_adapter
    if shapes is not None:
        shapes = {with_usual_names(name): shape for name, shape in shapes.items()}
    reason = "" if shapes is None else file_problem(shapes, settings.layout)
    if shapes is not None and not reason and isinstance(base, Checkpoint) and family is not None:
        reason = fit_problem(shapes, family.denoiser_config(base), settings.layout)
        reason = reason or _count_problem(shapes, base, family)
    if reason:
        yield Problem("ip_adapter", f"{adapter.source}, {reason}", f"an IP-Adapter for {over}")
    else:
        yield from image_encoder_problems("image_encoder", encoder, shapes, settings)


def reference_problems(
    pictures: Sequence[object], family: ModelFamily, task: str
) -> Iterator[Problem]:
    """The problems of pictures of a subject that a family's pipelines do not take.

    Args:
        pictures: The pictures, as values or nodes.
        family: The family.
        task: What the node does.
    """
    settings, limit = family.ip_adapter, family.ip_adapter.max_pictures
    if "ip-adapter" not in family.adapters:
        return
    if settings.tasks and task not in settings.tasks:
        found = f"one for {task} by {family.label}"
        wanted = f"none: it takes one for {', '.join(settings.tasks)}"
        yield Problem("reference", found, wanted, "leave it out")
    if limit and len(pictures) > limit:
        found, fix = f"{len(pictures)} pictures for {family.label}", "leave the others out"
        yield Problem("reference", found, f"at most {limit}", fix)


def image_encoder_problems(
    field: str,
    encoder: object,
    shapes: TensorShapes | None = None,
    settings: IpAdapterSettings = UNET_IP_ADAPTER,
) -> Iterator[Problem]:
    """The problem of a checkpoint that is no image encoder, or not that of an adapter.

    Args:
        field: The name of the checkpoint's field.
        encoder: Its value; a node is not checked, nor a checkpoint that is not on this disk.
        shapes: The shapes of the adapter's tensors, by their usual names.
        settings: How the family takes IP-Adapters.
    """
    wanted_class = settings.encoder
    if not isinstance(encoder, Checkpoint):
        return
    try:
        config = resolve(encoder).config()
    except CheckpointError as error:
        yield from error.as_problems_of(field, f"a {wanted_class}")
        return
    if config is None:
        return
    classes = config.get("architectures") or [config.get("_class_name", "model without a class")]
    class_name = classes[0]
    if class_name != wanted_class:
        found = f"{encoder.source}, {with_article(class_name)}"
        is_part = class_name == _WHOLE_MODELS.get(wanted_class)
        fix = f"save its part for pictures alone, with {wanted_class} of transformers"
        yield Problem(field, found, f"a {wanted_class}", fix if is_part else "")
        return
    setting, wanted = encoder_width(shapes or {}, settings.layout)
    if wanted and config.get(setting) != wanted:
        found = f"{encoder.source}, which gives {config.get(setting)} features"
        yield Problem(field, found, f"the adapter's own: it reads {wanted}")


def _count_problem(shapes: TensorShapes, base: Checkpoint, family: ModelFamily) -> str:
    """Why an adapter has not a layer for each attention of a denoiser; "" if it has."""
    layers = network_layers(base, family.denoiser.name)
    return "" if layers is None else count_problem(shapes, layers, family.denoiser_config(base))


def adapter_bytes(adapter: Lora) -> int:
    """The bytes that an applied IP-Adapter needs: those of its file, 0 if not on this disk."""
    try:
        path = find_lora(adapter)
    except CheckpointError:
        return 0
    return 0 if path is None else path.stat().st_size


def image_processor(side: int, settings: IpAdapterSettings | None = None, **options: Any) -> Any:
    """The image processor for an encoder of square pictures: that of CLIP, or of SigLIP.

    Args:
        side: The side of the pictures in pixels.
        settings: How the family takes IP-Adapters; None for an encoder of CLIP.
        options: Further settings of CLIP's processor.
    """
    import transformers

    size = {"height": side, "width": side}
    if settings is not None and settings.encoder.startswith("Siglip"):
        return transformers.SiglipImageProcessorPil(size=size)
    shortest = {"shortest_edge": side}
    return transformers.CLIPImageProcessorPil(size=shortest, crop_size=size, **options)


def reference_arguments(
    reference: Image | tuple[Image, ...] | None, family: ModelFamily
) -> dict[str, Any]:
    """The pictures of the subject as arguments of a pipeline's call.

    Args:
        reference: The picture, or several; None for none.
        family: The pipeline's family.
    """
    if reference is None:
        return {}
    pictures = [each.rgb for each in (reference if isinstance(reference, tuple) else (reference,))]
    one = family.ip_adapter.max_pictures == 1
    return {"ip_adapter_image": pictures[0] if one else [pictures]}


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
    state = _read(path)
    denoiser = getattr(pipe, family.denoiser.name)
    processors = dict(denoiser.attn_processors)
    before = [(denoiser, name, getattr(denoiser, name, _ABSENT)) for name in _PROJECTIONS]
    settings = denoiser.config
    before.append((settings, _PROJECTION_TYPE, getattr(settings, _PROJECTION_TYPE, _ABSENT)))
    try:
        try:
            with quiet_libraries():
                one = family.ip_adapter.layout == "sd3"
                denoiser._load_ip_adapter_weights(state if one else [state])
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            found = f"{adapter.source}: {str(error).partition(chr(10))[0][:300]}"
            wanted = "an adapter whose layers the checkpoint's network has"
            raise InvalidValueError(Problem("ip_adapter", found, wanted)) from None
        pipe.set_ip_adapter_scale(adapter.scale)
        yield
    finally:
        # The projection first: one with attention would count among the network's processors.
        for owner, name, value in before:
            _restore(owner, name, value)
        denoiser.set_attn_processor(processors)


_ABSENT = object()
"""Stands for an attribute that a network does not have."""


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors of an adapter's file, for its projection and its layers."""
    from safetensors.torch import load_file

    state: dict[str, dict[str, Any]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(path).items():
        part, _, key = with_usual_names(name).partition(".")
        if part in state:
            state[part][key] = tensor
    return state


def _restore(owner: Any, name: str, value: object) -> None:
    """Gives an attribute its value again, or removes it if there was none."""
    if value is not _ABSENT:
        setattr(owner, name, value)
    elif hasattr(owner, name):
        delattr(owner, name)
