"""Writes files without losing those that are there already.

1. `open_output` gives the writer a temporary path: in a hidden folder next to the target, with the
   target's own name, so that a sidecar or another file that belongs to it gets the right name too.
2. When the writer is done, the content is flushed to the disk.
3. `put_file` moves the file to the target, or to a numbered path (`picture_0002.png`) if there is
   another file in its place. It never looks for a free path first and moves then: the move itself
   fails if there is something. So threads and processes may write to the same path at once.
4. The sidecar follows its file. A sidecar that sdgraph did not write is left alone.
5. The hidden folder is removed, whatever has happened; after a kill, by the next process that
   writes into the same folder.
"""

from __future__ import annotations

import errno
import filecmp
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import MediaError
from sdgraph.files import (
    DISK_FULL,
    Existing,
    flush_to_disk,
    is_file,
    is_folder,
    is_there,
    move_to_free_path,
    raise_media_error,
    raise_write_error,
    refuse_outside,
    remove_leftovers,
    temporary_name,
)
from sdgraph.media import (
    has_foreign_sidecar,
    move_sidecar,
    refuse_foreign_sidecar,
    sidecar_path,
    was_edited,
)

from .origin import is_without_record, origin_in, origin_of

_MAX_NAME_BYTES = 255
"""What most disks allow."""


@dataclass
class OutputFile:
    """A file that is being written."""

    temporary: Path
    """Where to write it."""
    path: Path
    """Where it is to be; after the block of `open_output`, where it is."""


@contextmanager
def open_output(
    path: str | Path,
    existing: Existing = "number",
    reserved: Collection[Path] = (),
    record: Callable[[], str] | None = None,
) -> Iterator[OutputFile]:
    """Gives a file that is written in the block its place at the end; none after an exception.

    Args:
        path: Where the file is to be. Missing folders are made.
        existing: What happens if there is a file already.
        reserved: Paths that a numbered file must not take.
        record: Makes the record of how the file was made. It is asked for if the file itself holds
            none, and an earlier file may have been made in the same way.

    Raises:
        MediaError: The file cannot be written, or exists and is not to be replaced.
    """
    path = Path(path)
    refuse_outside(path)
    folder = path.parent / temporary_name()
    output = OutputFile(folder / path.name, path)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent)
            folder.mkdir()
        except OSError as error:
            raise_write_error(path, error)
        try:
            yield output
        except (OSError, MediaError) as error:
            _raise_about_target(error, folder, path)
        try:
            if os.path.lexists(output.temporary):
                output.path = put_file(output.temporary, path, existing, reserved, record)
            _put_companions(folder, output, existing)
        except OSError as error:
            raise_write_error(path, error)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_file(
    file: Path,
    path: Path,
    existing: Existing,
    reserved: Collection[Path] = (),
    record: Callable[[], str] | None = None,
) -> Path:
    """Moves a finished file, and its sidecar, to its place; returns the path that it has then.

    Args:
        file: The file, on the same disk.
        path: Where it is to be.
        existing: What happens if there is a file already: "number" replaces one of the same origin
            (see `origin_of`) and otherwise takes the first free number.
        reserved: Paths that a numbered file must not take.
        record: Makes the record of how the file was made, if the file itself may hold none.

    Raises:
        MediaError: The file exists and is not to be replaced, or there is a file in the place of
            its sidecar that sdgraph did not write.
        OSError: The disk fails.
    """
    refuse_outside(path)
    if is_file(file):
        if is_folder(path):
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        flush_to_disk(file)
    if existing == "number":
        path = _put_numbered(file, path, reserved, record)
    else:
        if is_there(sidecar_path(file)):
            refuse_foreign_sidecar(path)
        if existing == "replace":
            file.replace(path)
        else:
            _put_new(file, path)
    move_sidecar(file, path)
    return path


def numbered_path(path: Path, number: int) -> Path:
    """The path of the file with a number.

    Example:
        >>> numbered_path(Path("out/star.png"), 2).as_posix()
        'out/star_0002.png'
    """
    return path.with_name(f"{_numbered_stem(path)}_{number:04d}{path.suffix}")


def _numbered_stem(path: Path) -> str:
    """The stem of a path, cut to leave room for a number."""
    room = _MAX_NAME_BYTES - len(os.fsencode(f"_000000{path.suffix}"))
    stem = os.fsencode(path.stem)
    return path.stem if len(stem) <= room else stem[:room].decode(errors="ignore")


def _put_numbered(
    file: Path, path: Path, reserved: Collection[Path], record: Callable[[], str] | None
) -> Path:
    """Moves a file to a path, or to a numbered one if there is another file; returns the path."""
    if _put_if_free(file, path):
        return path
    origins = {origin_of(file)} - {None}
    if record is not None and is_without_record(file):
        origins.add(origin_in(record()))
    for candidate in (path, *_numbered_files(path)):
        if _replace_same(file, origins, candidate):
            return candidate
    for number in count(2):
        candidate = numbered_path(path, number)
        if candidate.absolute() in reserved or os.path.lexists(candidate):
            continue
        # Between the two lines another process may have written a file, perhaps of the same origin.
        if _put_if_free(file, candidate) or _replace_same(file, origins, candidate):
            return candidate
    raise AssertionError("numbers do not end")


def _put_if_free(file: Path, path: Path) -> bool:
    """Moves a file to a path, if nothing is there and its sidecar can be written."""
    if os.path.lexists(path) or _has_sidecar_of_others(file, path):
        return False
    try:
        move_to_free_path(file, path)
    except FileExistsError:
        return False
    return True


def _replace_same(file: Path, origins: Collection[str | None], path: Path) -> bool:
    """Replaces the file at a path, if it has the same origin and its sidecar can be written."""
    if origin_of(path) not in origins or _has_sidecar_of_others(file, path):
        return False
    if not filecmp.cmp(file, path, shallow=False) and was_edited(path):
        return False
    file.replace(path)
    return True


def _numbered_files(path: Path) -> list[Path]:
    """The files that are there with the name of a path and a number, by number."""
    pattern = re.compile(rf"{re.escape(_numbered_stem(path))}_(\d{{4,}}){re.escape(path.suffix)}")
    matches = filter(None, map(pattern.fullmatch, os.listdir(path.parent)))
    return [numbered_path(path, number) for number in sorted(int(match[1]) for match in matches)]


def _put_new(file: Path, path: Path) -> None:
    try:
        move_to_free_path(file, path)
    except FileExistsError as error:
        fix = "name another file, remove this one, or --overwrite (overwrite=True)"
        raise_media_error(path, "a file that exists already", "a new file", fix, error)


def _has_sidecar_of_others(file: Path, path: Path) -> bool:
    """Whether a file has a sidecar whose place at another path is taken by a foreign file."""
    return is_there(sidecar_path(file)) and has_foreign_sidecar(path)


def _put_companions(folder: Path, output: OutputFile, existing: Existing) -> None:
    """Gives what else was written next to the file its place; its name follows the file's."""
    for file in sorted(folder.iterdir()):
        name = file.name
        if name.startswith(output.temporary.stem):
            name = output.path.stem + name.removeprefix(output.temporary.stem)
        if file != sidecar_path(output.temporary):
            put_file(file, output.path.with_name(name), existing)


def _raise_about_target(error: OSError | MediaError, folder: Path, path: Path) -> NoReturn:
    """Raises an error of the writer as one about the target, if it is about the temporary file."""
    if isinstance(error, MediaError):
        hidden, shown = f"{folder}{os.sep}", str(path).removesuffix(path.name)
        if hidden not in str(error):
            raise error
        parts = ("subject", "found", "wanted", "fix")
        problems = [
            replace(p, **{part: getattr(p, part).replace(hidden, shown) for part in parts})
            for p in error.problems
        ]
        raise MediaError(problems) from error.__cause__
    is_unnamed = error.filename is None and error.errno in (*DISK_FULL, errno.EIO)
    if is_unnamed or str(error.filename or "").startswith(str(folder)):
        raise_write_error(path, error)
    raise error
