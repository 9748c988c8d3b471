"""Numbers and types in configs that no model has, which are refused before anything is built.

The limits are about a hundred times what the largest models that are published have. So a config
that is wrong, or made to take all memory, is told by name, and every reader of a config finds the
types that it expects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from sdgraph.errors import Problem

_MAX_DEPTH = 32
_MAX_BYTES = 2**40
"""How many bytes of weights a config may stand for: 1 TiB."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LAYERS = _names(
    """
    decoder_layers depth depths encoder_layers layers_per_block n_layer n_layers num_blocks
    num_decoder_layers num_encoder_layers num_hidden_layers num_joint_layers num_layers
    num_refiner_layers num_res_blocks num_single_layers transformer_layers_per_block
    """
)

_WIDTHS = _names(
    """
    addition_time_embed_dim attention_head_dim block_out_channels caption_channels
    conditioning_channels conditioning_embedding_out_channels cross_attention_dim d_ff d_kv
    d_model decoder_hidden_size dim embed_dim embedding_size encoder_attention_heads
    encoder_hid_dim encoder_hidden_size ffn_dim freq_dim fusion_hidden_size head_dim hidden_dim
    hidden_size hidden_sizes in_channels inner_dim intermediate_size joint_attention_dim
    latent_channels neck_hidden_sizes norm_num_groups num_attention_heads num_channels num_heads
    num_key_value_heads out_channels pooled_projection_dim projection_class_embeddings_input_dim
    projection_dim text_dim text_embed_dim time_embedding_dim z_dim
    """
)

_SIDES = _names(
    """
    height image_size longest_edge patch_size sample_size shortest_edge
    temporal_compression_ratio width
    """
)

_COUNTS = _names(
    """
    max_position_embeddings max_text_len num_class_embeds num_embeds_ada_norm num_labels
    num_vq_embeddings original_inference_steps vocab_size
    """
)

LIMITS: Mapping[str, int] = {
    **dict.fromkeys(_LAYERS, 1_000),
    **dict.fromkeys(_WIDTHS, 1_000_000),
    **dict.fromkeys(_SIDES, 100_000),
    **dict.fromkeys(_COUNTS, 100_000_000),
    "num_train_timesteps": 1_000_000,
}
"""The largest whole number that each setting may have, alone or in a list."""

_POSITIVE = _names(
    """
    block_out_channels d_model hidden_size in_channels latent_channels norm_num_groups
    num_attention_heads num_train_timesteps original_inference_steps out_channels patch_size
    sample_size vocab_size
    """
)
"""The settings that may not be 0."""

_SINGLE = _names(
    """
    d_model decoder_hidden_size embed_dim embedding_size encoder_attention_heads
    fusion_hidden_size hidden_size in_channels latent_channels norm_num_groups num_hidden_layers
    num_train_timesteps original_inference_steps out_channels vocab_size
    """
)
"""The settings that are one number, never a list."""

_REALS = _names(
    """
    base_shift beta_end beta_start dynamic_thresholding_ratio layer_norm_eps max_shift norm_eps
    sample_max_value scaling_factor shift shift_factor
    """
)
"""The settings that are numbers of any kind."""

_NAME_LISTS = ("architectures", "down_block_types", "up_block_types")
_NUMBER_LISTS = ("block_out_channels", "conditioning_embedding_out_channels")
_NAMES = ("_class_name", "model_type", "prediction_type", "timestep_spacing")


CHOICES: Mapping[str, tuple[str, ...]] = {
    "beta_schedule": (
        "linear",
        "scaled_linear",
        "squaredcos_cap_v2",
        "exp",
        "sigmoid",
        "laplace",
    ),
    "prediction_type": (
        "epsilon",
        "sample",
        "v_prediction",
        "flow_prediction",
        "trigflow",
        "original_sample",
    ),
    "timestep_spacing": ("linspace", "leading", "trailing"),
}
"""The words that the schedulers of diffusers know for some settings."""


def config_problems(config: Mapping[str, Any], file: str) -> Iterator[Problem]:
    """The numbers and types in a config that no model has.

    Args:
        config: The content of a config.json, or of the config of a scheduler or a processor.
        file: The file's path, for the messages.
    """
    problems = list(_setting_problems(config, file, 0))
    yield from problems
    if not problems and (size := _least_bytes(config)) > _MAX_BYTES:
        found = f"widths and layers of {size / _MAX_BYTES:.1f} TiB of weights"
        yield Problem(file, found, "at most 1 TiB", "the config is wrong: copy it again")


def _setting_problems(config: Mapping[str, Any], subject: str, depth: int) -> Iterator[Problem]:
    for key, value in config.items():
        name = f"{subject}: {key}"
        if key in _NAME_LISTS and value is not None:
            yield from _list_problem(name, value, str, "a list of names")
        elif key in _NUMBER_LISTS:
            yield from _list_problem(name, value, int, "a list of whole numbers")
        elif key in _NAMES and not isinstance(value, str | None):
            yield Problem(name, _shown(value), "a name")
        elif key in CHOICES and isinstance(value, str) and value not in CHOICES[key]:
            yield Problem(name, value, f"one of {', '.join(CHOICES[key])}")
        elif key == "scaling_factor" and _is_no_factor(value, config):
            yield Problem(name, _shown(value), "a number above 0, by which latents are multiplied")
        elif _is_of_other_type(key, value):
            yield Problem(name, _shown(value), "a whole number")
        elif key in _REALS and isinstance(value, str | bool | Mapping):
            yield Problem(name, _shown(value), "a number")
        elif key.endswith("_config") and not isinstance(value, Mapping | None):
            yield Problem(name, _shown(value), "a map of settings")
        yield from _value_problems(name, key, value, depth)


def _is_no_factor(value: Any, config: Mapping[str, Any]) -> bool:
    """Whether the latents of a VAE cannot be divided by a number."""
    if value is None:  # other VAEs may have none
        return config.get("_class_name") == "AutoencoderKL"
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= 0


def _is_of_other_type(key: str, value: Any) -> bool:
    """Whether a setting that has numbers is a map, or a list where it is one number."""
    if isinstance(value, list):
        pair = 1 < len(value) <= 3 and all(type(number) is int for number in value)
        return key in _SINGLE or (key in ("image_size", "sample_size") and not pair)
    if isinstance(value, Mapping):
        return key in LIMITS and key not in ("image_size", "patch_size")
    return value is None and key == "in_channels"


def _list_problem(name: str, value: Any, kind: type, wanted: str) -> Iterator[Problem]:
    if not isinstance(value, list) or not value or not all(isinstance(v, kind) for v in value):
        yield Problem(name, _shown(value), wanted)


def _value_problems(name: str, key: str, value: Any, depth: int) -> Iterator[Problem]:
    """The problems of a value; lists and maps are looked into."""
    if depth > _MAX_DEPTH:
        yield Problem(name, f"values nested more than {_MAX_DEPTH} deep", "a config")
    elif isinstance(value, Mapping):
        yield from _setting_problems(value, name, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _value_problems(name, key, item, depth + 1)
    elif isinstance(value, float) and isnan(value):
        yield Problem(name, "NaN", "a number")
    elif value is not None and (limit := LIMITS.get(key)) is not None:
        least = 1 if key in _POSITIVE else 0
        if type(value) is not int or not least <= value <= limit:
            yield Problem(name, _shown(value), f"a whole number of {least} to {limit:,}")


def _shown(value: Any) -> str:
    """A value as JSON, cut short."""
    text = json.dumps(value) if not isinstance(value, int) or value < 10**30 else "a huge number"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _least_bytes(config: Mapping[str, Any]) -> int:
    """The bytes that weights in float32 take at least, by the widths and layers of a config."""
    layers = max([1, *_numbers(config, _LAYERS)])
    own = max([1, *_numbers(config, ("hidden_size", "d_model", "block_out_channels"))])
    heads = _numbers(config, ("num_attention_heads",))
    head_width = _numbers(config, ("attention_head_dim",))
    own = max(own, max(heads, default=1) * max(head_width, default=1))
    widest = max([own, *_numbers(config, ("intermediate_size", "d_ff", "ffn_dim"))])
    tokens = max([0, *_numbers(config, ("vocab_size",))])
    return 4 * own * max(widest * layers, tokens)


def _numbers(config: Mapping[str, Any], names: Any) -> list[int]:
    """The whole numbers that some settings have, alone or in lists."""
    values = [config[name] for name in names if name in config]
    numbers: list[int] = []
    while values:
        value = values.pop()
        if isinstance(value, list):
            values += value
        elif type(value) is int:
            numbers.append(value)
    return numbers
