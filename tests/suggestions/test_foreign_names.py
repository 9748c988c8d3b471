"""Names of ComfyUI, A1111 and diffusers lead to names that exist here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.main import get_command

from sdgraph.cli.app import app
from sdgraph.cli.command_modules import import_commands
from sdgraph.errors import did_you_mean, nearest
from sdgraph.graph import installed_registry
from sdgraph.language import workflow_schema
from sdgraph.models.loading.devices import KINDS
from sdgraph.suggestions.foreign_names import FIELDS, NOTES, OPTIONS, OUR_NAMES, TYPES, VALUES
from sdgraph.values import DTYPES

REGISTRY = installed_registry()

FIELD_NAMES = sorted({field for cls in REGISTRY.values() for field in cls.model_fields})


def options() -> set[str]:
    """The long options of all commands."""
    import_commands()
    commands = getattr(get_command(app), "commands").values()  # noqa: B009  typer's own type
    return {option for command in commands for taken in command.params for option in taken.opts}


def test_every_proposed_node_type_exists() -> None:
    assert set(TYPES.values()) <= set(REGISTRY)


def test_every_proposed_field_is_a_field_of_some_node() -> None:
    assert set(FIELDS.values()) <= set(FIELD_NAMES)


def test_every_proposed_value_is_a_value_of_some_field_or_option() -> None:
    schema = json.dumps(workflow_schema(REGISTRY))
    missing = {name for name in VALUES.values() if json.dumps(name) not in schema}
    assert missing - set(DTYPES) - set(KINDS) == set()


def test_every_proposed_option_is_an_option_of_some_command() -> None:
    assert set(OPTIONS.values()) <= options()


def test_what_a_note_says_is_about_a_name_that_exists() -> None:
    schema = json.dumps(workflow_schema(REGISTRY))
    assert {place for place, _ in NOTES.values() if place not in schema} == set()


def test_no_name_of_ours_is_said_to_be_another() -> None:
    """A name that is right somewhere may be wrong elsewhere, but is never a synonym there."""
    for cls in REGISTRY.values():
        for field in cls.model_fields:
            assert nearest(field, cls.model_fields) == field
    assert [name for name in REGISTRY if nearest(name, REGISTRY) != name] == []


@pytest.mark.parametrize(
    ("written", "type_name", "ours"),
    [
        ("cfg", "Text2Image", "guidance"),
        ("cfg_scale", "Inpaint", "guidance"),
        ("guidance_scale", "ControlNet", "guidance"),
        ("sampler", "Text2Image", "scheduler"),
        ("sampler_name", "Text2Image", "scheduler"),
        ("denoise", "Image2Image", "strength"),
        ("denoising_strength", "Inpaint", "strength"),
        ("positive", "Text2Image", "prompt"),
        ("negative", "Text2Image", "negative_prompt"),
        ("batch_size", "TrainText2Image", "batch"),
        ("num_inference_steps", "Text2Image", "steps"),
        ("num_frames", "Text2Video", "frames"),
        ("ckpt_name", "Text2Image", "checkpoint"),
        ("filename_prefix", "Save", "path"),
        ("controlnet_conditioning_scale", "ControlNet", "scale"),
        ("mask_image", "Inpaint", "mask"),
    ],
)
def test_a_field_of_another_tool_leads_to_ours(written: str, type_name: str, ours: str) -> None:
    fix = did_you_mean(written, REGISTRY[type_name].model_fields)
    assert fix == f"did you mean {ours!r}?"


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("KSampler", "Text2Image"),
        ("SaveImage", "Save"),
        ("PreviewImage", "Save"),
        ("ControlNetApply", "ControlNet"),
        ("StableDiffusionInpaintPipeline", "Inpaint"),
        ("ImageScale", "Resize"),
        ("VHS_VideoCombine", "SaveVideo"),
    ],
)
def test_a_node_of_another_tool_leads_to_ours(written: str, ours: str) -> None:
    assert REGISTRY.unknown(written).fix == f"did you mean {ours!r}?"


@pytest.mark.parametrize(
    "written",
    ["CheckpointLoaderSimple", "CLIPTextEncode", "VAEDecode", "LoraLoader", "EmptyLatentImage"],
)
def test_a_node_that_is_not_needed_is_said_to_be_none(written: str) -> None:
    assert REGISTRY.unknown(written).fix.startswith("no node is needed: ")


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("euler_a", "euler-ancestral"),
        ("Euler a", "euler-ancestral"),
        ("dpmpp_2m", "dpm++"),
        ("DPM++ 2M Karras", "dpm++-karras"),
        ("dpmpp_2m_karras", "dpm++-karras"),
        ("dpmpp_2m_sde_gpu", "dpm++-sde"),
        ("karras", "dpm++-karras"),
        ("uni_pc", "unipc"),
        ("DDIM", "ddim"),
        ("EulerDiscreteScheduler", "euler"),
    ],
)
def test_a_sampler_of_another_tool_leads_to_a_scheduler(written: str, ours: str) -> None:
    cls: Any = REGISTRY["Text2Image"]
    with pytest.raises(ValueError) as caught:
        cls(prompt="a star", scheduler=written)
    assert f"fix:    did you mean {ours!r}?" in str(caught.value)


def test_several_pictures_at_once_are_said_to_be_a_sweep() -> None:
    fields = REGISTRY["Text2Image"].model_fields
    assert did_you_mean("batch_size", fields).endswith("seed=1..4")


def test_a_note_is_given_only_where_it_is_true() -> None:
    assert did_you_mean("normal", ["nearest", "bicubic"]) == ""
    assert did_you_mean("batch_size", ["path", "side"]) == ""
    assert did_you_mean("denoise", REGISTRY["Resize"].model_fields) == ""


def test_words_are_in_the_tables_once() -> None:
    names = [name for table in (TYPES, FIELDS) for row in table for name in row.split()]
    assert len(names) == len(set(names)) and len(OUR_NAMES) > 150
