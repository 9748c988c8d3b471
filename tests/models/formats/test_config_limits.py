"""Configs with numbers and types that no model has are refused; those of real models pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import CheckpointError
from sdgraph.models.formats.config_files import read_config, read_index
from sdgraph.models.formats.config_limits import LIMITS, config_problems
from sdgraph.models.sources import shipped
from tests.support.published_layouts import PUBLISHED


@pytest.mark.parametrize(
    "config",
    [
        {"num_train_timesteps": 10**9},
        {"num_train_timesteps": 0},
        {"num_train_timesteps": 999.5},
        {"num_train_timesteps": "1000"},
        {"num_hidden_layers": 10**6},
        {"layers_per_block": [2, 2, 10**6]},
        {"transformer_layers_per_block": [[1, 10**7]]},
        {"num_layers": True},
        {"hidden_size": -1},
        {"hidden_size": 10**400},
        {"hidden_size": float("nan")},
        {"hidden_size": float("inf")},
        {"in_channels": "4"},
        {"in_channels": []},
        {"hidden_size": [64]},
        {"sample_size": {"a": 1}},
        {"sample_size": [1]},
        {"image_size": [None, None]},
        {"in_channels": None},
        {"block_out_channels": None},
        {"vision_config": [1]},
        {"beta_start": "0.0008"},
        {"scaling_factor": {"a": 1}},
        {"in_channels": 4.0},
        {"block_out_channels": []},
        {"block_out_channels": "320"},
        {"block_out_channels": [320, None]},
        {"block_out_channels": [10**7]},
        {"cross_attention_dim": [-768]},
        {"sample_size": 10**9},
        {"vocab_size": 10**12},
        {"norm_num_groups": 0},
        {"text_config": {"num_hidden_layers": 10**8}},
        {"down_block_types": "DownBlock2D"},
        {"down_block_types": []},
        {"up_block_types": [1, 2]},
        {"architectures": {"a": 1}},
        {"_class_name": 7},
        {"prediction_type": "magic"},
        {"beta_schedule": "steep"},
        {"timestep_spacing": "even"},
        {"scaling_factor": 0},
        {"scaling_factor": -0.18},
        {"scaling_factor": None, "_class_name": "AutoencoderKL"},
        {"eta": float("nan")},
        {"size": {"height": 10**9, "width": 64}},
    ],
)
def test_an_absurd_setting_is_named(config: dict[str, Any]) -> None:
    problems = list(config_problems(config, "unet/config.json"))
    assert problems
    assert problems[0].subject.startswith(f"unet/config.json: {next(iter(config))}")
    assert problems[0].found and problems[0].wanted and len(problems[0].found) < 100


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_size": 900_000},
        {"hidden_size": 200_000, "num_hidden_layers": 24},
        {"block_out_channels": [320, 900_000]},
        {"num_attention_heads": 1000, "attention_head_dim": 1000},
        {"vocab_size": 90_000_000, "hidden_size": 8192},
    ],
)
def test_widths_and_layers_of_more_than_a_tebibyte_are_refused(config: dict[str, Any]) -> None:
    (problem,) = config_problems(config, "config.json")
    assert "TiB of weights" in problem.found and problem.wanted == "at most 1 TiB"


@pytest.mark.parametrize(
    "config",
    [
        {"lambda_min_clipped": float("-inf"), "num_train_timesteps": 1000},
        {"model_max_length": 10**30},
        {"attention_head_dim": None, "cross_attention_dim": [768, 1024], "num_layers": 0},
        {"bos_token_id": -1, "layer_norm_eps": 1e-05, "_class_name": None},
        {"patch_size": [1, 2, 2], "transformer_layers_per_block": [1, 2, [0, 1]]},
        {
            "hidden_size": 8192,
            "intermediate_size": 29568,
            "num_hidden_layers": 80,
            "vocab_size": 152064,
        },
        {"num_attention_heads": 24, "attention_head_dim": 128, "num_layers": 19},
        {"prediction_type": "v_prediction", "beta_schedule": "scaled_linear"},
        {"timestep_spacing": "trailing", "scaling_factor": 0.13025},
        {"scaling_factor": None, "_class_name": "AutoencoderKLWan"},
    ],
)
def test_settings_of_real_models_pass(config: dict[str, Any]) -> None:
    assert list(config_problems(config, "config.json")) == []


def test_the_configs_of_published_and_shipped_models_pass() -> None:
    for parts in PUBLISHED.values():
        for config in parts.values():
            assert list(config_problems(config, "config.json")) == []
    for path in shipped._FOLDER.rglob("*.json"):
        if path.name == "model_index.json":
            read_index(path)
        elif path.name not in ("tokenizer.json", "vocab.json"):
            read_config(path)


ODD: tuple[Any, ...] = (None, True, -1, 0, 3, 2.5, 10**40, float("nan"), float("inf"), "", "4")
NAMES = (*LIMITS, "down_block_types", "architectures", "_class_name", "vision_config", "other")
ODD += ([], [1], [-1, "a"], [None], [[1, [10**9]]], {}, {"a": 1}, {"hidden_size": [-1]})


@given(config=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ODD), max_size=3))
def test_any_config_is_refused_by_name_or_passes(config: dict[str, Any]) -> None:
    for problem in config_problems(config, "config.json"):
        assert problem.subject and problem.found and problem.wanted


def write(path: Path, text: str | dict[str, Any]) -> Path:
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"auto_map": {"AutoModel": "evil.Model"}}, "auto_map"),
        ({"custom_pipeline": "evil"}, "custom_pipeline"),
        ({"_class_name": ["pipeline_evil", "EvilPipeline"]}, "pipeline_evil"),
        ({"attn_implementation": "someone/kernel"}, "someone/kernel"),
        ({"_attn_implementation": {"": "someone/kernel:attn"}}, "someone/kernel:attn"),
        ({"text_config": {"attn_implementation": "someone/kernel"}}, "someone/kernel"),
        ({"text_config": {"auto_map": {"AutoModel": "evil.Model"}}}, "auto_map"),
    ],
)
def test_a_config_that_names_code_is_refused(
    tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(CheckpointError, match="is never run") as caught:
        read_config(write(tmp_path / "config.json", config))
    assert named in str(caught.value)


def test_a_config_without_code_passes(tmp_path: Path) -> None:
    config = {"auto_map": None, "attn_implementation": "sdpa", "custom_pipeline": None}
    assert read_config(write(tmp_path / "config.json", config)) == config


@pytest.mark.parametrize("text", ["[" * 10_000, '{"a":' * 10_000, '{"a": ' + "9" * 10_000 + "}"])
def test_deep_and_endless_json_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(CheckpointError, match="not readable as JSON"):
        read_config(write(tmp_path / "config.json", text))


def test_nested_values_are_refused_below_a_depth(tmp_path: Path) -> None:
    text = '{"a":' * 60 + "1" + "}" * 60
    with pytest.raises(CheckpointError, match="nested more than"):
        read_config(write(tmp_path / "config.json", text))


def test_a_config_of_many_megabytes_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", "{")
    with path.open("r+b") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(CheckpointError, match="a config of at most"):
        read_config(path)


@pytest.mark.parametrize("name", ["../unet", "/etc/unet", "a/b", "a\\b", "..", "", "a b", "a.b"])
def test_a_component_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    index = {"_class_name": "StableDiffusionPipeline", name: ["diffusers", "UNet2DConditionModel"]}
    with pytest.raises(CheckpointError, match="the plain name of a folder"):
        read_index(write(tmp_path / "model_index.json", index))


def test_a_list_that_is_a_setting_of_a_plain_name_passes(tmp_path: Path) -> None:
    index = {"_class_name": "WanPipeline", "sample_sigmas": [0.5, 1.0], "transformer_2": [None] * 2}
    assert read_index(write(tmp_path / "model_index.json", index)) == index
