"""Threads and processes that write files of one name at once lose none."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.processes import forked

from .test_numbered_files import write_text


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that has hard links, and one that has none."""
    if not request.param:
        monkeypatch.setattr(os, "link", refuse_link)


def refuse_link(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@pytest.mark.usefixtures("disk")
def test_threads_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: write_text(tmp_path / "a.txt", str(n % 20)), range(60)))
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(texts) == {"a.txt", *(f"a_{n:04d}.txt" for n in range(2, len(texts) + 1))}
    assert all(texts[name] == str(n % 20) for n, name in enumerate(found))


WRITER = """
import json, os, sys
from pathlib import Path
from tests.provenance import test_concurrent_files
folder, writer, links = sys.argv[1:]
if links == "no links":
    os.link = test_concurrent_files.refuse_link
path = Path(folder, "a.txt")
texts = [f"{writer} {number}" for number in range(20)]
print(json.dumps([(test_concurrent_files.write_text(path, text), text) for text in texts]))
"""


@pytest.mark.parametrize("links", ["links", "no links"])
def test_processes_that_write_at_once_lose_nothing(tmp_path: Path, links: str) -> None:
    def write_in_a_process(writer: str) -> list[tuple[str, str]]:
        done = forked("-c", WRITER, str(tmp_path), writer, links)
        assert done.returncode == 0, done.stderr
        return [(name, text) for name, text in json.loads(done.stdout)]

    with ThreadPoolExecutor(3) as pool:
        written = [pair for pairs in pool.map(write_in_a_process, "012") for pair in pairs]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict(written)
    assert len(dict(written)) == 60
