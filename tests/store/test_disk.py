"""Results on disk: within a budget, shared by processes, and no disk stops a run."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.store import DiskStore, LostRecordError, Store, disk, keys_version, serialization
from sdgraph.values import Checkpoint, Image, content_of
from tests.support import fake_checkpoints
from tests.support.processes import forked

ROOT = Path(__file__).parents[2]
DAY = 86400


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def put_value(store: DiskStore, number: int, value: Any) -> Path:
    store.put(key(number), value, content_of(value), node="Toy", seconds=1.0, files={})
    return Path(store.path_of(key(number)))


def noise(number: int, side: int = 20) -> Image:
    return Image(np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8))


def numbers(store: DiskStore) -> set[int]:
    return {int(Path(entry.path).stem, 16) for entry in store.entries()}


def test_what_is_put_is_there_for_a_new_process(tmp_path: Path) -> None:
    path = put_value(DiskStore(tmp_path), 1, noise(1))
    assert path == tmp_path / "00" / f"{1:032x}.safetensors"
    result = DiskStore(tmp_path).get(key(1))
    assert result is not None and result.value == noise(1) and result.content == noise(1).content
    assert result.seconds == 1.0 and DiskStore(tmp_path).get(key(2)) is None


def test_a_look_at_a_record_reads_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_value(DiskStore(tmp_path), 1, noise(1))
    monkeypatch.setattr(serialization, "read_value", None)
    result = DiskStore(tmp_path).get(key(1))
    assert result is not None and result.content == noise(1).content


@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "flipped", "gone", "other"])
def test_a_damaged_record_is_removed_and_reported(tmp_path: Path, damage: str) -> None:
    store = DiskStore(tmp_path)
    path = put_value(store, 1, noise(1))
    planned = store.get(key(1))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    other = put_value(store, 2, noise(2)).read_bytes()
    damaged: dict[str, bytes | bytearray] = {
        "cut": data[:-9],
        "empty": b"",
        "garbage": b"x" * 99,
        "flipped": data,
        "other": other,
    }
    path.unlink() if damage == "gone" else path.write_bytes(damaged[damage])
    assert planned is not None
    with pytest.raises(LostRecordError):
        _ = planned.value
    assert not path.exists() and len(store.warnings) == 1
    assert "made again" in store.warnings[0] and path.name in store.warnings[0]
    assert store.get(key(1)) is None
    put_value(store, 1, noise(1))
    result = store.get(key(1))
    assert result is not None and result.value == noise(1)


@pytest.mark.usefixtures("one_file_each")
def test_a_newer_record_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "VERSION", serialization.VERSION + 1)
    path = put_value(DiskStore(tmp_path), 1, "new")
    data = path.read_bytes()
    monkeypatch.undo()
    store = DiskStore(tmp_path)
    assert store.get(key(1)) is None
    put_value(store, 1, "old")
    assert path.read_bytes() == data and not store.warnings


@pytest.mark.usefixtures("one_file_each")
def test_a_record_under_the_name_of_another_is_refused_and_removed(tmp_path: Path) -> None:
    path = put_value(DiskStore(tmp_path), 1, "one")
    other = put_value(DiskStore(tmp_path), 2, "two")
    other.write_bytes(path.read_bytes())
    store = DiskStore(tmp_path)
    assert store.get(key(2)) is None and not other.exists()
    assert "the record of another result" in store.warnings[0]
    found = store.get(key(1))
    assert found is not None and found.value == "one"


SIZE = len(
    serialization.to_bytes(noise(0), serialization.Header("c" * 32, "Toy", 1.0, key="0" * 32))
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=25))
def test_the_budget_holds_and_the_least_recently_used_goes(
    tmp_path_factory: pytest.TempPathFactory, uses: list[tuple[int, bool]]
) -> None:
    store = DiskStore(tmp_path_factory.mktemp("shelf"), limit=int(4.5 * SIZE))
    order: list[int] = []
    for tick, (number, only_look) in enumerate(uses):
        now = time.time() - 1000 + tick
        if only_look:
            result = store.get(key(number))
            assert (result is not None) == (number in order)
        else:
            put_value(store, number, noise(number))
        if not only_look or number in order:
            # Used in this order, whatever the steps of the file system's clock.
            os.utime(store.path_of(key(number)), (now, now))
            order = [*(other for other in order if other != number), number][-4:]
        assert numbers(store) == set(order)
        assert sum(entry.bytes for entry in store.entries()) <= store.limit


def test_two_that_write_keep_to_the_budget_together(tmp_path: Path) -> None:
    one, two = (DiskStore(tmp_path, limit=40 * SIZE) for _ in range(2))
    for number in range(0, 100, 2):
        put_value(one, number, noise(number))
        put_value(two, number + 1, noise(number + 1))
    held = sum(entry.bytes for entry in one.entries())
    assert 30 * SIZE < held <= 42 * SIZE and 99 in numbers(one)


def test_a_value_larger_than_the_budget_removes_nothing(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, limit=2 * SIZE)
    put_value(store, 1, noise(1))
    put_value(store, 2, noise(2, side=99))
    assert numbers(store) == {1}


@pytest.mark.parametrize("years", [-20, 20])
def test_a_clock_that_jumps_loses_and_pins_nothing(tmp_path: Path, years: int) -> None:
    store = DiskStore(tmp_path, limit=int(4.5 * SIZE))
    moved_time = time.time() + years * 365 * DAY
    for number in range(3):
        os.utime(
            put_value(store, number, noise(number)), (moved_time + number, moved_time + number)
        )
    for number in range(3):
        result = DiskStore(tmp_path).get(key(number))
        assert result is not None and result.value == noise(number)
        os.utime(store.path_of(key(number)), (moved_time + number, moved_time + number))
    for number in range(3, 7):
        put_value(store, number, noise(number))
        past = time.time() - 100 + number
        os.utime(store.path_of(key(number)), (past, past))
    store.prune(int(2.5 * SIZE))
    # Those of the wrong time did not outlive what was used after them for good.
    for number in range(7, 11):
        put_value(store, number, noise(number))
        time.sleep(0.002)
    assert not numbers(store) & {0, 1, 2}


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    folder = put_value(store, 1, noise(1)).parent
    old, new = (folder / f".sdgraph-{name * 16}.safetensors" for name in "ab")
    for path in (old, new, folder / "mine.safetensors", folder / "notes.txt"):
        path.write_bytes(b"half")
    os.utime(old, (1, 1))
    os.utime(folder / "mine.safetensors", (1, 1))
    store.prune()
    assert not old.exists() and new.exists() and numbers(store) == {1}
    store.clear()
    assert numbers(store) == set() and (folder / "mine.safetensors").exists()


def test_pruning_by_age_removes_the_old(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    for number in range(4):
        written = time.time() - number * DAY
        os.utime(put_value(store, number, noise(number)), (written, written))
    count, freed = store.prune(older=1.5 * DAY)
    assert count == 2 and freed > 2 * SIZE - 200 and numbers(store) == {0, 1}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
def test_a_disk_that_cannot_be_written_is_reported_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(path: Path, chunks: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk, "write_chunks", refuse)
    store = Store(folder=tmp_path)
    for number in range(3):
        assert store.put(key(number), noise(number)).value == noise(number)
    (warning,) = store.take_warnings()
    assert os.strerror(code) in warning and "the run goes on" in warning
    assert store.get(key(1)) is not None  # in memory
    assert list(tmp_path.rglob("*.safetensors")) == []


def test_a_file_in_place_of_the_folder_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("mine")
    store = Store(folder=tmp_path / "results")
    store.put(key(1), "value")
    assert len(list(store.take_warnings())) == 1 and list(store.take_warnings()) == []
    assert Store(folder=tmp_path / "results").get(key(1)) is None
    assert (tmp_path / "results").read_text() == "mine"


def test_a_record_that_cannot_be_removed_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DiskStore(tmp_path)
    path = put_value(store, 1, noise(1))
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(disk, "remove", lambda _: False)
    result = store.get(key(1))
    assert result is not None
    with pytest.raises(LostRecordError):
        _ = result.value
    assert path.exists() and store.get(key(1)) is None  # or a run would be planned with it for ever


WRITER = """
import sys
import numpy as np
from sdgraph.store import DiskStore
from sdgraph.values import Image
here = DiskStore(sys.argv[1])
value = Image(np.full((200, 200, 3), int(sys.argv[2]), np.uint8))
for _ in range(150):
    here.put(bytes(16), value, value.content, node="Toy", seconds=0, files={})
    found = here.get(bytes(16))
    assert found is not None and not here.warnings, here.warnings
"""


def test_processes_that_write_one_key_never_show_half_of_it(tmp_path: Path) -> None:
    threads = ThreadPoolExecutor(2)
    writers = [threads.submit(forked, "-c", WRITER, str(tmp_path), number) for number in "12"]
    store, contents = DiskStore(tmp_path), set()
    while not all(writer.done() for writer in writers):
        result = store.get(bytes(16))
        if result is not None:
            data = serialization.read_value  # by header and value of one moment
            try:
                contents.add(data(store.path_of(bytes(16)), result.content).content)
            except serialization.DamagedRecordError as error:
                assert "checksum" in str(error)  # the other's was put in its place meanwhile
    assert [writer.result().stderr for writer in writers] == ["", ""]
    assert contents and not store.warnings


def test_a_checkpoint_counts_while_its_files_are_as_they_were(tmp_path: Path) -> None:
    folder = fake_checkpoints.checkpoint(
        tmp_path / "made",
        unet=fake_checkpoints.safetensors(b"u" * 7),
        vae=fake_checkpoints.safetensors(b"v"),
    )
    checkpoint = Checkpoint(folder)
    store = Store(folder=tmp_path / "results")
    store.put(key(1), checkpoint)
    for either in (store, Store(folder=tmp_path / "results")):
        result = either.get(key(1))
        assert result is not None and result.value == checkpoint
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.write_bytes(fake_checkpoints.safetensors(b"x" * 7))
    assert store.get(key(1)) is None and Store(folder=tmp_path / "results").get(key(1)) is None
    weights.write_bytes(fake_checkpoints.safetensors(b"u" * 7))
    assert Store(folder=tmp_path / "results").get(key(1)) is not None
    weights.unlink()
    assert Store(folder=tmp_path / "results").get(key(1)) is None


def test_a_checkpoint_without_files_is_not_kept_on_disk(tmp_path: Path) -> None:
    store = Store(folder=tmp_path)
    store.put(key(1), Checkpoint(tmp_path / "nowhere"))
    assert Store(folder=tmp_path).get(key(1)) is None and store.get(key(1)) is not None


def test_what_no_file_holds_stays_in_memory(tmp_path: Path) -> None:
    class Odd:
        content = "odd"

    store, odd = Store(folder=tmp_path), Odd()
    store.put(key(1), odd, node="MakeOdd")
    result = store.get(key(1))
    assert result is not None and result.value is odd
    reason = "no file can hold an Odd"
    assert list(store.take_warnings()) == [f"results of MakeOdd are not kept on disk: {reason}"]
    assert store.reason_not_stored("MakeOdd") == reason
    store.put(key(2), odd, node="MakeOdd")
    assert not list(store.take_warnings()), "once is enough"
    assert Store(folder=tmp_path).get(key(1)) is None


def test_results_under_keys_of_an_older_version_are_dropped_with_a_word(tmp_path: Path) -> None:
    put_value(DiskStore(tmp_path), 1, noise(1))
    put_value(DiskStore(tmp_path), 2, noise(2))
    assert DiskStore(tmp_path).get(key(1)) is not None
    (tmp_path / keys_version.NAME).unlink()  # as version 1 left it
    store = DiskStore(tmp_path)
    assert store.get(key(1)) is None and numbers(store) == set()
    (warning,) = store.warnings
    assert warning.startswith("2 results of an older version of sdgraph dropped from")
    put_value(store, 3, noise(3))
    again = DiskStore(tmp_path)
    assert again.get(key(3)) is not None and not again.warnings


def test_results_under_keys_of_a_newer_version_are_left_alone(tmp_path: Path) -> None:
    put_value(DiskStore(tmp_path), 1, noise(1))
    (tmp_path / keys_version.NAME).write_text("99\n")
    store = DiskStore(tmp_path)
    assert store.get(key(1)) is not None and not store.warnings
