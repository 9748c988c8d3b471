"""Checkpoints written to disk, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.models import fetch_checkpoint, resolve
from sdgraph.models.formats import pickles
from sdgraph.values import Checkpoint

from .training_folders import replace_folder


def save_pipeline(
    modules: Mapping[str, Any],
    like: Checkpoint,
    folder: Path,
    *,
    copied: Mapping[str, Mapping[str, Path]] | None = None,
) -> Checkpoint:
    """Writes a pipeline's checkpoint: `like`'s files, but for the weights of some components.

    Configs that did not change are copied byte for byte. The folder appears whole or not at all.

    Args:
        modules: The components with weights of their own, by name; written in half precision.
        like: The checkpoint whose layout, configs and other components are taken.
        folder: Where it is written.
        copied: The files of components that are taken from elsewhere, by component and file name;
            these components hold those files and no others, so that equal components stay equal.

    Raises:
        MediaError: The disk does not take it.
    """
    copied = copied or {}
    with replace_folder(folder) as new:
        # A model card of `like` does not describe what is written here.
        left_out = shutil.ignore_patterns("*.md")
        shutil.copytree(_folder_of(like), new, ignore=left_out, dirs_exist_ok=True)
        for name, module in modules.items():
            if name not in copied:
                _remove_weights(new / name)
                write_weights(module, new / name)
        for name, files in copied.items():
            shutil.rmtree(new / name, ignore_errors=True)
            (new / name).mkdir()
            for file, path in files.items():
                shutil.copy(path, new / name / file)
    return Checkpoint(folder)


def component_files(checkpoint: Checkpoint, names: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The files of a checkpoint's components, weights and all, by component and file name.

    Weights of the checkpoint's variant take the name of those without one.
    """
    folder = fetch_checkpoint(checkpoint)
    variant = f".{checkpoint.variant}" if checkpoint.variant else ""
    by_component = {}
    for name in names:
        files = sorted(path for path in (folder / name).iterdir() if path.is_file())
        plain = [path for path in files if not variant or variant not in path.name]
        of_variant = [path for path in files if path not in plain]
        by_component[name] = {path.name: path for path in plain}
        by_component[name] |= {path.name.replace(variant, ""): path for path in of_variant}
    return by_component


def save_model(module: Any, like: Checkpoint, folder: Path) -> Checkpoint:
    """Writes a single model's checkpoint: `like`'s configs byte for byte, the module's weights.

    Raises:
        MediaError: The disk does not take it.
    """
    with replace_folder(folder) as new:
        write_model(module, like, new)
    return Checkpoint(folder)


def write_model(module: Any, like: Checkpoint, folder: Path) -> None:
    """Writes `like`'s configs and the module's weights into a folder that is being made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in _folder_of(like).glob("*.json"):
        if not path.name.endswith(".index.json"):
            shutil.copy(path, folder)
    write_weights(module, folder)


def _folder_of(like: Checkpoint) -> Path:
    root = resolve(like).root
    assert root is not None, "its configs have been read"
    return root


def _remove_weights(folder: Path) -> None:
    """Removes the weights that were copied with a component's config."""
    if folder.is_dir():
        for path in list(folder.iterdir()):
            is_index = path.name.endswith(".index.json")
            if is_index or path.suffix in (".safetensors", *pickles.SUFFIXES):
                path.unlink()


def write_weights(module: Any, folder: Path) -> None:
    """Writes a module's weights next to its config, as half-precision safetensors."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    of_diffusers = type(module).__module__.startswith("diffusers")
    name = "diffusion_pytorch_model" if of_diffusers else "model"
    state = {
        key: value.detach().to(torch.float16 if value.is_floating_point() else value.dtype)
        for key, value in module.state_dict().items()
    }
    state = {key: value.contiguous().clone() for key, value in state.items()}
    save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    if of_diffusers and path.is_file() and hasattr(module.config, "scaling_factor"):
        settings = json.loads(path.read_text("utf-8"))
        settings["scaling_factor"] = module.config.scaling_factor
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
