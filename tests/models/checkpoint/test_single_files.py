"""A checkpoint may be one file: its base, configs, tokenizers, size and identity; no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import part_warnings, resolve, resolve_part
from sdgraph.models.checkpoint import single_files
from sdgraph.models.formats import pickles
from sdgraph.models.formats.single_file_kinds import BASES, Base
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.values import Part
from tests.support import fake_checkpoints, gguf_files
from tests.support.ldm_headers import Shapes, header
from tests.support.published_layouts import write_header

ONE, TWO, XL = (
    next(base for base in BASES if base.label == label)
    for label in ("Stable Diffusion 1.x", "Stable Diffusion 2.x", "SDXL")
)

STABLE_VIDEO = header(
    Base(label="", channels=8, text_width=1024),
    **{"model.diffusion_model.input_blocks.1.0.time_stack.in_layers.0.weight": (320,)},
)
"""The header of a file of Stable Video Diffusion; without its last tensor of an unknown base."""


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, which is switched off."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache


def written(path: Path, shapes: Shapes) -> Path:
    write_header(path, shapes)
    return path


def refusal(checkpoint: Checkpoint) -> Problem:
    with pytest.raises(CheckpointError) as caught:
        _ = resolve(checkpoint).root
    return caught.value.problems[0]


def warnings_of(checkpoint: Checkpoint) -> list[Problem]:
    """The warnings of a checkpoint, without those of a vocabulary that is not here."""
    warnings = part_warnings([resolve_part(Part(checkpoint, "unet"))])
    return [warning for warning in warnings if "vocabulary" not in warning.found]


def scheduler_of(checkpoint: Checkpoint) -> dict[str, object]:
    return dict(resolve(checkpoint).config("scheduler") or {})


@pytest.mark.parametrize("base", [base for base in BASES if base.name], ids=lambda base: base.name)
def test_the_configs_of_a_base_ship_and_name_all_that_its_pipeline_needs(
    tmp_path: Path, base: object
) -> None:
    path = written(tmp_path / "x.safetensors", header(base))  # type: ignore[arg-type]
    resolved = resolve(Checkpoint(path))
    for name in resolved.components or ():
        part = resolve_part(Part(resolved.checkpoint, name))
        assert part.folder is not None and part.folder.is_dir() and part.library_and_class
        if "tokenizer" in name:
            assert resolved.config(name, "tokenizer_config.json")
        else:
            assert resolved.config(name)
        assert part.files == ((path,) if name in part.owner.single_file.kind.prefixes else ())  # type: ignore[union-attr]


def test_only_a_components_own_tensors_count(tmp_path: Path) -> None:
    shapes = header(ONE) | {
        "cond_stage_model.transformer.text_model.embeddings.position_ids": (77,)
    }
    checkpoint = Checkpoint(written(tmp_path / "x.safetensors", shapes))
    parts = {name: resolve_part(Part(checkpoint, name)) for name in ("vae", "text_encoder", "unet")}
    assert parts["vae"].file_bytes == 2 * 512 * 4 * 9 and parts["text_encoder"].file_bytes == 2 * 16
    assert parts["vae"].footprint("float32") == 2 * parts["vae"].file_bytes
    assert parts["unet"].footprint("float16") == parts["unet"].file_bytes
    prints = {part.fingerprint for part in parts.values()}
    assert len(prints) == 3


def test_a_file_is_known_by_its_content(tmp_path: Path) -> None:
    one = written(tmp_path / "one.safetensors", header(ONE))
    other = Path(shutil.copy(one, tmp_path / "other.safetensors"))
    changed = written(tmp_path / "changed.safetensors", header(ONE, more=(1,)))
    prints = [
        resolve_part(Part(Checkpoint(path), "unet")).fingerprint for path in (one, other, changed)
    ]
    assert prints[0] == prints[1] != prints[2]
    whole = [resolve(Checkpoint(path)).content_fingerprint for path in (one, other, changed)]
    assert whole[0] == whole[1] != whole[2]


def test_a_file_of_2_x_may_predict_either_and_a_warning_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", header(TWO))
    plain = Checkpoint(path)
    (warning,) = warnings_of(plain)
    assert "epsilon or v" in warning.found and "prediction_type: epsilon" in warning.fix
    assert scheduler_of(plain)["prediction_type"] == "v_prediction"
    assert (resolve(plain).config("unet") or {})["sample_size"] == 96
    told = Checkpoint(path, prediction_type="epsilon")
    assert not warnings_of(told) and scheduler_of(told)["prediction_type"] == "epsilon"
    assert (resolve(told).config("unet") or {})["sample_size"] == 64
    assert resolve(told).settings_fingerprint != resolve(plain).settings_fingerprint


def test_marks_in_the_file_set_its_scheduler(tmp_path: Path) -> None:
    checkpoint = Checkpoint(
        written(tmp_path / "x.safetensors", header(XL, v_pred=(0,), ztsnr=(0,)))
    )
    settings = scheduler_of(checkpoint)
    assert settings["prediction_type"] == "v_prediction" and settings["rescale_betas_zero_snr"]
    assert settings["timestep_spacing"] == "trailing" and not warnings_of(checkpoint)
    old = Checkpoint(written(tmp_path / "y.safetensors", header(ONE, ztsnr=(0,))))
    assert scheduler_of(old)["_class_name"] == "DDIMScheduler", "PNDM cannot begin at noise alone"


def test_a_name_that_says_v_without_a_mark_is_warned_about(tmp_path: Path) -> None:
    path = written(tmp_path / "noob-v_pred.safetensors", header(XL))
    (warning,) = warnings_of(Checkpoint(path))
    assert "prediction_type: v_prediction" in warning.fix
    assert not warnings_of(Checkpoint(path, prediction_type="v_prediction"))


def test_a_prediction_type_reaches_the_scheduler_of_a_folder_too() -> None:
    plain = Checkpoint("tiny/text-to-image")
    told = Checkpoint("tiny/text-to-image", prediction_type="sample")
    assert scheduler_of(plain)["prediction_type"] != "sample"
    assert scheduler_of(told)["prediction_type"] == "sample"
    assert resolve(told).settings_fingerprint != resolve(plain).settings_fingerprint


@pytest.mark.parametrize(
    ("content", "name", "found", "fix"),
    [
        (b"PK\x03\x04 a zip", "x.ckpt", "a pickle, which can run code", "--allow-pickle"),
        (b"\x80\x02}q", "x.safetensors", "a pickle", "its safetensors"),
        (b"<!DOCTYPE html><html>", "x.safetensors", "a web page", "download it again"),
        (b"\x89PNG", "x.png", "a .png file", ""),
        (b"", "x.safetensors", "0 bytes: it is cut short", "again"),
        (b"version https://git-lfs.github.com/spec/v1", "x.safetensors", "Git LFS", "git lfs pull"),
    ],
)
def test_a_file_of_another_format_is_named(
    tmp_path: Path, content: bytes, name: str, found: str, fix: str
) -> None:
    (tmp_path / name).write_bytes(content)
    problem = refusal(Checkpoint(tmp_path / name))
    assert found in problem.found and fix in problem.fix
    if found.startswith("a pickle"):
        found = "cut short" if name.endswith("ckpt") else "it cannot be read"
    with pickles.allow():
        assert found in refusal(Checkpoint(tmp_path / name)).found


@pytest.mark.parametrize(
    ("tensor", "fix"),
    [
        (
            "double_blocks.0.img_attn.qkv.weight",
            "{source: black-forest-labs/FLUX.1-dev, transformer: ",
        ),
        ("blocks.0.attn.qkv_x.weight", "no node takes Mochi yet: choose another checkpoint"),
    ],
)
def test_a_denoiser_without_text_encoders_says_where_it_belongs(
    tmp_path: Path, tensor: str, fix: str
) -> None:
    path = written(tmp_path / "x.safetensors", {tensor: (64, 64)})
    assert fix in refusal(Checkpoint(path)).fix


def test_a_gguf_file_wants_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(single_files, "find_spec", lambda name: None)
    path = gguf_files.write(tmp_path / "x.gguf", {"blocks.0.attn.qkv_x.weight": ("F32", (2, 32))})
    problem = refusal(Checkpoint(path))
    assert "no package gguf" in problem.found and "pip install gguf" in problem.fix
    monkeypatch.setattr(single_files, "find_spec", lambda name: True)
    assert refusal(Checkpoint(path)).found == "a model of Mochi"
    part = Checkpoint("tiny/text-to-image", vae=path)
    with pytest.raises(CheckpointError, match="GGUF for a denoiser alone"):
        resolve_part(Part(part, "vae")).check()


def test_a_file_that_was_not_downloaded_whole_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", header(ONE))
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)
    problem = refusal(Checkpoint(path))
    assert "it is cut short" in problem.found and str(size) in problem.wanted


def test_a_file_that_is_not_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "dreamshaper_8.safetensors").touch()
    problem = refusal(Checkpoint(tmp_path / "dreamshaper_9.safetensors"))
    assert problem.found == "no such file" and "dreamshaper_8.safetensors" in problem.fix


@pytest.mark.parametrize(
    ("shapes", "found", "fix"),
    [
        ({"lora_unet_x.lora_up.weight": (4, 4)}, "a LoRA", "loras"),
        ({"emb_params": (2, 768)}, "an embedding", "embeddings"),
        ({"decoder.conv_in.weight": (4, 4, 3, 3)}, "a VAE", "part"),
        (header(next(b for b in BASES if "refiner" in b.label)), "the SDXL refiner", "base model"),
        (header(next(b for b in BASES if b.channels == 7)), "x4 upscaler", "no node takes it"),
        (STABLE_VIDEO, "a checkpoint of Stable Video Diffusion", "a folder in diffusers' layout"),
        (header(replace(ONE, width=32)), "a checkpoint of an unknown base", "config:"),
        (
            {n: s for n, s in header(ONE).items() if "first_stage" not in n},
            "without a VAE",
            "a file that has it",
        ),
        (
            {n: s for n, s in header(ONE).items() if "cond_stage" not in n},
            "without a text encoder",
            "a file that has it",
        ),
        (header(ONE, **{"x.weight_scale_inv": (2,)}), "a scale of blocks of weights", "bf16"),
    ],
)
def test_what_is_no_whole_checkpoint_of_a_known_base_is_refused(
    tmp_path: Path, shapes: Shapes, found: str, fix: str
) -> None:
    problem = refusal(Checkpoint(written(tmp_path / "x.safetensors", shapes)))
    assert found in problem.found and fix in problem.fix and problem.wanted


@pytest.mark.parametrize("field", ["variant", "subfolder"])
def test_what_one_file_cannot_have_is_refused(tmp_path: Path, field: str) -> None:
    path = written(tmp_path / "x.safetensors", header(ONE))
    checkpoint = Checkpoint.parse({"source": str(path), field: "fp16"})
    assert field in refusal(checkpoint).found


def test_configs_may_be_named_and_must_be_of_the_same_widths(tmp_path: Path) -> None:
    tiny = replace(ONE, width=32, text_width=768, tensors=20)
    path = written(tmp_path / "x.safetensors", header(tiny))
    problem = refusal(Checkpoint(path, config="tiny/text-to-image"))
    assert "768 text features" in problem.found and problem.wanted.startswith("64, by the configs")
    assert "no such folder" in refusal(Checkpoint(path, config=tmp_path / "none")).found
    assert "no model index" in refusal(Checkpoint(path, config=tmp_path)).found
    folder = refusal(Checkpoint("tiny/inpaint", config="tiny/inpaint"))
    assert "for what is no file" in folder.found


def vocabulary_in(cache: Path, source: str, below: str = "") -> Path:
    """Puts a small vocabulary into the hub's cache."""
    folder = cache.parent / "made" / source
    tokenizer = shipped_folder("tiny/sdxl") / "tokenizer"
    for name in ("vocab.json", "merges.txt"):
        (folder / below).mkdir(parents=True, exist_ok=True)
        shutil.copy(tokenizer / name, folder / below / name)
    return folder


def test_the_vocabulary_is_that_of_clip_in_the_cache(tmp_path: Path, hub_cache: Path) -> None:
    checkpoint = Checkpoint(written(tmp_path / "x.safetensors", header(XL)))
    part = Part(checkpoint, "tokenizer_2")
    with pytest.raises(CheckpointError, match="hf download openai/clip-vit-large-patch14"):
        resolve_part(part).check()
    before = resolve_part(part).fingerprint
    source = "openai/clip-vit-large-patch14"
    snapshot = fake_checkpoints.in_hub_cache(hub_cache, source, vocabulary_in(hub_cache, source))
    here = resolve_part(part)
    here.check()
    assert here.vocabulary_files == (snapshot / "vocab.json", snapshot / "merges.txt")
    assert here.fingerprint != before and not resolve(checkpoint).must_fetch
    assert here.file_name(here.vocabulary_files[0]) == "tokenizer_2/vocab.json"
    assert resolve(checkpoint).path_of("tokenizer_2/vocab.json") == here.vocabulary_files[0]
    assert resolve_part(Part(checkpoint, "tokenizer")).fingerprint != here.fingerprint, (
        "they pad otherwise"
    )


def test_the_vocabulary_may_be_that_of_another_checkpoint(tmp_path: Path, hub_cache: Path) -> None:
    folder = vocabulary_in(hub_cache, "someone/mix", "tokenizer")
    (folder / "text_encoder").mkdir()
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    config = folder / "text_encoder" / "config.json"
    checkpoint = Checkpoint(written(tmp_path / "x.safetensors", header(ONE)))
    config.write_text(json.dumps({"vocab_size": 784}))
    snapshot = fake_checkpoints.in_hub_cache(hub_cache, "someone/small", folder)
    assert resolve(checkpoint).vocabulary is None, "a tokenizer of another size"
    config.write_text(json.dumps({"vocab_size": 49408}))
    snapshot = fake_checkpoints.in_hub_cache(hub_cache, "someone/mix", folder)
    assert resolve(checkpoint).vocabulary == snapshot / "tokenizer"


def test_a_vocabulary_that_is_not_here_is_fetched_once(
    tmp_path: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    checkpoint = Checkpoint(written(tmp_path / "x.safetensors", header(ONE)))
    (warning,) = part_warnings([resolve_part(Part(checkpoint, "unet"))])
    assert "openai/clip-vit-large-patch14" in warning.found and "once" in warning.fix
    asked = []

    def download(source: str, revision: str | None, **options: object) -> Path:
        asked.append((source, options["allow_patterns"]))
        folder = vocabulary_in(hub_cache, source)
        return fake_checkpoints.in_hub_cache(hub_cache, source, folder)

    monkeypatch.setattr("sdgraph.models.sources.hub_downloads.download_matching", download)
    resolved = resolve(checkpoint)
    assert resolved.must_fetch
    assert not resolved.fetch().must_fetch and not resolve(checkpoint).must_fetch
    assert asked == [("openai/clip-vit-large-patch14", ["vocab.json", "merges.txt"])]


def test_the_vocabulary_is_found_without_the_hubs_client(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", header(ONE))
    code = (
        "import sys; from sdgraph import Checkpoint; from sdgraph.models import resolve\n"
        f"resolve(Checkpoint({str(path)!r})).lacks_vocabulary\n"
        "assert not {'torch', 'huggingface_hub.file_download'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
