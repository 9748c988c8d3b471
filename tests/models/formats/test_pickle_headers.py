"""The tensors of a file of torch are listed without torch, and without running code."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from sdgraph.models.formats import pickle_headers
from sdgraph.models.formats.pickle_headers import PickleHeaderError, read_pickle_header
from sdgraph.models.formats.pickles import is_pickle


class Evil:
    """An object that makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def archive(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", data)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(PickleHeaderError) as caught:
        read_pickle_header(path)
    return str(caught.value)


def test_code_in_a_file_is_named_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    data = pickle.dumps({"a": Evil(marker)}, protocol=2)
    archive(tmp_path / "x.ckpt", data)
    assert "which only code could read" in refusal(tmp_path / "x.ckpt")
    (tmp_path / "y.ckpt").write_bytes(data)
    assert "which only code could read" in refusal(tmp_path / "y.ckpt")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"a": 1}, "no tensors by name"),
        ([1, 2], "no mapping"),
        (OrderedDict(state_dict=3), "no tensors by name"),
    ],
)
def test_a_pickle_without_tensors_is_refused(tmp_path: Path, content: object, found: str) -> None:
    assert found in refusal(archive(tmp_path / "x.pt", pickle.dumps(content, protocol=2)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}q\x00(X",
        b"\x80\x02r\xff\xff\xff\x7f.",  # refers to an object that is not there
        b"\x80\x02]r\xff\xff\xff\x7f.",  # numbers it, which takes gigabytes in the reader in C
        b"(" * 100_000,
        b"\x80\x02" + b"]" * 100_000 + b".",
        b"\x80\x05\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00exittR.",
        b"\x80\x02\x88Q.",
    ],
)
def test_damaged_pickles_are_refused(tmp_path: Path, data: bytes) -> None:
    assert refusal(archive(tmp_path / "x.pt", data))
    (tmp_path / "y.pt").write_bytes(data)
    assert refusal(tmp_path / "y.pt")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", pickle.dumps(list(range(2000)), protocol=2))
    content = bytearray(path.read_bytes())
    content[60:80] = b"\xff" * 20  # within the compressed bytes
    path.write_bytes(content)
    assert "it cannot be read" in refusal(path)
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version of the format
    path.write_bytes(content)
    assert "it cannot be read" in refusal(path)


def test_attributes_in_a_file_are_set_on_no_class(tmp_path: Path) -> None:
    data = b"\x80\x02}(X\x01\x00\x00\x00actorch\ndevice\nN}X\x04\x00\x00\x00markK\x05s\x86bu."
    assert "no tensors by name" in refusal(archive(tmp_path / "x.pt", data))
    assert not hasattr(pickle_headers._Unknown, "mark")


def test_half_an_archive_is_cut_short(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.pt", b"1" * 1000)
    path.write_bytes(path.read_bytes()[:500])
    assert "cut short" in refusal(path)


def test_the_length_of_a_safetensors_header_may_look_like_a_pickle() -> None:
    assert not is_pickle((0x0280).to_bytes(8, "little") + b"{")
    assert is_pickle(b"\x80\x02}q\x00(X\x05") and is_pickle(b"PK\x03\x04\x00\x00\x00\x08\x08")


@pytest.mark.torch
@pytest.mark.parametrize("zipped", [True, False])
def test_the_shapes_are_those_of_torch(tmp_path: Path, zipped: bool) -> None:
    import torch

    tensors = {
        "half": torch.zeros(3, 4, dtype=torch.float16),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "brain": torch.zeros(2, dtype=torch.bfloat16),
        "number": torch.tensor(3),
        "slice": torch.zeros(10, 4)[2:5, ::2],
    }
    content = {"state_dict": tensors, "epoch": 3, "optimizer": {"a": torch.zeros(9)}}
    path = tmp_path / "x.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    header = read_pickle_header(path)
    found = {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in header.items()}
    assert found == {
        "half": ("F16", (3, 4)),
        "parameter": ("F32", (2,)),
        "brain": ("BF16", (2,)),
        "number": ("I64", ()),
        "slice": ("F32", (3, 2)),
    }
    assert header["number"]["data_offsets"] == [24 + 8 + 4, 24 + 8 + 4 + 8]


@pytest.mark.torch
def test_a_file_without_all_bytes_of_its_tensors_is_refused(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "x.ckpt"
    torch.save({"a": torch.zeros(500)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for size in (len(content) - 100, len(content) // 2):
        path.write_bytes(content[:size])
        assert "cut short" in refusal(path)
    torch.save({"a": torch.zeros(500)}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "part.pt", "w") as part:
        for name in whole.namelist():
            if not name.endswith("data/0"):
                part.writestr(name, whole.read(name))
    assert "data/0 are missing" in refusal(tmp_path / "part.pt")
