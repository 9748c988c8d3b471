"""Further names of records: a result by all that it was made of, whatever its inputs came to.

A record is kept under a key of its inputs' contents, which are known only where each input's own
record is looked at. An alias leads there at once, and still does when the inputs are forgotten.
Each is a symbolic link to the record, of which only the text is read: written in one piece, or not
at all. Where a folder takes none, records are found as without.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

_SUFFIX = ".alias"
_ALIAS = re.compile(r"[0-9a-f]{32}\.alias")
_TARGET = re.compile(r"\.\./[0-9a-f]{2}/([0-9a-f]{32})\.safetensors")
_OLD_S = 90 * 86400
"""One that is needed later is made again once its record was found without it."""


class Aliases:
    """The aliases below a folder."""

    def __init__(self, folder: Path) -> None:
        self._root = f"{folder}{os.sep}"

    def get(self, alias: bytes) -> bytes | None:
        """The key that an alias leads to, if there is such an alias."""
        try:
            text = os.readlink(self._place(alias))  # noqa: PTH115  hundreds of texts
        except OSError:
            return None
        target = _TARGET.fullmatch(text)
        return bytes.fromhex(target[1]) if target else None

    def put(self, alias: bytes, key: bytes) -> None:
        """Lets an alias lead to a key; where the disk refuses, nothing is done."""
        place, text = self._place(alias), f"../{key.hex()[:2]}/{key.hex()}.safetensors"
        with suppress(OSError):
            try:
                os.symlink(text, place)  # noqa: PTH211
            except FileNotFoundError:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                os.symlink(text, place)  # noqa: PTH211
            except FileExistsError:
                if self.get(alias) != key:
                    Path(place).unlink()
                    os.symlink(text, place)  # noqa: PTH211

    def prune(self) -> None:
        """Removes those that lead to no record any more, and those that are old."""
        now = time.time()
        for folder in Path(self._root).glob("??"):
            with suppress(OSError), os.scandir(folder) as found:
                for each in found:
                    if _ALIAS.fullmatch(each.name) and each.is_symlink():
                        made = each.stat(follow_symlinks=False).st_mtime
                        if abs(now - made) > _OLD_S or not Path(each.path).exists():
                            Path(each.path).unlink(missing_ok=True)

    def _place(self, alias: bytes) -> str:
        name = alias.hex()
        return f"{self._root}{name[:2]}{os.sep}{name}{_SUFFIX}"
