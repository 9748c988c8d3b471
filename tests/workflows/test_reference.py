"""Workflows for real checkpoints: what they fetch, and that they run with others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Node, Session, load_workflow, plan
from tests.support.map_models import rt_detr, vitpose

from .test_shipped import REFERENCE, SMALL, check_files, empty_hub, node, session

__all__ = ["empty_hub", "session"]

HUB: dict[str, set[str]] = {
    "reference/chain": {
        "Intel/dpt-large",
        "lllyasviel/sd-controlnet-canny",
        "lllyasviel/sd-controlnet-depth",
        "stabilityai/sdxl-turbo",
        "stable-diffusion-v1-5/stable-diffusion-inpainting",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
    },
    "reference/controlnet": {
        "lllyasviel/sd-controlnet-canny",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
    },
    "reference/depth": {"stabilityai/stable-diffusion-2-depth"},
    "reference/face": {"h94/IP-Adapter", "stable-diffusion-v1-5/stable-diffusion-v1-5"},
    "reference/inpaint": {"stable-diffusion-v1-5/stable-diffusion-inpainting"},
    "reference/pose": {
        "PekingU/rtdetr_r50vd_coco_o365",
        "lllyasviel/sd-controlnet-openpose",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "usyd-community/vitpose-base-simple",
    },
    "reference/turbo": {"stabilityai/sdxl-turbo"},
    "reference/video": {"ali-vilab/text-to-video-ms-1.7b"},
}
"""What each reference workflow fetches."""

TINY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "reference/chain": (
        {
            "photo": SMALL / "red_star.png",
            "base": "tiny/text-to-image",
            "inpainting": "tiny/inpaint",
            "turbo": "tiny/turbo",
            "estimator": "tiny/depth-estimator",
        },
        {
            "window.box": [40, 6, 60, 30],
            "man.steps": 2,
            "view.steps": 2,
            "refined.steps": 2,
        },
    ),
    "reference/controlnet": (
        {"photo": SMALL / "red_star.png", "checkpoint": "tiny/text-to-image"},
        {"man.steps": 2},
    ),
    "reference/depth": (
        {"photo": SMALL / "blue_square.png", "checkpoint": "tiny/depth"},
        {"skyline.steps": 2},
    ),
    "reference/face": (
        {"reference": SMALL / "red_star.png", "checkpoint": "tiny/text-to-image"},
        {"hero.steps": 2, "hero.ip_adapter": "tiny/ip-adapter"},
    ),
    "reference/inpaint": (
        {
            "photo": SMALL / "red_circle.png",
            "mask": SMALL / "red_circle_mask.png",
            "checkpoint": "tiny/inpaint",
        },
        {
            "photo.width": 64,
            "photo.height": 64,
            "mask.width": 64,
            "mask.height": 64,
            "cat.steps": 2,
        },
    ),
    "reference/pose": (
        {"photo": SMALL / "red_star.png", "checkpoint": "tiny/text-to-image"},
        {
            "pose.threshold": 0.0,
            "pose.joint_threshold": 0.0,
            "person.steps": 2,
            "person.controlnet": "tiny/controlnet-edges",
        },
    ),
    "reference/turbo": ({"checkpoint": "tiny/turbo"}, {}),
    "reference/video": ({"checkpoint": "tiny/text-to-video", "seconds": 0.2}, {"bear.steps": 2}),
}
"""Inputs and fields by which each reference workflow is run small and offline."""


@pytest.fixture(scope="module")
def finders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Models of the classes that find people and their joints, tiny and random."""
    folder = tmp_path_factory.mktemp("finders")
    estimator, detector = (folder / name for name in ("estimator", "detector"))
    return {"estimator": vitpose(estimator), "detector": rt_detr(detector)}


def test_each_is_known_here() -> None:
    assert REFERENCE == list(HUB) == list(TINY)


@pytest.mark.usefixtures("empty_hub")
@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_workflow_names_what_it_fetches(name: str) -> None:
    planned = plan(load_workflow(name).graph())

    assert {checkpoint.source for checkpoint in planned.fetches} == HUB[name]


@pytest.mark.torch
@pytest.mark.parametrize("name", REFERENCE)
def test_a_reference_workflow_runs_with_other_checkpoints(
    name: str, session: Session, finders: dict[str, Path], tmp_path: Path
) -> None:
    inputs, fields = TINY[name]
    workflow = load_workflow(name, out=tmp_path).with_fields(fields)
    inputs = {**inputs, **(finders if name == "reference/pose" else {})}

    nameless = ("pose.checkpoint", "pose.detector") if name == "reference/pose" else ()
    check_files(session.run(workflow.graph(**inputs)), tmp_path, *nameless)


def test_the_reference_settings_are_the_fields_own() -> None:
    man, skyline = node("reference/controlnet", "man"), node("reference/depth", "skyline")
    bear, sketch = node("reference/video", "bear"), node("reference/turbo", "sketch")
    cat = node("reference/inpaint", "cat")

    def field_values(node: Node[Any], *fields: str) -> list[Any]:
        given = {field: getattr(node, field) for field in fields}
        return [node.chosen_fields().get(field, value) for field, value in given.items()]

    assert field_values(man, "scale", "scheduler", "steps", "seed") == [0.5, "dpm++", 100, 12345]
    assert field_values(skyline, "strength", "steps") == [0.7, 100]
    assert field_values(sketch, "steps", "guidance", "seed") == [1, 0.0, 42]
    assert field_values(bear, "seconds", "fps", "steps", "offload") == [3.0, 25.0, 25, "model"]
    assert field_values(cat, "steps", "guidance", "strength", "seed") == [50, 7.5, 1.0, 0]
    assert sketch.checkpoint.variant == bear.checkpoint.variant == "fp16"  # type: ignore[attr-defined]


NEGATIVE = (
    "cropped, out of frame, worst quality, low quality, jpeg artifacts, ugly, blurry, bad anatomy, "
    "bad proportions, nsfw"
)

SETTINGS: dict[str, dict[str, Any]] = {
    "reference/controlnet": {
        "prompt": "a man with beard, realistic, high quality",
        "negative_prompt": NEGATIVE,
    },
    "reference/depth": {"negative_prompt": "bad, deformed, ugly, bad anotomy"},
    "reference/inpaint": {
        "prompt": "Face of a white cat, high resolution, sitting on a park bench",
    },
    "reference/turbo": {
        "prompt": "baby in superman dress, photorealistic, cinematic",
        "negative_prompt": "bad, ugly, blur, deformed",
    },
    "reference/video": {"prompt": "bear running on the ocean", "negative_prompt": "low quality"},
}
"""The words of the settings that these workflows reproduce, letter for letter."""


@pytest.mark.parametrize("name", SETTINGS)
def test_the_words_are_those_of_the_setting(name: str) -> None:
    workflow = load_workflow(name)
    assert {word: workflow.inputs[word].default for word in SETTINGS[name]} == SETTINGS[name]
    asked = [spec.fields for spec in workflow.template.specs.values() if "prompt" in spec.fields]
    for fields in asked:
        for word in SETTINGS[name].keys() & {"negative_prompt"}:
            assert fields[word] == f"$inputs.{word}"
    assert asked[0]["prompt"] == "$inputs.prompt"


def test_inpainting_resizes_photo_and_mask_bicubic() -> None:
    specs = load_workflow("reference/inpaint").template.specs
    assert [specs[name].fields["resample"] for name in ("photo", "mask")] == ["bicubic"] * 2
