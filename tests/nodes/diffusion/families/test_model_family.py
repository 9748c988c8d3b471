"""A model family is one object: one that only a test defines is found, checked, planned and run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, CheckpointError, Session, plan, run
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Image2Image, Text2Image
from sdgraph.nodes.diffusion.families import (
    FAMILIES,
    FLUX,
    FLUX2,
    FLUX2_KLEIN,
    FLUX_FILL,
    INSTRUCT_PIX2PIX,
    INSTRUCT_PIX2PIX_XL,
    LATENT_CONSISTENCY,
    QWEN_IMAGE_EDIT,
    QWEN_IMAGE_EDIT_PLUS,
    SDXL,
    STABLE_DIFFUSION,
    STABLE_DIFFUSION_3,
    TEXT_TO_VIDEO,
    ModelFamily,
    families_for,
    family_of,
    likely_family,
)
from tests.support.failing_runs import refused_before_load
from tests.support.toy_family import known_family

BASE = "tiny/text-to-image"

TOY = replace(
    STABLE_DIFFUSION,
    label="Toy Diffusion",
    class_names=("ToyDiffusion",),
    pipelines={"text-to-image": "ToyDiffusionPipeline"},
    denoiser=replace(STABLE_DIFFUSION.denoiser, name="network", label="toy network"),
    versions=(),
)
"""What `families/toy_diffusion.py` would hold: another class name, another denoiser."""


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelFamily]:
    """The toy family, in the list of families; its pipeline looks like one of diffusers'."""
    import diffusers

    class ToyDiffusionPipeline(diffusers.StableDiffusionPipeline):  # type: ignore[misc]
        """A pipeline whose denoiser has a name of its own."""

        def __init__(
            self, vae: Any, text_encoder: Any, tokenizer: Any, network: Any, scheduler: Any
        ) -> None:
            super().__init__(
                vae, text_encoder, tokenizer, network, scheduler, None, None, None, False
            )

        @property
        def network(self) -> Any:
            return self.unet

        @property
        def components(self) -> dict[str, Any]:
            names = ("vae", "text_encoder", "tokenizer", "network", "scheduler")
            return {name: getattr(self, name) for name in names}

    monkeypatch.setattr(diffusers, "ToyDiffusionPipeline", ToyDiffusionPipeline, raising=False)
    with known_family(TOY):
        yield TOY


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    """A checkpoint of the toy family with the weights of the shipped text-to-image one."""
    folder = Path(shutil.copytree(shipped_folder(BASE), tmp_path / "toy"))
    (folder / "unet").rename(folder / "network")
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index["network"] = index.pop("unet")
    path.write_text(json.dumps({**index, "_class_name": "ToyDiffusionPipeline"}))
    return Checkpoint(folder)


def node(checkpoint: Checkpoint, **fields: Any) -> Text2Image:
    size = {"width": 64, "height": 64}
    return Text2Image(
        **{"prompt": "a red star", "steps": 2, "checkpoint": checkpoint, **size, **fields}
    )


def test_one_that_is_in_no_list_is_refused(checkpoint: Checkpoint) -> None:
    text = refused_before_load(node(checkpoint))
    assert "ToyDiffusionPipeline" in text and "Stable Diffusion, SDXL, text-to-video" in text


def test_one_that_is_listed_is_found(toy: ModelFamily, checkpoint: Checkpoint) -> None:
    assert family_of(checkpoint) is toy and toy in families_for("text-to-image")
    assert node(checkpoint).family is toy


def test_it_is_checked(toy: ModelFamily, checkpoint: Checkpoint) -> None:
    assert "a multiple of 8" in refused_before_load(node(checkpoint, width=66))
    image = run(node(Checkpoint(BASE)), session=Session(device="cpu", store=None))
    text = refused_before_load(Image2Image(prompt="x", image=image, checkpoint=checkpoint))
    assert "a ToyDiffusionPipeline checkpoint" in text
    assert "one for Image2Image (Stable Diffusion, SDXL, " in text, "it has no such pipeline"
    path = Path(checkpoint.source, "network", "config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "in_channels": 9}))
    text = refused_before_load(node(checkpoint))
    assert "whose toy network takes 9 channels (inpainting)" in text


def test_it_is_planned(toy: ModelFamily, checkpoint: Checkpoint) -> None:
    (step,) = plan(node(checkpoint)).steps
    names = {use.name for use in step.uses}
    assert names == {"vae", "network", "text_encoder", "tokenizer"}
    sizes = dict.fromkeys(toy.components, 0)
    plain = node(Checkpoint(BASE)).working_memory(sizes, "float16")
    assert node(checkpoint).working_memory(sizes, "float16") == plain > 0


def test_quantization_and_casting_are_for_its_denoiser(
    toy: ModelFamily, checkpoint: Checkpoint
) -> None:
    quantized = Checkpoint(checkpoint.source, quantization="int8wo")
    parts = node(quantized).parts()
    assert [name for name, part in parts.items() if part.quantization] == ["network"]
    parts = node(checkpoint, tuning={"layerwise_casting": "float8_e4m3fn"}).parts()
    assert [name for name, part in parts.items() if part.casting] == ["network"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"prompt": "a (red:1.3) star " * 30, "negative_prompt": "a blue ring"},
        {"tuning": {"vae": "both", "attention": "sliced", "channels_last": True}},
    ],
    ids=["plain", "long and weighted", "tuned"],
)
def test_it_runs_and_makes_what_the_same_weights_make(
    toy: ModelFamily, checkpoint: Checkpoint, fields: dict[str, Any]
) -> None:
    session = Session(device="cpu", store=None)
    assert run(node(checkpoint, **fields), session=session) == run(
        node(Checkpoint(BASE), **fields), session=session
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.label)
def test_its_pipelines_are_diffusers_and_take_its_components(family: ModelFamily) -> None:
    import diffusers

    for task, name in family.pipelines.items():
        arguments = set(signature(getattr(diffusers, name)).parameters)
        assert set(family.components) <= arguments, task
    assert set(family.lora_prefixes.values()) <= set(family.components)
    assert family.class_names and bool(family.purposes) != family.flow_matching


@pytest.mark.parametrize(
    ("class_name", "family"),
    [
        ("StableDiffusionPipeline", STABLE_DIFFUSION),
        ("StableDiffusionInpaintPipeline", STABLE_DIFFUSION),
        ("LatentConsistencyModelPipeline", LATENT_CONSISTENCY),
        ("StableDiffusionInstructPix2PixPipeline", INSTRUCT_PIX2PIX),
        ("StableDiffusionXLInstructPix2PixPipeline", INSTRUCT_PIX2PIX_XL),
        ("Flux2Pipeline", FLUX2),
        ("QwenImageEditInpaintPipeline", QWEN_IMAGE_EDIT),
        ("QwenImageEditPlusPipeline", QWEN_IMAGE_EDIT_PLUS),
        ("StableDiffusionXLPipeline", SDXL),
        ("TextToVideoSDPipeline", TEXT_TO_VIDEO),
        ("StableDiffusion3Pipeline", STABLE_DIFFUSION_3),
        ("FluxFillPipeline", FLUX_FILL),
        ("FluxImg2ImgPipeline", FLUX),
        ("Flux2KleinPipeline", FLUX2_KLEIN),
    ],
)
def test_the_longest_class_name_decides(
    tmp_path: Path, class_name: str, family: ModelFamily
) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": class_name}))
    assert family_of(Checkpoint(tmp_path)) is family


@pytest.mark.parametrize(
    "class_name", ["AmusedPipeline", "CogView4Pipeline", "Flux2ControlPipeline", ""]
)
def test_other_pipelines_are_of_no_family(tmp_path: Path, class_name: str) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": class_name}))
    with pytest.raises(CheckpointError, match="one of Stable Diffusion, SDXL, text-to-video"):
        family_of(Checkpoint(tmp_path))


def test_one_that_is_not_here_is_guessed_by_its_name(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for source, family in [("someone/SDXL-dreams", SDXL), ("someone/dreams", STABLE_DIFFUSION)]:
        assert likely_family(Checkpoint(source), "text-to-image") is family
    assert likely_family(Checkpoint("someone/xl"), "text-to-video") is TEXT_TO_VIDEO
