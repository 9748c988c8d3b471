"""No code of a checkpoint is ever run."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import sdgraph
from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.models.loading.loader import load_quietly
from sdgraph.values import Part

PACKAGE = Path(sdgraph.__file__).parent


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the package of a method that loads by the name of a class, with its place."""
    return [
        (f"{path.relative_to(PACKAGE)}:{node.lineno}", node)
        for folder in (PACKAGE, PACKAGE / "nodes")
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


def test_every_loading_call_says_that_no_code_is_trusted() -> None:
    loading = [
        (place, node)
        for place, node in calls()
        if isinstance(node.func, ast.Attribute)
        and node.func.attr in ("from_pretrained", "load_config", "get_config_dict")
    ]
    assert len(loading) >= 6
    for place, node in loading:
        options = {keyword.arg: keyword.value for keyword in node.keywords}
        trusted = options.get("trust_remote_code")
        assert isinstance(trusted, ast.Constant) and trusted.value is False, place


def test_nothing_loads_whole_pipelines_or_single_files() -> None:
    names = ("from_single_file", "from_pipe", "load_checkpoint", "hf_hub_download_code")
    for place, node in calls():
        assert isinstance(node.func, ast.Attribute)
        assert node.func.attr not in names, place


EVIL = "from pathlib import Path\nPath({target!r}).write_text('code was run')\n"


def plant(folder: Path, target: Path, part: str, config: str, class_name: str) -> None:
    """Adds code to a component, and the setting by which transformers would run it."""
    path = folder / part / config
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = json.loads(path.read_text()) if path.is_file() else {}
    names = ("AutoModel", "AutoConfig", "AutoTokenizer", "AutoImageProcessor")
    settings["auto_map"] = dict.fromkeys(names, f"evil.{class_name}")
    settings["auto_map"]["AutoTokenizer"] = [f"evil.{class_name}", None]
    path.write_text(json.dumps(settings))
    code = EVIL.format(target=str(target)) + f"class {class_name}: pass\n"
    (folder / part / "evil.py").write_text(code)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    import shutil

    from sdgraph.models.sources.shipped import shipped_folder

    return Path(shutil.copytree(shipped_folder("tiny/depth"), tmp_path / "model"))


CONFIGS = [
    ("text_encoder", "config.json"),
    ("unet", "config.json"),
    ("tokenizer", "tokenizer_config.json"),
    ("depth_estimator", "config.json"),
    ("feature_extractor", "preprocessor_config.json"),
    ("scheduler", "scheduler_config.json"),
]


@pytest.mark.parametrize(("part", "config"), CONFIGS)
def test_code_in_a_component_is_refused_at_validation(
    tmp_path: Path, folder: Path, part: str, config: str
) -> None:
    target = tmp_path / "was_run"
    plant(folder, target, part, config, "Evil")
    with pytest.raises(CheckpointError, match="custom code from checkpoints is never run"):
        resolve_part(Part(Checkpoint(folder), part)).check()
    assert not target.exists()


@pytest.mark.torch
@pytest.mark.parametrize(("part", "config"), CONFIGS)
def test_code_in_a_component_is_not_run_when_it_is_loaded_unchecked(
    tmp_path: Path, folder: Path, part: str, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdgraph.models.checkpoint import resolved_part
    from sdgraph.models.formats import config_files

    target = tmp_path / "was_run"
    plant(folder, target, part, config, "Evil")

    def nothing(*arguments: Any) -> Iterator[Any]:
        return iter(())

    monkeypatch.setattr(resolved_part, "check_part", lambda part: None)
    monkeypatch.setattr(config_files, "_code_problems", nothing)
    config_files._read_config.cache_clear()
    monkeypatch.setattr("builtins.input", lambda *prompt: "y")
    try:
        load_quietly(resolve_part(Part(Checkpoint(folder), part)), "float32", "cpu")
    except Exception as error:  # refused by the library itself
        assert "trust_remote_code" in str(error) or "custom code" in str(error)
    finally:
        config_files._read_config.cache_clear()
    assert not target.exists()


def test_a_custom_pipeline_is_refused(folder: Path) -> None:
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    for change in (
        {"_class_name": ["pipeline_evil", "EvilPipeline"]},
        {"custom_pipeline": "evil"},
        {"auto_map": {"Pipeline": "evil.Pipeline"}},
    ):
        path.write_text(json.dumps({**index, **change}))
        with pytest.raises(CheckpointError, match="custom code from checkpoints is never run"):
            resolve_part(Part(Checkpoint(folder), "unet")).check()


def test_an_adapter_that_names_another_model_is_refused(folder: Path) -> None:
    settings = {"base_model_name_or_path": "someone/other", "peft_type": "LORA"}
    (folder / "text_encoder" / "adapter_config.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="another model would be loaded"):
        resolve_part(Part(Checkpoint(folder), "text_encoder")).check()


@pytest.mark.parametrize("name", ["pipeline", "AutoModel", "os.system", "CLIPTextModel", 3])
def test_a_tokenizer_of_another_class_is_refused(folder: Path, name: Any) -> None:
    path = folder / "tokenizer" / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": name}))
    with pytest.raises(CheckpointError, match=r"its class is|a name"):
        resolve_part(Part(Checkpoint(folder), "tokenizer")).check()


@pytest.mark.torch
@pytest.mark.parametrize("name", ["pipeline", "AutoModel", "utils", "CLIPTextModel"])
def test_a_processor_of_another_class_is_refused(folder: Path, name: str) -> None:
    path = folder / "feature_extractor" / "preprocessor_config.json"
    path.write_text(json.dumps({"image_processor_type": name}))
    with pytest.raises(CheckpointError, match="its class is"):
        load_quietly(resolve_part(Part(Checkpoint(folder), "feature_extractor")), "float32", "cpu")
