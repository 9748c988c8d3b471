"""Folders that trainings write and replace; files of anybody else in them are never removed.

Each such folder holds a list of its files. A folder is replaced only if every file in it is in that
list with the size that it was written with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from sdgraph.errors import MediaError, Problem
from sdgraph.output_folders import refuse_outside

FILE_LIST = ".sdgraph-files"
"""The file with the list; its name has no suffix, so that it is no part of a checkpoint."""

NAMED = 3
"""How many files a problem names."""


def foreign_file_problems(field: str, folder: Path) -> Iterator[Problem]:
    """The problem of a folder to be replaced with files in it that no training wrote."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        yield Problem(field, f"{folder}, which is no folder", "a folder, or none yet", _FIX)
    elif names := _foreign_files(folder):
        more = ", …" if len(names) > NAMED else ""
        found = f"{folder} with files that no training wrote ({', '.join(names[:NAMED])}{more})"
        yield Problem(field, found, "a folder that a training made, or none yet", _FIX)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` when all went well.

    Raises:
        MediaError: `folder` holds files that no training wrote, or is not where the workflow may
            write, or the disk does not take what is written.
    """
    from safetensors import SafetensorError

    new = folder.with_name(f".{folder.name}.new")
    for path in (new, folder):
        _refuse_foreign_files(path)
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        (new / FILE_LIST).write_text("{}", "utf-8")  # so that it can be removed after a crash
        yield new
        _write_file_list(new)
        _refuse_foreign_files(folder)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    except (OSError, SafetensorError) as error:
        found = f"the checkpoint cannot be written ({error})"
        fix = "the training's state is kept: make room and run again"
        raise MediaError(Problem(str(folder), found, "a disk with room for it", fix)) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


_FIX = "choose another `out`, or move the files away"


def _refuse_foreign_files(folder: Path) -> None:
    refuse_outside(folder)
    for problem in foreign_file_problems(str(folder), folder):
        raise MediaError(problem)


def _write_file_list(folder: Path) -> None:
    sizes = {name: (folder / name).stat().st_size for name in _files_below(folder)}
    (folder / FILE_LIST).write_text(json.dumps({"files": sizes}, indent=1), "utf-8")


def _foreign_files(folder: Path) -> list[str]:
    """Some of the files in a folder that are not in its list; none if there is no folder."""
    try:
        sizes = json.loads((folder / FILE_LIST).read_text("utf-8")).get("files")
    except (OSError, ValueError, AttributeError):
        return list(islice(_files_below(folder), NAMED + 1))
    if not isinstance(sizes, dict):
        return []  # being written when the process was killed
    foreign = (
        name
        for name in _files_below(folder)
        if (folder / name).is_symlink() or sizes.get(name) != (folder / name).stat().st_size
    )
    return list(islice(foreign, NAMED + 1))


def _files_below(folder: Path) -> Iterator[str]:
    """The files in a folder and its folders, but for the list, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            name = path.relative_to(folder).as_posix()
            if name != FILE_LIST:
                yield name
