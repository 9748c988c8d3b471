r"""Keeps control characters that were read from files out of the terminal.

A terminal obeys them: they can hide text, set the title of the window, write to the clipboard, or
make a line read as another one. What sdgraph prints may hold names and texts from any file, so
they are written as `\\u001b`, which is also how JSON writes them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console

_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
"""All but tab and new line; those that turn the direction of text count too."""

_UNSAFE = re.compile(f"[{_CONTROL}]")
_UNSAFE_IN_BAR = re.compile(
    f"(?:\\x1b\\[[0-9;]*[AKm]|\r)|([{_CONTROL}])"  # a progress bar moves up, clears and colours
)


def escape_controls(text: str) -> str:
    r"""The text with each control character but tab and new line as `\uXXXX`.

    Example:
        >>> print(escape_controls("a\x1b]0;title\x07b"))
        a\u001b]0;title\u0007b
    """
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Writes text without control characters and a new line to a stream, or to standard output.

    All that the commands print is written here, or by `safe_console` in colour.
    """
    out = sys.stdout if stream is None else stream
    out.write(f"{escape_controls(text)}\n")
    out.flush()


class SafeStream:
    """A text stream that writes no control characters; everything else is that of the stream.

    Args:
        stream: Where the text goes.
        allow_bars: Whether to leave what progress bars of libraries use: carriage returns, and
            sequences that move up, clear the line or set a colour.
    """

    def __init__(self, stream: TextIO, *, allow_bars: bool = False) -> None:
        self.unfiltered = stream
        self._allow_bars = allow_bars

    def write(self, text: str) -> int:
        """Writes text; returns the number of its characters."""
        if self._allow_bars:
            safe = _UNSAFE_IN_BAR.sub(lambda m: _escape(m) if m[1] else m[0], text)
        else:
            safe = escape_controls(text)
        self.unfiltered.write(safe)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unfiltered, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.unfiltered)


def safe_stream(stream: TextIO, *, allow_bars: bool = False) -> TextIO:
    """A stream that writes no control characters, in place of `stream`."""
    return cast("TextIO", SafeStream(stream, allow_bars=allow_bars))


def unfiltered(stream: IO[str]) -> IO[str]:
    """The stream below a `SafeStream`, for text whose control characters are escaped already."""
    return getattr(stream, "unfiltered", stream)


def safe_console(stream: IO[str], **options: Any) -> Console:
    """A rich console that colours its output, and escapes control characters in what it prints."""
    from rich.console import Console
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, *args: Any, **kwargs: Any) -> Iterable[Segment]:
            for segment in super().render(*args, **kwargs):
                if segment.control or not _UNSAFE.search(segment.text):
                    yield segment
                else:
                    yield Segment(escape_controls(segment.text), segment.style)

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # rich would end the process

    return SafeConsole(file=unfiltered(stream), **options)
