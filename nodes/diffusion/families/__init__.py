"""Model families: one file each, and here the list of them and how a checkpoint finds its own."""

from __future__ import annotations

from collections.abc import Mapping
from operator import methodcaller

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import resolve
from sdgraph.values import Checkpoint

from .model_family import (
    ZERO_EMPTY_PROMPT,
    FamilyVersion,
    Knob,
    ModelFamily,
    Purpose,
    Task,
    TextEncoder,
)
from .networks import (
    Config,
    Decoder,
    Denoiser,
    autoencoder_memory,
    text_width,
    unet_memory,
)
from .sdxl import SDXL
from .stable_diffusion import STABLE_DIFFUSION
from .text_to_video import TEXT_TO_VIDEO

FAMILIES: tuple[ModelFamily, ...] = (STABLE_DIFFUSION, SDXL, TEXT_TO_VIDEO)
"""The families, the one that is taken for an unknown name first."""

CONTROLNET = "controlnet"
"""The pipelines' argument for ControlNets."""

DEPTH_ESTIMATOR, FEATURE_EXTRACTOR = "depth_estimator", "feature_extractor"
"""The components with which depth-guided pipelines make the depth map of a picture."""

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
    """The pipeline class in a checkpoint's index, "" where it has none or is not here."""
    return str((resolve(checkpoint).index or {}).get("_class_name") or "")


def family_of(checkpoint: Checkpoint) -> ModelFamily | None:
    """The family that a checkpoint's index says it is of, None while it is not here.

    Raises:
        CheckpointError: Where no family has the pipeline class in the index.
    """
    index = resolve(checkpoint).index
    if index is None:
        return None
    class_name = str(index.get("_class_name") or "")
    family = max(FAMILIES, key=methodcaller("matches", class_name))
    if not family.matches(class_name):
        kind = f"a checkpoint for {class_name}" if class_name else "a single model, not a pipeline"
        labels = ", ".join(each.label for each in FAMILIES)
        wanted = f"one of {labels}, in diffusers' folder layout"
        raise CheckpointError(Problem(checkpoint.source, kind, wanted))
    return family


def likely_family(checkpoint: Checkpoint, task: Task | None = None) -> ModelFamily:
    """The family of a checkpoint: its own, or while it is not here, the one its name suggests.

    With a task it is one of those families that can do it.
    """
    family = family_of(checkpoint)
    if family is not None:
        return family
    able = families_for(task) if task else FAMILIES
    source = checkpoint.source.lower()
    hinted = (each for each in able if each.name_hint and each.name_hint in source)
    return next(hinted, able[0])


def families_for(task: Task) -> list[ModelFamily]:
    """The families that can do a task."""
    return [family for family in FAMILIES if task in family.pipelines]


def labels_by_text_width(width: int) -> str:
    """The versions of families that attend to text features of a width, in words; "" for none."""
    versions = (version for family in FAMILIES for version in family.versions)
    return " or ".join(each.label for each in versions if each.text_width == width)


def labels_by_inversion_width(width: int) -> str:
    """The versions whose textual inversions have vectors of a width, in words; "" for none."""
    versions = (version for family in FAMILIES for version in family.versions)
    return " or ".join(each.label for each in versions if each.inversion_width == width)


__all__ = [
    "CONTROLNET",
    "DEPTH_ESTIMATOR",
    "DISABLED_EXTRAS",
    "FAMILIES",
    "FEATURE_EXTRACTOR",
    "SCHEDULER",
    "SDXL",
    "STABLE_DIFFUSION",
    "TEXT_TO_VIDEO",
    "ZERO_EMPTY_PROMPT",
    "Config",
    "Decoder",
    "Denoiser",
    "FamilyVersion",
    "Knob",
    "ModelFamily",
    "Purpose",
    "Task",
    "TextEncoder",
    "autoencoder_memory",
    "families_for",
    "family_of",
    "labels_by_inversion_width",
    "labels_by_text_width",
    "likely_family",
    "pipeline_class_of",
    "text_width",
    "unet_memory",
]
