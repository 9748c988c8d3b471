"""A series of values, one for each frame of a video, and running a node on each of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError

from .content import content_of, digest, refuse_value, size_of
from .streams import ArrayStream, MakeChunk, Stream
from .value import Value

if TYPE_CHECKING:
    from sdgraph.progress import Progress

    from .arrays import Sound


class Series(Value):
    """The values of one kind that a node made, one for each frame of a video.

    A node that reads a series runs once for each item, unless its class says `gathers`.

    Args:
        items: The values, in order; a `Stream` makes them when they are read.
        fps: How many of them there are per second; above 0.
        sound: The sound of the video, as in `Video`; None for a silent one.
        sound_rate: Its samples per second.
    """

    items: Sequence[Any]
    fps: float
    sound: Sound | ArrayStream | None = None
    sound_rate: int = 0

    def __init__(
        self,
        items: Iterable[Any],
        fps: float,
        sound: Sound | ArrayStream | None = None,
        sound_rate: int = 0,
    ) -> None:
        fields: dict[str, Any] = {
            "items": items if isinstance(items, Stream) else tuple(items),
            "fps": fps,
        }
        if sound is not None:
            fields |= {"sound": sound, "sound_rate": sound_rate}
        self._set_fields(**fields)

    @cached_property
    def content(self) -> str:
        """A hash of the items, their rate and sound as 32 hexadecimal digits; computed once."""
        parts = [f"Series:{self.fps!r}", *map(content_of, self.items)]
        if self.sound is not None:
            parts.append(f"sound:{self.sound_rate}:{_hash_of(self.sound)}")
        return digest(",".join(parts).encode())

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: those of the items, and the sound."""
        held = (
            self.items.nbytes if isinstance(self.items, Stream) else sum(map(size_of, self.items))
        )
        return held + (0 if self.sound is None else size_of(self.sound))

    @property
    def stream(self) -> Stream | None:
        """The stream that the items come from; None for items that are in memory."""
        return self.items if isinstance(self.items, Stream) else None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __repr__(self) -> str:
        first = "values" if isinstance(self.items, Stream) else repr(self.items[0])
        return f"Series({len(self)} × {first} {self.fps:g} fps)"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (tuple(self.items), *list(self.fields.values())[1:])


def _hash_of(sound: Sound | ArrayStream) -> str:
    blocks = sound.blocks() if isinstance(sound, ArrayStream) else (sound,)
    total = blake2b(repr(sound.shape).encode(), digest_size=16)
    for block in blocks:
        total.update(block.data)
    return total.hexdigest()


WrapChunks = Callable[[MakeChunk, Stream], tuple[MakeChunk, Callable[[int], str] | None]]
"""Gives another function that makes chunks, and one that gives their keys (see `Stream`).

It gets the function that makes a chunk of results, and the first stream that these are made from.
"""


def run_per_frame(
    run: Callable[..., Any],
    progress: Progress,
    arguments: Mapping[str, Any],
    wrap_chunks: WrapChunks | None = None,
) -> Any:
    """Calls `run` once with the arguments, or once for each frame if some of them are a Series.

    The first call gets the first item of each series, the second call the second item, and so on.
    If one of them is a stream, so is the result: `run` is called when the result is read, by
    several threads at once.

    Args:
        run: The function to call, with the arguments by name.
        progress: Called after each frame with the number of finished frames and of all frames. If
            `run` has an argument `progress`, the steps that it reports are counted over all frames.
        arguments: The arguments; a Series may also be an item of a tuple.
        wrap_chunks: Makes the chunks of a stream in another way; None for by `run` alone.

    Returns:
        What `run` returns, or a Series of what it returns, at the rate of the first series, with
        the sound of the first one that has any.

    Raises:
        InvalidValueError: The series differ in length, or `run` refused a value; the error says
            in which frame.
    """
    series = _series_of_one_length(arguments)
    if not series:
        return run(**arguments)
    total, fps = len(series[0]), series[0].fps
    run_frame = partial(_run_frame, run, _FrameProgress(progress, total), arguments)
    streams = [items.stream for items in series if items.stream is not None]
    sound = next(((s.sound, s.sound_rate) for s in series if s.sound is not None), (None, 0))
    if not streams:
        return Series(map(run_frame, range(total)), fps, *sound)
    first, key_of = streams[0], None

    def make_chunk(number: int) -> tuple[Any, ...]:
        return tuple(map(run_frame, first.numbers_in(number)))

    make: MakeChunk = make_chunk
    if wrap_chunks is not None:
        make, key_of = wrap_chunks(make, first)
    return Series(Stream(total, first.chunk_length, make, key_of), fps, *sound)


def _series_of_one_length(arguments: Mapping[str, Any]) -> list[Series]:
    """The series among the arguments, which must have equally many items."""
    series = [
        (name, item)
        for name, value in arguments.items()
        for item in (value if type(value) is tuple else (value,))
        if isinstance(item, Series)
    ]
    if len({len(items) for _, items in series}) > 1:
        counts = " and ".join(f"{len(items)} frames in {name}" for name, items in series)
        refuse_value("the frames", counts, "as many in each", "cut the longer video by `seconds`")
    return [items for _, items in series]


def _run_frame(
    run: Callable[..., Any], progress: _FrameProgress, arguments: Mapping[str, Any], number: int
) -> Any:
    """What `run` makes of the arguments of one frame."""
    frame_arguments = {name: _item_at(value, number) for name, value in arguments.items()}
    reports_steps = "progress" in frame_arguments
    if reports_steps:
        frame_arguments["progress"] = progress.in_frame(number)
    try:
        result = run(**frame_arguments)
    except InvalidValueError as error:
        raise InvalidValueError(
            replace(problem, subject=f"in frame {number}: {problem.subject}".removesuffix(": "))
            for problem in error.problems
        ) from error
    if not reports_steps:
        progress.finish_frame()
    return result


def _item_at(value: Any, number: int) -> Any:
    """The item of a series with this number; any other value as it is."""
    if type(value) is tuple:
        return tuple(_item_at(item, number) for item in value)
    return value.items[number] if isinstance(value, Series) else value


class _FrameProgress:
    """Reports the frames that are finished; those of a stream may be made in several threads.

    A frame that is made again is not reported again.
    """

    def __init__(self, progress: Progress, frames: int) -> None:
        self._progress = progress
        self._frames = frames
        self._finished = 0
        self._lock = threading.Lock()

    def finish_frame(self) -> None:
        with self._lock:
            self._finished = min(self._finished + 1, self._frames)
            finished = self._finished
        self._progress(finished, self._frames)

    def in_frame(self, number: int) -> Progress:
        """A callback for the steps of one frame that reports them as steps of all frames."""

        def report(step: int, total: int, /, **more: Any) -> None:
            self._progress(number * total + step, self._frames * total, **more)

        return report
