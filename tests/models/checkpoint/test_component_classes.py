"""A checkpoint may name known classes only, each for what it is for."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.models.checkpoint.component_classes import (
    CLASSES,
    MODULES,
    SCHEDULERS,
    is_allowed,
    refuse_class,
    refuse_other_class,
    role_of,
)
from sdgraph.models.checkpoint.library_versions import newer_version_advice
from sdgraph.values import Part
from tests.support import fake_checkpoints


@pytest.mark.parametrize(
    ("component", "role"),
    [
        ("unet", "denoiser"),
        ("transformer_2", "denoiser"),
        ("text_encoder_3", "text encoder"),
        ("tokenizer_2", "tokenizer"),
        ("feature_extractor", "processor"),
        ("scheduler", "scheduler"),
        ("", "model"),
        ("connectors", "model"),
    ],
)
def test_a_component_is_known_by_its_name_without_a_number(component: str, role: str) -> None:
    assert role_of(component) == role


@pytest.mark.parametrize(
    ("component", "library", "name"),
    [
        ("unet", "diffusers", "UNet3DConditionModel"),
        ("transformer", "diffusers", "FluxTransformer2DModel"),
        ("transformer_2", "diffusers", "WanTransformer3DModel"),
        ("transformer", "diffusers", "SD3Transformer2DModel"),
        ("transformer", "diffusers", "PixArtTransformer2DModel"),
        ("transformer", "diffusers", "LTXVideoTransformer3DModel"),
        ("transformer", "diffusers", "AuraFlowTransformer2DModel"),
        ("transformer", "diffusers", "QwenImageTransformer2DModel"),
        ("vae", "diffusers", "AutoencoderKLWan"),
        ("vae", "diffusers", "AutoencoderTiny"),
        ("text_encoder", "transformers", "CLIPTextModel"),
        ("text_encoder_2", "transformers", "T5EncoderModel"),
        ("text_encoder", "transformers", "UMT5EncoderModel"),
        ("text_encoder_3", "transformers", "LlamaForCausalLM"),
        ("text_encoder", "transformers", "Qwen2_5_VLForConditionalGeneration"),
        ("text_encoder", "transformers", "Gemma2Model"),
        ("tokenizer", "transformers", "CLIPTokenizer"),
        ("tokenizer_2", "transformers", "T5TokenizerFast"),
        ("image_encoder", "transformers", "CLIPVisionModelWithProjection"),
        ("feature_extractor", "transformers", "CLIPImageProcessorPil"),
        ("feature_extractor", "transformers", "DPTFeatureExtractor"),
        ("depth_estimator", "transformers", "DPTForDepthEstimation"),
        ("scheduler", "diffusers", "FlowMatchEulerDiscreteScheduler"),
        ("controlnet", "diffusers", "ControlNetModel"),
        ("", "diffusers", "ControlNetModel"),
        ("", "transformers", "SamModel"),
        ("", "transformers", "GroundingDinoForObjectDetection"),
        ("", "transformers", "Mask2FormerForUniversalSegmentation"),
    ],
)
def test_the_classes_of_published_checkpoints_are_let_in(
    component: str, library: str, name: str
) -> None:
    refuse_class("model/part", component, library, name)


@pytest.mark.parametrize(
    ("component", "library", "name"),
    [
        ("unet", "diffusers", "AutoencoderKL"),
        ("unet", "transformers", "CLIPTextModel"),
        ("unet", "diffusers", "utils"),
        ("unet", "diffusers", "DiffusionPipeline"),
        ("unet", "diffusers", "ModelMixin"),
        ("vae", "diffusers", "UNet2DConditionModel"),
        ("text_encoder", "transformers", "CLIPVisionModel"),
        ("text_encoder", "transformers", "pipeline"),
        ("text_encoder", "transformers", "AutoModel"),
        ("text_encoder", "transformers", "_LazyModule"),
        ("text_encoder", "transformers", "Trainer"),
        ("text_encoder", "diffusers", "UNet2DConditionModel"),
        ("tokenizer", "transformers", "CLIPTextModel"),
        ("tokenizer", "transformers", "pipeline"),
        ("scheduler", "diffusers", "SchedulerMixin"),
        ("scheduler", "diffusers", "UNet2DConditionModel"),
        ("scheduler", "diffusers", "FutureScheduler"),
        ("feature_extractor", "transformers", "pipeline"),
        ("", "transformers", "pipeline"),
        ("", "transformers", "utils"),
        ("", "diffusers", "FluxPipeline"),
        ("connectors", "diffusers", "utils"),
    ],
)
def test_other_classes_of_the_libraries_are_refused(
    component: str, library: str, name: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        refuse_class("model/part", component, library, name)
    problem = caught.value.problems[0]
    assert problem.subject == "model/part"
    assert problem.found == f"its class is {library}.{name}"
    assert role_of(component) in problem.wanted and problem.fix


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("os", "system"),
        ("diffusers.utils", "export_to_video"),
        ("diffusers.models.unets", "UNet2DConditionModel"),
        ("diffusers_modules", "UNet"),
        ("..", "UNet2DConditionModel"),
        ("diffusers", "models.UNet2DConditionModel"),
        ("diffusers", 3),
        (None, "UNet2DConditionModel"),
        (["diffusers"], "UNet2DConditionModel"),
        ("diffusers", ["UNet2DConditionModel"]),
    ],
)
def test_other_libraries_are_refused_for_their_code(library: Any, name: Any) -> None:
    with pytest.raises(CheckpointError, match="custom code from checkpoints is never run"):
        refuse_class("model/unet", "unet", library, name)


def test_a_class_in_no_role_but_its_own_is_allowed() -> None:
    for role, libraries in CLASSES.items():
        assert not is_allowed(role, "os", "system")
        assert not is_allowed(role, "transformers", "pipeline")
        assert set(libraries) <= {"diffusers", "transformers"}


@pytest.mark.torch
def test_every_listed_class_is_one_of_its_library_and_of_its_kind() -> None:
    import importlib

    for role, libraries in CLASSES.items():
        for library, names in libraries.items():
            for name in names if isinstance(names, frozenset) else ():
                module = importlib.import_module(MODULES.get(name, library))
                cls = getattr(module, name, None)
                # Some names of tokenizers are those of other versions of transformers, and a class
                # whose own requirements are not installed is replaced by an empty one.
                if cls is not None and "dummy" not in cls.__module__:
                    refuse_other_class("model/part", role, cls)
                else:
                    assert role in ("tokenizer", "scheduler"), name


@pytest.mark.torch
def test_the_schedulers_are_all_those_of_diffusers() -> None:
    import diffusers

    here = {
        name
        for name in dir(diffusers)
        if isinstance(cls := getattr(diffusers, name), type)
        and issubclass(cls, diffusers.SchedulerMixin)
    }
    assert here - {"SchedulerMixin"} <= SCHEDULERS


@pytest.mark.torch
def test_what_is_imported_must_be_of_the_kind_of_its_role() -> None:
    import diffusers
    import transformers

    refuse_other_class("a", "scheduler", diffusers.DDIMScheduler)
    refuse_other_class("a", "tokenizer", transformers.CLIPTokenizer)
    refuse_other_class("a", "denoiser", diffusers.UNet2DConditionModel)
    for role, cls in (
        ("scheduler", diffusers.UNet2DConditionModel),
        ("tokenizer", transformers.CLIPTextModel),
        ("model", diffusers.DiffusionPipeline),
        ("model", transformers.pipeline),
        ("processor", transformers.CLIPTokenizer),
    ):
        with pytest.raises(CheckpointError, match="a kind of"):
            refuse_other_class("a", role, cls)


def test_a_class_of_a_newer_library_says_which_version_it_wants() -> None:
    assert newer_version_advice("diffusers", None, {"_diffusers_version": "0.1.0"}) == ""
    assert newer_version_advice("torch", {"_diffusers_version": "99.0"}) == ""
    advice = newer_version_advice("diffusers", {}, {"_diffusers_version": "99.1.0.dev0"})
    assert advice.startswith(f"it wants diffusers of 99.1.0.dev0, and {version('diffusers')} is")
    advice = newer_version_advice("transformers", {"transformers_version": "99.0"})
    assert advice.startswith("it wants transformers of 99.0, and ")


def test_an_architecture_that_is_newer_than_the_installed_diffusers_says_so(
    tmp_path: Path,
) -> None:
    model = fake_checkpoints.checkpoint(tmp_path / "model", unet=b"unet")
    index = json.loads((model / "model_index.json").read_text())
    index |= {"unet": ["diffusers", "Flux9Transformer2DModel"], "_diffusers_version": "99.0.0"}
    (model / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=r"it wants diffusers of 99\.0\.0"):
        resolve_part(Part(Checkpoint(model), "unet")).check()
