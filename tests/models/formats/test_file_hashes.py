"""Hashes of files are remembered while the files stay as they are, and changed files refused."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_bytes
from typing import Any

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp, stamps
from sdgraph.models.formats import file_hash_cache, file_hashes, safetensors_files
from tests.support.hashing import LARGE, Place, as_a_new_process, sha, weights

# What is remembered


def test_a_large_file_is_hashed_once_for_all_processes(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    for _ in range(2):
        assert file_hashes.file_sha256(path) == sha(path)
        assert file_hashes.file_sha256(path) == sha(path)
        as_a_new_process()
    assert place.hashed == 1
    assert place.rows() == {str(path): sha(path)}


def test_a_small_file_is_not_remembered_on_disk(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a", b"0" * (LARGE - 1))
    assert file_hashes.file_sha256(path) == file_hashes.file_sha256(path) == sha(path)
    assert place.hashed == 1
    assert not place.home.exists()


def test_a_file_written_a_moment_ago_is_not_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "SETTLING_NS", 2 * 10**9)
    path = weights(tmp_path / "a")
    os.utime(path, (1, 1))  # an old mtime, as `cp -p` leaves, makes it no older
    assert file_hashes.file_sha256(path) == sha(path)
    assert file_hashes.file_sha256(path) == sha(path)
    assert place.hashed == 2
    assert not place.home.exists()
    later = time.time_ns() + 3 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: later)
    assert file_hashes.file_sha256(path) == sha(path)
    assert place.rows() == {str(path): sha(path)}


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(tmp_path / "a")
    hashing = hashlib.file_digest

    def overtaken(file: Any, name: str) -> Any:
        done = hashing(file, name)
        path.write_bytes(token_bytes(LARGE + 1))
        return done

    monkeypatch.setattr(hashlib, "file_digest", overtaken)
    file_hashes.file_sha256(path)
    monkeypatch.setattr(hashlib, "file_digest", hashing)
    assert file_hashes.file_sha256(path) == sha(path)


@pytest.mark.parametrize("way", ["replaced", "overwritten"])
def test_a_change_of_the_same_size_and_mtime_is_seen(
    place: Place, tmp_path: Path, way: str
) -> None:
    path = weights(tmp_path / "a")
    before, old = path.stat(), file_hashes.file_sha256(path)
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
        assert file_hashes.file_sha256(path) == sha(path) != old
        as_a_new_process()
    assert place.rows() == {str(path): sha(path)}


@pytest.mark.parametrize("field", ["size", "modified", "changed", "inode"])
def test_each_part_of_a_stamp_counts(place: Place, tmp_path: Path, field: str) -> None:
    stamp = FileStamp.of(weights(tmp_path / "a"))._replace(inode=2**64 - 2)
    file_hash_cache.keep(stamp, "0" * 64)
    assert file_hash_cache.recall(stamp) == "0" * 64
    other = stamp._replace(**{field: getattr(stamp, field) + 1})
    assert file_hash_cache.recall(other) is None


def test_a_link_is_the_file_it_names(place: Place, tmp_path: Path) -> None:
    path, link = weights(tmp_path / "a"), tmp_path / "link"
    link.symlink_to(path)
    assert file_hashes.file_sha256(link) == file_hashes.file_sha256(path) == sha(path)
    assert place.hashed == 1


def test_nothing_is_read_of_a_hub_caches_blobs(place: Place, tmp_path: Path) -> None:
    named = "ab" * 32
    blob = weights(tmp_path / "blobs" / named, b"not what its name says")
    link = tmp_path / "snapshots" / "main" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert file_hashes.file_sha256(link) == named
    file_hashes.refuse_changed(link, named)
    assert place.hashed == 0
    blob.unlink()
    with pytest.raises(CheckpointError, match="removed after"):
        file_hashes.refuse_changed(link, named)


def test_a_path_that_is_no_text_is_remembered_too(place: Place, tmp_path: Path) -> None:
    path = weights(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")))
    assert file_hashes.file_sha256(path) == sha(path)
    as_a_new_process()
    assert file_hashes.file_sha256(path) == sha(path)
    assert place.hashed == 1


def test_what_was_hashed_longest_ago_is_forgotten_first(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hash_cache, "LIMIT", 3)
    now = time.time_ns()
    for hour, name in enumerate("abcad"):
        monkeypatch.setattr(time, "time_ns", lambda hour=hour: now + hour)
        file_hash_cache.keep(FileStamp(f"/{name}", 1, 2, 3, 4), f"{hour}" * 64)
    assert place.rows() == {"/c": "2" * 64, "/a": "3" * 64, "/d": "4" * 64}


def test_what_a_process_knows_is_bounded(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_MAX_KNOWN", 2)
    for name in "abc":
        file_hashes.file_sha256(weights(tmp_path / name, b"small"))
    assert [Path(stamp.path).name for stamp in file_hashes._known] == ["b", "c"]


# Files that change under a run


def test_a_file_as_it_was_costs_no_reading(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a")
    digest = file_hashes.file_sha256(path)
    file_hashes.refuse_changed(path, digest)
    assert place.hashed == 1
    path.touch()
    file_hashes.refuse_changed(path, digest)
    assert place.hashed == 2


def test_a_file_that_changed_since_the_plan_is_refused(place: Place, tmp_path: Path) -> None:
    path = weights(tmp_path / "a", b"as it was")
    digest = file_hashes.file_sha256(path)
    other = weights(tmp_path / "b", b"as it is ")
    shutil.copystat(path, other)
    other.replace(path)
    with pytest.raises(CheckpointError) as caught:
        file_hashes.refuse_changed(path, digest)
    problem = caught.value.problems[0]
    assert problem.subject == str(path)
    assert problem.found == (f"it has changed since the run was planned (sha256 {sha(path)[:12]}…)")
    assert digest[:12] in problem.wanted
    assert "run again" in problem.fix


def test_several_files_are_hashed_in_order_and_each_is_read_once(
    place: Place, tmp_path: Path
) -> None:
    one, two = weights(tmp_path / "a", b"one"), weights(tmp_path / "b", b"two")
    paths = [two, one, two]
    assert file_hashes.files_sha256(paths) == [sha(two), sha(one), sha(two)]
    assert file_hashes.files_sha256(paths[:2]) == [sha(two), sha(one)]
    assert place.hashed == 2


def test_of_several_files_the_one_that_changed_is_named(place: Place, tmp_path: Path) -> None:
    paths = [weights(tmp_path / name, name.encode()) for name in ("a", "b", "c")]
    hashed = list(zip(paths, file_hashes.files_sha256(paths), strict=True))
    file_hashes.refuse_changed_files(hashed)
    assert place.hashed == 3
    weights(paths[1], b"other")
    with pytest.raises(CheckpointError, match="it has changed") as caught:
        file_hashes.refuse_changed_files(hashed)
    assert caught.value.problems[0].subject == str(paths[1])
    paths[1].unlink()
    with pytest.raises(CheckpointError, match="it was removed") as caught:
        file_hashes.refuse_changed_files(hashed)
    assert caught.value.problems[0].subject == str(paths[1])


@pytest.mark.parametrize("gone", ["file", "folder", "folder is a file"])
def test_a_file_that_is_gone_since_the_plan_is_refused(
    place: Place, tmp_path: Path, gone: str
) -> None:
    path = weights(tmp_path / "unet" / "a")
    digest = file_hashes.file_sha256(path)
    path.unlink()
    if gone != "file":
        path.parent.rmdir()
    if gone == "folder is a file":
        path.parent.write_text("")
    with pytest.raises(CheckpointError) as caught:
        file_hashes.refuse_changed(path, digest)
    assert caught.value.problems[0].found == "it was removed after the run was planned"
    assert "run again" in caught.value.problems[0].fix


@pytest.mark.parametrize("way", ["a folder", "a loop of links"])
@pytest.mark.parametrize(
    "refuse",
    [lambda path: file_hashes.refuse_changed(path, "0" * 64), safetensors_files.refuse_damaged],
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
    assert caught.value.problems[0].found.startswith("it cannot be read: ")
