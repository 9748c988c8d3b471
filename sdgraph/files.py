"""Files: paths as users write them, stamps, atomic writing, errors of reading and writing."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from io import BufferedReader
from pathlib import Path
from secrets import token_hex
from stat import S_ISBLK, S_ISCHR, S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK
from typing import NamedTuple, NoReturn

from .errors import MediaError, Problem, did_you_mean
from .output_folders import refuse_outside

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)

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


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`: renamed to it at the end, removed on an exception.

    So the file is there completely or not at all. Missing folders are made.

    Args:
        path: The file to write; an existing one is replaced.

    Raises:
        MediaError: The file cannot be written, or it is not in a folder that `write_only_in`
            permits; the error says how to fix it.
    """
    path = Path(path)
    refuse_outside(path)
    temporary = path.with_name(f".sdgraph-{token_hex(8)}{path.suffix}")
    try:
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            refuse_outside(path)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        _fail_to_write(path, error)


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


def _fail_to_write(path: Path, error: OSError) -> NoReturn:
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
    raise_media_error(path, f"an error: {error}", wanted, "check the path and the disk", error)
