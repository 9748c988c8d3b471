"""Files: paths as people write them, writing whole or not at all, and how failures are told."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import NoReturn

from .errors import MediaError, Problem, did_you_mean

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


def expand_home(path: str | Path) -> Path:
    """The path with `~` as the home folder; where there is no such user, as it stands."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path's own raises then


def sdgraph_home() -> Path:
    """The folder where sdgraph keeps what it can make again; $SDGRAPH_HOME or ~/.cache/sdgraph.

    Raises RuntimeError where there is no home folder.
    """
    chosen = os.environ.get("SDGRAPH_HOME")
    return Path(chosen).expanduser().absolute() if chosen else Path.home() / ".cache" / "sdgraph"


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A hidden path in the folder of `path`, renamed over it at the end, removed on any exception.

    Makes the folders above. Any OSError inside becomes a MediaError that says how to mend it.
    """
    path = Path(path)
    beside = path.with_name(f".sdgraph-{token_hex(8)}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        _fail_to_write(path, error)


@contextmanager
def convert_read_errors(path: str | Path, wanted: str) -> Iterator[None]:
    """Turns whatever a reader raises into a MediaError about `path`."""
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
        known = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        fix = did_you_mean(Path(path).name, known) or f"look into {folder}"
        raise_media_error(path, "no such file", wanted, fix, error)
    except IsADirectoryError as error:
        raise_media_error(path, "a folder", wanted, "name a file inside it", error)
    except PermissionError as error:
        raise_media_error(
            path, "a file that may not be read", wanted, "give yourself the right to", error
        )
    except Exception as error:  # decoders raise every kind on damaged bytes
        unknown = isinstance(error, PIL.UnidentifiedImageError)
        found = f"a file that is no {wanted[2:]}" if unknown else f"a damaged file ({error})"
        fix = "save it as PNG, JPEG, WebP, MP4 or GIF" if unknown else "fetch or save it again"
        raise_media_error(path, found, wanted, fix, error)


def raise_media_error(
    path: str | Path, found: str, wanted: str, fix: str, cause: BaseException | None = None
) -> NoReturn:
    """Raises MediaError about the file at `path`."""
    raise MediaError(Problem(str(path), found, wanted, fix)) from cause


def raise_too_large(
    path: str | Path, found: str, limit: int | None, cause: BaseException | None = None
) -> NoReturn:
    """Raises MediaError about a picture of more pixels than `limit`, or than Pillow's own."""
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
            path, found, wanted, "choose another folder, or give yourself the right to", error
        )
    raise_media_error(path, f"a failure: {error}", wanted, "check the path and the disk", error)
