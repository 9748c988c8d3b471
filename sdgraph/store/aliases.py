"""Aliases of records: second names by which a result is found through its lineage.

The name of a record is a key made of the contents of its inputs, which are known only after the
record of each input has been read. An alias is a key made of all the nodes that the result is made
from: it leads to the record directly, even after the inputs are forgotten.

Each alias is a symbolic link, of which only the text is read, so that it is written completely or
not at all. The text names the record and ends with a checksum of alias and record together: a link
that was copied to another name, or changed, leads nowhere. In a folder that does not support links,
records are found without them.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from .not_kept import SUFFIX as NOTE_SUFFIX

_SUFFIX = ".alias"
_ALIAS = re.compile(r"[0-9a-f]{32}\.alias")
_LINK = re.compile(rf"[0-9a-f]{{32}}({_SUFFIX}|{NOTE_SUFFIX})")
_TARGET = re.compile(r"(\.\./[0-9a-f]{2}/([0-9a-f]{32})\.safetensors)#[0-9a-f]{16}")
_OLD_S = 90 * 86400
"""Aliases older than this are removed; one is made again if its record is found without it."""


class Aliases:
    """The aliases in a folder."""

    def __init__(self, folder: Path) -> None:
        self._root = f"{folder}{os.sep}"

    def get(self, alias: bytes) -> bytes | None:
        """The key that an alias leads to, if there is such an alias."""
        try:
            text = os.readlink(self._path(alias))  # noqa: PTH115  hundreds of links
        except OSError:
            return None
        target = _TARGET.fullmatch(text)
        key = bytes.fromhex(target[2]) if target else None
        return key if key is not None and text == _link_text(alias, key) else None

    def put(self, alias: bytes, key: bytes) -> None:
        """Makes an alias lead to a key; does nothing if it cannot be written."""
        path, text = self._path(alias), _link_text(alias, key)
        with suppress(OSError):
            try:
                os.symlink(text, path)  # noqa: PTH211
            except FileNotFoundError:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                os.symlink(text, path)  # noqa: PTH211
            except FileExistsError:
                if self.get(alias) != key:
                    Path(path).unlink()
                    os.symlink(text, path)  # noqa: PTH211

    def prune(self) -> None:
        """Removes the aliases whose records are gone, and old aliases and notes."""
        now = time.time()
        for folder in Path(self._root).glob("??"):
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.is_symlink():
                        continue
                    is_old = abs(now - entry.stat(follow_symlinks=False).st_mtime) > _OLD_S
                    is_dangling = _ALIAS.fullmatch(entry.name) and not _leads_to_record(entry.path)
                    if is_dangling or (is_old and _LINK.fullmatch(entry.name)):
                        Path(entry.path).unlink(missing_ok=True)

    def _path(self, alias: bytes) -> str:
        name = alias.hex()
        return f"{self._root}{name[:2]}{os.sep}{name}{_SUFFIX}"


def _link_text(alias: bytes, key: bytes) -> str:
    checksum = blake2b(alias + key, digest_size=8).hexdigest()
    return f"../{key.hex()[:2]}/{key.hex()}.safetensors#{checksum}"


def _leads_to_record(path: str) -> bool:
    target = _TARGET.fullmatch(os.readlink(path))  # noqa: PTH115
    return target is not None and (Path(path).parent / target[1]).exists()
