"""Weight files that are cut short or damaged are refused; valid ones of every dtype pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from sdgraph.errors import CheckpointError
from sdgraph.models.formats import safetensors_files
from sdgraph.models.sources import shipped

WIDTHS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    "F4": 4,
}
"""Bits of an element of every dtype that safetensors files are written in."""


def safetensors(header: Mapping[str, Any] | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@st.composite
def valid_files(draw: st.DrawFn) -> bytes:
    """Safetensors files of a few tensors of any dtype, by the published layout."""
    kinds = st.tuples(
        st.sampled_from(sorted(WIDTHS)), st.lists(st.integers(0, 3), max_size=3).map(tuple)
    )
    header: dict[str, Any] = {}
    if draw(st.booleans()):
        header["__metadata__"] = {"format": "pt", "title": draw(st.text(max_size=5))}
    end = 0
    for i, (dtype, shape) in enumerate(draw(st.lists(kinds, max_size=4))):
        if dtype == "F4":
            shape = (*shape, 2)  # half a byte each
        begin, end = end, end + prod(shape) * WIDTHS[dtype] // 8
        header[f"tensor.{i}é"] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    shuffled = dict(draw(st.permutations(list(header.items()))))
    padding = b" " * draw(st.integers(0, 8))
    return safetensors(json.dumps(shuffled).encode() + padding, token_bytes(end))


@pytest.fixture(scope="module")
def weights_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path for weight files, each of which is checked once."""
    return tmp_path_factory.mktemp("desk") / "model.safetensors"


def check_bytes(weights_path: Path, data: bytes) -> None:
    """Checks the data as a weight file, even right after other data of the same length."""
    safetensors_files._file_header.cache_clear()
    weights_path.write_bytes(data)
    safetensors_files.refuse_damaged(weights_path)


def the_library_reads(data: bytes) -> bool:
    try:
        deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError:
        return False
    return True


@given(data=valid_files())
def test_a_valid_file_passes(weights_path: Path, data: bytes) -> None:
    assert the_library_reads(data)
    check_bytes(weights_path, data)


@pytest.mark.parametrize("dtype", sorted(WIDTHS))
def test_a_valid_file_of_each_dtype_passes(weights_path: Path, dtype: str) -> None:
    entry = {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, WIDTHS[dtype]]}
    data = safetensors({"a": entry}, bytes(WIDTHS[dtype]))
    assert the_library_reads(data)
    check_bytes(weights_path, data)


@pytest.mark.torch
@given(data=valid_files())
def test_every_truncation_is_found(weights_path: Path, data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(CheckpointError) as caught:
            check_bytes(weights_path, data[:length])
        problem = caught.value.problems[0]
        assert problem.subject == str(weights_path)
        assert problem.found == f"{length} bytes: it is cut short"
        assert problem.fix == "download or copy it again"
        header = 8 + int.from_bytes(data[:8], "little")
        least = 8 if length < 8 else header if length < header else len(data)
        assert problem.wanted == f"{'at least ' if length < header else ''}{least} bytes"


@given(data=valid_files(), where=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_no_file_is_refused_that_the_library_reads(
    weights_path: Path, data: bytes, where: int, byte: int
) -> None:
    changed = bytearray(data)
    changed[where % len(data)] = byte
    try:
        check_bytes(weights_path, bytes(changed))
    except CheckpointError:
        assert not the_library_reads(bytes(changed))


def entry(begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [4], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        safetensors(b"not JSON", b""),
        safetensors(b'{"\xff": 1}', b""),
        safetensors(b"[]", b""),
        safetensors(b"[" * 100_000, b""),
        safetensors({"a": {"dtype": "U8"}}, b""),
        safetensors({"a": entry(0, None)}, b""),
        safetensors({"a": entry(0, 4.0)}, b"1234"),
        safetensors({"a": entry("0", "4")}, b"1234"),
        safetensors({"a": entry(-4, 0)}, b"1234"),
        safetensors({"a": entry(4, 0)}, b"1234"),
        safetensors({"a": {**entry(0, 4), "shape": [0]}}, b"1234"),
        safetensors({"a": {**entry(0, 4), "dtype": "F32"}}, b"1234"),
        safetensors({"a": {**entry(0, 4), "dtype": "X8"}}, b"1234"),
        safetensors({"a": entry(0, 4), "b": entry(2, 6)}, b"123456"),
        safetensors({"a": entry(0, 4), "b": entry(6, 10)}, b"1234567890"),
        b"<!DOCTYPE html><title>Not found</title>" * 10,
    ],
)
def test_a_damaged_header_is_found(weights_path: Path, data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"its header cannot be read: .") as caught:
        check_bytes(weights_path, data)
    assert caught.value.problems[0].fix == "download or copy it again"


def test_a_file_that_is_too_long_is_found(weights_path: Path) -> None:
    data = safetensors({"a": entry(0, 4)}, b"1234567")
    assert not the_library_reads(data)
    with pytest.raises(CheckpointError, match="too long"):
        check_bytes(weights_path, data)


def test_a_pointer_of_git_lfs_is_named_as_one(weights_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    with pytest.raises(CheckpointError, match="git lfs pull"):
        check_bytes(weights_path, pointer.encode())


def test_a_whole_file_is_looked_at_once_while_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = safetensors({"a": entry(0, 4)}, b"1234")
    path = tmp_path / "a"
    path.write_bytes(data)
    reads: list[int] = []
    read = safetensors_files.read_header

    def counting_read(file: int) -> safetensors_files.SafetensorsHeader:
        reads.append(file)
        return read(file)

    monkeypatch.setattr(safetensors_files, "read_header", counting_read)
    safetensors_files.refuse_damaged(path)
    safetensors_files.refuse_damaged(path)
    assert len(reads) == 1
    path.write_bytes(data[:-1])
    for _ in range(2):
        with pytest.raises(CheckpointError):
            safetensors_files.refuse_damaged(path)
    assert len(reads) == 3, "what is refused is looked at each time"


def test_the_shipped_weights_are_whole() -> None:
    paths = list(shipped._FOLDER.rglob("*.safetensors"))
    assert paths
    for path in paths:
        safetensors_files.refuse_damaged(path)
