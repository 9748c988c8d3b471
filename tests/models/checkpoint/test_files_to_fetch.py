"""Which files of a repository on the hub a checkpoint needs."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.models.checkpoint.files_to_fetch import needed_files
from sdgraph.models.formats import pickles

INDEX: dict[str, Any] = {
    "_class_name": "StableDiffusionPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "image_encoder": [None, None],
}
STEM = "unet/diffusion_pytorch_model"
NEEDED = [
    "model_index.json",
    "unet/config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "scheduler/scheduler_config.json",
    "feature_extractor/preprocessor_config.json",
]
DOUBLES = [
    "README.md",
    "v1-5-pruned.safetensors",
    "v1-5-pruned.ckpt",
    f"{STEM}.bin",
    f"{STEM}.non_ema.safetensors",
    "unet/openvino_model.bin",
    "unet/model.onnx",
    "text_encoder/pytorch_model.bin",
    "text_encoder/flax_model.msgpack",
    "safety_checker/model.safetensors",
    "safety_checker/config.json",
    "training/state.safetensors",
]


def chosen(*names: str, variant: str | None = None) -> set[str]:
    return set(needed_files("a/b", [*NEEDED, *DOUBLES, *names], INDEX, variant))


def test_each_weight_is_chosen_once_and_nothing_that_is_not_loaded() -> None:
    assert chosen(f"{STEM}.safetensors") == {*NEEDED, f"{STEM}.safetensors"}


def test_of_weights_in_one_file_and_in_several_the_one_is_chosen() -> None:
    shards = [f"{STEM}-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = f"{STEM}.safetensors.index.json"
    assert chosen(*shards, index) == {*NEEDED, *shards, index}
    assert chosen(*shards, index, f"{STEM}.safetensors") == {*NEEDED, f"{STEM}.safetensors"}


def test_a_component_without_the_variant_has_its_plain_weights() -> None:
    half = f"{STEM}.fp16.safetensors"
    assert chosen(half, f"{STEM}.safetensors", variant="fp16") == {*NEEDED, half}
    shards = [f"{STEM}.fp16-0000{number}-of-00002.safetensors" for number in (1, 2)]
    own, other = f"{STEM}.safetensors.index.fp16.json", f"{STEM}.safetensors.index.json"
    assert chosen(*shards, own, other, variant="fp16") == {*NEEDED, *shards, own}
    plain = [name.replace(".fp16", "") for name in shards]
    assert chosen(*shards, *plain, own, other) == {*NEEDED, *plain, other}


def test_a_variant_that_no_component_has_names_those_that_there_are() -> None:
    files = (f"{STEM}.safetensors", f"{STEM}.fp16.safetensors")
    with pytest.raises(CheckpointError, match="set the variant to one of fp16"):
        chosen(*files, variant="bf16")
    with pytest.raises(CheckpointError, match="set the variant to one of fp16"):
        chosen(files[1])


def test_pickles_are_chosen_only_where_they_are_allowed() -> None:
    names = [*NEEDED, *DOUBLES]
    names.remove(f"{STEM}.non_ema.safetensors")
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        needed_files("a/b", names, INDEX, None)
    with pickles.allow():
        assert set(needed_files("a/b", names, INDEX, None)) == {*NEEDED, f"{STEM}.bin"}


def test_one_model_is_what_lies_at_the_top() -> None:
    names = ["config.json", "tokenizer.json", "model.safetensors", "pytorch_model.bin", "x/y.json"]
    assert needed_files("a/b", names, None, None) == (
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    )
    network = ["config.json", "diffusion_pytorch_model.fp16.safetensors", "ema.safetensors"]
    assert needed_files("a/b", network, None, "fp16") == tuple(network[:2])


def test_an_adapter_is_its_one_file() -> None:
    names = ["pytorch_lora_weights.safetensors", "README.md"]
    assert needed_files("a/b", names, None, None) == (names[0],)
    names = ["style.safetensors", "README.md", "old/style.safetensors"]
    assert needed_files("a/b", names, None, None) == (names[0],)
    names = ["adapter_config.json", "adapter_model.safetensors", "more.safetensors"]
    assert needed_files("a/b", names, None, None) == tuple(names[:2])


@pytest.mark.parametrize(
    ("names", "fix"),
    [
        (["x.safetensors", "z.safetensors", "y.gguf"], r"--file: x\.safetensors, y\.gguf, z"),
        (["README.md"], "choose another repository"),
    ],
)
def test_where_nothing_says_what_is_meant_the_files_are_listed(names: list[str], fix: str) -> None:
    with pytest.raises(CheckpointError, match=fix):
        needed_files("a/b", names, None, None)
