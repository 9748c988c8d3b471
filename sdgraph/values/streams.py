"""Sequences whose items are made when they are read, chunk by chunk, so that few are in memory.

1. A stream knows its length, and how to make any of its chunks: a number of items in a row.
2. A chunk that was made is kept until a few others were made. Then it is made again if it is asked
   for again; nodes that read the same frames side by side share it.
3. Several threads may read a stream; of those that want the same chunk, one makes it.
4. `read_ahead` makes the next chunks in threads while the caller works with the one before.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any, overload

from .content import SMALL, content_of, digest, size_of
from .threads import run_threads, thread_count

if TYPE_CHECKING:
    from concurrent.futures import Future

    import numpy.typing as npt

CHUNK_BYTES = 8 * 2**20
"""About how many bytes of frames a chunk has."""
_MOST_ITEMS = 16
_MOST_AHEAD = 8
_SPARE_CHUNKS = 2

Chunk = Sequence[Any]
MakeChunk = Callable[[int], Chunk]
"""Makes the chunk with a number, counted from 0."""


def chunk_length(item_bytes: int) -> int:
    """How many items of so many bytes a chunk has: at least 1, and at most 16.

    Example:
        >>> chunk_length(640 * 360 * 3), chunk_length(3840 * 2160 * 3)
        (12, 1)
    """
    return max(1, min(_MOST_ITEMS, CHUNK_BYTES // max(1, item_bytes)))


def worker_count() -> int:
    """How many threads make chunks: one less than those of the run, 0 to 8.

    The thread that reads the chunks has work of its own, such as encoding.
    """
    return min(thread_count(run_threads.get()) - 1, _MOST_AHEAD)


class _HeldChunk:
    """A chunk that is made by the first thread that takes its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.items: Chunk | None = None


class Stream(Sequence[Any]):
    """A sequence that makes its items in chunks, when they are read.

    Args:
        length: How many items there are.
        chunk_length: How many of them are made at once; the last chunk may have fewer.
        make_chunk: Makes a chunk by its number. It gives equal items each time.
        key_of: Gives a text that is the same for two chunks only if their items are equal; None
            for a hash of the items.
    """

    def __init__(
        self,
        length: int,
        chunk_length: int,
        make_chunk: MakeChunk,
        key_of: Callable[[int], str] | None = None,
    ) -> None:
        self.chunk_length = chunk_length
        self.on_error: Callable[[Exception], Exception] | None = None
        """Turns an exception of a chunk into the one that is raised in its place."""
        self.check: Callable[[Any], object] | None = None
        """Called with each item that was made; raises an exception about a wrong one."""
        self.lineage: str | None = None
        """A text that is the same for two streams only if their items are equal, as it is known
        without making them; None if it is not known."""
        self._length = length
        self._make_chunk = make_chunk
        self._key_of = key_of
        self._keys: dict[int, str] = {}
        self._chunks: OrderedDict[int, _HeldChunk] = OrderedDict()
        self._lock = threading.Lock()
        self._most_chunks = worker_count() + _SPARE_CHUNKS

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, number: int) -> Any: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Any]: ...
    def __getitem__(self, number: int | slice) -> Any:
        numbers = range(self._length)[number]
        if isinstance(numbers, range):
            return tuple(self[each] for each in numbers)
        chunk, position = divmod(numbers, self.chunk_length)
        return self.chunk(chunk)[position]

    def __iter__(self) -> Iterator[Any]:
        for number in range(self.chunk_count):
            yield from self.chunk(number)

    @property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return -(-self._length // self.chunk_length)

    def numbers_in(self, number: int) -> range:
        """The numbers of the items in a chunk."""
        begin = number * self.chunk_length
        return range(begin, min(begin + self.chunk_length, self._length))

    def chunk(self, number: int) -> Chunk:
        """The items of a chunk; made now if it is not held."""
        with self._lock:
            held = self._chunks.pop(number, None) or _HeldChunk()
            self._chunks[number] = held
            while len(self._chunks) > self._most_chunks:
                self._chunks.popitem(last=False)
        with held.lock:
            if held.items is None:
                held.items = self._make(number)
            return held.items

    def key_of(self, number: int) -> str:
        """A text that is the same for two chunks only if their items are equal."""
        if number not in self._keys:
            if self._key_of is not None:
                key = self._key_of(number)
            else:
                key = digest(",".join(map(_content, self.chunk(number))).encode())
            self._keys[number] = key
        return self._keys[number]

    def map(self, function: Callable[[Any], Any]) -> Stream:
        """The stream of what a quick function makes of each item; with the same keys."""
        mapped = Stream(
            self._length,
            self.chunk_length,
            lambda number: tuple(map(function, self.chunk(number))),
            self.key_of,
        )
        mapped.lineage = self.lineage
        return mapped

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the chunks hold that are in memory now."""
        with self._lock:
            held = [chunk.items for chunk in self._chunks.values()]
        return SMALL + sum(size_of(item) for items in held for item in items or ())

    def _make(self, number: int) -> Chunk:
        try:
            chunk = self._make_chunk(number)
            if self.check is not None:
                for item in chunk:
                    self.check(item)
            return chunk
        except Exception as error:
            if self.on_error is None:
                raise
            other = self.on_error(error)
            if other is error:
                raise
            raise other from error


class ArrayStream(Stream):
    """An array that is read in chunks along its first axis.

    Args:
        shape: The shape of the array.
        dtype: Its dtype, such as "uint8".
        chunk_length: The length of a chunk along the first axis.
        make_chunk: Makes a chunk: an array, or a sequence of arrays without the first axis.
        most_bytes: How many bytes of it may be in memory at once; None for any number.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: str,
        chunk_length: int,
        make_chunk: MakeChunk,
        *,
        most_bytes: int | None = None,
    ) -> None:
        import numpy as np

        super().__init__(shape[0], chunk_length, make_chunk)
        self.most_bytes = most_bytes
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """The array in contiguous pieces, in order."""
        import numpy as np

        for number in range(self.chunk_count):
            chunk = self.chunk(number)
            yield from (chunk,) if isinstance(chunk, np.ndarray) else chunk

    def array(self) -> npt.NDArray[Any]:
        """The whole array, read-only."""
        import numpy as np

        array = np.empty(self.shape, self.dtype)
        for number in range(self.chunk_count):
            numbers = self.numbers_in(number)
            array[numbers.start : numbers.stop] = self.chunk(number)
        array.setflags(write=False)
        return array

    def __reduce__(self) -> tuple[Any, ...]:
        return _same, (self.array(),)


def read_ahead(stream: Stream, threads: int | None = None) -> Iterator[Any]:
    """The items of a stream, in order; threads make the next chunks meanwhile.

    Args:
        stream: What to read.
        threads: How many chunks are made ahead, each in a thread; None for `worker_count()`.
    """
    threads = worker_count() if threads is None else threads
    if threads < 1:
        yield from stream
        return
    from concurrent.futures import ThreadPoolExecutor

    numbers = iter(range(stream.chunk_count))
    chunks: deque[Future[Chunk]] = deque()
    pool = ThreadPoolExecutor(threads, "sdgraph-frames")

    def submit_next() -> None:
        number = next(numbers, None)
        if number is not None:
            context = copy_context()  # where nodes may write is a part of it
            chunks.append(pool.submit(context.run, stream.chunk, number))

    try:
        for _ in range(threads):
            submit_next()
        while chunks:
            items = chunks.popleft().result()
            submit_next()
            yield from items
    finally:
        pool.shutdown(cancel_futures=True)


class SequentialChunks:
    """Makes the chunks of something that can only be read from its beginning, such as a video.

    The chunks that were read last are held, so that threads may ask for them in another order. If
    one before them is asked for, reading begins again.

    Args:
        open_items: Opens an iterator of all items.
        chunk_length: How many items a chunk has.
    """

    def __init__(self, open_items: Callable[[], Iterator[Any]], chunk_length: int) -> None:
        self._open_items = open_items
        self._chunk_length = chunk_length
        self._items: Iterator[Any] | None = None
        self._next = 0
        self._recent: OrderedDict[int, Chunk] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, number: int) -> Chunk:
        """The chunk with a number."""
        with self._lock:
            if number in self._recent:
                return self._recent[number]
            try:
                return self._read(number)
            except BaseException:
                self._items = None  # an iterator that has raised has no more items
                raise

    def _read(self, number: int) -> Chunk:
        if self._items is None or number < self._next:
            self._items, self._next = self._open_items(), 0
        while self._next <= number:
            chunk = tuple(islice(self._items, self._chunk_length))
            self._recent[self._next] = chunk
            self._next += 1
            while len(self._recent) > worker_count() + 1:
                self._recent.popitem(last=False)
        return self._recent[number]


def _content(item: Any) -> str:
    import numpy as np

    if not isinstance(item, np.ndarray):
        return content_of(item)
    return f"{item.dtype.str}{item.shape}{digest(item.data)}"


def _same(value: Any) -> Any:
    return value
