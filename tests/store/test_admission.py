"""What takes longer to make than to keep is kept, and keeping takes a small part of the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.store import DiskStore, Store, admission
from sdgraph.store.admission import (
    HASH_SECONDS_PER_BYTE,
    MARGIN,
    SMALL_BYTES,
    has_cheap_content,
    is_worth_deflating,
    is_worth_keeping,
    retention_score,
)
from sdgraph.store.disk_speed import DiskSpeed
from sdgraph.store.serialization import Header, to_chunks
from sdgraph.values import Image, content_of

SECONDS = st.floats(0, 1e5)
SIZES = st.integers(0, 10**12)
SPEEDS = st.floats(0, 1)


@given(SECONDS, SECONDS, SIZES, SPEEDS)
def test_what_takes_longer_to_make_is_kept_if_anything_is(
    seconds: float, more: float, size: int, speed: float
) -> None:
    if is_worth_keeping(seconds, size, speed):
        assert is_worth_keeping(seconds + more, size, speed)


@given(SECONDS, SIZES, SIZES, SPEEDS)
def test_what_is_smaller_is_kept_if_anything_is(
    seconds: float, size: int, more: int, speed: float
) -> None:
    if is_worth_keeping(seconds, size + more, speed):
        assert is_worth_keeping(seconds, size, speed)


@given(st.integers(0, SMALL_BYTES), SPEEDS)
def test_small_results_are_always_kept(size: int, speed: float) -> None:
    assert is_worth_keeping(0.0, size, speed)


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(SMALL_BYTES + 1, 10**9)), max_size=50),
    st.floats(1e-10, 1e-7),
)
def test_along_a_chain_keeping_takes_at_most_its_share_of_the_time(
    nodes: list[tuple[float, int]], speed: float
) -> None:
    keeping = remake = 0.0
    for seconds, size in nodes:
        remake += seconds
        cost = size * (HASH_SECONDS_PER_BYTE + speed)
        if is_worth_keeping(remake, size, speed):
            keeping, remake = keeping + cost, 0.0
        else:
            assert remake <= MARGIN * cost  # it is made again that soon
    assert keeping <= sum(seconds for seconds, _ in nodes) / MARGIN * (1 + 1e-9)


@given(st.floats(0, 1e4), st.integers(1, 10**10), st.floats(0, 1e7), st.floats(1.5, 100))
def test_records_that_save_more_are_smaller_or_newer_stay_longer(
    seconds: float, size: int, unused: float, factor: float
) -> None:
    score = retention_score(seconds, size, unused)
    assert retention_score(seconds * factor + 0.01, size, unused) > score
    assert retention_score(seconds, int(size * factor) + 1, unused) < score
    assert retention_score(seconds, size, unused * factor + 1) < score


def test_a_full_disk_loses_what_saves_the_least_time_per_byte(tmp_path: Path) -> None:
    store = DiskStore(tmp_path, 10**9)
    for number, seconds in enumerate((5.0, 0.01, 60.0)):
        value = "x" * 50_000
        options: Any = {"node": "Toy", "seconds": seconds, "files": {}}
        store.put(bytes([number]) * 16, value, content_of(value), **options)
    store.prune(limit=2 * 60_000)
    assert [store.get(bytes([n]) * 16) is not None for n in range(3)] == [True, False, True]


def test_a_content_is_cheap_if_it_is_known_or_small() -> None:
    large = Image(np.zeros((200, 200, 3), np.uint8))
    assert not has_cheap_content(large)
    assert large.content and has_cheap_content(large)
    assert has_cheap_content("word") and has_cheap_content(Image(np.zeros((9, 9, 3), np.uint8)))


def test_a_slow_disk_is_noticed_by_large_writes_only() -> None:
    speed = DiskSpeed()
    first = speed.seconds_per_byte
    speed.add(1000, 1.0)
    assert speed.seconds_per_byte == first
    speed.add(10**8, 10.0)
    assert speed.seconds_per_byte > 10 * first


def test_the_store_leaves_out_what_is_not_worth_it_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SMALL_BYTES", 0)
    store, picture = Store(folder=tmp_path), Image(np.zeros((64, 64, 3), np.uint8))
    left_out = store.put(b"a" * 16, picture, seconds=1e-6, remake_seconds=1e-6, always=False)
    kept = store.put(b"b" * 16, picture, seconds=9.0, remake_seconds=9.0, always=False)
    assert (left_out.remake_seconds, kept.remake_seconds) == (1e-6, 0.0)
    assert store.get(b"a" * 16) is left_out  # in memory it stays
    other = Store(folder=tmp_path)
    assert other.get(b"a" * 16) is None and other.get(b"b" * 16) is not None
    assert "made again in 0.001 ms: sooner than 12.3 kB are kept" in other.reason_not_kept(
        b"a" * 16
    )
    assert other.reason_not_kept(b"b" * 16) == other.reason_not_kept(None) == ""


@given(st.floats(0, 1), st.floats(1e-10, 1e-7), st.floats(1e-10, 1e-6))
def test_what_is_deflated_saves_time_or_much_room(
    ratio: float, deflate: float, disk: float
) -> None:
    if is_worth_deflating(ratio, deflate, disk):
        assert ratio <= 1 / 8 or deflate + ratio * disk <= disk * (1 + 1e-9)
        assert ratio <= 1 / 2
        assert is_worth_deflating(ratio / 2, deflate, disk)
        assert is_worth_deflating(ratio, deflate / 2, disk)
        assert is_worth_deflating(ratio, deflate, disk * 2)


def test_a_picture_that_halves_is_deflated_on_a_slow_disk_only() -> None:
    half = np.random.default_rng(0).integers(0, 8, 10**6, np.uint8)  # 3 bits of 8
    header, raw = Header("c" * 32, "Toy", 1.0), half.nbytes
    fast, slow = (sum(map(len, to_chunks(half, header, disk))) for disk in (1e-12, 1e-3))
    assert slow < 0.55 * raw < raw < fast
    mask = np.zeros(10**6, np.uint8)
    assert sum(map(len, to_chunks(mask, header, 1e-12))) < raw / 50
