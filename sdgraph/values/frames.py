"""A series of values, one for each frame of a video, and running a node on each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError

from .content import content_of, digest, refuse_value, size_of
from .value import Value

if TYPE_CHECKING:
    from sdgraph.progress import Progress


class Series(Value):
    """The values of one kind that a node made, one for each frame of a video.

    A node that reads a series runs once for each item, unless its class says `gathers`.

    Args:
        items: The values, in order.
        fps: How many of them there are per second; above 0.
    """

    items: tuple[Any, ...]
    fps: float

    def __init__(self, items: Iterable[Any], fps: float) -> None:
        self._set_fields(items=tuple(items), fps=fps)

    @cached_property
    def content(self) -> str:
        """A hash of the items and their rate as 32 hexadecimal digits; computed once."""
        return digest(",".join([f"Series:{self.fps!r}", *map(content_of, self.items)]).encode())

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: those of the items."""
        return sum(map(size_of, self.items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"Series({len(self)} × {self.items[0]!r} {self.fps:g} fps)"


def run_per_frame(run: Callable[..., Any], progress: Progress, arguments: Mapping[str, Any]) -> Any:
    """Calls `run` once with the arguments, or once for each frame if some of them are a Series.

    The first call gets the first item of each series, the second call the second item, and so on.

    Args:
        run: The function to call, with the arguments by name.
        progress: Called after each frame with the number of finished frames and of all frames. If
            `run` has an argument `progress`, the steps that it reports are counted over all frames.
        arguments: The arguments; a Series may also be an item of a tuple.

    Returns:
        What `run` returns, or a Series of what it returns, at the rate of the first series.

    Raises:
        InvalidValueError: The series differ in length, or `run` refused a value; the error says
            in which frame.
    """
    series = [
        (name, item)
        for name, value in arguments.items()
        for item in (value if type(value) is tuple else (value,))
        if isinstance(item, Series)
    ]
    if not series:
        return run(**arguments)
    total, fps = len(series[0][1]), series[0][1].fps
    if any(len(items) != total for _, items in series):
        counts = " and ".join(f"{len(items)} frames in {name}" for name, items in series)
        refuse_value("the frames", counts, "as many in each", "cut the longer video by `seconds`")
    results = []
    for number in range(total):
        frame_arguments = {name: _item_at(value, number) for name, value in arguments.items()}
        reports_steps = "progress" in frame_arguments
        if reports_steps:
            frame_arguments["progress"] = _progress_in_frame(progress, number, total)
        try:
            results.append(run(**frame_arguments))
        except InvalidValueError as error:
            raise InvalidValueError(
                replace(problem, subject=f"in frame {number}: {problem.subject}".removesuffix(": "))
                for problem in error.problems
            ) from error
        if not reports_steps:
            progress(number + 1, total)
    return Series(results, fps)


def _item_at(value: Any, number: int) -> Any:
    """The item of a series with this number; any other value as it is."""
    if type(value) is tuple:
        return tuple(_item_at(item, number) for item in value)
    return value.items[number] if isinstance(value, Series) else value


def _progress_in_frame(progress: Progress, number: int, frames: int) -> Progress:
    """A callback for the steps of one frame that reports them as steps of all frames."""

    def report(step: int, total: int, /, **more: Any) -> None:
        progress(number * total + step, frames * total, **more)

    return report
