"""A run uses the cores that its process may use, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.values import threads
from sdgraph.values.threads import available_cores, thread_count


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in place of that of the control groups, on a machine with eight cores."""
    monkeypatch.setattr(threads, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(threads, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(threads, "_allowed_cores", lambda: 8)
    threads.quotas.cache_clear()
    yield tmp_path
    threads.quotas.cache_clear()


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def test_without_control_groups_affinity_counts(groups: Path) -> None:
    assert available_cores() == 8


def test_affinity_counts_and_not_the_machine() -> None:
    if hasattr(os, "sched_getaffinity"):
        assert available_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 8), ("250000 100000", 3), ("50000 100000", 1), ("1600000 100000", 8), ("", 8)],
)
def test_a_quota_of_version_2(groups: Path, quota: str, cores: int) -> None:
    write(groups / "membership", "0::/job/step\n")
    write(groups / "groups/job/cpu.max", quota)
    write(groups / "groups/job/step/cpu.max", "max 100000")
    assert available_cores() == cores


def test_a_quota_of_version_1_seen_from_a_container(groups: Path) -> None:
    write(groups / "membership", "3:cpuset:/\n2:cpu,cpuacct:/outside/abc\n0::/\n")
    write(groups / "groups/cpu/cpu.cfs_quota_us", "200000\n")
    write(groups / "groups/cpu/cpu.cfs_period_us", "100000\n")
    assert available_cores() == 2


def test_no_quota_of_version_1(groups: Path) -> None:
    write(groups / "membership", "1:cpu:/\n")
    write(groups / "groups/cpu/cpu.cfs_quota_us", "-1\n")
    write(groups / "groups/cpu/cpu.cfs_period_us", "100000\n")
    assert available_cores() == 8


def test_a_number_that_was_asked_for_counts_whatever_the_machine_has() -> None:
    assert thread_count(64) == 64
    assert thread_count(None) == available_cores()


@pytest.mark.parametrize("wanted", [0, -1, 1025, True, 2.0])
def test_a_number_out_of_range_is_refused(wanted: int) -> None:
    with pytest.raises(InvalidValueError, match=r"threads\n.*found:  .*\n.*1 to 1024"):
        thread_count(wanted)
