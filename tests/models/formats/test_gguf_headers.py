"""The tensors of a GGUF file are listed without torch and without the package gguf."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.models.formats.gguf_headers import BLOCKS, GgufHeaderError, read_gguf_header
from sdgraph.models.formats.safetensors_files import tensor_shapes
from tests.support import gguf_files

TENSORS = {"a.weight": ("Q8_0", (6, 64)), "a.bias": ("F32", (6,)), "b": ("F16", (3, 32))}


def test_names_shapes_and_bytes_are_read(tmp_path: Path) -> None:
    header = read_gguf_header(gguf_files.write(tmp_path / "x.gguf", TENSORS))
    assert {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()} == {
        "a.weight": ("F32", [6, 64]),
        "a.bias": ("F32", [6]),
        "b": ("F16", [3, 32]),
    }
    assert header["a.weight"]["data_offsets"] == [0, 6 * 2 * 34]
    assert header["a.bias"]["data_offsets"] == [416, 416 + 24]


def test_a_tensor_that_was_reshaped_has_its_own_shape(tmp_path: Path) -> None:
    settings = {"comfy.gguf.orig_shape.a.weight": [6, 16, 2, 2]}
    path = gguf_files.write(tmp_path / "x.gguf", TENSORS, settings=settings)
    assert read_gguf_header(path)["a.weight"]["shape"] == [6, 16, 2, 2]


@pytest.mark.parametrize("numbers", [[-6, -64], [6.0, 64.0], [6, 63]])
def test_a_setting_that_is_no_shape_of_the_tensor_has_no_effect(
    tmp_path: Path, numbers: list[int] | list[float]
) -> None:
    settings = {"comfy.gguf.orig_shape.a.weight": numbers}
    path = gguf_files.write(tmp_path / "x.gguf", TENSORS, settings=settings)
    shape = read_gguf_header(path)["a.weight"]["shape"]
    assert shape == [6, 64] and {type(side) for side in shape} == {int}


def test_wherever_a_file_ends_too_early_it_is_refused(tmp_path: Path) -> None:
    path = gguf_files.write(tmp_path / "x.gguf", TENSORS)
    content = path.read_bytes()
    for size in (*range(0, 230, 7), len(content) - 64):
        path.write_bytes(content[:size])
        with pytest.raises(GgufHeaderError):
            read_gguf_header(path)


@pytest.mark.parametrize(
    ("place", "changed", "found"),
    [
        (4, b"\x09", "version 9"),
        (8, b"\xff" * 8, "it claims"),
        (24, b"\xff" * 8, "a text of"),
    ],
)
def test_a_damaged_header_is_refused(
    tmp_path: Path, place: int, changed: bytes, found: str
) -> None:
    path = gguf_files.write(tmp_path / "x.gguf", TENSORS)
    content = bytearray(path.read_bytes())
    content[place : place + len(changed)] = changed
    path.write_bytes(content)
    with pytest.raises(GgufHeaderError, match=found):
        read_gguf_header(path)


def test_a_quantization_that_is_not_known_is_no_damage(tmp_path: Path) -> None:
    path = gguf_files.write(tmp_path / "x.gguf", {"b": ("Q8_0", (6, 64))})
    content = path.read_bytes()
    place = content.index(b"b") + 1 + 4 + 2 * 8  # behind the name and the sides
    assert content[place] == 8
    path.write_bytes(content[:place] + b"\x63" + content[place + 1 :])
    with pytest.raises(CheckpointError, match="unknown way") as caught:
        tensor_shapes(path)
    assert caught.value.problems[0].fix == "take another quantization of it, or its safetensors"


def test_the_blocks_of_each_type_are_those_of_the_package() -> None:
    gguf = pytest.importorskip("gguf")
    known = {int(kind): tuple(size) for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert {kind: known[kind] for kind in BLOCKS} == dict(BLOCKS)
