"""Weights in several files are whole, with their index, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints
from tests.support.published_layouts import write_header

STEM = "diffusion_pytorch_model"


def sharded(folder: Path, count: int = 3, variant: str = "") -> Path:
    """A checkpoint whose U-Net has `count` weight files and their index; returns its folder."""
    fake_checkpoints.checkpoint(folder, unet=b"")
    (folder / "unet" / fake_checkpoints.WEIGHTS).unlink()
    infix = f".{variant}" if variant else ""
    names = [f"{STEM}{infix}-{n:05}-of-{count:05}.safetensors" for n in range(1, count + 1)]
    for number, name in enumerate(names):
        write_header(folder / "unet" / name, {f"conv.{number}.weight": (2, 2)})
    weight_map = {f"conv.{number}.weight": name for number, name in enumerate(names)}
    write_index(folder, {"weight_map": weight_map}, variant)
    return folder / "unet"


def write_index(folder: Path, content: Any, variant: str = "") -> None:
    infix = f"{variant}." if variant else ""
    path = folder / "unet" / f"{STEM}.safetensors.index.{infix}json"
    path.write_text(json.dumps(content))


def check(folder: Path, variant: str | None = None) -> None:
    resolve_part(Part(Checkpoint(folder, variant=variant), "unet")).check()


@pytest.mark.parametrize("variant", ["", "fp16"])
@pytest.mark.parametrize("count", [1, 2, 12])
def test_all_files_with_their_index_pass(tmp_path: Path, count: int, variant: str) -> None:
    sharded(tmp_path, count, variant)
    check(tmp_path, variant or None)


@pytest.mark.parametrize("variant", ["", "fp16"])
@pytest.mark.parametrize("gone", [1, 2, 3])
def test_a_missing_file_is_named_by_its_number(tmp_path: Path, gone: int, variant: str) -> None:
    unet = sharded(tmp_path, 3, variant)
    next(unet.glob(f"*-{gone:05}-of-00003.safetensors")).unlink()
    with pytest.raises(CheckpointError) as caught:
        check(tmp_path, variant or None)
    problem = caught.value.problems[0]
    assert problem.found == f"weights in 3 files, without file {gone} of 3"
    assert problem.wanted == "all files of the weights" and problem.fix


def test_many_missing_files_are_counted(tmp_path: Path) -> None:
    unet = sharded(tmp_path, 9)
    for path in sorted(unet.glob("*.safetensors"))[2:]:
        path.unlink()
    with pytest.raises(CheckpointError, match="3 of 9, 4 of 9, 5 of 9 and 4 more"):
        check(tmp_path)


@pytest.mark.parametrize("variant", ["", "fp16"])
def test_files_without_their_index_are_refused(tmp_path: Path, variant: str) -> None:
    unet = sharded(tmp_path, 2, variant)
    (index,) = unet.glob("*.index.*")
    index.unlink()
    with pytest.raises(CheckpointError, match="without the index") as caught:
        check(tmp_path, variant or None)
    assert caught.value.problems[0].wanted == f"a file {index.name}"


def test_an_older_name_of_a_variant_is_known(tmp_path: Path) -> None:
    unet = sharded(tmp_path, 2, "fp16")
    for number in (1, 2):
        new = unet / f"{STEM}.fp16-{number:05}-of-00002.safetensors"
        new.rename(unet / f"{STEM}-{number:05}-of-00002.fp16.safetensors")
    (index,) = unet.glob("*.index.*")
    index.unlink()
    with pytest.raises(CheckpointError, match="without the index") as caught:
        check(tmp_path, "fp16")
    assert caught.value.problems[0].wanted == f"a file {index.name}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{STEM}-00003-of-00003.safetensors", "which is not there"),
        ("../../secret.safetensors", "a path"),
        ("/etc/passwd", "a path"),
        (7, "which is not there"),
    ],
)
def test_an_index_that_names_other_files_is_refused(
    tmp_path: Path, name: Any, message: str
) -> None:
    sharded(tmp_path, 2)
    write_index(tmp_path, {"weight_map": {"conv.0.weight": name}})
    with pytest.raises(CheckpointError, match=message) as caught:
        check(tmp_path)
    assert "index.json" in caught.value.problems[0].subject


def test_an_index_of_other_tensors_is_refused(tmp_path: Path) -> None:
    sharded(tmp_path, 2)
    name = f"{STEM}-00001-of-00002.safetensors"
    write_index(tmp_path, {"weight_map": {"conv.0.weight": name, "conv.9.weight": name}})
    with pytest.raises(CheckpointError, match=r"holds conv\.9\.weight, which it does not"):
        check(tmp_path)


@pytest.mark.parametrize("content", [{}, {"weight_map": 1}, {"weight_map": ["a"]}])
def test_an_index_without_a_map_is_refused(tmp_path: Path, content: Any) -> None:
    sharded(tmp_path, 2)
    write_index(tmp_path, content)
    with pytest.raises(CheckpointError, match="no weight_map"):
        check(tmp_path)


def test_a_whole_file_beside_some_needs_no_index(tmp_path: Path) -> None:
    unet = sharded(tmp_path, 2)
    (unet / f"{STEM}-00002-of-00002.safetensors").unlink()
    write_header(unet / f"{STEM}.safetensors", {"conv.0.weight": (2, 2)})
    check(tmp_path)
