"""Random changes of texts, of plain data and of bytes; the same seed makes the same change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

WORDS: tuple[str, ...] = (
    *("", " ", ".", "..", "/", "~", "~nobody", "-", "--", "-1", "0", "007", "1e999", "nan", "inf"),
    *("x" * 300, "a/" * 300, "9" * 5000, "0x" + "f" * 4000, "1..5", "5..1..-1", "1..9e9", "[", "]"),
    *("[a, b]", "[a, [b]]", "[[1]]", "{", "}", "{}", "{a}", "{seed", "{seed:09999d}", "{number}"),
    *("@", "@.", "@no-file", "@@", "*", "**", "**/*", "?", "[!x]", "$", "$$", "$x", "$inputs.x"),
    *("$input.seed", "$inputs", "%s", "#", "#ff0000", "a: b", "a, b", "&x", "*x", "!tag", "|", ">"),
    *("`", "'", '"', "\\", "\\x", "\t", "\n", "\r\n", "\0", "\x1b[31m", "\x1b]0;x\x07", "\udcff"),
    *("\u202e", "\ufeff", "🦊", "é", "true", "yes", "null", "None", "12:30", "1_000", "2026-01-01"),
    *(
        "no/such/file.png",
        "no.yaml",
        "a.png",
        "a.png/b",
        "flow.yaml",
        "text",
        "inpaint",
        "tiny/sdxl",
    ),
    *(
        "tiny/none",
        "./",
        "../x",
        "hub/id",
        "a/b/c",
        "cuda",
        "cpu",
        "gpu",
        "float16",
        "8",
        "8GB",
        "-8GB",
    ),
    *(
        "9" * 30 + "GB",
        "result.path=x.png",
        "result.path",
        ".path=x",
        "result.=x",
        "=",
        "==",
        "a=b=c",
    ),
)
"""Texts that programs stumble over."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.0, -0.5, 1e308),
    *(float("inf"), float("nan"), "", [], {}, [[]], [None], {"a": None}, [1, 2, 3], ["$photo"]),
    *({"type": "Text2Image"}, {"source": "tiny/text-to-image"}, {"source": 3}, [{"source": "x"}]),
)
"""Values that are unusual for most fields."""


def random_word(random: Random) -> str:
    """One of `WORDS`, or two of them joined."""
    word = random.choice(WORDS)
    return word if random.random() < 0.8 else word + random.choice(WORDS)


def mutate_text(text: str, random: Random, count: int = 1) -> str:
    """A text after some random changes: pieces removed, doubled, moved, or replaced by a word.

    Args:
        text: The text.
        random: Where the changes come from.
        count: The number of changes.
    """
    for _ in range(count):
        start = random.randrange(len(text) + 1)
        end = min(len(text), start + random.choice((0, 1, 1, 2, 5, 20)))
        piece = text[start:end]
        other = random.randrange(len(text) + 1)
        text = random.choice(
            (
                text[:start] + text[end:],
                text[:start] + piece + text[start:],
                text[:other] + piece + text[other:],
                text[:start] + random_word(random) + text[end:],
                text[:start] + random.choice("{}[]:,#&*!|>'\"%@`\n\t \\-?$=~") + text[end:],
                _mutate_lines(text, random),
            )
        )
    return text


def _mutate_lines(text: str, random: Random) -> str:
    lines = text.splitlines()
    if not lines:
        return text
    place = random.randrange(len(lines))
    change = random.randrange(4)
    if change == 0:
        del lines[place]
    elif change == 1:
        lines.insert(random.randrange(len(lines) + 1), lines[place])
    elif change == 2:
        lines[place] = " " * random.randrange(6) + lines[place].lstrip()
    else:
        lines[place] = lines[place].replace(": ", random.choice((":", " = ", ":  ", " : ")), 1)
    return "\n".join(lines) + "\n"


def places(data: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The places of all values in plain data, the outermost first."""
    if isinstance(data, dict):
        inner = [places(value, (*place, key)) for key, value in data.items()]
    elif isinstance(data, list):
        inner = [places(value, (*place, number)) for number, value in enumerate(data)]
    else:
        inner = []
    return [place, *(found for some in inner for found in some)]


def mutate_data(data: Any, random: Random, count: int = 1) -> Any:
    """Plain data after some random changes: values replaced, removed, moved, renamed or nested.

    Args:
        data: Lists, maps and scalars; it is not changed itself.
        random: Where the changes come from.
        count: The number of changes.
    """
    data = copy.deepcopy(data)
    for _ in range(count):
        found = [place for place in places(data) if place]
        if not found:
            return random.choice(VALUES)
        place = random.choice(found)
        holder = value_at(data, place[:-1])
        value = holder[place[-1]]
        change = random.choice(_CHANGES)
        change(holder, place[-1], value, random)
        if random.random() < 0.1:
            other = random.choice(found)
            _set(data, place, _get(data, other))
    return data


def value_at(data: Any, place: Sequence[str | int]) -> Any:
    """The value at a place in plain data."""
    for step in place:
        data = data[step]
    return data


def _get(data: Any, place: Sequence[str | int]) -> Any:
    try:
        return copy.deepcopy(value_at(data, place))
    except (LookupError, TypeError):
        return None


def _set(data: Any, place: Sequence[str | int], value: Any) -> None:
    try:
        value_at(data, place[:-1])[place[-1]] = value
    except (LookupError, TypeError):
        return


_Change = Callable[[Any, Any, Any, Random], None]


def _replace_by_value(holder: Any, key: Any, value: Any, random: Random) -> None:
    holder[key] = copy.deepcopy(random.choice(VALUES))


def _replace_by_word(holder: Any, key: Any, value: Any, random: Random) -> None:
    holder[key] = random_word(random)


def _remove(holder: Any, key: Any, value: Any, random: Random) -> None:
    del holder[key]


def _rename(holder: Any, key: Any, value: Any, random: Random) -> None:
    if isinstance(holder, dict):
        del holder[key]
        name = mutate_text(key, random) if isinstance(key, str) and key else random_word(random)
        holder[name] = value


def _nest(holder: Any, key: Any, value: Any, random: Random) -> None:
    depth = random.choice((1, 2, 50))
    for _ in range(depth):
        value = [value] if random.random() < 0.5 else {"a": value}
    holder[key] = value


def _change_number_or_text(holder: Any, key: Any, value: Any, random: Random) -> None:
    if isinstance(value, str):
        holder[key] = mutate_text(value, random)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        holder[key] = random.choice((-value, value + 1, value * 1000, value / 3, str(value)))


_CHANGES: tuple[_Change, ...] = (
    _replace_by_value,
    _replace_by_word,
    _remove,
    _rename,
    _nest,
    _change_number_or_text,
    _change_number_or_text,
)


def mutate_bytes(content: bytes, random: Random, count: int = 1) -> bytes:
    """Bytes after some random changes: cut off, zeroed, flipped, doubled or overwritten.

    Args:
        content: The bytes.
        random: Where the changes come from.
        count: The number of changes.
    """
    for _ in range(count):
        start = random.randrange(len(content) + 1)
        end = min(len(content), start + random.choice((1, 1, 4, 100, 5000)))
        piece = content[start:end]
        content = random.choice(
            (
                content[:start],
                content[:start] + content[end:],
                content[:start] + bytes(len(piece)) + content[end:],
                content[:start] + bytes(byte ^ 0xFF for byte in piece) + content[end:],
                content[:start] + random.randbytes(len(piece)) + content[end:],
                content[:end] + piece + content[end:],
                content[:start] + b"\xff\xff\xff\xff" + content[start + 4 :],
            )
        )
    return content
