"""Records under keys of an older version are dropped, and none of a folder that is just begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph.store import DiskStore, keys_version
from sdgraph.store.keys_version import KEYS_VERSION, NAME, stored_version, write_version
from sdgraph.store.record_files import write_chunks


def test_a_folder_without_records_has_no_version(tmp_path: Path) -> None:
    assert stored_version(tmp_path / "none") is None
    assert stored_version(tmp_path) is None
    (tmp_path / ".looked").touch()
    assert stored_version(tmp_path) is None


def test_records_without_a_version_are_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    assert stored_version(tmp_path) == 1
    write_version(tmp_path)
    assert stored_version(tmp_path) == KEYS_VERSION
    (tmp_path / NAME).write_text("99\n")
    assert stored_version(tmp_path) == 99
    (tmp_path / NAME).write_text("")
    assert stored_version(tmp_path) == KEYS_VERSION


def test_a_folder_that_another_process_begins_meanwhile_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_records = keys_version._has_records

    def begun_by_another(folder: Path) -> bool:
        write_version(folder)
        (folder / "ab").mkdir()
        return has_records(folder)

    monkeypatch.setattr(keys_version, "_has_records", begun_by_another)
    assert stored_version(tmp_path) == KEYS_VERSION


@pytest.mark.usefixtures("one_file_each")
def test_the_version_is_there_before_the_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions: list[int | None] = []

    def write_later(*arguments: Any) -> None:
        versions.append(stored_version(tmp_path / "new"))
        write_chunks(*arguments)

    monkeypatch.setattr("sdgraph.store.disk.write_chunks", write_later)
    store = DiskStore(tmp_path / "new")
    assert store.put(b"k" * 16, 5, "int:5", node="Number", seconds=1.0, files={})
    assert versions == [KEYS_VERSION]
