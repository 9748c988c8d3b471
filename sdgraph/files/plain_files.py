"""What is at a path; plain files of bounded size are read, and pipes and devices refused."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterable
from io import BufferedReader
from pathlib import Path
from stat import S_ISBLK, S_ISCHR, S_ISFIFO, S_ISREG, S_ISSOCK


def is_file(path: str | Path) -> bool:
    """Whether a path is a plain file; False also where it cannot be one, as a name too long.

    Args:
        path: A path as a user wrote it. `Path.is_file` raises for some of those that are no files.
    """
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether a path is a folder; False also where it cannot be one, as a name too long.

    Args:
        path: A path as a user wrote it. `Path.is_dir` raises for some of those that are no folders.
    """
    return os.path.isdir(path)  # noqa: PTH112


def is_there(path: str | Path) -> bool:
    """Whether something is at a path; False also where nothing can be, as a name too long.

    Args:
        path: A path as a user wrote it. `Path.exists` raises for some at which nothing is.
    """
    return os.path.exists(path)  # noqa: PTH110


def resolve_path(path: str | Path) -> Path:
    """The absolute path without links; a link that leads to itself stays.

    Args:
        path: Any path. `Path.resolve` raises for a link that leads to itself.
    """
    return Path(os.path.realpath(path))


def names_in(folder: str | Path) -> list[str]:
    """The names in a folder, sorted; [] if there is none or it cannot be read.

    Args:
        folder: The folder.
    """
    try:
        return sorted(os.listdir(folder))
    except (OSError, ValueError):
        return []


class UnsuitableFileError(OSError):
    """A file that is not read: it is no plain file, or too large. `strerror` says which."""


def open_regular_file(path: str | Path) -> BufferedReader:
    """A plain file, opened for reading its bytes.

    Everything else is refused, also if a link leads to it, because reading it may never end: a
    named pipe, a device such as /dev/zero, a socket. Opening never waits for a writer.

    Args:
        path: The file.

    Raises:
        UnsuitableFileError: It is no plain file; IsADirectoryError for a folder.
        OSError: It cannot be opened.
    """
    _refuse_special(Path(path).stat().st_mode, path)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = open(os.open(path, flags), "rb")  # noqa: PTH123, SIM115  os.open, for its flags
    try:
        _refuse_special(os.fstat(file.fileno()).st_mode, path)  # it may be another one by now
    except BaseException:
        file.close()
        raise
    return file


def hash_files(paths: Iterable[str | Path]) -> list[str]:
    """The sha256 of the content of each of some plain files, in hexadecimal.

    Args:
        paths: The files.

    Raises:
        UnsuitableFileError: One is no plain file; IsADirectoryError for a folder.
        OSError: One cannot be read.
    """
    digests = []
    for path in paths:
        with open_regular_file(path) as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The content of a plain file of at most `limit` bytes.

    Args:
        path: The file.
        limit: How many bytes it may have.

    Raises:
        UnsuitableFileError: It is no plain file, or larger; IsADirectoryError for a folder.
        OSError: It cannot be read.
    """
    with open_regular_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        # The files of /proc say that they have no bytes, so these are counted while they are read.
        data = (file.read(limit + 1) or b"") if size <= limit else b""
    if max(size, len(data)) > limit:
        found = f"more than {limit:,} bytes" if size <= limit else f"{size:,} bytes"
        raise UnsuitableFileError(errno.EFBIG, f"{found}, where {limit:,} are allowed", str(path))
    return data


def read_text(path: str | Path, limit: int) -> str:
    """The text of a plain file of at most `limit` bytes of UTF-8, without a byte order mark.

    Args:
        path: The file.
        limit: How many bytes it may have.

    Raises:
        UnsuitableFileError: It is no plain file, or larger; IsADirectoryError for a folder.
        OSError: It cannot be read.
        UnicodeDecodeError: It is not UTF-8.
    """
    return read_bytes(path, limit).decode("utf-8-sig")


def _refuse_special(mode: int, path: str | Path) -> None:
    if S_ISREG(mode):
        return
    if kind := special_kind(mode):
        raise UnsuitableFileError(errno.EINVAL, f"{kind}, not a plain file", str(path))
    raise IsADirectoryError(errno.EISDIR, "is a folder", str(path))


def special_kind(mode: int) -> str:
    """What a file that is no plain file and no folder is: "a named pipe"; "" for those two.

    Args:
        mode: The `st_mode` of its status.
    """
    kinds = {"a named pipe": S_ISFIFO, "a device": S_ISCHR, "a disk": S_ISBLK, "a socket": S_ISSOCK}
    return next((kind for kind, is_kind in kinds.items() if is_kind(mode)), "")


def memory_bytes() -> int:
    """The bytes of memory of this machine; 16 GiB where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 16 * 2**30
