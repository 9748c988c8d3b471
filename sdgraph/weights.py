"""Where weights come from: checkpoints, named but not yet looked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import PurePath

from .content import Value, digest, refuse_value
from .errors import did_you_mean

_DTYPES = ("float32", "float16", "bfloat16")
_FIELDS = ("source", "revision", "variant", "dtype")


class Checkpoint(Value):
    """Where weights come from: a hub id, a folder, or a shipped one such as "tiny/inpaint".

    `dtype` is "float32", "float16" or "bfloat16"; None leaves it to the device.
    """

    source: str
    revision: str | None
    variant: str | None
    dtype: str | None

    def __init__(
        self,
        source: str | PurePath,
        *,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str | None = None,
    ) -> None:
        source = str(source) if isinstance(source, PurePath) else source
        if not isinstance(source, str) or not source.strip():
            wanted = "a hub id such as 'stabilityai/sdxl-turbo', or a folder"
            refuse_value("Checkpoint.source", repr(source), wanted)
        for name, word in (("revision", revision), ("variant", variant), ("dtype", dtype)):
            if word is not None and not (isinstance(word, str) and re.fullmatch(r"\S+", word)):
                refuse_value(f"Checkpoint.{name}", repr(word), "one word, or nothing")
        if dtype is not None and dtype not in _DTYPES:
            fix = did_you_mean(dtype, _DTYPES)
            refuse_value("Checkpoint.dtype", repr(dtype), f"one of {', '.join(_DTYPES)}", fix)
        self.__dict__.update(source=source, revision=revision, variant=variant, dtype=dtype)

    @classmethod
    def parse(cls, data: object) -> Checkpoint:
        """The checkpoint that `data` is or describes: a source, or a mapping of the fields."""
        if isinstance(data, Checkpoint):
            return data
        if isinstance(data, str | PurePath):
            return cls(data)
        if not isinstance(data, Mapping) or "source" not in data:
            fix = "write the source alone, or {source: …, variant: …}"
            refuse_value("Checkpoint", repr(data), "a source, or a mapping that has one", fix)
        for key in data:
            if key not in _FIELDS:
                fix = did_you_mean(str(key), _FIELDS)
                wanted = f"one of {', '.join(_FIELDS)}"
                refuse_value(f"Checkpoint.{key}", "an unknown key", wanted, fix)
        return cls(**data)

    def as_data(self) -> str | dict[str, str]:
        """What `parse` takes back: the source, or a dict of the fields when others are set."""
        fields = {name: text for name in _FIELDS if (text := getattr(self, name))}
        return fields if len(fields) > 1 else self.source

    @cached_property
    def content(self) -> str:
        return digest(repr((type(self).__name__, self.as_data())).encode())

    def __repr__(self) -> str:
        others = [(name, getattr(self, name)) for name in _FIELDS[1:]]
        named = (f"{name}={text!r}" for name, text in others if text)
        return f"Checkpoint({', '.join([repr(self.source), *named])})"
