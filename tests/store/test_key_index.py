"""Lookups that need not ask the disk miss nothing that is there."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.store import DiskStore, key_index
from sdgraph.store.key_index import Freshness, KeyIndex, SubfolderIndex
from sdgraph.values import content_of

NUMBERS = st.integers(0, 5)
ACTIONS = st.tuples(
    st.sampled_from(["put", "alias", "get", "begin", "end"]), st.booleans(), NUMBERS
)


def key(number: int, *, is_alias: bool = False) -> bytes:
    return bytes([number, is_alias] * 8)


def put(store: DiskStore, number: int, value: object) -> None:
    store.put(key(number), value, content_of(value), node="N", seconds=9.0, files={})


@settings(deadline=None, max_examples=25)
@given(st.lists(ACTIONS, max_size=40))
def test_two_stores_of_a_folder_see_what_each_has_written(
    actions: list[tuple[str, bool, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_index, "_LOOKUPS_PER_PAGE", 0)  # keys are read at the first lookup
        patch.setattr(key_index, "SEEN_S", 0.0)
        stores = [DiskStore(Path(folder), packs=True) for _ in range(2)]
        runs: tuple[list[AbstractContextManager[None]], ...] = ([], [])
        written: set[int] = set()
        for action, which, number in actions:
            store = stores[which]
            if action == "put":
                put(store, number, number)  # committed at once: it took seconds
                written.add(number)
            elif action == "alias" and number in written and not runs[which]:
                store.add_alias(key(number, is_alias=True), key(number))
                for each in stores:
                    assert each.key_of(key(number, is_alias=True)) == key(number)
            elif action == "begin":
                runs[which].append(store.batched())
                runs[which][-1].__enter__()
            elif action == "end" and runs[which]:
                runs[which].pop().__exit__(None, None, None)
            for each in stores:
                assert (each.get(key(number)) is not None) == (number in written)


def test_what_was_seen_counts_for_a_moment_of_a_run_and_not_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_index, "SEEN_S", 60.0)
    monkeypatch.setattr(key_index, "_LOOKUPS_PER_PAGE", 0)
    ours, other = (DiskStore(tmp_path, packs=True) for _ in range(2))
    large = bytes(100_000)
    put(ours, 1, 1)
    with ours.batched():
        assert ours.get(key(2)) is None and ours.get(key(3)) is None
        put(other, 2, 2)
        put(other, 3, large)
        assert ours.get(key(2)) is None and ours.get(key(3)) is None
    assert ours.get(key(2)) is not None and ours.get(key(3)) is not None
    with ours.batched():
        assert ours.get(key(4)) is None
    put(other, 4, 4)
    with ours.batched():
        assert ours.get(key(4)) is not None


def test_a_folder_that_changes_twice_in_a_tick_of_its_clock_is_listed_again(
    tmp_path: Path,
) -> None:
    subfolders = SubfolderIndex(str(tmp_path), Freshness())
    assert subfolders.lacks("ab")
    before = tmp_path.stat()
    (tmp_path / "ab").mkdir()
    os.utime(tmp_path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not subfolders.lacks("ab") and subfolders.lacks("cd")
    gone = SubfolderIndex(str(tmp_path / "gone"), Freshness())
    assert gone.lacks("ab")


def test_an_unchanged_folder_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(tmp_path, (time.time() - 100, time.time() - 100))
    subfolders = SubfolderIndex(str(tmp_path), Freshness())
    assert subfolders.lacks("ab")
    monkeypatch.setattr(os, "listdir", None)
    assert subfolders.lacks("ab")


def test_keys_are_read_when_that_is_worth_it(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None)
    connection.execute("CREATE TABLE records (key BLOB)")
    connection.execute("CREATE TABLE aliases (alias BLOB)")
    connection.execute("INSERT INTO records VALUES (?)", (key(1),))
    known = KeyIndex(Freshness())
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    few = key_index._LOOKUPS_PER_PAGE * pages - 1
    assert not any(known.lacks(connection, key(2)) for _ in range(few))
    assert known.lacks(connection, key(2)) and not known.lacks(connection, key(1))
    known.add([key(2)])
    assert not known.lacks(connection, key(2))
    connection.close()
