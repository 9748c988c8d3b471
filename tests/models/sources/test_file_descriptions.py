"""What model files are, by their headers: kind, base, licence and trigger words; no torch."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import pytest

from sdgraph.models.formats.single_file_kinds import BASES
from sdgraph.models.sources import file_descriptions
from sdgraph.models.sources.file_descriptions import (
    FileDescription,
    describe_file,
    describe_files,
    size_of,
    split_label,
)
from sdgraph.models.sources.model_files import ModelFile
from tests.support.ldm_headers import Shapes, header

XL = next(base for base in BASES if base.label == "SDXL")
CROSS = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"


def write(path: Path, shapes: Shapes, metadata: Mapping[str, Any] | None = None) -> ModelFile:
    """A safetensors file of these tensors, whose data is a hole in the file."""
    entries: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        entries[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return ModelFile(path, path.parent, "", str(path))


def lora(width: int) -> Shapes:
    return {f"{CROSS}.lora_up.weight": (640, 4), f"{CROSS}.lora_down.weight": (4, width)}


def settle(file: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file look as if it were older than two seconds."""
    monkeypatch.setattr("sdgraph.files.FileStamp.is_settled", lambda _: True)
    os.utime(file.path, ns=(10**18, 10**18))


@pytest.mark.parametrize(
    ("shapes", "metadata", "kind", "base"),
    [
        (lora(768), {}, "LoRA", "Stable Diffusion 1.x"),
        (lora(1024), None, "LoRA", "Stable Diffusion 2.x"),
        (lora(2048), {}, "LoRA", "SDXL"),
        (lora(4096), {}, "LoRA", ""),
        (lora(4096), {"modelspec.architecture": "flux-1-dev/lora"}, "LoRA", "Flux"),
        (lora(2048), {"ss_base_model_version": "sdxl_base_v1-0"}, "LoRA", "SDXL"),
        (lora(768), {"modelspec.architecture": ["no text"]}, "LoRA", "Stable Diffusion 1.x"),
        (lora(768), "no map", "LoRA", "Stable Diffusion 1.x"),
        ({"emb_params": (2, 768)}, {}, "embedding", "Stable Diffusion 1.x"),
        ({"clip_l": (2, 768), "clip_g": (2, 1280)}, {}, "embedding", "SDXL"),
        ({"double_blocks.0.img_attn.qkv.weight": (8, 8)}, {}, "model", "Flux"),
        ({"decoder.conv_in.weight": (4, 4)}, {}, "VAE", ""),
        ({"something": (4, 4), "else": (4, 4)}, {}, "unknown", ""),
    ],
)
def test_a_header_tells_the_kind_and_the_base(
    tmp_path: Path, shapes: Shapes, metadata: Any, kind: str, base: str
) -> None:
    about = describe_file(write(tmp_path / "x.safetensors", shapes, metadata))
    assert (about.kind, about.base, about.problem) == (kind, base, "")


def test_the_labels_of_all_bases_are_those_of_checkpoints() -> None:
    for base in BASES:
        kind, name = split_label(f"a checkpoint of {base.label}")
        assert kind == "checkpoint" and name and not name.startswith("the ")
    assert split_label("a checkpoint of an unknown base") == ("checkpoint", "")


def test_the_licence_and_the_trigger_words_stand_in_the_header(tmp_path: Path) -> None:
    tags = {"10_sks cat": {"sks cat": 20, "sofa": 3}, "5_more": {"sofa": 30, "x": 1, "bad": "no"}}
    metadata = {
        "modelspec.license": "CreativeML Open\nRAIL-M",
        "modelspec.trigger_phrase": "sks style, sofa",
        "ss_tag_frequency": json.dumps(tags),
    }
    about = describe_file(write(tmp_path / "x.safetensors", lora(768), metadata))
    assert about.licence == "CreativeML Open RAIL-M"
    assert about.trigger_words == ("sks style", "sofa", "sks cat", "x")


def test_damaged_files_say_what_is_wrong(tmp_path: Path) -> None:
    whole = write(tmp_path / "x.safetensors", lora(768))
    with whole.path.open("r+b") as file:
        file.truncate(whole.path.stat().st_size - 1)
    assert "it is cut short" in describe_file(whole).problem
    whole.path.write_bytes(b"<!doctype html>" + b" " * 100)
    assert "a web page" in describe_file(whole).problem
    whole.path.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert "git lfs pull" in describe_file(whole).fix
    assert describe_file(write(whole.path, {})).problem == "it has no tensors"
    whole.path.unlink()
    assert describe_file(whole).problem == "no such file"
    whole.path.symlink_to(tmp_path / "gone")
    assert describe_file(whole).problem == "a link to a file that is gone"
    assert size_of(whole) == 0


def test_pickles_and_gguf_are_what_their_folder_says_and_may_be_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"1" * 1000)
    file = ModelFile(path, tmp_path, "checkpoint", str(path))
    assert describe_file(file) == FileDescription("checkpoint", format="pickle")
    path.write_bytes(path.read_bytes()[:500])
    assert "cut short" in describe_file(file).problem
    path.write_bytes(b"\x80\x02}q")
    assert not describe_file(file).problem
    path.write_bytes(b"no pickle")
    assert "begin" in describe_file(file).problem and "again" in describe_file(file).fix
    quantized = tmp_path / "y.gguf"
    quantized.write_bytes(b"GGUF\x03")
    file = ModelFile(quantized, tmp_path, "denoiser", str(quantized))
    assert describe_file(file) == FileDescription("denoiser", format="GGUF")
    quantized.write_bytes(b"half")
    assert describe_file(file).problem


def test_a_folder_in_the_layout_of_diffusers_is_one_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    index = tmp_path / "model_index.json"
    index.write_text('{"_class_name": "StableDiffusionXLPipeline"}')
    (tmp_path / "unet/x.safetensors").write_bytes(b"1234")
    file = ModelFile(tmp_path, tmp_path.parent, "", str(tmp_path), is_pipeline=True)
    expected = FileDescription("checkpoint", "StableDiffusionXLPipeline", "folder")
    assert describe_file(file) == expected
    assert size_of(file) == index.stat().st_size + 4
    index.write_text("{")
    assert describe_file(file).problem


def test_a_header_is_read_once_while_its_file_does_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "x.safetensors", header(XL), {"modelspec.license": "MIT"})
    young = write(tmp_path / "y.safetensors", lora(768))
    files = [file, young]
    first = describe_files(files)  # files this young are not remembered
    assert [about.kind for about in first] == ["checkpoint", "LoRA"]
    settle(file, monkeypatch)
    describe_files([file])
    with monkeypatch.context() as patched:
        patched.setattr(file_descriptions, "describe_file", lambda _: pytest.fail("read again"))
        assert describe_files([file]) == first[:1]
    write(file.path, lora(2048))
    assert describe_files([file])[0].base == "SDXL"
    assert describe_files([file])[0].kind == "LoRA"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', "\udcff"])
def test_a_damaged_file_of_what_is_remembered_changes_nothing(
    tmp_path: Path, own_home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    file = write(tmp_path / "x.safetensors", lora(768))
    settle(file, monkeypatch)
    expected = describe_files([file])
    stored = own_home / "model_files.json"
    assert stored.is_file()
    stored.write_text(text, errors="surrogateescape")
    assert describe_files([file]) == expected
    content = json.loads(stored.read_text())
    for entry in content["files"].values():
        entry[1]["kind"] = 3
    stored.write_text(json.dumps(content))
    assert describe_files([file]) == expected
