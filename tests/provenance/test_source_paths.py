"""A record names files relative to the workflow; only those below its folder are looked for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from sdgraph import Session, load_workflow, run
from sdgraph.language import workflows_folder
from sdgraph.provenance import find_source, read_record, record_folder
from sdgraph.provenance.verify import source_states

FLOW = """\
inputs:
  photo: {type: Image, default: photos/p.png}
  far: {type: Path, default: ../far.bmp}
nodes:
  far: {type: LoadImage, path: $inputs.far}
  both: {type: Grid, images: [$inputs.photo, $far]}
  save: {type: Save, image: $both, path: out/a.SUFFIX}
"""


def make(folder: Path, suffix: str = "png") -> Path:
    """A folder with a workflow and the files that it reads, after a run of it."""
    (folder / "flows/photos").mkdir(parents=True)
    (folder / "flows/w.yaml").write_text(FLOW.replace("SUFFIX", suffix))
    PIL.Image.new("RGB", (8, 8), "red").save(folder / "flows/photos/p.png")
    PIL.Image.new("RGB", (8, 8), "blue").save(folder / "far.bmp")
    run(load_workflow(folder / "flows/w.yaml"), session=Session(device="cpu", store=None))
    return folder / f"flows/out/a.{suffix}"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "gif", "bmp"])
def test_the_same_workflow_makes_the_same_bytes_in_any_folder(tmp_path: Path, suffix: str) -> None:
    one, other = make(tmp_path / "one", suffix), make(tmp_path / "deep/er/two", suffix)
    assert one.read_bytes() == other.read_bytes()
    sidecars = [file.with_name(f"{file.name}.sdgraph.json") for file in (one, other)]
    assert [path.exists() for path in sidecars] == [suffix == "bmp"] * 2
    if suffix == "bmp":
        assert sidecars[0].read_bytes() == sidecars[1].read_bytes()
    text = read_record(one).to_text()
    assert str(tmp_path) not in text and str(Path.home()) not in text
    assert list(read_record(one).sources) == ["photos/p.png", "far.bmp"]


def test_the_folder_for_output_is_not_in_the_record(tmp_path: Path) -> None:
    plain = make(tmp_path)
    workflow = load_workflow(tmp_path / "flows/w.yaml", out=tmp_path / "elsewhere")
    run(workflow, session=Session(device="cpu", store=None))
    assert (tmp_path / "elsewhere/out/a.png").read_bytes() == plain.read_bytes()


def test_files_are_found_from_above_the_workflow_and_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(tmp_path)
    record = read_record(file)
    assert record.folder == "out"
    for current in (tmp_path, tmp_path / "flows"):
        monkeypatch.chdir(current)
        assert record_folder(file, record) == tmp_path / "flows"
        states = source_states(record, record_folder(file, record))
        assert states == {"photos/p.png": "unchanged", "far.bmp": "not here"}
    PIL.Image.new("RGB", (8, 8), "green").save(tmp_path / "flows/photos/p.png")
    assert source_states(record, tmp_path / "flows")["photos/p.png"] == "changed"


def test_a_moved_picture_and_one_outside_are_related_to_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = make(tmp_path)
    record = read_record(file)
    monkeypatch.chdir(tmp_path / "flows")
    moved = file.rename(tmp_path / "flows/b.png")
    assert record_folder(moved, record) == tmp_path / "flows"
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert record_folder(file, record) == tmp_path / "else"
    for folder in ("/out", "../out", "a/../../out", "flows/out"):
        assert record_folder(file, replace(record, folder=folder)) == tmp_path / "else"


@pytest.mark.parametrize("path", ["../secret", "{tmp}/secret", "link/secret", "a\0b", "x" * 5000])
def test_no_file_is_looked_for_outside_of_the_folder(tmp_path: Path, path: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "here/link").symlink_to("..")
    assert find_source(path.format(tmp=tmp_path), tmp_path / "here") is None


def test_the_files_of_shipped_workflows_are_found_from_anywhere(tmp_path: Path) -> None:
    sample = find_source("samples/red_star.png", tmp_path)
    assert sample == workflows_folder() / "samples/red_star.png"
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/red_star.png").touch()
    assert find_source("samples/red_star.png", tmp_path) == tmp_path / "samples/red_star.png"


def test_a_record_without_a_folder_is_read(tmp_path: Path) -> None:
    record = read_record(make(tmp_path))
    data = json.loads(record.to_text())
    del data["folder"]
    assert type(record).parse(json.dumps(data)).folder == ""
