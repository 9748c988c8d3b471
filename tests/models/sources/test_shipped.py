"""The checkpoints that ship: their names, their files, and what they do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdgraph.errors import CheckpointError
from sdgraph.models.sources import shipped
from sdgraph.models.sources.shipped import shipped_folder, shipped_names

NAMES = (
    "tiny/controlnet-depth",
    "tiny/controlnet-edges",
    "tiny/depth",
    "tiny/depth-estimator",
    "tiny/inpaint",
    "tiny/ip-adapter",
    "tiny/sdxl",
    "tiny/text-to-image",
    "tiny/text-to-video",
    "tiny/turbo",
)


def test_the_whole_family_ships_trained_in_at_most_40_megabytes() -> None:
    folders = [shipped_folder(name) for name in shipped_names()]
    sizes = [
        path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()
    ]
    assert 10**7 < sum(sizes) <= 40 * 10**6


@pytest.mark.torch
@pytest.mark.parametrize("name", shipped_names())
def test_every_weight_ships_in_half_precision(name: str) -> None:
    from safetensors import safe_open

    files = sorted(shipped_folder(name).rglob("*.safetensors"))
    assert files
    for path in files:
        with safe_open(path, "pt") as opened:
            kinds = {opened.get_slice(key).get_dtype() for key in opened.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "BF16", "I64"}, path


def photo(size: int = 64) -> Image.Image:
    """A disc before a gradient, in RGB."""
    y, x = np.mgrid[0:size, 0:size] / size
    disc = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1
    pixels = np.stack([x, y, np.where(disc, 1.0, 0.2)], axis=-1) * 255
    return Image.fromarray(pixels.astype(np.uint8))


def load(pipeline: str, folder: Path, **components: Any) -> Any:
    """The pipeline in float32, whichever precision its weights are kept in."""
    import diffusers
    import torch

    cls = getattr(diffusers, pipeline)
    loaded = cls.from_pretrained(folder, dtype=torch.float32, **components)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def new_generator() -> Any:
    import torch

    return torch.Generator().manual_seed(7)


def assert_is_picture(pixels: Any, shape: tuple[int, ...]) -> None:
    assert pixels.shape == shape
    assert np.isfinite(pixels).all()
    assert pixels.std() > 0.05, "a picture of one colour"
    assert len(np.unique(pixels.round(2))) > 20, "black and white only"


# ---------------------------------------------------------------- names and folders


def test_names_are_the_folders_of_the_package_in_order() -> None:
    assert shipped_names() == NAMES


def test_configs_are_small_text_files_in_the_package() -> None:
    for name in NAMES:
        assert shipped_folder(name).parent.name == "tiny"
        for path in shipped_folder(name).rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))


def test_an_index_lists_exactly_the_folders_next_to_it() -> None:
    for name in NAMES:
        folder = shipped_folder(name)
        if (index := folder / "model_index.json").exists():
            listed = json.loads(index.read_text(encoding="utf-8"))
            present = {key for key, value in listed.items() if isinstance(value, list) and value[0]}
            assert present == {entry.name for entry in folder.iterdir() if entry.is_dir()}


def test_names_and_folders_import_no_torch() -> None:
    code = (
        "import sys\nfrom sdgraph.models.sources.shipped import shipped_folder, shipped_names\n"
        "for name in shipped_names(): shipped_folder(name)\n"
        "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(shipped.__file__).parents[3])}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("set()\n", "")


def test_an_unknown_name_is_refused_with_the_names_and_the_nearest() -> None:
    with pytest.raises(CheckpointError) as caught:
        shipped_folder("tiny/inpant")
    assert str(caught.value).splitlines() == [
        "tiny/inpant",
        "  found:  no shipped checkpoint of that name",
        f"  wanted: one of {', '.join(NAMES)}",
        "  fix:    did you mean 'tiny/inpaint'?",
    ]


@pytest.mark.parametrize("name", ["", "tiny/", "tiny/..", "tiny/depth/unet", "/", "inpaint"])
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(CheckpointError):
        shipped_folder(name)


# ---------------------------------------------------------------- what the checkpoints do


@pytest.mark.torch
def test_every_weight_is_wanted_and_none_is_missing() -> None:
    import diffusers
    import transformers

    for name in NAMES:
        for config in shipped_folder(name).rglob("config.json"):
            data = json.loads(config.read_text(encoding="utf-8"))
            if "_class_name" in data:
                model = getattr(diffusers, data["_class_name"])
            else:
                model = getattr(transformers, data["architectures"][0])
            _, report = model.from_pretrained(config.parent, output_loading_info=True)
            assert not any(report.values()), (config, report)


def test_what_was_trained_once_is_shared_to_the_bit() -> None:
    """Equal parts must be equal bytes, or a session would hold each of them several times."""

    def digests_of(part: str, *names: str) -> set[str]:
        folders = [shipped_folder(f"tiny/{name}") / part for name in names]
        files = [file for folder in folders for file in folder.glob("*.safetensors")]
        return {sha256(file.read_bytes()).hexdigest() for file in files}

    base = ("text-to-image", "inpaint", "depth")
    assert len(digests_of("vae", *base, "text-to-video", "sdxl", "turbo")) == 1
    assert len(digests_of("text_encoder", *base)) == 1
    for part in ("text_encoder", "text_encoder_2"):
        assert len(digests_of(part, "sdxl", "turbo")) == 1
    folders = (
        shipped_folder("tiny/depth") / "depth_estimator",
        shipped_folder("tiny/depth-estimator"),
    )
    contents = {(folder / "model.safetensors").read_bytes() for folder in folders}
    assert len(contents) == 1


@pytest.mark.torch
def test_text_to_image_makes_a_picture() -> None:
    pipeline = load("StableDiffusionPipeline", shipped_folder("tiny/text-to-image"))
    output = pipeline(
        "a red star", num_inference_steps=2, output_type="np", generator=new_generator()
    )
    assert_is_picture(output.images[0], (64, 64, 3))


@pytest.mark.torch
def test_inpaint_takes_nine_channels_and_makes_a_picture() -> None:
    pipeline = load("StableDiffusionInpaintPipeline", shipped_folder("tiny/inpaint"))
    assert pipeline.unet.config.in_channels == 9
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    output = pipeline(
        "a red star",
        image=photo(),
        mask_image=mask,
        num_inference_steps=2,
        output_type="np",
        generator=new_generator(),
    )
    assert_is_picture(output.images[0], (64, 64, 3))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["tiny/controlnet-edges", "tiny/controlnet-depth"])
def test_a_controlnet_fits_text_to_image(name: str) -> None:
    import diffusers
    import torch

    control = diffusers.ControlNetModel.from_pretrained(shipped_folder(name), dtype=torch.float32)
    base = shipped_folder("tiny/text-to-image")
    pipeline = load("StableDiffusionControlNetPipeline", base, controlnet=control)
    output = pipeline(
        "a star",
        image=photo(96),
        num_inference_steps=2,
        output_type="np",
        generator=new_generator(),
    )
    assert_is_picture(output.images[0], (96, 96, 3))


@pytest.mark.torch
def test_depth_estimates_depth_and_makes_a_picture() -> None:
    pipeline = load("StableDiffusionDepth2ImgPipeline", shipped_folder("tiny/depth"))
    assert pipeline.unet.config.in_channels == 5
    output = pipeline(
        "a star", image=photo(), num_inference_steps=4, output_type="np", generator=new_generator()
    )
    assert_is_picture(output.images[0], (64, 64, 3))


@pytest.mark.torch
def test_the_depth_estimator_gives_no_flat_map() -> None:
    import torch
    import transformers

    folder = shipped_folder("tiny/depth-estimator")
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        depth = model(**processor(images=photo(200), return_tensors="pt")).predicted_depth
    assert depth.shape == (1, 128, 128)
    assert torch.isfinite(depth).all()
    assert depth.std() > 0.1 * depth.mean() > 0.001
    assert (depth == 0).float().mean() < 0.5, "the head's last rectifier ate the map"


@pytest.mark.torch
def test_sdxl_makes_a_picture() -> None:
    pipeline = load("StableDiffusionXLPipeline", shipped_folder("tiny/sdxl"))
    output = pipeline(
        "a red star", num_inference_steps=2, output_type="np", generator=new_generator()
    )
    assert_is_picture(output.images[0], (64, 64, 3))


@pytest.mark.torch
def test_turbo_makes_a_picture_in_one_step_without_guidance() -> None:
    pipeline = load("StableDiffusionXLPipeline", shipped_folder("tiny/turbo"))
    output = pipeline(
        "a star",
        num_inference_steps=1,
        guidance_scale=0.0,
        output_type="np",
        generator=new_generator(),
    )
    assert_is_picture(output.images[0], (64, 64, 3))


@pytest.mark.torch
def test_text_to_video_makes_frames() -> None:
    pipeline = load("TextToVideoSDPipeline", shipped_folder("tiny/text-to-video"))
    output = pipeline("a star", num_frames=3, num_inference_steps=2, generator=new_generator())
    assert_is_picture(output.frames[0], (3, 64, 64, 3))


@pytest.mark.torch
@pytest.mark.parametrize("name", ["tiny/text-to-image", "tiny/sdxl"])
def test_prompts_are_read_and_pooled_at_their_end(name: str) -> None:
    import torch
    import transformers

    tokenizer = transformers.CLIPTokenizer.from_pretrained(shipped_folder(name) / "tokenizer")
    encoder = transformers.CLIPTextModel.from_pretrained(shipped_folder(name) / "text_encoder")
    assert tokenizer.model_max_length == 77
    assert len(tokenizer) == encoder.config.vocab_size
    assert tokenizer.decode(tokenizer("Ein Äpfel 7 €").input_ids, skip_special_tokens=True) == (
        "ein äpfel 7 €"
    )
    words = tokenizer("a red star", padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        read = encoder(words)
    assert words[0, :5].tolist() == [
        encoder.config.bos_token_id,
        *tokenizer.convert_tokens_to_ids(["a</w>", "red</w>", "star</w>"]),
        encoder.config.eos_token_id,
    ]
    assert torch.equal(read.pooler_output[0], read.last_hidden_state[0, 4])


@pytest.mark.torch
def test_the_second_tokenizer_of_sdxl_fills_up_with_its_own_token() -> None:
    import transformers

    folder = shipped_folder("tiny/sdxl")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
    encoder = transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2")
    assert tokenizer.pad_token == "!"
    assert tokenizer.pad_token_id == encoder.config.pad_token_id
    assert tokenizer.eos_token_id == encoder.config.eos_token_id
