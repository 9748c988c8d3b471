"""Small results in one database: nothing that was committed is lost, and no damage stops a run."""

from __future__ import annotations

import gc
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.store import DiskStore, LostRecordError, Store, database, packed_records, serialization
from sdgraph.store.database import Database
from sdgraph.store.packed_records import COMMIT_COUNT, COMMIT_WORK_S, NAME, is_commit_due
from sdgraph.values import content_of
from tests.support.processes import forked

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=9,
)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def put(store: DiskStore, number: int, value: Any, seconds: float = 0.0) -> None:
    options: Any = {"node": "Toy", "seconds": seconds, "files": {}}
    assert store.put(key(number), value, content_of(value), **options)


def numbers(folder: Path) -> set[int]:
    store = DiskStore(folder, packs=True)
    found = (store.get(key(number)) for number in range(300))
    return {result.value for result in found if result is not None}


def change(folder: Path, statement: str, *values: object) -> None:
    gc.collect()  # connections of stores that are gone are closed
    with sqlite3.connect(folder / NAME) as connection:
        connection.execute(statement, values)
    connection.close()


@given(VALUES)
def test_any_small_value_comes_back_from_its_text(value: Any) -> None:
    header = serialization.Header(content_of(value), "Toy", 0.5, {"a": "b"}, key="0" * 32)
    text = serialization.to_text(value, header)
    assert text is not None
    again = serialization.header_from_text(text)
    assert again._replace(value=None) == header
    assert content_of(serialization.value_of_header(again)) == header.content


@given(st.integers(0, 5000), st.floats(0, 1), st.integers(0, 5000), st.floats(0, 1))
def test_more_that_waits_is_committed_no_later(
    count: int, seconds: float, more: int, longer: float
) -> None:
    assert is_commit_due(count, seconds) <= is_commit_due(count + more, seconds + longer)
    assert is_commit_due(count, seconds) == (count >= COMMIT_COUNT or seconds >= COMMIT_WORK_S)


def test_outside_of_a_run_each_result_is_there_at_once(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, packs=True)
    for number in range(3):
        put(store, number, number)
        store.add_alias(key(100 + number), key(number))
        assert numbers(tmp_path) == set(range(number + 1))
        assert DiskStore(tmp_path, packs=True).key_of(key(100 + number)) == key(number)
    assert [path.name for path in tmp_path.rglob("*.safetensors")] == []


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
def test_in_a_run_they_wait_and_are_there_however_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException] | None
) -> None:
    monkeypatch.setattr(packed_records, "COMMIT_DELAY_S", 60.0)
    store = DiskStore(tmp_path, packs=True)
    store.prune()  # else the first write looks at all that is there, and commits

    def run() -> None:
        with store.batched():
            put(store, 1, 1)
            assert numbers(tmp_path) == set() and store.get(key(1)) is not None
            put(store, 2, 2, seconds=3.0)  # it took long: both are committed
            assert numbers(tmp_path) == {1, 2}
            put(store, 3, 3)
            if error is not None:
                raise error

    if error is None:
        run()
    else:
        with pytest.raises(error):
            run()
    assert numbers(tmp_path) == {1, 2, 3}


@pytest.mark.parametrize("moment", ["while it runs", "at its end"])
def test_an_interrupt_of_a_commit_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = DiskStore(tmp_path, packs=True)
    store.prune()
    write, interrupts = Database.write, [KeyboardInterrupt()]

    def write_later(database: Database, work: Any) -> Any:
        if interrupts:
            raise interrupts.pop()
        return write(database, work)

    with pytest.raises(KeyboardInterrupt), store.batched():
        put(store, 1, 1)
        monkeypatch.setattr(Database, "write", write_later)
        put(store, 2, 2, seconds=3.0 if moment == "while it runs" else 0.0)
    assert numbers(tmp_path) == {1, 2}


def test_what_waits_is_committed_after_a_moment(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, packs=True)
    with store.batched():
        put(store, 1, 1)
        deadline = time.monotonic() + 30
        while not numbers(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert numbers(tmp_path) == {1}


WRITER = """
import sys
from sdgraph.store import DiskStore
from sdgraph.values import content_of
store, first = DiskStore(sys.argv[1], packs=True), int(sys.argv[2])
for number in range(first, first + 100):
    with store.batched():
        store.put(number.to_bytes(16, "big"), number, content_of(number),
            node="Toy", seconds=float(sys.argv[3]), files={})
    print(number, flush=True)
    if number % 25 == 24 and sys.argv[4:] == ["prune"]:
        store.prune(10**6)
assert not store.warnings, store.warnings
"""


def test_processes_share_the_database(tmp_path: Path) -> None:
    threads = ThreadPoolExecutor(3)
    runs = [
        threads.submit(forked, "-c", WRITER, str(tmp_path), first, "0", "prune")
        for first in ("0", "100", "200")
    ]
    assert [run.result().stderr for run in runs] == [""] * 3
    assert numbers(tmp_path) == set(range(300))


@pytest.mark.parametrize("after", [1, 7, 30])
def test_a_kill_loses_nothing_that_was_told_as_kept(tmp_path: Path, after: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), "0", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = {int(process.stdout.readline()) for _ in range(after)}
        process.send_signal(signal.SIGKILL)
        told |= set(map(int, process.stdout.read().split()))
    assert told <= numbers(tmp_path)


@pytest.mark.parametrize("damage", ["garbage", "cut", "tables"])
def test_a_damaged_database_is_set_aside_with_a_word(tmp_path: Path, damage: str) -> None:
    put(DiskStore(tmp_path, packs=True), 1, 1)
    path = tmp_path / NAME
    if damage == "tables":
        change(tmp_path, "DROP TABLE records")
    else:
        change(tmp_path, "PRAGMA journal_mode = DELETE")
        data = path.read_bytes()
        path.write_bytes(b"x" * 5000 if damage == "garbage" else data[: len(data) - 4096])
    store = DiskStore(tmp_path, packs=True)
    assert store.get(key(1)) is None
    (warning,) = store.warnings
    assert "is damaged" in warning and f"{NAME}.damaged" in warning
    put(store, 2, 2)
    assert numbers(tmp_path) == {2} and (tmp_path / f"{NAME}.damaged").exists()


DAMAGES: dict[str, Callable[[str], str]] = {
    "no JSON": lambda text: text[:-3],
    "another value": lambda text: text.replace("word", "ward"),
    "another key": lambda text: text.replace(key(1).hex(), key(2).hex()),
    "an old version": lambda text: text.replace(f"[{serialization.VERSION},", "[1,", 1),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_record_is_removed_and_reported(tmp_path: Path, damage: str) -> None:
    put(DiskStore(tmp_path, packs=True), 1, "word")
    store = DiskStore(tmp_path, packs=True)
    text = store._packed and store._packed.get(key(1))
    change(tmp_path, "UPDATE records SET record = ?", DAMAGES[damage](str(text)))
    result = store.get(key(1))
    if damage == "another value":
        with pytest.raises(LostRecordError):
            _ = result and result.value
    else:
        assert result is None
    (warning,) = store.warnings
    assert "damaged" in warning and "it is made again" in warning
    assert numbers(tmp_path) == set() and list(store.entries()) == []


def test_newer_records_and_databases_are_left_alone(tmp_path: Path) -> None:
    put(DiskStore(tmp_path, packs=True), 1, 1)
    newer = f"[{serialization.VERSION + 1},"
    change(tmp_path, "UPDATE records SET record = replace(record, '[3,', ?)", newer)
    store = DiskStore(tmp_path, packs=True)
    assert store.get(key(1)) is None and len(list(store.entries())) == 1 and not store.warnings
    change(tmp_path, "PRAGMA user_version = 99")
    other = Store(folder=tmp_path)
    other.put(key(2), 2)
    assert other.get(key(2)) is not None and not list(other.take_warnings())
    change(tmp_path, "PRAGMA user_version = 1")
    assert numbers(tmp_path) == set()


def test_the_budget_counts_small_results_and_the_least_useful_go(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, limit=20_000, packs=True)
    put(store, 0, "x" * 900, seconds=60.0)
    for number in range(1, 100):
        put(store, number, "x" * 900, seconds=0.01)
    entries = list(store.entries())
    assert sum(entry.bytes for entry in entries) <= 20_000 and len(entries) > 5
    assert store.get(key(0)) is not None
    store.add_alias(key(500), key(0))
    assert store.clear()[0] == len(entries) and list(store.entries()) == []
    assert store.key_of(key(500)) is None and (tmp_path / NAME).stat().st_size < 50_000


def test_a_use_makes_a_record_recent_again(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, packs=True)
    put(store, 1, 1)
    put(store, 2, 2)
    change(tmp_path, "UPDATE records SET used = used - 86400")
    assert store.get(key(1)) is not None
    assert store.prune(older=3600.0)[0] == 1 and numbers(tmp_path) == {1}


def test_a_folder_that_is_removed_while_it_is_used_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    store = DiskStore(folder, packs=True)
    put(store, 1, 1)
    shutil.rmtree(folder)
    put(store, 2, 2)
    result = store.get(key(2))
    assert result is not None and result.value == 2 and not store.warnings
    assert store.get(key(1)) is None


def test_a_database_that_cannot_be_written_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database.Database, "write", refuse)
    store = Store(folder=tmp_path)
    for number in range(3):
        store.put(key(number), number)
    (warning,) = store.take_warnings()
    assert "database or disk is full; the run goes on" in warning
    assert store.get(key(1)) is not None  # in memory


def test_several_threads_put_and_read_at_once(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, packs=True)

    def work(first: int) -> None:
        for number in range(first, 300, 4):
            put(store, number, number)
            result = store.get(key(number))
            assert result is not None and result.value == number

    with store.batched(), ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    assert numbers(tmp_path) == set(range(300))
