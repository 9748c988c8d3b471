"""What headers say is stored by the stamps of files, the newest first; no torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdgraph.files import FileStamp
from sdgraph.models.sources import description_cache
from sdgraph.models.sources.description_cache import read_stored, store


def stamp(path: str, size: int = 1) -> FileStamp:
    return FileStamp(path, size, 2, 3, 2**63)


def test_a_file_is_known_while_it_has_its_stamp() -> None:
    store({stamp("a"): {"kind": "VAE"}, stamp("b\udcff"): {"kind": "LoRA"}})
    assert read_stored([stamp("a"), stamp("b\udcff")])[stamp("b\udcff")] == {"kind": "LoRA"}
    assert not read_stored([stamp("a", size=2), stamp("c")])


def test_the_oldest_entries_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(description_cache, "LIMIT", 2)
    store({stamp("a"): {}})
    store({stamp("b"): {}})
    store({stamp("a", size=2): {}, stamp("c"): {}})
    assert set(read_stored([stamp("a", size=2), stamp("b"), stamp("c")])) == {
        stamp("a", size=2),
        stamp("c"),
    }


def test_what_other_code_has_written_is_forgotten(own_home: Path) -> None:
    store({stamp("a"): {}})
    path = own_home / "model_files.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": "other"}))
    assert not read_stored([stamp("a")])


def test_a_home_that_cannot_be_written_is_no_error(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_home.write_text("a file")
    store({stamp("a"): {}})
    assert not read_stored([stamp("a")])
