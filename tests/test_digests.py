"""Hashes of files that outlive the process, and weight files that are refused."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from math import prod
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError, deserialize

from sdgraph import digest_cache, digests, shipped
from sdgraph.errors import CheckpointError

ROOT = Path(digests.__file__).parents[1]
LARGE = digest_cache.LEAST_BYTES

WIDTHS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("I64", "U64", "F64", "C64"), 64),
    "F4": 4,
}
"""Bits of an element of every dtype that safetensors files are written in."""


class Place:
    """A home that remembers what it is told, and how often a file's content was read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.hashed = 0

    @property
    def database(self) -> Path:
        return self.home / "digests.sqlite"

    def rows(self) -> dict[str, str]:
        """The remembered hashes by path."""
        with sqlite3.connect(self.database) as opened:
            found = opened.execute("SELECT path, digest FROM files").fetchall()
        return {os.fsdecode(path): digest for path, digest in found}


def as_a_new_process() -> None:
    digests._known.clear()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """An empty home where files count as settled at once; counts the hashing done."""
    made = Place(tmp_path / "home")
    monkeypatch.setenv("SDGRAPH_HOME", str(made.home))
    monkeypatch.setattr(digest_cache, "SETTLING_NS", 0)
    count_hashing(made, monkeypatch)
    as_a_new_process()
    return made


def count_hashing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    hashing = digests.hashlib.file_digest

    def counted(file: Any, name: str) -> Any:
        place.hashed += 1
        return hashing(file, name)

    monkeypatch.setattr(digests.hashlib, "file_digest", counted)


def weights(path: Path, data: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(token_bytes(LARGE) if data is None else data)
    return path


def sha(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def python(code: str, home: Path, *args: str) -> subprocess.Popen[str]:
    """A fresh interpreter with its cache in `home`, where files count as settled at once."""
    environment = {**os.environ, "SDGRAPH_HOME": str(home), "PYTHONPATH": str(ROOT)}
    head = "import sys\nfrom pathlib import Path\nfrom sdgraph import digest_cache, digests\n"
    head += "digest_cache.SETTLING_NS = 0\n"
    command = [sys.executable, "-c", head + code, *args]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


# What is remembered


def test_a_large_file_is_hashed_once_for_all_processes(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    for _ in range(2):
        assert digests.content(path) == sha(path)
        assert digests.content(path) == sha(path)
        as_a_new_process()
    assert place.hashed == 1
    assert place.rows() == {str(path): sha(path)}


def test_a_small_file_is_not_remembered_on_disk(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a", b"0" * (LARGE - 1))
    assert digests.content(path) == digests.content(path) == sha(path)
    assert place.hashed == 1
    assert not place.home.exists()


def test_a_file_written_a_moment_ago_is_not_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_cache, "SETTLING_NS", 2 * 10**9)
    path = weights(tmp_path / "a")
    os.utime(path, (1, 1))  # an old mtime, as `cp -p` leaves, makes it no older
    assert digests.content(path) == sha(path)
    assert digests.content(path) == sha(path)
    assert place.hashed == 2
    assert not place.home.exists()
    later = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(digest_cache.time, "time_ns", lambda: later)
    assert digests.content(path) == sha(path)
    assert place.rows() == {str(path): sha(path)}


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(tmp_path / "a")
    hashing = digests.hashlib.file_digest

    def overtaken(file: Any, name: str) -> Any:
        done = hashing(file, name)
        path.write_bytes(token_bytes(LARGE + 1))
        return done

    monkeypatch.setattr(digests.hashlib, "file_digest", overtaken)
    digests.content(path)
    monkeypatch.setattr(digests.hashlib, "file_digest", hashing)
    assert digests.content(path) == sha(path)


@pytest.mark.parametrize("way", ["replaced", "overwritten"])
def test_a_change_of_the_same_size_and_mtime_is_seen(
    place: Place, tmp_path: Path, way: str
) -> None:
    path = weights(tmp_path / "a")
    before, old = path.stat(), digests.content(path)
    other = weights(tmp_path / "b")
    if way == "replaced":
        other.replace(path)
    else:
        time.sleep(0.02)  # a tick of the file system's clock
        path.write_bytes(other.read_bytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert (now.st_ino == before.st_ino) == (way == "overwritten")
    for _ in range(2):
        assert digests.content(path) == sha(path) != old
        as_a_new_process()
    assert place.rows() == {str(path): sha(path)}


@pytest.mark.parametrize("field", ["size", "modified", "changed", "inode"])
def test_each_part_of_a_stamp_counts(place: Place, tmp_path: Path, field: str) -> None:
    stamp = digest_cache.Stamp.of(weights(tmp_path / "a"))._replace(inode=2**64 - 2)
    digest_cache.keep(stamp, digest_cache.Known("0" * 64, True))
    assert digest_cache.recall(stamp) == ("0" * 64, True)
    other = stamp._replace(**{field: getattr(stamp, field) + 1})
    assert digest_cache.recall(other) == ("", False)


def test_a_link_is_the_file_it_names(place: Place, tmp_path: Path) -> None:
    path, link = weights(tmp_path / "a"), tmp_path / "link"
    link.symlink_to(path)
    assert digests.content(link) == digests.content(path) == sha(path)
    assert place.hashed == 1


def test_nothing_is_read_of_a_hub_caches_blobs(place: Place, tmp_path: Path) -> None:
    named = "ab" * 32
    blob = weights(tmp_path / "blobs" / named, b"not what its name says")
    link = tmp_path / "snapshots" / "main" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert digests.content(link) == named
    digests.refuse_changed(link, named)
    assert place.hashed == 0
    blob.unlink()
    with pytest.raises(CheckpointError, match="gone since"):
        digests.refuse_changed(link, named)


def test_a_path_that_is_no_text_is_remembered_too(place: Place, tmp_path: Path) -> None:
    path = weights(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    assert digests.content(path) == sha(path)
    as_a_new_process()
    assert digests.content(path) == sha(path)
    assert place.hashed == 1


def test_what_was_used_longest_ago_is_forgotten_first(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_cache, "LIMIT", 3)
    day = 24 * 3600 * 10**9
    now = time.time_ns()
    stamps = [digest_cache.Stamp(f"/{i}", 1, 2, 3, 4) for i in range(4)]
    for i, stamp in enumerate(stamps[:3]):
        monkeypatch.setattr(digest_cache.time, "time_ns", lambda i=i: now + i)
        digest_cache.keep(stamp, digest_cache.Known(f"{i}" * 64))
    monkeypatch.setattr(digest_cache.time, "time_ns", lambda: now + 2 * day)
    assert digest_cache.recall(stamps[0]).digest == "0" * 64
    digest_cache.keep(stamps[3], digest_cache.Known("3" * 64))
    assert set(place.rows()) == {"/0", "/2", "/3"}


def test_what_a_process_knows_is_bounded(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_MOST_KNOWN", 2)
    for name in "abc":
        digests.content(weights(tmp_path / name, b"small"))
    assert [Path(stamp.path).name for stamp in digests._known] == ["b", "c"]


# Databases that fail


def spoil_with_rubbish(database: Path) -> None:
    database.write_bytes(token_bytes(20_000))


def spoil_by_cutting(database: Path) -> None:
    database.write_bytes(database.read_bytes()[:5000])


def spoil_the_tables(database: Path) -> None:
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))


def spoil_with_a_journal(database: Path) -> None:
    database.write_bytes(b"rubbish" * 100)
    database.with_name("digests.sqlite-journal").write_bytes(token_bytes(4096))


@pytest.mark.parametrize(
    "spoil", [spoil_with_rubbish, spoil_by_cutting, spoil_the_tables, spoil_with_a_journal]
)
def test_a_damaged_database_is_begun_anew(
    place: Place, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = weights(tmp_path / "a")
    digests.content(path)
    spoil(place.database)
    for _ in range(3):
        as_a_new_process()
        assert digests.content(path) == sha(path)
    assert place.hashed < 4, "the third time it is remembered again"
    assert place.rows() == {str(path): sha(path)}


def test_an_entry_that_is_no_hash_is_not_believed(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    digests.content(path)
    for wrong in ("zz" * 32, "ab", b"\xff", 3):
        with sqlite3.connect(place.database) as opened:
            opened.execute("UPDATE files SET digest = ?", (wrong,))
        as_a_new_process()
        assert digests.content(path) == sha(path)


def test_a_newer_database_is_left_as_it_is(place: Place, tmp_path: Path) -> None:
    place.home.mkdir()
    with sqlite3.connect(place.database) as opened:
        opened.execute("PRAGMA user_version = 2")
        opened.execute("CREATE TABLE files (other)")
    before = place.database.read_bytes()
    path = weights(tmp_path / "a")
    for _ in range(2):
        assert digests.content(path) == sha(path)
        as_a_new_process()
    assert place.database.read_bytes() == before
    assert place.hashed == 2


def test_a_locked_database_is_not_waited_for(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = weights(tmp_path / "a")
    digests.content(path)
    holder = sqlite3.connect(place.database, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    as_a_new_process()
    with caplog.at_level("DEBUG", logger="sdgraph.digest_cache"):
        assert digests.content(path) == sha(path)
    holder.execute("ROLLBACK")
    holder.close()
    assert "locked" in caplog.text
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    as_a_new_process()
    assert digests.content(path) == sha(path)
    assert place.hashed == 2


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may enter, which pytest's own is not."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    yield made
    made.chmod(0o755)
    shutil.rmtree(made)


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
    known, new = weights(open_folder / "known"), weights(open_folder / "new")
    digests.content(known)
    digests.refuse_changed(known, sha(known))
    (open_folder / "home").chmod(0o555)
    (open_folder / "home" / "digests.sqlite").chmod(0o444)
    as_a_new_process()
    unprivileged()
    assert digests.content(known) == sha(known)
    assert place.hashed == 1
    for _ in range(2):
        assert digests.content(new) == sha(new)
        as_a_new_process()
    assert place.hashed == 3, "what cannot be kept is hashed each time"


@pytest.mark.parametrize("home", ["file/home", "file", "/proc/none"])
def test_a_home_that_cannot_be_does_no_harm(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / home))
    path = weights(tmp_path / "a")
    assert digests.content(path) == sha(path)


def test_a_database_that_is_a_folder_does_no_harm(place: Place, tmp_path: Path) -> None:
    place.database.mkdir(parents=True)
    path = weights(tmp_path / "a")
    assert digests.content(path) == sha(path)


def test_without_a_home_folder_nothing_is_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", "~nobody-of-this-name/cache")
    path = weights(tmp_path / "a")
    assert digests.content(path) == sha(path)


# Several processes


def test_two_processes_may_write_at_once(place: Place, tmp_path: Path) -> None:
    paths = [weights(tmp_path / f"{i}") for i in range(20)]
    code = "for path in sys.argv[1:]: print(digests.content(Path(path)))"
    workers = [
        python(code, place.home, *map(str, order)) for order in (paths, list(reversed(paths)))
    ]
    told = [worker.communicate(timeout=60) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    expected = [sha(path) for path in paths]
    assert told[0][0].split() == expected
    assert told[1][0].split() == expected[::-1]
    rows = place.rows()
    assert rows
    assert all(rows[path] == sha(Path(path)) for path in rows)
    with sqlite3.connect(place.database) as opened:
        assert opened.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_killed_writer_leaves_what_was_there(place: Place, tmp_path: Path) -> None:
    path, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    digests.content(path)
    # So small a cache that the half-done transaction is in the file when the writer dies.
    code = (
        "import os, signal, sqlite3\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "db.execute(\"UPDATE files SET digest = '\" + 64 * 'f' + \"'\")\n"
        "for i in range(500):\n"
        "    row = (b'%d' % i, 'x' * 200, 'f' * 64, 0, 2**62)\n"
        "    db.execute('INSERT INTO files VALUES (?, ?, ?, ?, ?)', row)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    size = place.database.stat().st_size
    killed = python(code, place.home, str(place.database))
    assert killed.communicate(timeout=60) == ("", "")
    assert killed.returncode == -9
    assert place.database.stat().st_size > size, "the kill came too early to show anything"
    as_a_new_process()
    assert digests.content(path) == sha(path)
    assert digests.content(other) == sha(other)
    assert place.rows() == {str(path): sha(path), str(other): sha(other)}


def test_sqlite_is_imported_late(tmp_path: Path) -> None:
    small = weights(tmp_path / "small", b"small")
    code = "print(digests.content(Path(sys.argv[1]))); import sdgraph.cli; "
    code += "print([name for name in ('sqlite3', 'torch') if name in sys.modules])"
    told, _ = python(code, tmp_path / "home", str(small)).communicate(timeout=60)
    assert told.split() == [sha(small), "[]"]


# Files that change under a run


def test_a_file_as_it_was_costs_no_reading(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    digest = digests.content(path)
    digests.refuse_changed(path, digest)
    assert place.hashed == 1
    path.touch()
    digests.refuse_changed(path, digest)
    assert place.hashed == 2


def test_a_file_that_changed_since_the_plan_is_refused(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a", b"as it was")
    digest = digests.content(path)
    other = weights(tmp_path / "b", b"as it is ")
    shutil.copystat(path, other)
    other.replace(path)
    with pytest.raises(CheckpointError) as caught:
        digests.refuse_changed(path, digest)
    problem = caught.value.problem
    assert problem is not None
    assert problem.subject == str(path)
    assert problem.found == (f"it has changed since the run was planned (sha256 {sha(path)[:12]}…)")
    assert digest[:12] in problem.wanted
    assert "run again" in problem.fix


@pytest.mark.parametrize("what", ["file", "folder", "folder is a file"])
def test_a_file_that_is_gone_since_the_plan_is_refused(
    place: Place, tmp_path: Path, what: str
) -> None:
    path = weights(tmp_path / "unet" / "a")
    digest = digests.content(path)
    path.unlink()
    if what != "file":
        path.parent.rmdir()
    if what == "folder is a file":
        path.parent.write_text("")
    with pytest.raises(CheckpointError) as caught:
        digests.refuse_changed(path, digest)
    assert caught.value.problem is not None
    assert caught.value.problem.found == "it is gone since the run was planned"
    assert "run again" in caught.value.problem.fix


@pytest.mark.parametrize("way", ["a folder", "a loop of links"])
@pytest.mark.parametrize(
    "refuse", [lambda path: digests.refuse_changed(path, "0" * 64), digests.refuse_damaged]
)
def test_what_cannot_be_read_is_refused(
    place: Place, tmp_path: Path, way: str, refuse: Callable[[Path], None]
) -> None:
    path = tmp_path / "a"
    if way == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    with pytest.raises(CheckpointError) as caught:
        refuse(path)
    assert caught.value.problem is not None
    assert caught.value.problem.found.startswith("it cannot be read: ")


# Files that are cut short or damaged


def safetensors(header: Mapping[str, Any] | bytes, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@st.composite
def valid_files(draw: st.DrawFn) -> bytes:
    """Safetensors files of a few tensors of any dtype, by the published layout."""
    kinds = st.tuples(
        st.sampled_from(sorted(WIDTHS)), st.lists(st.integers(0, 3), max_size=3).map(tuple)
    )
    header: dict[str, Any] = {}
    if draw(st.booleans()):
        header["__metadata__"] = {"format": "pt", "title": draw(st.text(max_size=5))}
    end = 0
    for i, (dtype, shape) in enumerate(draw(st.lists(kinds, max_size=4))):
        if dtype == "F4":
            shape = (*shape, 2)  # half a byte each
        begin, end = end, end + prod(shape) * WIDTHS[dtype] // 8
        header[f"tensor.{i}é"] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    shuffled = dict(draw(st.permutations(list(header.items()))))
    padding = b" " * draw(st.integers(0, 8))
    return safetensors(json.dumps(shuffled).encode() + padding, token_bytes(end))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path to write files to that are looked at once."""
    return tmp_path_factory.mktemp("desk") / "model.safetensors"


def the_library_reads(data: bytes) -> bool:
    try:
        deserialize(data)
    except SafetensorError:
        return False
    return True


@given(data=valid_files())
def test_a_valid_file_passes(desk: Path, data: bytes) -> None:
    assert the_library_reads(data)
    desk.write_bytes(data)
    digests.refuse_damaged(desk)


@pytest.mark.parametrize("dtype", sorted(WIDTHS))
def test_a_valid_file_of_each_dtype_passes(desk: Path, dtype: str) -> None:
    entry = {"dtype": dtype, "shape": [2, 4], "data_offsets": [0, WIDTHS[dtype]]}
    data = safetensors({"a": entry}, bytes(WIDTHS[dtype]))
    assert the_library_reads(data)
    desk.write_bytes(data)
    digests.refuse_damaged(desk)


@given(data=valid_files())
def test_every_truncation_is_found(desk: Path, data: bytes) -> None:
    for length in range(len(data)):
        desk.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as caught:
            digests.refuse_damaged(desk)
        problem = caught.value.problem
        assert problem is not None
        assert problem.subject == str(desk)
        assert problem.found == f"{length} bytes: it is cut short"
        assert problem.fix == "download or copy it again"
        header = 8 + int.from_bytes(data[:8], "little")
        known = 8 if length < 8 else header if length < header else len(data)
        assert problem.wanted == f"{'at least ' if length < header else ''}{known} bytes"


@given(data=valid_files(), where=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_no_file_is_refused_that_the_library_reads(
    desk: Path, data: bytes, where: int, byte: int
) -> None:
    changed = bytearray(data)
    changed[where % len(data)] = byte
    desk.write_bytes(changed)
    try:
        digests.refuse_damaged(desk)
    except CheckpointError:
        assert not the_library_reads(bytes(changed))


def entry(begin: Any, end: Any) -> dict[str, Any]:
    return {"dtype": "U8", "shape": [4], "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    "data",
    [
        safetensors(b"not JSON", b""),
        safetensors(b'{"\xff": 1}', b""),
        safetensors(b"[]", b""),
        safetensors(b"[" * 100_000, b""),
        safetensors({"a": {"dtype": "U8"}}, b""),
        safetensors({"a": entry(0, None)}, b""),
        safetensors({"a": entry(0, 4.0)}, b"1234"),
        safetensors({"a": entry("0", "4")}, b"1234"),
        safetensors({"a": entry(-4, 0)}, b"1234"),
        safetensors({"a": entry(4, 0)}, b"1234"),
        safetensors({"a": entry(0, 4), "b": entry(2, 6)}, b"123456"),
        safetensors({"a": entry(0, 4), "b": entry(6, 10)}, b"1234567890"),
        b"<!DOCTYPE html><title>Not found</title>" * 10,
    ],
)
def test_a_damaged_header_is_found(desk: Path, data: bytes) -> None:
    desk.write_bytes(data)
    with pytest.raises(CheckpointError, match="its header cannot be read: .") as caught:
        digests.refuse_damaged(desk)
    assert caught.value.problem is not None
    assert caught.value.problem.fix == "download or copy it again"


def test_a_file_that_is_too_long_is_found(desk: Path) -> None:
    desk.write_bytes(safetensors({"a": entry(0, 4)}, b"1234567"))
    assert not the_library_reads(desk.read_bytes())
    with pytest.raises(CheckpointError, match="too long"):
        digests.refuse_damaged(desk)


def test_a_pointer_of_git_lfs_is_told_as_such(desk: Path) -> None:
    desk.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        digests.refuse_damaged(desk)


def test_a_whole_file_is_remembered_with_its_hash(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = {"a": {"dtype": "U8", "shape": [LARGE], "data_offsets": [0, LARGE]}}
    path = weights(tmp_path / "a", safetensors(header, bytes(LARGE)))
    digests.refuse_damaged(path)
    digest = digests.content(path)
    as_a_new_process()
    monkeypatch.setattr(digests, "_check", None)
    digests.refuse_damaged(path)
    assert digests.content(path) == digest
    assert place.hashed == 1


def test_a_damaged_file_is_refused_each_time(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a", bytes(LARGE)[:-1] + b"1")
    digests.content(path)
    for _ in range(2):
        with pytest.raises(CheckpointError):
            digests.refuse_damaged(path)
        as_a_new_process()


def test_the_shipped_weights_are_whole() -> None:
    found = list(shipped._SHIPPED.rglob("*.safetensors"))
    assert found
    for path in found:
        digests.refuse_damaged(path)
