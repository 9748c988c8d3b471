"""The folders that a user names for models: from the environment or `config.toml`; no torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models.sources.model_folders import config_file, model_folders, use_of_folder


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a `config.toml` of the test's own, whose folder exists."""
    monkeypatch.delenv("SDGRAPH_MODELS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("HOME", str(tmp_path))
    path = config_file()
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir(parents=True)
    return path


def paths() -> list[Path]:
    return [folder.path for folder in model_folders()]


def refusal() -> Problem:
    with pytest.raises(CheckpointError) as caught:
        model_folders()
    return caught.value.problems[0]


def test_without_settings_there_are_no_folders(config: Path) -> None:
    assert not model_folders()
    config.write_text("")
    assert not model_folders()


def test_folders_of_the_config_begin_at_home_or_beside_it(config: Path, tmp_path: Path) -> None:
    config.write_text(
        '# mine\nmodels = ["~/ComfyUI/models", "here", "/srv/models", "/srv/models/"]\n'
    )
    expected = [tmp_path / "ComfyUI/models", config.parent / "here", Path("/srv/models")]
    assert paths() == expected
    assert {folder.named_in for folder in model_folders()} == {str(config)}


def test_the_variable_replaces_the_config(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("models = [")  # not even read
    monkeypatch.setenv("SDGRAPH_MODELS", os.pathsep.join(["~/a", "", str(tmp_path / "b")]))
    assert paths() == [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv("SDGRAPH_MODELS", "")
    assert not paths()


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ('\nmodels = ["~/a"\n', 2, "unclosed array"),
        ("models = [\n~/a]", 2, "invalid value"),
        ("a = 1\n", 1, "unknown setting 'a'"),
        ("models = []\n[model]\nx = 1", 2, "unknown setting 'model'"),
        ('# x\n\nmodels = "~/a"', 3, "'~/a'"),
        ("models = [3]", 1, "3 in the list"),
        ('models = [\n  "~/a",\n  3,\n]', 3, "3 in the list"),
        ('models = [""]', 1, "'' in the list"),
    ],
)
def test_a_bad_config_is_refused_with_its_line(
    config: Path, text: str, line: int, found: str
) -> None:
    config.write_text(text)
    problem = refusal()
    assert problem.at is not None and problem.at.file == str(config)
    assert problem.at.line == line and found in problem.found and problem.fix


def test_a_config_that_is_no_text_is_refused(config: Path) -> None:
    config.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in refusal().found
    config.unlink()
    config.mkdir()
    assert str(config) in refusal().subject


def test_a_missing_folder_is_a_problem_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SDGRAPH_MODELS", f"{tmp_path}{os.pathsep}{tmp_path / 'no'}:{tmp_path}/file")
    there, absent, file = (folder.problem for folder in model_folders())
    assert there is None and absent is not None and file is not None
    assert absent.subject == str(tmp_path / "no") and absent.found == "no such folder"
    assert "SDGRAPH_MODELS" in absent.fix and file.found == "a file, no folder"


@pytest.mark.parametrize("named", ["", "models"])
def test_the_folder_of_a1111_or_its_models_may_be_named(
    named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("models/Stable-diffusion", "embeddings", "outputs"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("SDGRAPH_MODELS", str(tmp_path / named))
    (folder,) = model_folders()
    assert folder.roots == (tmp_path / "models", tmp_path / "embeddings")


@pytest.mark.parametrize(
    ("names", "use"),
    [
        ("checkpoints Stable-diffusion", "checkpoint"),
        ("diffusion_models unet", "denoiser"),
        ("text_encoders clip", "text encoder"),
        ("vae VAE", "VAE"),
        ("loras Lora", "LoRA"),
        ("embeddings", "embedding"),
        ("controlnet ControlNet", "ControlNet"),
        ("upscale_models ESRGAN", "upscaler"),
        ("mine", ""),
    ],
)
def test_the_folders_of_comfyui_and_a1111_say_what_is_in_them(names: str, use: str) -> None:
    assert {use_of_folder(name) for name in names.split()} == {use}
