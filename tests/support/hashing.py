"""Homes where hashes are remembered, files to hash, and processes that do."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest

from sdgraph.files import stamps
from sdgraph.models.formats import file_hash_cache, file_hashes

ROOT = Path(file_hashes.__file__).parents[3]
LARGE = file_hash_cache.LEAST_BYTES


class Place:
    """A home folder that keeps file hashes, and a count of how often a file's content was read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hashed = 0

    @property
    def database(self) -> Path:
        return self.home / "digests.sqlite"

    def rows(self) -> dict[str, str]:
        """The remembered hashes by path."""
        with sqlite3.connect(self.database) as opened:
            rows = opened.execute("SELECT path, digest FROM files").fetchall()
        # A row can be lost in a damaged page, and its place taken for one of nothing.
        return {os.fsdecode(path): digest for path, digest in rows if path}


def as_a_new_process() -> None:
    """Forgets the hashes that this process holds."""
    file_hashes._known.clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty home where files count as settled at once; counts the hashing done."""
    home = Place(tmp_path / "home")
    monkeypatch.setenv("SDGRAPH_HOME", str(home.home))
    monkeypatch.setattr(stamps, "SETTLING_NS", 0)
    hashing = hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        home.hashed += 1
        return hashing(file, name)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    as_a_new_process()
    return home


def weights(path: Path, data: bytes | None = None) -> Path:
    """Writes a file, large enough to be remembered on disk where no data are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(token_bytes(LARGE) if data is None else data)
    return path


def sha(path: Path) -> str:
    """The sha256 of a file, without the code under test."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def python(code: str, home: Path, *args: str) -> subprocess.Popen[str]:
    """A fresh interpreter with its cache in `home`, where files count as settled at once."""
    environment = {**os.environ, "SDGRAPH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    head = "import sys\nfrom pathlib import Path\n"
    head += "from sdgraph.files import stamps\n"
    head += "from sdgraph.models.formats import file_hash_cache, file_hashes\n"
    head += "stamps.SETTLING_NS = 0\n"
    command = [sys.executable, "-c", head + code, *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)
