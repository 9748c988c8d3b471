"""`sdgraph run` says what it did and where files are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.media import read_image
from sdgraph.provenance import read_record
from tests.support.command_line import FLOW, Command, grey_of


def test_a_run_says_each_node_and_where_the_file_went(sdgraph: Command, tmp_path: Path) -> None:
    result = sdgraph("run", "flow.yaml")
    assert result.code == 0
    assert result.err == ""
    for name in ("square", "edges", "slow", "result"):
        assert re.search(rf"^{name} +Toy\w+ +\d+\.\d\d s$", result.out, re.MULTILINE)
    assert "result → out/turned.png\n" in result.out
    assert re.search(r"4 nodes in \d+\.\d\d s, 0 models loaded \(0 B\)\n$", result.out)
    assert grey_of(tmp_path / "out/turned.png") == 255 - 40


def test_an_input_is_read_as_its_declared_type(sdgraph: Command, tmp_path: Path) -> None:
    assert sdgraph("run", "flow.yaml", "grey=7").code == 0
    assert grey_of(tmp_path / "out/turned.png") == 255 - 7


def test_a_path_given_as_input_is_relative_to_the_current_folder(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/flow.yaml").write_text(FLOW)
    assert sdgraph("run", "deep/flow.yaml", "target=here.png").code == 0
    assert (tmp_path / "here.png").exists()
    assert sdgraph("run", "deep/flow.yaml").code == 0
    assert (tmp_path / "deep/out/turned.png").exists()


@pytest.mark.parametrize("options", [[], ["target=out/turned.png"], ["--set", "result.path=x.png"]])
def test_out_takes_every_relative_file(
    sdgraph: Command, tmp_path: Path, options: list[str]
) -> None:
    result = sdgraph("run", "flow.yaml", "--out", "elsewhere", *options)
    assert result.code == 0
    (picture,) = tmp_path.rglob("*.png")
    assert picture.relative_to(tmp_path).parts[0] == "elsewhere"


def test_out_takes_no_absolute_file_unless_all_folders_are_allowed(
    sdgraph: Command, tmp_path: Path
) -> None:
    target = tmp_path / "there.png"
    options = ("--out", "elsewhere", f"target={target}")
    result = sdgraph("run", "flow.yaml", *options)
    assert result.code == 2 and f"a path in the folder for output ({tmp_path}" in result.err
    assert not target.exists()
    assert sdgraph("run", "flow.yaml", *options, "--allow-outside").code == 0
    assert target.exists()


def test_out_reaches_into_sub_workflows(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "outer.yaml").write_text("nodes: {inner: {type: Workflow, path: flow.yaml}}")
    assert sdgraph("run", "outer.yaml", "--out", "elsewhere").code == 0
    assert (tmp_path / "elsewhere/out/turned.png").exists()
    assert not (tmp_path / "out").exists()


def test_set_replaces_fields_by_yaml_values(sdgraph: Command, tmp_path: Path) -> None:
    changes = ["--set", "square.grey=9", "--set", "square.points=[[1, 2]]"]
    assert sdgraph("run", "flow.yaml", *changes).code == 0
    assert grey_of(tmp_path / "out/turned.png") == 255 - 9


def test_folders_and_checkpoints_start_from_the_file_or_from_the_current_folder_if_typed(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "deep/photos").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "deep/photos/a.png")
    (tmp_path / "deep/photos/a.txt").write_text("a red star")
    (tmp_path / "deep/w.yaml").write_text(
        "inputs: {model: {type: Checkpoint, default: tiny/text-to-image}}\n"
        "nodes:\n"
        "  data: {type: PictureFolder, path: photos, side: 32}\n"
        "  model: {type: TrainText2Image, data: $data, base: $inputs.model, out: out}\n"
    )
    assert sdgraph("validate", "deep/w.yaml", toys=False).code == 0
    wrong = sdgraph("validate", "deep/w.yaml", "model=./mine", toys=False)
    assert wrong.code == 2 and f"{tmp_path}/mine" in wrong.out
    for value in ("photos", "./photos"):
        result = sdgraph("plan", "deep/w.yaml", "--set", f"data.path={value}", toys=False)
        assert result.code == 2 and f"{tmp_path}/photos: no such folder" in result.err
    result = sdgraph("plan", "deep/w.yaml", "--set", "model.base=./mine", toys=False)
    assert result.code == 2 and f"{tmp_path}/mine" in result.err


def test_a_path_by_set_is_relative_to_the_current_folder(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/flow.yaml").write_text(FLOW)
    assert sdgraph("run", "deep/flow.yaml", "--set", "result.path=here.png").code == 0
    assert (tmp_path / "here.png").exists()


def test_only_runs_what_a_node_needs_and_says_what_it_made(
    sdgraph: Command, tmp_path: Path
) -> None:
    result = sdgraph("run", "flow.yaml", "--only", "edges")
    assert "edges = EdgeMap(16×16 RGB)" in result.out
    assert "slow" not in result.out
    assert not (tmp_path / "out").exists()


def test_json_prints_events_and_nothing_else(sdgraph: Command) -> None:
    result = sdgraph("run", "flow.yaml", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_finished"
    assert [e["step"] for e in events if e["event"] == "stepped"] == [1, 2, 3, 4]
    assert "a node that prints" in result.err


def test_quiet_prints_nothing(sdgraph: Command) -> None:
    (result := sdgraph("run", "flow.yaml", "--quiet"))
    assert result.code == 0
    assert result.out.replace("a node that prints\n", "") == ""


def test_a_terminal_shows_bars_and_ends_with_the_same_lines(
    sdgraph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR")
    result = sdgraph("run", "flow.yaml", "--set", "slow.seconds=0.15")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.out)
    assert "━" in plain
    assert re.search(r"[1-4]/4", plain)
    assert "result → out/turned.png" in plain


def test_a_saved_picture_makes_itself_again(sdgraph: Command, tmp_path: Path) -> None:
    sdgraph("run", "flow.yaml", "grey=7")
    first = tmp_path / "out/turned.png"
    result = sdgraph("run", "out/turned.png", "--out", "again")
    assert result.code == 0
    again = tmp_path / "again/turned.png"
    assert read_image(again).tobytes() == read_image(first).tobytes()
    assert read_record(again).node == "result"


def test_a_saved_picture_is_made_in_the_current_folder_not_where_it_was(
    sdgraph: Command, tmp_path: Path
) -> None:
    sdgraph("run", "flow.yaml")
    picture = (tmp_path / "out/turned.png").rename(tmp_path / "moved.png")
    assert sdgraph("run", str(picture)).code == 0
    assert (tmp_path / "turned.png").exists()
    assert not (tmp_path / "out/turned.png").exists()
