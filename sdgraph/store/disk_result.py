"""A result on disk, of which only the header was read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from .serialization import Header


class RecordReader(Protocol):
    """Reads the values of records: a `DiskStore`."""

    def read(self, key: bytes, header: Header, *, is_packed: bool) -> Any:
        """The value of a record whose header was read before."""


class LostRecordError(Exception):
    """A record that the plan of a run reuses is gone, damaged, or made of what has changed."""


class DiskResult(NamedTuple):
    """A result on disk, whose value is read when it is needed."""

    store: RecordReader
    key: bytes
    header: Header
    is_packed: bool = False
    """Whether it is a small one, whose value is in the header (see `packed_records`)."""

    @property
    def content(self) -> str:
        """The content hash of the value."""
        return self.header.content

    @property
    def has_cheap_content(self) -> bool:
        """Whether the content hash is known already: it is in the header."""
        return True

    @property
    def remake_seconds(self) -> float:
        """How long it takes to make again what is not on disk: nothing is missing."""
        return 0.0

    @property
    def files(self) -> Mapping[str, str]:
        """The files that the value names, each with its sha256 at that time."""
        return self.header.files

    @property
    def seconds(self) -> float:
        """How many seconds it took to make."""
        return self.header.seconds

    @property
    def value(self) -> Any:
        """The value, read and compared with its hash.

        Raises LostRecordError if the record is gone or damaged.
        """
        return self.store.read(self.key, self.header, is_packed=self.is_packed)
