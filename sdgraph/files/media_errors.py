"""Errors of reading and writing media files, with what to do about them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import MediaError, Problem, did_you_mean

from .file_formats import file_format
from .paths import PATH_ERRORS, describe_path
from .plain_files import UnsuitableFileError, names_in


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
        if error.errno in PATH_ERRORS:
            raise_media_error(path, PATH_ERRORS[error.errno], wanted, "check the path", error)
        _raise_damaged(path, wanted, error)
    except Exception as error:  # decoders raise exceptions of any class for damaged bytes
        if "\0" in str(path):
            raise_media_error(path, describe_path(path), wanted, "check the path", error)
        _raise_damaged(path, wanted, error)


def _raise_damaged(path: str | Path, wanted: str, error: Exception) -> NoReturn:
    import PIL.Image

    if isinstance(error, PIL.UnidentifiedImageError):
        raise_wrong_kind(path, wanted, error)
    found, fix = f"a damaged file ({error})", "fetch or save it again"
    raise_media_error(path, found, wanted, fix, error)


def raise_wrong_kind(path: str | Path, wanted: str, cause: BaseException | None = None) -> NoReturn:
    """Raises a MediaError about a file of another format than is wanted; says what it is.

    Args:
        path: The file.
        wanted: What it should be: "a picture", "a video" or "a picture or video".
        cause: The exception that is the cause.
    """
    kind, video_wanted = file_format(path), wanted == "a video"
    save_as = "MP4 or WebM" if video_wanted else "PNG or JPEG"
    if kind is None:
        found, fix = f"a file that is not {wanted}", f"name another file, or save it as {save_as}"
    elif kind.medium == "video" and wanted == "a picture":
        found = f"{kind.name}, not a picture"
        fix = "load it with LoadVideo; the node Frame takes one picture out of it"
    elif kind.medium == "picture" and video_wanted:
        found = f"{kind.name}, not a video"
        fix = "load it with LoadImage" if kind.is_read else f"save a video as {save_as}"
    elif "TIFF" in kind.name:
        found = f"{kind.name} of a kind that is not read, such as 32 bits for each colour"
        fix = "convert it to PNG with 8 or 16 bits"
    elif kind.is_read:
        found, fix = f"{kind.name}, but a damaged one", "fetch or save it again"
    elif kind.medium == "other":
        found, fix = f"{kind.name}, not {wanted}", "name another file"
    else:
        found, fix = f"{kind.name}, which is not read", f"convert it to {save_as}"
    raise_media_error(path, found, wanted, fix, cause)


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
