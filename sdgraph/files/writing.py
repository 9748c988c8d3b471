"""Files are written whole or not at all, and only where the run may write."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

from .media_errors import raise_media_error
from .output_folders import refuse_outside
from .plain_files import is_folder
from .temporary import TEMPORARY_PREFIX, temporary_name

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

Existing = Literal["number", "replace", "refuse"]
"""What happens if a file to be written is there already: see `sdgraph.graph.ExistingFile`."""


@contextmanager
def atomic_write(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path in the folder of `path`: renamed to it at the end, removed on an exception.

    So the file is there completely or not at all. Missing folders are made.

    Args:
        path: The file to write; an existing one is replaced.
        durable: Whether the content is on the disk before the file has its name, so that it is
            complete even after a power failure.

    Raises:
        MediaError: The file cannot be written, or it is not in a folder that `write_only_in`
            permits; the error says how to fix it.
    """
    path = Path(path)
    refuse_outside(path)
    temporary = path.with_name(temporary_name(path.suffix))
    try:
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            # What is in a temporary folder is flushed when it is moved out of it.
            if durable and not path.parent.name.startswith(TEMPORARY_PREFIX):
                flush_to_disk(temporary)
            refuse_outside(path)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise_write_error(path, error)


def flush_to_disk(path: Path) -> None:
    """Returns when the content of a file is on the disk (fsync). Raises OSError."""
    # Windows flushes only files that are open for writing.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # disks that know no fsync
            raise
    finally:
        os.close(descriptor)


def move_to_free_path(file: Path, path: Path) -> None:
    """Gives a file or folder another path in which nothing is, and fails if anything is.

    Of several threads and processes that move a file to one path, one succeeds, also on disks
    without hard links.

    Args:
        file: The file or folder, on the same disk.
        path: Its new path.

    Raises:
        FileExistsError: There is something in this place.
        OSError: The disk fails.
    """
    if file.is_dir():
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        file.rename(path)
        return
    try:
        os.link(file, path)  # unlike a rename, it never replaces anything
    except FileExistsError:
        raise
    except OSError:
        _claim_and_replace(file, path)
    else:
        file.unlink()


def _claim_and_replace(file: Path, path: Path) -> None:
    """`move_to_free_path` on a disk without hard links: an empty file claims the path first."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        file.replace(path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def raise_write_error(path: Path, error: OSError) -> NoReturn:
    """Raises a MediaError about a file that cannot be written.

    Args:
        path: The file.
        error: What the disk says.
    """
    wanted = "a place to write the file"
    if error.errno in DISK_FULL:
        raise_media_error(path, f"a full disk ({error.strerror})", wanted, "free some space", error)
    if error.errno == errno.EISDIR:
        raise_media_error(path, "a folder", wanted, "name a file inside it", error)
    if error.errno in UNWRITABLE:
        found = f"a folder that cannot be written to ({error.strerror})"
        raise_media_error(
            path, found, wanted, "choose another folder, or change its permissions", error
        )
    if error.errno == errno.ENAMETOOLONG:
        found = f"a name of {len(os.fsencode(path.name))} bytes, which is too long for the disk"
        raise_media_error(path, found, "a shorter name", "shorten it", error)
    reason = error.strerror or str(error)
    raise_media_error(path, f"an error: {reason}", wanted, "check the path and the disk", error)
