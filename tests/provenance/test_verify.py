"""Of a record, only files near the user are looked at: it may come from a stranger."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sdgraph.graph import Graph
from sdgraph.models import file_sha256
from sdgraph.nodes import LoadImage
from sdgraph.provenance import ProvenanceRecord, changes_since, record_as_data, verify
from sdgraph.provenance.verify import OUTSIDE, source_states


def make_record(sources: dict[str, str], *checkpoints: dict[str, Any]) -> ProvenanceRecord:
    return ProvenanceRecord("", "save", "cpu", None, {}, sources=sources, checkpoints=checkpoints)


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read to compare them, in a current folder `here`."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    opened: list[Path] = []

    def read(path: Path) -> str:
        opened.append(path)
        return file_sha256(path)

    monkeypatch.setattr(verify, "file_sha256", read)
    return opened


def test_files_outside_the_current_folder_are_not_opened(
    tmp_path: Path, opened: list[Path]
) -> None:
    (near := tmp_path / "here" / "a.png").write_bytes(b"near")
    (far := tmp_path / "secret").write_bytes(b"far")
    (tmp_path / "here" / "link").symlink_to(far)
    names = [str(near), "a.png", str(far), "../secret", "link", "/etc/passwd", "a\0b"]
    states = source_states(make_record(dict.fromkeys(names, file_sha256(near))))
    assert list(states.values()) == ["unchanged", "unchanged", *[OUTSIDE] * 5]
    assert {path.resolve() for path in opened} == {near}


def test_checkpoints_outside_the_current_folder_are_not_opened(
    tmp_path: Path, opened: list[Path]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    entry = {"source": str(tmp_path / "model"), "files": {"config.json": "0" * 64}}
    inside = {"source": "tiny/inpaint", "files": {"../../../../etc/passwd": "0" * 64}}
    data = record_as_data(make_record({}, entry, inside))
    assert [state["state"] for state in data["checkpoints_now"]] == [OUTSIDE, "not here"]
    assert opened == []


def test_a_pipe_is_not_waited_for(tmp_path: Path, opened: list[Path]) -> None:
    os.mkfifo(tmp_path / "here" / "a.png")
    assert source_states(make_record({"a.png": ""})) == {"a.png": "not here"}


def test_a_run_says_which_of_the_files_that_it_reads_have_changed(
    tmp_path: Path, opened: list[Path]
) -> None:
    (far := tmp_path / "far.png").write_bytes(b"new")
    record = make_record({str(far): "0" * 64, "/etc/passwd": "0" * 64})
    changes = [*changes_since(record, Graph.of(LoadImage(path=far)))]
    assert changes == [f"the source file {far} has changed since"]
