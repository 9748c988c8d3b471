"""`models` lists checkpoints and model files, `models check` those that are damaged; no torch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from sdgraph.models.formats.single_file_kinds import BASES
from tests.support.command_line import Command, CommandResult
from tests.support.ldm_headers import header
from tests.support.published_layouts import write_header


@pytest.fixture
def comfyui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of ComfyUI, with a checkpoint and a LoRA, that is named as a model folder."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "ComfyUI"
    write_header(folder / "models/checkpoints/dreamshaper_8.safetensors", header(BASES[0]))
    write_header(folder / "models/loras/style.safetensors", {"a.lora_down.weight": (4, 8)})
    monkeypatch.setenv("SDGRAPH_MODELS", str(folder))
    return folder


def models(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("models", *arguments, toys=False)


def test_models_lists_what_ships_and_what_was_fetched(sdgraph: Command) -> None:
    result = models(sdgraph)
    assert result.code == 0
    assert re.search(r"tiny/inpaint +[\d.]+ MB +\S+/tiny/inpaint", result.out)
    assert "downloaded from the hub" in result.out


def test_without_model_folders_it_says_how_to_name_one(sdgraph: Command) -> None:
    assert "in model folders: none; name yours in " in models(sdgraph).out
    assert 'config.toml: models = ["~/ComfyUI/models"]' in models(sdgraph).out


def test_the_files_of_model_folders_are_listed_by_kind(sdgraph: Command, comfyui: Path) -> None:
    out = models(sdgraph).out
    assert f"in {comfyui} (2 files, " in out
    checkpoint = out.index("checkpoint  Stable Diffusion 1.x  ")
    assert checkpoint < out.index("loras/style.safetensors")
    for header_of_empty_column in ("sha256", "licence", "trigger words", "problem"):
        assert header_of_empty_column not in out


def test_as_json_a_file_has_all_that_is_known(sdgraph: Command, comfyui: Path) -> None:
    data = json.loads(models(sdgraph, "--json").out)
    checkpoint, lora = data["files"]
    path = comfyui / "models/checkpoints/dreamshaper_8.safetensors"
    assert checkpoint == {
        "path": str(path),
        "name": "checkpoints/dreamshaper_8.safetensors",
        "kind": "checkpoint",
        "base": "Stable Diffusion 1.x",
        "format": "safetensors",
        "bytes": path.stat().st_size,
        "sha256": None,
        "licence": None,
        "trigger_words": [],
        "problem": None,
    }
    assert lora["kind"] == "LoRA" and data["missing_folders"] == []
    assert {"shipped", "hub", "memory"} < set(data)


def test_hashes_are_printed_when_asked_for(sdgraph: Command, comfyui: Path) -> None:
    path = comfyui / "models/loras/style.safetensors"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert json.loads(models(sdgraph, "--hash", "--json").out)["files"][1]["sha256"] == digest
    assert digest[:10] in models(sdgraph, "--hash").out


def test_a_missing_folder_is_a_warning_with_its_name(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_MODELS", str(tmp_path / "gone"))
    result = models(sdgraph, "--json")
    assert result.code == 0 and json.loads(result.out)["missing_folders"] == [f"{tmp_path}/gone"]
    assert f"warning: {tmp_path}/gone: no such folder; change it in $SDGRAPH_MODELS" in result.err
    assert models(sdgraph, "check").code == 2


def test_a_damaged_config_is_an_error_with_its_line(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SDGRAPH_MODELS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sdgraph").mkdir()
    path = tmp_path / "sdgraph/config.toml"
    path.write_text('models = ["~/a"]\nmodel = 3\n')
    result = models(sdgraph)
    assert result.code == 2 and f"{path}:2:1" in result.err
    assert "did you mean 'models'?" in result.err and "Traceback" not in result.err


def test_check_prints_damaged_files(sdgraph: Command, comfyui: Path) -> None:
    result = models(sdgraph, "check")
    assert result.code == 0 and result.out == "0 problems, 2 model files\n"
    path = comfyui / "models/loras/style.safetensors"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    result = models(sdgraph, "check")
    assert result.code == 2 and str(path) in result.out and "it is cut short" in result.out
    (problem,) = json.loads(models(sdgraph, "check", "--json").out)
    assert problem["subject"] == str(path)
    assert "it is cut short" in models(sdgraph).out


def test_a_workflow_names_a_file_in_a_model_folder(
    sdgraph: Command, comfyui: Path, tmp_path: Path
) -> None:
    flow = tmp_path / "cat.yaml"
    node = "{type: Text2Image, prompt: a cat, checkpoint: dreamshaper_8.safetensors}"
    flow.write_text(f"nodes: {{cat: {node}}}\n")
    assert sdgraph("validate", str(flow), toys=False).code == 0
    flow.write_text(flow.read_text().replace("dreamshaper_8", "dreamshaper_9"))
    result = sdgraph("validate", str(flow), toys=False)
    assert result.code == 2 and f"none below {comfyui}" in result.out
    assert "did you mean 'dreamshaper_8.safetensors'?" in result.out
