from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdgraph import shipped
from sdgraph.errors import CheckpointError

NAMES = (
    "tiny/controlnet-depth",
    "tiny/controlnet-edges",
    "tiny/depth",
    "tiny/depth-estimator",
    "tiny/inpaint",
    "tiny/sdxl",
    "tiny/text-to-image",
    "tiny/text-to-video",
    "tiny/turbo",
    "tiny/world",
)
MAKE_ALL = "from sdgraph import shipped\nfor name in shipped.names(): print(shipped.folder(name))"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every checkpoint's folder by its name, made once for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDGRAPH_HOME", str(tmp_path_factory.mktemp("home")))
        yield {name: shipped.folder(name) for name in shipped.names()}


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file below `folder` by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def python(code: str, home: Path) -> subprocess.Popen[str]:
    """A fresh interpreter that runs `code` with its cache in `home`."""
    root = Path(shipped.__file__).parents[1]
    environment = {**os.environ, "SDGRAPH_HOME": str(home), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def photo(size: int = 128) -> Image.Image:
    """A disc before a gradient, in RGB."""
    y, x = np.mgrid[0:size, 0:size] / size
    disc = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1
    pixels = np.stack([x, y, np.where(disc, 1.0, 0.2)], axis=-1) * 255
    return Image.fromarray(pixels.astype(np.uint8))


def load(pipeline: str, folder: Path, **components: Any) -> Any:
    import diffusers

    loaded = getattr(diffusers, pipeline).from_pretrained(folder, **components)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def seeded() -> Any:
    import torch

    return torch.Generator().manual_seed(7)


def assert_is_picture(pixels: Any, shape: tuple[int, ...]) -> None:
    assert pixels.shape == shape
    assert np.isfinite(pixels).all()
    assert pixels.std() > 0.05, "a picture of one colour"
    assert len(np.unique(pixels.round(2))) > 20, "black and white only"


# ---------------------------------------------------------------- names and configs


def test_names_are_the_folders_of_the_package_in_order() -> None:
    assert shipped.names() == NAMES


def test_configs_are_small_text_files_in_the_package() -> None:
    for name in NAMES:
        assert shipped.configs(name).parent.name == "tiny"
        for path in shipped.configs(name).rglob("*.json"):
            json.loads(path.read_text(encoding="utf-8"))


def test_an_index_lists_exactly_the_folders_beside_it() -> None:
    for name in NAMES:
        folder = shipped.configs(name)
        if (index := folder / "model_index.json").exists():
            listed = json.loads(index.read_text(encoding="utf-8"))
            present = {key for key, value in listed.items() if isinstance(value, list) and value[0]}
            assert present == {entry.name for entry in folder.iterdir() if entry.is_dir()}


def test_names_and_configs_import_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sdgraph import shipped\n"
        "for name in shipped.names(): shipped.configs(name)\n"
        "print({'torch', 'diffusers', 'transformers'} & set(sys.modules))"
    )
    assert python(code, tmp_path).communicate() == ("set()\n", "")


@pytest.mark.parametrize("call", [shipped.configs, shipped.folder])
def test_an_unknown_name_is_refused_with_the_names_and_the_nearest(call: Any) -> None:
    with pytest.raises(CheckpointError) as caught:
        call("tiny/inpant")
    assert str(caught.value).splitlines() == [
        "tiny/inpant",
        "  found:  no shipped checkpoint of that name",
        f"  wanted: one of {', '.join(NAMES)}",
        "  fix:    did you mean 'tiny/inpaint'?",
    ]


@pytest.mark.parametrize("name", ["", "tiny/", "tiny/..", "tiny/depth/unet", "/", "inpaint"])
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(CheckpointError):
        shipped.configs(name)


# ---------------------------------------------------------------- making and keeping


def test_configs_are_copied_byte_for_byte(family: dict[str, Path]) -> None:
    for name, folder in family.items():
        made = digests(folder)
        shipped_files = digests(shipped.configs(name))
        assert shipped_files.items() <= made.items()
        assert all(path.endswith(".safetensors") for path in made.keys() - shipped_files.keys())


def test_a_second_call_gives_the_same_folder_untouched(family: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in family["tiny/inpaint"].rglob("*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "_make", None)
        assert shipped.folder("tiny/inpaint") == family["tiny/inpaint"]
    assert before == {path: path.stat().st_mtime_ns for path in family["tiny/inpaint"].rglob("*")}


def test_two_processes_at_once_make_the_same_bytes_in_silence(
    family: dict[str, Path], tmp_path: Path
) -> None:
    makers = [python(MAKE_ALL, tmp_path) for _ in range(2)]
    outputs = [maker.communicate() for maker in makers]
    assert outputs[0] == outputs[1]
    assert outputs[0][1] == ""
    for folder, known in zip(outputs[0][0].splitlines(), family.values(), strict=True):
        assert digests(Path(folder)) == digests(known)
    assert not list(tmp_path.rglob(".making-*"))


def test_threads_that_ask_at_once_get_the_same_bytes(
    family: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    threads = [threading.Thread(target=shipped.folder, args=(name,)) for name in NAMES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in NAMES:
        assert digests(shipped.folder(name)) == digests(family[name])


def test_the_second_of_two_makers_keeps_what_the_first_made(
    family: dict[str, Path], tmp_path: Path
) -> None:
    files = shipped._files(shipped.configs("tiny/controlnet-edges"))
    final = tmp_path / "made" / "controlnet-edges"
    shipped._make(files, final)
    (final / "of the first").touch()
    shipped._make(files, final)
    assert [entry.name for entry in final.parent.iterdir()] == ["controlnet-edges"]
    assert (final / "of the first").exists()


def test_making_leaves_the_state_of_torch_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    import torch

    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        made = shipped.folder("tiny/depth")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert digests(made) == digests(family["tiny/depth"])


def test_equal_components_are_equal_bytes_and_others_are_not(family: dict[str, Path]) -> None:
    def of(*parts: str) -> set[str]:
        """The distinct weights of these components."""
        found = [path for part in parts for path in (family[part.split(":")[0]]).rglob("*")]
        wanted = {part.split(":")[1] for part in parts}
        return {
            sha256(path.read_bytes()).hexdigest()
            for path in found
            if path.suffix == ".safetensors" and path.parent.name in wanted
        }

    four = ("tiny/text-to-image", "tiny/inpaint", "tiny/depth", "tiny/text-to-video")
    six = (*four, "tiny/sdxl", "tiny/turbo")
    assert len(of(*(f"{name}:vae" for name in four))) == 1
    assert len(of(*(f"{name}:text_encoder" for name in six))) == 1
    assert len(of("tiny/depth:depth_estimator", "tiny/depth-estimator:depth-estimator")) == 1
    assert len(of("tiny/sdxl:vae", "tiny/turbo:vae")) == 1
    assert len(of(*(f"{name}:unet" for name in six))) == 6
    edges, depth = "controlnet-edges", "controlnet-depth"
    assert len(of(f"tiny/{edges}:{edges}", f"tiny/{depth}:{depth}")) == 2


def test_a_killed_maker_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    code = (
        "import os\nfrom sdgraph import shipped\n"
        "shipped._random_weights = lambda config: os._exit(9)\nshipped.folder('tiny/inpaint')"
    )
    killed = python(code, tmp_path)
    killed.communicate()
    assert killed.returncode == 9
    assert not [path for path in tmp_path.glob("tiny/*/*") if not path.name.startswith(".")]


def test_a_failed_make_cleans_up_and_the_next_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Mapping[str, Any]) -> bytes:
        raise RuntimeError("no memory")

    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(shipped, "_random_weights", fail)
        with pytest.raises(RuntimeError):
            shipped.folder("tiny/controlnet-depth")
    assert not list(tmp_path.glob("tiny/*/*"))
    assert shipped.folder("tiny/controlnet-depth").is_dir()


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(CheckpointError, match="cannot be kept") as caught:
        shipped.folder("tiny/inpaint")
    assert "checkpoint 'tiny/inpaint'" in str(caught.value)
    assert "Not a directory" in str(caught.value)
    assert "SDGRAPH_HOME" in str(caught.value)


def test_lost_weights_are_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    made = shipped.folder("tiny/controlnet-edges")
    (made / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="delete that folder"):
        shipped.folder("tiny/controlnet-edges")


def test_the_package_folder_itself_is_used_when_it_holds_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    trained = tmp_path / "package" / "mine"
    shipped._make(shipped._files(family["tiny/depth-estimator"]), trained)
    monkeypatch.setattr(shipped, "_SHIPPED", trained.parent)
    monkeypatch.setattr(shipped, "_make", None)
    assert shipped.names() == ("tiny/mine",)
    assert shipped.folder("tiny/mine") == trained


def test_only_the_missing_weights_are_made_and_a_changed_file_moves_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    package = tmp_path / "package" / "mine"
    files = shipped._files(family["tiny/text-to-image"])
    shipped._make(files, package)
    weights = package / "vae" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    trained = package / "text_encoder" / "model.safetensors"
    trained.write_bytes(b"trained")
    monkeypatch.setattr(shipped, "_SHIPPED", package.parent)
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))
    first = shipped.folder("tiny/mine")
    assert (first / "text_encoder" / "model.safetensors").read_bytes() == b"trained"
    made = (first / weights.relative_to(package)).read_bytes()
    assert made == files["vae/diffusion_pytorch_model.safetensors"]
    trained.write_bytes(b"trained again")
    second = shipped.folder("tiny/mine")
    assert second != first
    assert (second / "text_encoder" / "model.safetensors").read_bytes() == b"trained again"


# ---------------------------------------------------------------- what the checkpoints do


def test_every_weight_is_wanted_and_none_is_missing(family: dict[str, Path]) -> None:
    import diffusers
    import transformers

    for folder in family.values():
        for config in folder.rglob("config.json"):
            known = json.loads(config.read_text(encoding="utf-8"))
            if "_class_name" in known:
                model = getattr(diffusers, known["_class_name"])
            else:
                model = getattr(transformers, known["architectures"][0])
            _, report = model.from_pretrained(config.parent, output_loading_info=True)
            assert not any(report.values()), (config, report)


def test_text_to_image_makes_a_picture(family: dict[str, Path]) -> None:
    pipeline = load("StableDiffusionPipeline", family["tiny/text-to-image"])
    made = pipeline("a red star", num_inference_steps=2, output_type="np", generator=seeded())
    assert_is_picture(made.images[0], (128, 128, 3))


def test_inpaint_takes_nine_channels_and_makes_a_picture(family: dict[str, Path]) -> None:
    pipeline = load("StableDiffusionInpaintPipeline", family["tiny/inpaint"])
    assert pipeline.unet.config.in_channels == 9
    mask = Image.new("L", (128, 128))
    mask.paste(255, (32, 32, 96, 96))
    made = pipeline(
        "a red star",
        image=photo(),
        mask_image=mask,
        num_inference_steps=2,
        output_type="np",
        generator=seeded(),
    )
    assert_is_picture(made.images[0], (128, 128, 3))


@pytest.mark.parametrize("name", ["tiny/controlnet-edges", "tiny/controlnet-depth"])
def test_a_controlnet_fits_text_to_image(family: dict[str, Path], name: str) -> None:
    import diffusers

    control = diffusers.ControlNetModel.from_pretrained(family[name])
    pipeline = load(
        "StableDiffusionControlNetPipeline", family["tiny/text-to-image"], controlnet=control
    )
    made = pipeline(
        "a star", image=photo(192), num_inference_steps=2, output_type="np", generator=seeded()
    )
    assert_is_picture(made.images[0], (192, 192, 3))


def test_depth_estimates_depth_and_makes_a_picture(family: dict[str, Path]) -> None:
    pipeline = load("StableDiffusionDepth2ImgPipeline", family["tiny/depth"])
    assert pipeline.unet.config.in_channels == 5
    made = pipeline(
        "a star", image=photo(), num_inference_steps=4, output_type="np", generator=seeded()
    )
    assert_is_picture(made.images[0], (128, 128, 3))


def test_the_depth_estimator_gives_no_flat_map(family: dict[str, Path]) -> None:
    import torch
    import transformers

    folder = family["tiny/depth-estimator"]
    processor = transformers.AutoImageProcessor.from_pretrained(folder, backend="pil")
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder)
    with torch.no_grad():
        depth = model(**processor(images=photo(200), return_tensors="pt")).predicted_depth
    assert depth.shape == (1, 128, 128)
    assert torch.isfinite(depth).all()
    assert depth.std() > 0.1 * depth.mean() > 0.001
    assert (depth == 0).float().mean() < 0.5, "the head's last rectifier ate the map"


def test_sdxl_makes_a_picture(family: dict[str, Path]) -> None:
    pipeline = load("StableDiffusionXLPipeline", family["tiny/sdxl"])
    made = pipeline("a red star", num_inference_steps=2, output_type="np", generator=seeded())
    assert_is_picture(made.images[0], (128, 128, 3))


def test_turbo_makes_a_picture_in_one_step_without_guidance(family: dict[str, Path]) -> None:
    pipeline = load("StableDiffusionXLPipeline", family["tiny/turbo"])
    made = pipeline(
        "a star", num_inference_steps=1, guidance_scale=0.0, output_type="np", generator=seeded()
    )
    assert_is_picture(made.images[0], (128, 128, 3))


def test_text_to_video_makes_frames(family: dict[str, Path]) -> None:
    pipeline = load("TextToVideoSDPipeline", family["tiny/text-to-video"])
    made = pipeline("a star", num_frames=3, num_inference_steps=2, generator=seeded())
    assert_is_picture(made.frames[0], (3, 64, 64, 3))


@pytest.mark.parametrize("name", ["tiny/text-to-image", "tiny/sdxl"])
def test_prompts_are_read_and_pooled_at_their_end(family: dict[str, Path], name: str) -> None:
    import torch
    import transformers

    tokenizer = transformers.CLIPTokenizer.from_pretrained(family[name] / "tokenizer")
    encoder = transformers.CLIPTextModel.from_pretrained(family[name] / "text_encoder")
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


def test_the_second_tokenizer_of_sdxl_fills_up_with_its_own_token(family: dict[str, Path]) -> None:
    import transformers

    folder = family["tiny/sdxl"]
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
    encoder = transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2")
    assert tokenizer.pad_token == "!"
    assert tokenizer.pad_token_id == encoder.config.pad_token_id
    assert tokenizer.eos_token_id == encoder.config.eos_token_id
