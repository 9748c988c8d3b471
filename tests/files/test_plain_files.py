"""Only plain files of bounded size are read, and odd paths raise nothing."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sdgraph.files import (
    UnsuitableFileError,
    names_in,
    open_regular_file,
    read_bytes,
    read_text,
)


def test_names_in_what_is_no_folder_are_none(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert names_in(tmp_path) == ["a", "b"]
    assert [names_in(path) for path in (tmp_path / "a", "x" * 300, "a\0b")] == [[], [], []]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe that nothing is written to: opening it to read would wait for ever."""
    os.mkfifo(path := tmp_path / "pipe")
    return path


def test_only_plain_files_are_opened(pipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsuitableFileError, match="a named pipe, not a plain file"):
        open_regular_file(pipe)
    with pytest.raises(UnsuitableFileError, match="a device, not a plain file"):
        open_regular_file("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(UnsuitableFileError, match="a socket, not a plain file"):
            read_bytes(tmp_path / "s", 10)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path, 10)
    (tmp_path / "link").symlink_to(pipe)
    with pytest.raises(UnsuitableFileError, match="a named pipe"):
        read_text(tmp_path / "link", 10)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa word")
    assert read_text(path, 9) == "a word"
    with pytest.raises(UnsuitableFileError, match="9 bytes, where 8 are allowed"):
        read_text(path, 8)
    with pytest.raises(UnsuitableFileError, match="more than 100 bytes, where 100 are allowed"):
        read_bytes("/proc/self/maps", 100)  # says that it has no bytes
