"""The database of hashes: runs are right whatever is wrong with it, and processes share it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_bytes

import pytest

from sdgraph.models.formats import file_hashes
from tests.support.hashing import Place, as_a_new_process, python, sha, weights

# Databases that fail


def spoil_with_rubbish(database: Path) -> None:
    database.write_bytes(token_bytes(20_000))


def spoil_by_cutting(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def spoil_the_tables(database: Path) -> None:
    contents = database.read_bytes()
    database.write_bytes(contents[:4096] + b"\xff" * (len(contents) - 4096))


def spoil_with_a_journal(database: Path) -> None:
    database.write_bytes(b"rubbish" * 100)
    database.with_name("digests.sqlite-journal").write_bytes(token_bytes(4096))


@pytest.mark.parametrize(
    "spoil", [spoil_with_rubbish, spoil_by_cutting, spoil_the_tables, spoil_with_a_journal]
)
def test_a_damaged_database_is_replaced_by_an_empty_one(
    place: Place, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = weights(tmp_path / "a")
    file_hashes.file_sha256(path)
    spoil(place.database)
    for _ in range(3):
        as_a_new_process()
        assert file_hashes.file_sha256(path) == sha(path)
    assert place.hashed < 4, "the third time it is remembered again"
    assert place.rows() == {str(path): sha(path)}


def test_an_entry_that_is_no_hash_is_not_believed(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    file_hashes.file_sha256(path)
    for wrong in ("zz" * 32, "ab", b"\xff", 3):
        with sqlite3.connect(place.database) as opened:
            opened.execute("UPDATE files SET digest = ?", (wrong,))
        as_a_new_process()
        assert file_hashes.file_sha256(path) == sha(path)


def test_a_newer_database_is_left_as_it_is(place: Place, tmp_path: Path) -> None:
    place.home.mkdir()
    with sqlite3.connect(place.database) as opened:
        opened.execute("PRAGMA user_version = 2")
        opened.execute("CREATE TABLE files (other)")
    before = place.database.read_bytes()
    path = weights(tmp_path / "a")
    for _ in range(2):
        assert file_hashes.file_sha256(path) == sha(path)
        as_a_new_process()
    assert place.database.read_bytes() == before
    assert place.hashed == 2


def test_a_locked_database_is_not_waited_for(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = weights(tmp_path / "a")
    file_hashes.file_sha256(path)
    holder = sqlite3.connect(place.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    as_a_new_process()
    with caplog.at_level("DEBUG", logger="sdgraph.models.formats.file_hash_cache"):
        assert file_hashes.file_sha256(path) == sha(path)
    holder.execute("ROLLBACK")
    holder.close()
    assert "locked" in caplog.text
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    as_a_new_process()
    assert file_hashes.file_sha256(path) == sha(path)
    assert place.hashed == 2


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture
def unprivileged() -> Iterator[Callable[[], None]]:
    """Gives up root's right to write everywhere, for the rest of the test."""
    was = os.geteuid()
    yield lambda: os.seteuid(65534) if was == 0 else None
    os.seteuid(was)


def test_a_home_that_may_only_be_read_still_serves(
    place: Place,
    open_folder: Path,
    unprivileged: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(open_folder / "home"))
    hashed, new = weights(open_folder / "known"), weights(open_folder / "new")
    file_hashes.file_sha256(hashed)
    file_hashes.refuse_changed(hashed, sha(hashed))
    (open_folder / "home").chmod(0o555)
    (open_folder / "home" / "digests.sqlite").chmod(0o444)
    as_a_new_process()
    unprivileged()
    assert file_hashes.file_sha256(hashed) == sha(hashed)
    assert place.hashed == 1
    for _ in range(2):
        assert file_hashes.file_sha256(new) == sha(new)
        as_a_new_process()
    assert place.hashed == 3, "what cannot be kept is hashed each time"


@pytest.mark.parametrize("home", ["file/home", "file", "/proc/none"])
def test_a_home_that_cannot_be_does_no_harm(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / home))
    path = weights(tmp_path / "a")
    assert file_hashes.file_sha256(path) == sha(path)


def test_a_database_that_is_a_folder_does_no_harm(place: Place, tmp_path: Path) -> None:
    place.database.mkdir(parents=True)
    path = weights(tmp_path / "a")
    assert file_hashes.file_sha256(path) == sha(path)


def test_without_a_home_folder_nothing_is_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", "~nobody-of-this-name/cache")
    path = weights(tmp_path / "a")
    assert file_hashes.file_sha256(path) == sha(path)


# Several processes


def test_two_processes_may_write_at_once(place: Place, tmp_path: Path) -> None:
    paths = [weights(tmp_path / f"{i}") for i in range(20)]
    code = "for path in sys.argv[1:]: print(file_hashes.file_sha256(Path(path)))"
    workers = [
        python(code, place.home, *map(str, order)) for order in (paths, list(reversed(paths)))
    ]
    outputs = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    expected = [sha(path) for path in paths]
    assert outputs[0][0].split() == expected
    assert outputs[1][0].split() == expected[::-1]
    rows = place.rows()
    assert rows
    assert all(rows[path] == sha(Path(path)) for path in rows)
    with sqlite3.connect(place.database) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_killed_writer_leaves_what_was_there(place: Place, tmp_path: Path) -> None:
    path, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    file_hashes.file_sha256(path)
    # So small a cache that the half-done transaction is in the file when the writer dies.
    code = (
        "import os, signal, sqlite3\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute(\"UPDATE files SET digest = '\" + 64 * 'f' + \"'\")\n"
        "for i in range(500):\n"
        "    row = (b'%d' % i, 'x' * 200, 'f' * 64, 2**62)\n"
        "    db.execute('INSERT INTO files VALUES (?, ?, ?, ?)', row)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    size = place.database.stat().st_size
    killed = python(code, place.home, str(place.database))
    assert killed.communicate(timeout=60) == ("", "")
    assert killed.returncode == -9
    assert place.database.stat().st_size > size, "the kill came too early to show anything"
    as_a_new_process()
    assert file_hashes.file_sha256(path) == sha(path)
    assert file_hashes.file_sha256(other) == sha(other)
    assert place.rows() == {str(path): sha(path), str(other): sha(other)}


def test_sqlite_is_imported_late(tmp_path: Path) -> None:
    small = weights(tmp_path / "small", b"small")
    code = "print(file_hashes.file_sha256(Path(sys.argv[1]))); import sdgraph.cli; "
    code += "print([name for name in ('sqlite3', 'torch') if name in sys.modules])"
    output, _ = python(code, tmp_path / "home", str(small)).communicate(timeout=60)
    assert output.split() == [sha(small), "[]"]
