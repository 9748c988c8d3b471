"""A checkpoint whose components are not what its index says is refused before any is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, plan
from sdgraph.graph import Graph
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image, TinyWorld, TrainInpaint, Turbo
from tests.support.failing_runs import refused_before_load
from tests.support.published_layouts import write_header


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refused(folder: Path, **fields: Any) -> str:
    return refused_before_load(
        Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(folder), **fields)
    )


@pytest.mark.parametrize(
    ("component", "library", "class_name", "wanted"),
    [
        ("text_encoder", "transformers", "BertModel", "a CLIPTextModel or CLIPTextModelWith"),
        ("text_encoder", "transformers", "T5EncoderModel", "a CLIPTextModel or CLIPTextModelWith"),
        ("text_encoder", "transformers", "CLIPVisionModel", "a known text encoder class"),
        ("tokenizer", "transformers", "BertTokenizer", "a CLIPTokenizer"),
        ("tokenizer", "transformers", "pipeline", "a known tokenizer class"),
        ("unet", "diffusers", "UNet3DConditionModel", "a UNet2DConditionModel"),
        ("unet", "diffusers", "AutoencoderKL", "a known denoiser class"),
        ("unet", "diffusers", "utils", "a known denoiser class"),
        ("vae", "diffusers", "VQModel", "an AutoencoderKL or"),
        ("vae", "diffusers", "UNet2DConditionModel", "a known autoencoder class"),
        ("vae", "diffusers.utils", "export_to_video", "custom code from checkpoints is never run"),
        ("vae", "transformers", "_BaseLazyModule", "a known autoencoder class"),
    ],
)
def test_a_component_of_another_class_is_refused_before_loading(
    copied: Callable[[str], Path], component: str, library: str, class_name: str, wanted: str
) -> None:
    folder = copied("tiny/text-to-image")
    edit(folder / "model_index.json", **{component: [library, class_name]})
    text = refused(folder)
    assert class_name in text and wanted in text


def test_the_second_text_encoder_of_sdxl_has_a_projection(copied: Callable[[str], Path]) -> None:
    folder = copied("tiny/sdxl")
    edit(folder / "model_index.json", text_encoder_2=["transformers", "CLIPTextModel"])
    text = refused_before_load(Turbo(prompt="a", checkpoint=Checkpoint(folder)))
    assert "whose text_encoder_2 is a CLIPTextModel" in text
    assert "a CLIPTextModelWithProjection in SDXL" in text


@pytest.mark.parametrize(
    ("component", "other", "found"),
    [
        ("text_encoder", {"hidden_size": 128}, "whose text features are 128 wide"),
        ("unet", {"cross_attention_dim": 128}, "128, which its unet reads"),
        ("vae", {"latent_channels": 16}, "whose vae has 16 latent channels"),
    ],
)
def test_components_of_different_widths_are_refused_before_loading(
    copied: Callable[[str], Path], component: str, other: dict[str, Any], found: str
) -> None:
    folder = copied("tiny/text-to-image")
    edit(folder / component / "config.json", **other)
    assert found in refused(folder)


@pytest.mark.parametrize(
    ("component", "other"),
    [("unet", "vae"), ("vae", "unet"), ("text_encoder", "unet"), ("unet", "text_encoder")],
)
def test_weights_of_another_component_are_refused_before_loading(
    copied: Callable[[str], Path], component: str, other: str
) -> None:
    folder = copied("tiny/text-to-image")
    (path,) = (folder / component).glob("*.safetensors")
    (wrong,) = (
        shipped_folder("tiny/sdxl")
        .joinpath("text_encoder_2" if other == "text_encoder" else other)
        .glob("*.safetensors")
    )
    shutil.copy(wrong, path)
    text = refused(folder)
    article = "an" if component == "vae" else "a"  # an AutoencoderKL, a UNet2DConditionModel
    assert f"{folder}/{component}" in text and f"the weights of {article} " in text


@pytest.mark.parametrize("scale", ["conv_in.scale_weight", "conv_in.weight_scale"])
def test_scales_of_weights_that_are_no_fp8_are_refused_before_loading(
    copied: Callable[[str], Path], scale: str
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    write_header(path, {"conv_in.weight": (32, 4, 3, 3), scale: ()})
    text = refused(folder)
    assert "conv_in.weight" in text and "fp8 with one scale for each layer or output" in text


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("unet/config.json", {"layers_per_block": 10**6}),
        ("unet/config.json", {"sample_size": -1}),
        ("unet/config.json", {"in_channels": "four"}),
        ("unet/config.json", {"block_out_channels": [10**6, 10**6]}),
        ("vae/config.json", {"block_out_channels": []}),
        ("text_encoder/config.json", {"hidden_size": 0.5}),
        ("text_encoder/config.json", {"num_hidden_layers": 10**9}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}),
    ],
)
def test_absurd_numbers_in_a_config_are_refused_before_loading(
    copied: Callable[[str], Path], part: str, change: dict[str, Any]
) -> None:
    folder = copied("tiny/text-to-image")
    edit(folder / part, **change)
    text = refused(folder)
    assert part in text and "wanted" in text


@pytest.mark.parametrize("name", ["../vae", "/etc", "a/b"])
def test_a_path_in_an_index_is_refused_before_loading(
    copied: Callable[[str], Path], name: str
) -> None:
    folder = copied("tiny/text-to-image")
    edit(folder / "model_index.json", **{name: ["diffusers", "AutoencoderKL"]})
    assert f"a component {name!r}" in refused(folder)


def test_a_variant_of_some_components_is_used_with_the_plain_weights_of_the_others(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("tiny/text-to-image")
    stem = folder / "unet" / "diffusion_pytorch_model"
    stem.with_suffix(".safetensors").rename(stem.with_suffix(".fp16.safetensors"))
    assert "set the checkpoint's variant to fp16" in refused(folder)
    checkpoint = Checkpoint(folder, variant="fp16")
    made = plan(Text2Image(prompt="a", steps=1, checkpoint=checkpoint))
    (warning,) = made.checkpoint_warnings
    assert warning.found == "no weights of the variant fp16 for vae, text_encoder"
    assert made.graph.check() == [] and made.bytes_loaded > 0
    assert Graph.of(*made.graph.targets).checkpoint_warnings() == [warning]


def test_a_plan_does_not_make_up_the_parts_of_a_checkpoint_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, no_hub: Path
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    made = plan(Text2Image(prompt="a", checkpoint=Checkpoint("nobody/nothing")))
    assert made.absent == ("nobody/nothing",) == made.steps[0].absent
    assert [problem.found for problem in made.checkpoint_warnings] == ["not here, not checked"]
    assert plan(Text2Image(prompt="a", checkpoint=Checkpoint("tiny/text-to-image"))).absent == ()


def test_a_training_refuses_such_checkpoints_too(
    copied: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copied("tiny/text-to-image")
    base, like = Checkpoint(folder), Checkpoint("tiny/inpaint")

    def problems() -> str:
        node = TrainInpaint(
            data=TinyWorld(count=1), out=str(tmp_path / "out"), base=base, like=like
        )
        return "\n".join(map(str, Graph.of(node).check()))

    assert problems() == ""
    edit(folder / "model_index.json", scheduler=["diffusers", "utils"])
    assert "its class is diffusers.utils" in problems()
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    write_header(path, {"decoder.conv_in.weight": (4,), "decoder.conv_in.scale_weight": ()})
    assert "fp8 with one scale for each layer or output" in problems()
    edit(folder / "model_index.json", text_encoder=["transformers", "BertModel"])
    assert "whose text_encoder is a BertModel" in problems()
