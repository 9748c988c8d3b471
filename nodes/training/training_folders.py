"""Folders that trainings write and replace; files of anybody else in them are never removed.

A list of the files in such a folder is kept with the training's state. A folder is replaced only if
every file in it is in that list with the size that it was written with.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from sdgraph.errors import MediaError, Problem
from sdgraph.files import flush_to_disk, read_text, refuse_outside

MARK = ".sdgraph-training"
"""A file in a folder that is being written, by which it is known after a crash."""

_MAX_LIST_BYTES = 2**20

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
        (new / MARK).touch()
        yield new
        (new / MARK).unlink()
        for file in filter(Path.is_file, new.rglob("*")):
            flush_to_disk(file)
        _refuse_foreign_files(folder)
        sizes = {name: (new / name).stat().st_size for name in _files_below(new)}
        # Both lists are kept until the folder is replaced: the process may be killed in between.
        _write_lists(folder, [*_read_lists(folder), sizes])
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
        _write_lists(folder, [sizes])
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


def _list_file(folder: Path) -> Path:
    """The file with the list of a folder's files, in the folder of the training's state."""
    return folder.parent / "training" / f"{folder.name}-files.json"


def _read_lists(folder: Path) -> list[dict[str, int]]:
    """The files that a training wrote into a folder, with their sizes; several after a crash."""
    try:
        lists = json.loads(read_text(_list_file(folder), _MAX_LIST_BYTES))
    except (OSError, ValueError):
        return []
    return [sizes for sizes in lists if isinstance(sizes, dict)] if isinstance(lists, list) else []


def _write_lists(folder: Path, lists: list[dict[str, int]]) -> None:
    path = _list_file(folder)
    refuse_outside(path)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(lists, indent=1), "utf-8")


def _foreign_files(folder: Path) -> list[str]:
    """Some of the files in a folder that no training wrote; none if there is no folder."""
    if (folder / MARK).exists():
        return []  # being written when the process was killed
    lists = [_foreign_to(sizes, folder) for sizes in (_read_lists(folder) or [{}])]
    return min(lists, key=len)


def _foreign_to(sizes: dict[str, int], folder: Path) -> list[str]:
    names = (
        name
        for name in _files_below(folder)
        if (folder / name).is_symlink() or sizes.get(name) != (folder / name).stat().st_size
    )
    return list(islice(names, NAMED + 1))


def _files_below(folder: Path) -> Iterator[str]:
    """The files in a folder and its folders, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()
