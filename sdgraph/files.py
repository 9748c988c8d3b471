"""Files: paths as users write them, stamps, writing whole files, errors of reading and writing."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex
from stat import S_ISDIR, S_ISREG
from typing import Literal, NamedTuple, NoReturn

from .errors import MediaError, Problem, did_you_mean
from .output_folders import refuse_outside
from .plain_files import (
    UnsuitableFileError,
    is_file,
    is_folder,
    is_there,
    memory_bytes,
    names_in,
    open_regular_file,
    read_bytes,
    read_text,
    resolve_path,
    special_kind,
)

__all__ = [
    "DISK_FULL",
    "SETTLING_NS",
    "TEMPORARY_PREFIX",
    "UNWRITABLE",
    "Existing",
    "FileStamp",
    "UnsuitableFileError",
    "atomic_write",
    "convert_read_errors",
    "describe_path",
    "expand_home",
    "flush_to_disk",
    "is_file",
    "is_folder",
    "is_there",
    "memory_bytes",
    "move_to_free_path",
    "names_in",
    "open_regular_file",
    "raise_media_error",
    "raise_too_large",
    "raise_write_error",
    "read_bytes",
    "read_text",
    "resolve_path",
    "sdgraph_home",
    "special_kind",
]

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

TEMPORARY_PREFIX = ".sdgraph-"
"""What the names of temporary files and folders next to a target begin with."""

Existing = Literal["number", "replace", "refuse"]
"""What happens if a file to be written is there already: see `sdgraph.graph.ExistingFile`."""

SETTLING_NS = 2 * 10**9
"""The coarsest step of a file system's clock (FAT): two writes within it can look the same."""


class FileStamp(NamedTuple):
    """Identifies the content of a file without reading it; times in nanoseconds since 1970."""

    path: str
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """The stamp of a file as it is now; a link is followed. Raises OSError."""
        return cls._of_status(str(path), path.stat())

    @classmethod
    def of_regular(cls, path: str) -> FileStamp | None:
        """The stamp of a file as it is now; None for what is no regular file, or not there."""
        try:
            status = os.stat(path)  # noqa: PTH116  a Path takes three times as long
        except (OSError, ValueError):
            return None
        return cls._of_status(path, status) if S_ISREG(status.st_mode) else None

    @classmethod
    def _of_status(cls, path: str, status: os.stat_result) -> FileStamp:
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return cls(path, status.st_size, *times, status.st_ino)

    def is_settled(self) -> bool:
        """Whether any write from now on will show in the stamp."""
        now = time.time_ns()
        # Programs can set mtime to any time; they cannot set ctime (except on Windows, where it is
        # the time of creation).
        return now - self.changed >= SETTLING_NS and abs(now - self.modified) >= SETTLING_NS


def folder_stamp(folder: Path) -> str:
    """A hash of the names, sizes and times of the files in a folder; raises OSError."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    stamps = [(path.name, *FileStamp.of(path)[1:4]) for path in files]
    return blake2b(repr(stamps).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


def expand_home(path: str | Path) -> Path:
    """A path in which a leading `~` is replaced by the home folder, if there is one.

    Args:
        path: A path as a user wrote it.

    Example:
        >>> expand_home("pictures/a.png").as_posix()
        'pictures/a.png'
    """
    if isinstance(path, Path) and path.parts[:1] and path.parts[0][0] != "~":
        return path
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path.expanduser raises for unknown users


def sdgraph_home() -> Path:
    """The folder for remembered results and records: $SDGRAPH_HOME or ~/.cache/sdgraph.

    Raises:
        RuntimeError: The user has no home folder.
    """
    folder = os.environ.get("SDGRAPH_HOME")
    return Path(folder).expanduser().absolute() if folder else Path.home() / ".cache" / "sdgraph"


def describe_path(path: str | Path, wanted: str = "file") -> str:
    """What is at a path, for an error: "no such file", "a folder", "a file, no folder".

    Args:
        path: A path that cannot be used.
        wanted: What should be there: "file", "folder" or "file or folder".

    Example:
        >>> describe_path("no/such/picture.png")
        'no such file'
        >>> describe_path(".")
        'a folder'
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        is_link = os.path.islink(path)  # noqa: PTH114  Path.is_symlink raises for some paths
        return "a link to a file that is gone" if is_link else f"no such {wanted}"
    except NotADirectoryError:
        file = next((str(parent) for parent in path.parents if is_file(parent)), "")
        return f"no such {wanted}: {file} is a file, no folder"
    except OSError as error:
        return _PATH_ERRORS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    except ValueError:
        return "a path with a NUL character"
    if kind := special_kind(mode):
        return f"{kind}, not a plain file"
    if S_ISDIR(mode):
        return "a folder"
    return "a file" if wanted == "file" else f"a file, no {wanted}"


_PATH_ERRORS = {
    errno.ENAMETOOLONG: "a name that is too long for a file",
    errno.EACCES: "a place without read permission",
    errno.ELOOP: "a link that leads to itself",
}


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
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{token_hex(8)}{path.suffix}")
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


@contextmanager
def convert_read_errors(path: str | Path, wanted: str) -> Iterator[None]:
    """Turns any exception that is raised while a file is read into a MediaError about the file.

    Args:
        path: The file.
        wanted: What it should be, with its article: "a picture", "a video".
    """
    import PIL.Image

    try:
        yield
    except MediaError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        raise_too_large(path, f"{pixels[0] if pixels else 'too many'} pixels", None, error)
    except (FileNotFoundError, NotADirectoryError) as error:
        folder = Path(path).parent
        fix = did_you_mean(Path(path).name, names_in(folder)) or f"look into {folder}"
        raise_media_error(path, describe_path(path), wanted, fix, error)
    except IsADirectoryError as error:
        raise_media_error(path, "a folder", wanted, "name a file inside it", error)
    except UnsuitableFileError as error:
        raise_media_error(path, str(error.strerror), wanted, "name another file", error)
    except PermissionError as error:
        raise_media_error(
            path, "a file without read permission", wanted, "change its permissions", error
        )
    except OSError as error:
        if error.errno in _PATH_ERRORS:
            raise_media_error(path, _PATH_ERRORS[error.errno], wanted, "check the path", error)
        _raise_damaged(path, wanted, error)
    except Exception as error:  # decoders raise exceptions of any class for damaged bytes
        if "\0" in str(path):
            raise_media_error(path, describe_path(path), wanted, "check the path", error)
        _raise_damaged(path, wanted, error)


def _raise_damaged(path: str | Path, wanted: str, error: Exception) -> NoReturn:
    import PIL.Image

    unknown = isinstance(error, PIL.UnidentifiedImageError)
    found = f"a file that is not {wanted}" if unknown else f"a damaged file ({error})"
    fix = "save it as PNG, JPEG, WebP, MP4 or GIF" if unknown else "fetch or save it again"
    raise_media_error(path, found, wanted, fix, error)


def raise_media_error(
    path: str | Path, found: str, wanted: str, fix: str, cause: BaseException | None = None
) -> NoReturn:
    """Raises a MediaError about a file.

    Args:
        path: The file.
        found: What is wrong with it.
        wanted: What it should be.
        fix: What the user can do.
        cause: The exception that is the cause.
    """
    raise MediaError(Problem(str(path), found, wanted, fix)) from cause


def raise_too_large(
    path: str | Path, found: str, limit: int | None, cause: BaseException | None = None
) -> NoReturn:
    """Raises a MediaError about a picture with too many pixels.

    Args:
        path: The file.
        found: Its size.
        limit: The largest number of pixels; Pillow's own limit if None.
        cause: The exception that is the cause.
    """
    import PIL.Image

    wanted = f"at most {limit or PIL.Image.MAX_IMAGE_PIXELS} pixels"
    fix = "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
    raise_media_error(path, found, wanted, fix, cause)


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
