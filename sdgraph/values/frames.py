"""What stands for one value in each frame of a video, and how a node runs once for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError

from .value import Value, content_of, digest, refuse_value, size_of

if TYPE_CHECKING:
    from sdgraph.events import Progress


class Series(Value):
    """The values of one kind that a node made, one for each frame; `fps` of them a second.

    A node that reads it runs once for each, unless its class says `gathers`.
    """

    items: tuple[Any, ...]
    fps: float

    def __init__(self, items: Iterable[Any], fps: float) -> None:
        self.__dict__.update(items=tuple(items), fps=fps)

    @cached_property
    def content(self) -> str:
        """A digest of the frame rate and of every item's content."""
        return digest(",".join([f"Series:{self.fps!r}", *map(content_of, self.items)]).encode())

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return sum(map(size_of, self.items))

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def __repr__(self) -> str:
        return f"Series({len(self)} × {self.items[0]!r} {self.fps:g} fps)"


def once_for_each(run: Callable[..., Any], progress: Progress, arguments: Mapping[str, Any]) -> Any:
    """What `run` makes of the arguments; where Series are among them, the Series of what it makes.

    Several go side by side, so they must be of one length: else InvalidValueError. `progress` is
    told of every frame, or of the steps in it where `run` tells them.
    """
    found = [(name, each) for name, value in arguments.items() for each in _in(value)]
    if not found:
        return run(**arguments)
    total, fps = len(found[0][1]), found[0][1].fps
    if any(len(each) != total for _, each in found):
        told = " and ".join(f"{len(each)} frames in {name}" for name, each in found)
        refuse_value("the frames", told, "as many in each", "cut the longer video by `seconds`")
    made = []
    for number in range(total):
        given = {name: _at(value, number) for name, value in arguments.items()}
        if "progress" in given:
            given["progress"] = _within(progress, number, total)
        try:
            made.append(run(**given))
        except InvalidValueError as error:
            raise InvalidValueError(
                replace(each, subject=f"in frame {number}: {each.subject}".removesuffix(": "))
                for each in error.problems
            ) from error
        if "progress" not in given:
            progress(number + 1, total)
    return Series(made, fps)


def _in(value: Any) -> Iterator[Series]:
    for each in value if type(value) is tuple else (value,):
        if isinstance(each, Series):
            yield each


def _at(value: Any, number: int) -> Any:
    if type(value) is tuple:
        return tuple(_at(each, number) for each in value)
    return value.items[number] if isinstance(value, Series) else value


def _within(progress: Progress, number: int, frames: int) -> Progress:
    """What tells of the steps in one frame as steps of all frames."""

    def told(step: int, total: int, /, **more: Any) -> None:
        progress(number * total + step, frames * total, **more)

    return told
