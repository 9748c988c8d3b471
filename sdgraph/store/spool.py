"""Frames that were computed and do not fit into memory, in a temporary file.

The file has no name: it is gone when the frames are dropped, or the process ends. It holds the
arrays of the items, one after another; the rest of each item stays in memory.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.formatting import format_bytes
from sdgraph.values import ArrayStream, Series, Stream, Video, size_of

from .serialization import NotSerializableError, from_plain, to_plain

if TYPE_CHECKING:
    import numpy.typing as npt

    from .serialization import Arrays


class _Place(NamedTuple):
    """Where an array is in the file."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


class _Item(NamedTuple):
    """An item: its plain data, and where its arrays are."""

    plain: Any
    places: dict[str, _Place]


def spooled(value: Any, folder: Path | None = None) -> Any:
    """A video or series whose frames are made now, all of them, if they come from a stream.

    Any other value is returned as it is.

    Args:
        value: The value.
        folder: Where the temporary file is made; None for the system's own folder.

    Raises:
        InvalidValueError: The disk has no room for the frames.
    """
    stream = value.stream if isinstance(value, Video | Series) else None
    if stream is None:
        return value
    other = _Spool(folder).fill(stream)
    rest = {name: field for name, field in value.fields.items() if name not in ("frames", "items")}
    return type(value)(other, **rest)


class _Spool:
    def __init__(self, folder: Path | None) -> None:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed with the frames
        weakref.finalize(self, self._file.close)
        self._folder = Path(tempfile.gettempdir()) if folder is None else folder
        self._lock = threading.Lock()
        self._items: list[_Item | Any] = []
        self._end = 0

    def fill(self, stream: Stream) -> Stream:
        """Writes all items of a stream; returns a stream that reads them."""
        for number in range(stream.chunk_count):
            chunk = stream.chunk(number)
            if number == 0:
                self._check_room(sum(map(size_of, chunk)) * stream.chunk_count, len(stream))
            self._items += map(self._write, chunk)

        length, count = stream.chunk_length, len(stream)

        def read(number: int) -> Sequence[Any]:
            return [
                self._read(item) for item in self._items[number * length : (number + 1) * length]
            ]

        if isinstance(stream, ArrayStream):
            most_bytes = stream.most_bytes
            return ArrayStream(stream.shape, stream.dtype.name, length, read, most_bytes=most_bytes)
        return Stream(count, length, read)

    def _write(self, item: Any) -> _Item | Any:
        arrays: Arrays = {}
        try:
            plain = to_plain(item, arrays)
        except NotSerializableError:
            return item  # it stays in memory
        places = {name: self._write_array(array) for name, array in arrays.items()}
        return _Item(plain, places)

    def _write_array(self, array: npt.NDArray[Any]) -> _Place:
        place = _Place(self._end, array.dtype.name, array.shape)
        try:
            self._file.write(array.reshape(-1).view("uint8").data)
            self._file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            self._refuse(self._end + array.nbytes, len(self._items))
        self._end += array.nbytes
        return place

    def _read(self, item: _Item | Any) -> Any:
        if not isinstance(item, _Item):
            return item
        arrays = {name: self._read_array(place) for name, place in item.places.items()}
        return from_plain(item.plain, arrays)

    def _read_array(self, place: _Place) -> npt.NDArray[Any]:
        import numpy as np

        size = int(np.prod(place.shape, dtype=object)) * np.dtype(place.dtype).itemsize
        with self._lock:
            self._file.seek(place.offset)
            data = self._file.read(size)
        return np.frombuffer(data, place.dtype).reshape(place.shape)

    def _check_room(self, size: int, frames: int) -> None:
        """Refuses frames that will not fit, before hours were spent on them."""
        if size > shutil.disk_usage(self._folder).free:
            self._refuse(size, frames)

    def _refuse(self, size: int, frames: int) -> None:
        free = format_bytes(shutil.disk_usage(self._folder).free)
        found = f"{frames} frames of {format_bytes(size)}, and {free} are free in {self._folder}"
        fix = "free some, or make a shorter or smaller video (seconds, fps, longest of LoadVideo)"
        raise InvalidValueError(Problem("the frames", found, "room for all of them", fix))
