"""Paths as users write them, the home folder, and what is at a path."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from stat import S_ISDIR

from .plain_files import is_file, special_kind

PATH_ERRORS = {
    errno.ENAMETOOLONG: "a name that is too long for a file",
    errno.EACCES: "a place without read permission",
    errno.ELOOP: "a link that leads to itself",
}


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


def runs_folder() -> Path | None:
    """The folder of all records: $SDGRAPH_RUNS, or `runs` in sdgraph's home folder.

    None if that variable is empty: then nothing is recorded.
    """
    chosen = os.environ.get("SDGRAPH_RUNS")
    if chosen is not None:
        return Path(chosen).expanduser().absolute() if chosen else None
    return sdgraph_home() / "runs"


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
        return PATH_ERRORS.get(error.errno or 0) or (error.strerror or str(error)).lower()
    except ValueError:
        return "a path with a NUL character"
    if kind := special_kind(mode):
        return f"{kind}, not a plain file"
    if S_ISDIR(mode):
        return "a folder"
    return "a file" if wanted == "file" else f"a file, no {wanted}"
