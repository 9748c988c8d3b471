"""What an unquoted word in a workflow file means: the core schema of YAML 1.2.

YAML 1.1, which PyYAML reads, has more words for numbers and switches than people expect: `no` is
false there, `010` is 8, `12:30` is 750, and `1_000` a number. In YAML 1.2 all of these are text,
and `010` is ten.

Source: YAML 1.2.2, section 10.3, https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import math
import re
from typing import Any

_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{
        f"{sign}{word}": -math.inf if sign == "-" else math.inf
        for sign in ("", "+", "-")
        for word in (".inf", ".Inf", ".INF")
    },
}

_MAX_BITS = 14_000
"""As many as a number of 4,300 digits has: a longer one could not be written out."""

INTEGER = re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")


def parse_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar: None, a bool, an int, a float, or the text itself.

    Args:
        text: The scalar as it is written, without the space around it.

    Raises:
        ValueError: An integer has more digits than Python converts (4,300).

    Example:
        >>> [parse_scalar(text) for text in ("no", "010", "0o17", "1e3", "12:30", "~")]
        ['no', 10, 15, 1000.0, '12:30', None]
    """
    if text in _WORDS:
        value: bool | float | None = _WORDS[text]
        return value
    if INTEGER.match(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base)
        if base != 10 and number.bit_length() > _MAX_BITS:
            raise ValueError("too many digits")
        return number
    return float(text) if FLOAT.match(text) else text
