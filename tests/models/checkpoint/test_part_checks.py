"""What headers, configs and folders tell of a checkpoint is told before torch is imported."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image
from sdgraph.values import Checkpoint


def problems_after(folder: Path, change: Callable[[Path], object]) -> str:
    """What `check` says of a copy of a shipped checkpoint in which something was changed."""
    shutil.copytree(shipped_folder("tiny/text-to-image"), folder / "model")
    change(folder / "model")
    node = Text2Image(prompt="a red star", checkpoint=Checkpoint(folder / "model"))
    return "\n".join(map(str, node.check())) or "".join(map(str, _check_graph(node)))


def _check_graph(node: Text2Image) -> list[object]:
    from sdgraph import Graph

    return [*Graph.of(node).check()]


def set_class(folder: Path, part: str, name: str) -> None:
    path = folder / part / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "_class_name": name}))


def write_weights(folder: Path, content: bytes) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(content)


def test_a_checkpoint_as_it_ships_passes(tmp_path: Path) -> None:
    assert problems_after(tmp_path, lambda folder: None) == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: set_class(folder, "unet", "UNet3DConditionModel"), "the config of UNet3D"),
        (lambda folder: set_class(folder, "vae", "AutoencoderTiny"), "AutoencoderKL, as the index"),
        (lambda folder: write_weights(folder, b"\2" + bytes(7) + b"{}"), "a file without tensors"),
        (lambda folder: write_weights(folder, b"<!DOCTYPE html><html>Denied"), "a web page"),
        (
            lambda folder: [file.unlink() for file in (folder / "tokenizer").iterdir()],
            "no vocabulary in",
        ),
        (lambda folder: (folder / "tokenizer" / "merges.txt").unlink(), "without merges.txt"),
        (
            lambda folder: (folder / "text_encoder" / "model.safetensors").rename(
                folder / "text_encoder" / "mine.safetensors"
            ),
            "weights named mine.safetensors",
        ),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    assert words in problems_after(tmp_path, change)
