"""The model families, each in a file of its own, and the lookup of a checkpoint's family."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import TYPE_CHECKING

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import newer_version_advice, resolve
from sdgraph.values import MOTION, Checkpoint

from .control_settings import ControlSettings, MapAdapterSettings, UnionSettings
from .family_index import FAMILY_INDEX, all_families, family_by_class, import_family, names_by_hint
from .family_settings import (
    FamilyVersion,
    OptionalComponent,
    PipelineOption,
    TextEncoder,
    VideoSettings,
)
from .guiders import make_guider
from .ip_adapter_settings import UNET_IP_ADAPTER, IpAdapterLayout, IpAdapterSettings
from .model_family import ZERO_EMPTY_PROMPT, ModelFamily
from .networks import (
    Config,
    Decoder,
    Denoiser,
    autoencoder_memory,
    text_width,
    unet_memory,
)
from .tasks import Knob, Purpose, Task
from .transformer_networks import TRANSFORMER_LORA_PREFIXES, transformer_width

if TYPE_CHECKING:
    from .flux import FLUX, FLUX_FILL
    from .flux2 import FLUX2
    from .flux2_klein import FLUX2_KLEIN
    from .instruct_pix2pix import INSTRUCT_PIX2PIX, INSTRUCT_PIX2PIX_XL
    from .latent_consistency import LATENT_CONSISTENCY
    from .qwen_image_edit import QWEN_IMAGE_EDIT, QWEN_IMAGE_EDIT_PLUS
    from .sdxl import SDXL
    from .stable_diffusion import STABLE_DIFFUSION
    from .stable_diffusion_3 import STABLE_DIFFUSION_3
    from .text_to_video import TEXT_TO_VIDEO

    FAMILIES: tuple[ModelFamily, ...]

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        """A family by its name, such as SDXL; FAMILIES for all."""
        if name == "FAMILIES":
            return all_families()
        if name in FAMILY_INDEX:
            return import_family(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


CONTROLNET = "controlnet"
"""The pipelines' argument for ControlNets."""

DEPTH_ESTIMATOR, FEATURE_EXTRACTOR = "depth_estimator", "feature_extractor"
"""The components with which depth-guided pipelines estimate the depth of a picture."""

SCHEDULER = "scheduler"
"""The component that every pipeline has in addition to those of its family."""

DISABLED_EXTRAS: Mapping[str, object] = {
    "safety_checker": None,
    FEATURE_EXTRACTOR: None,
    DEPTH_ESTIMATOR: None,
    "requires_safety_checker": False,
    "add_watermarker": False,
}
"""Pipeline arguments that switch off what neither generating nor training needs.

diffusers' SDXL pipelines would put an invisible watermark on pictures wherever the package
invisible-watermark is installed, so that the pixels would depend on what else is installed.
"""


def pipeline_class_of(checkpoint: Checkpoint) -> str:
    """The pipeline class in a checkpoint's index, "" if it has none or is not on this disk.

    With a motion adapter it is the one that animates pictures of the checkpoint.

    Raises:
        CheckpointError: It has a motion adapter, and its family takes none.
    """
    class_name = str((resolve(checkpoint).index or {}).get("_class_name") or "")
    family = family_by_class(class_name) if MOTION in checkpoint.parts else None
    if family is None:
        return class_name
    if family.animates:
        return class_name
    for animated in filter(attrgetter("animates"), all_families()):
        if animated.animates == family.label:
            return animated.pipelines["text-to-video"]
    found = f"a motion adapter for {family.label}"
    labels = " or ".join(filter(None, (animated.animates for animated in all_families())))
    wanted = f"a checkpoint of {labels}, whose pictures it makes move"
    raise CheckpointError(Problem(checkpoint.source, found, wanted, "leave `motion` out"))


def family_of(checkpoint: Checkpoint) -> ModelFamily | None:
    """The family that a checkpoint's index names, None if it is not on this disk.

    Raises:
        CheckpointError: No family has the pipeline class in the index.
    """
    index = resolve(checkpoint).index
    if index is None:
        return None
    class_name = pipeline_class_of(checkpoint)
    family = family_by_class(class_name)
    if family is None:
        single_file = resolve(checkpoint).single_file
        alone = "a single model, not a pipeline" if single_file is None else single_file.kind.label
        kind = f"a checkpoint for {class_name}" if class_name else alone
        labels = ", ".join(other.label for other in all_families())
        wanted = f"one of {labels}, in diffusers' folder layout"
        fix = newer_version_advice("diffusers", index)
        if class_name.endswith("ModularPipeline"):
            fix = fix or "the node Modular makes pictures by it"
        raise CheckpointError(Problem(checkpoint.source, kind, wanted, fix))
    return _family_by_config(family, checkpoint)


def _family_by_config(family: ModelFamily, checkpoint: Checkpoint) -> ModelFamily:
    """The family of a checkpoint by its denoiser, which may be another than its index says."""
    if family.pipeline_by_config is None:
        return family
    try:
        config = family.denoiser_config(checkpoint)
    except CheckpointError:
        return family  # what reads the config next reports it
    return family_by_class(family.pipeline_by_config(config)) or family


def family_of_modular(index: Mapping[str, object]) -> ModelFamily | None:
    """The family whose formulas hold for a modular pipeline: by its class, or by its denoiser's.

    Args:
        index: The pipeline's index, or the model index of a usual pipeline.
    """
    class_name = str(index.get("_class_name") or "").replace("ModularPipeline", "Pipeline")
    names = {entry[1] for entry in index.values() if isinstance(entry, list) and len(entry) > 1}
    alike = (family for family in all_families() if names & set(family.denoiser.classes))
    return family_by_class(class_name) or next(alike, None)


def likely_family(checkpoint: Checkpoint, task: Task | None = None) -> ModelFamily:
    """The family of a checkpoint; if it is not on this disk, the one that its name suggests.

    Args:
        checkpoint: The checkpoint.
        task: A guess is one of the families that can do this task.
    """
    family = family_of(checkpoint)
    if family is not None:
        return family
    if MOTION in checkpoint.parts:
        is_xl = FAMILY_INDEX["SDXL"].name_hint in checkpoint.source.lower()
        return import_family("ANIMATEDIFF_XL" if is_xl else "ANIMATEDIFF")
    likely = map(import_family, names_by_hint(checkpoint.source))
    return next(family for family in likely if task is None or task in family.pipelines)


def families_for(task: Task) -> list[ModelFamily]:
    """The families that can do a task."""
    return [family for family in all_families() if task in family.pipelines]


def labels_by_text_width(width: int) -> str:
    """The labels of the family versions with text features of a width; "" for none."""
    versions = (version for family in all_families() for version in family.versions)
    return " or ".join(version.label for version in versions if version.text_width == width)


def labels_by_inversion_width(width: int) -> str:
    """The labels of the family versions with textual inversions of a width; "" for none."""
    versions = (version for family in all_families() for version in family.versions)
    return " or ".join(version.label for version in versions if version.inversion_width == width)


__all__ = [
    "CONTROLNET",
    "DEPTH_ESTIMATOR",
    "DISABLED_EXTRAS",
    "FAMILIES",
    "FEATURE_EXTRACTOR",
    "FLUX",
    "FLUX2",
    "FLUX2_KLEIN",
    "FLUX_FILL",
    "INSTRUCT_PIX2PIX",
    "INSTRUCT_PIX2PIX_XL",
    "LATENT_CONSISTENCY",
    "QWEN_IMAGE_EDIT",
    "QWEN_IMAGE_EDIT_PLUS",
    "SCHEDULER",
    "SDXL",
    "STABLE_DIFFUSION",
    "STABLE_DIFFUSION_3",
    "TEXT_TO_VIDEO",
    "TRANSFORMER_LORA_PREFIXES",
    "UNET_IP_ADAPTER",
    "ZERO_EMPTY_PROMPT",
    "Config",
    "ControlSettings",
    "Decoder",
    "Denoiser",
    "FamilyVersion",
    "IpAdapterLayout",
    "IpAdapterSettings",
    "Knob",
    "MapAdapterSettings",
    "ModelFamily",
    "OptionalComponent",
    "PipelineOption",
    "Purpose",
    "Task",
    "TextEncoder",
    "UnionSettings",
    "VideoSettings",
    "all_families",
    "autoencoder_memory",
    "families_for",
    "family_of",
    "family_of_modular",
    "labels_by_inversion_width",
    "labels_by_text_width",
    "likely_family",
    "make_guider",
    "pipeline_class_of",
    "text_width",
    "transformer_width",
    "unet_memory",
]
