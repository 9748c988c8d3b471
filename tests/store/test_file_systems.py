"""A folder on a network drive is told from one on a local disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.store import DiskStore, file_systems
from sdgraph.store.file_systems import file_system_of, is_on_local_disk
from sdgraph.store.packed_records import NAME
from sdgraph.values import content_of

NAMES = st.text("ab c\\", min_size=1, max_size=3)
PATHS = st.lists(NAMES, max_size=4).map(lambda names: "/" + "/".join(names))


def line(point: str, kind: str) -> str:
    escaped = point.replace("\\", "\\134").replace(" ", "\\040")
    return f"36 35 98:0 /source {escaped} rw,noatime shared:1 - {kind} /dev/x rw"


@given(st.dictionaries(PATHS, st.sampled_from(["ext4", "nfs4", "xfs"])), PATHS)
def test_the_nearest_mount_above_a_path_decides(mounts: dict[str, str], path: str) -> None:
    text = "\n".join(line(point, kind) for point, kind in mounts.items())
    above = [path, *map(str, Path(path).parents)]
    expected = next((mounts[folder] for folder in above if folder in mounts), None)
    assert file_system_of(path, text) == expected


@given(PATHS)
def test_a_later_mount_hides_an_earlier_one_and_nonsense_is_passed_over(path: str) -> None:
    text = "\n".join([line(path, "ext4"), "nonsense", " - ", line(path, "nfs4")])
    assert file_system_of(path, text) == "nfs4"


@pytest.mark.parametrize(
    ("kind", "is_local"),
    [("ext4", True), ("nfs4", False), ("fuse.sshfs", False), ("cifs", False), ("9p", False)],
)
def test_only_on_a_disk_that_is_known_to_be_local_are_results_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, is_local: bool
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(line("/", kind))
    monkeypatch.setattr(file_systems, "_MOUNTS", str(mounts))
    folder = tmp_path / "results"
    DiskStore(folder).put(bytes(16), 7, content_of(7), node="Toy", seconds=0.0, files={})
    assert (folder / NAME).exists() == is_local
    assert len(list(folder.rglob("*.safetensors"))) == (not is_local)
    for packs in (True, False, None):  # one is read by the other while it is there
        found = DiskStore(folder, packs=packs).get(bytes(16))
        assert (found is not None and found.value == 7) or (is_local and packs is False)


def test_where_the_system_does_not_tell_nothing_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "_MOUNTS", "/nowhere/mounts")
    assert not is_on_local_disk("/")
