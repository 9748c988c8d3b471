"""Sweeps on the command line: files, sheet, table, and a question before too much is made."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from sdgraph.language import load_workflow
from sdgraph.media import read_image
from sdgraph.provenance.record import read_record
from sdgraph.sweep import build_sweep, make_variants
from tests.support import cli_nodes
from tests.support.command_line import Command

TOYS = str(Path(cli_nodes.__file__))

FLOW = """\
inputs:
  grey: 40
  size: 16
  words: a b
nodes:
  square: {type: ToySquare, grey: $inputs.grey, size: $inputs.size}
  stack: {type: ToyStack, images: [$square], title: $inputs.words}
  result: {type: ToySave, image: $stack, path: out/square.png}
"""


@pytest.fixture
def sdgraph(sdgraph: Command, tmp_path: Path) -> Command:
    """Runs a command in a folder that holds the workflow of these tests."""
    (tmp_path / "flow.yaml").write_text(FLOW)
    return sdgraph


def output_files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_a_sweep_makes_a_file_for_each_variant(sdgraph: Command, tmp_path: Path) -> None:
    result = sdgraph("run", "flow.yaml", "grey=10..30..10", "words=[x, y z]")
    assert result.code == 0, result.err
    assert output_files(tmp_path) == [
        f"out/square_grey-00{grey}_words-{words}.png"
        for grey in (10, 20, 30)
        for words in ("x", "y-z")
    ]
    assert "result[grey=10 words=y z] → out/square_grey-0010_words-y-z.png" in result.out
    assert "15 nodes in" in result.out
    record = read_record(tmp_path / "out/square_grey-0020_words-x.png")
    assert record.node == "result" and "grey: 20" in record.workflow


BROKEN = """\
inputs:
  grey: 40
nodes:
  square: {type: ToySquare, grey: $inputs.grey}
  boom: {type: ToyBoom, image: $square}
  bad: {type: ToySave, image: $boom, path: out/bad.png}
  result: {type: ToySave, image: $square, path: out/good.png}
"""


def test_a_sweep_keeps_going_past_a_failure_and_explains_itself(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    result = sdgraph("run", "broken.yaml", "grey=[10, 20]", "--keep-going", "--explain")
    assert result.code == 1
    assert output_files(tmp_path) == ["out/good_grey-0010.png", "out/good_grey-0020.png"]
    for grey in (10, 20):
        assert f"boom[grey={grey}]: RuntimeError: the toy broke" in result.err
        why = f"left out  it needs boom[grey={grey}], which failed"
        assert any(
            line.startswith(f"bad[grey={grey}]") and why in line for line in result.out.splitlines()
        )


def test_side_by_side(sdgraph: Command, tmp_path: Path) -> None:
    assert sdgraph("run", "flow.yaml", "grey=[10, 20]", "size=4..5", "--zip").code == 0
    assert output_files(tmp_path) == [
        "out/square_grey-0010_size-0004.png",
        "out/square_grey-0020_size-0005.png",
    ]
    result = sdgraph("run", "flow.yaml", "grey=[10, 20]", "size=4..6", "--zip")
    assert result.code == 2 and "2 of grey, 3 of size" in result.err


def test_plan_and_validate_cover_all_variants(sdgraph: Command) -> None:
    result = sdgraph("plan", "flow.yaml", "grey=1..3")
    assert result.code == 0 and "9 steps" in result.out and "square[grey=2]" in result.out
    assert sdgraph("validate", "flow.yaml", "grey=1..3").code == 0
    result = sdgraph("validate", "flow.yaml", "grey=254..257")
    assert result.code == 2 and "256" in result.out and "257" in result.out


def test_an_input_given_twice_counts_as_last_given(sdgraph: Command, tmp_path: Path) -> None:
    assert sdgraph("run", "flow.yaml", "grey=1..9", "grey=5").code == 0
    assert output_files(tmp_path) == ["out/square.png"]


def test_the_same_sweep_again_replaces_its_files_and_another_gets_numbers(
    sdgraph: Command, tmp_path: Path
) -> None:
    sweep = ("run", "flow.yaml", "grey=1..2", "--sheet", "s.png", "--table", "t.csv")
    for _ in range(2):
        result = sdgraph(*sweep)
        assert result.code == 0 and "table → t.csv" in result.out, result.err
    files = ["out/square_grey-0001.png", "out/square_grey-0002.png", "s.png"]
    assert output_files(tmp_path) == files
    result = sdgraph(*sweep, "words=c")
    assert "result[grey=1] → out/square_grey-0001_0002.png" in result.out
    assert "sheet[file] → s_0002.png" in result.out and "table → t_0002.csv" in result.out
    assert [Path(row["files"]).name for row in rows(tmp_path / "t_0002.csv")] == [
        "square_grey-0001_0002.png",
        "square_grey-0002_0002.png",
    ]
    numbered = ["out/square_grey-0001_0002.png", "out/square_grey-0002_0002.png", "s_0002.png"]
    assert output_files(tmp_path) == sorted([*files, *numbered])
    result = sdgraph(*sweep, "words=d", "--overwrite")
    assert result.code == 0 and "table → t.csv" in result.out
    assert output_files(tmp_path) == sorted([*files, *numbered])
    assert sorted(path.name for path in tmp_path.glob("t*.csv")) == ["t.csv", "t_0002.csv"]


def test_a_sweep_that_is_refused_begins_no_table(sdgraph: Command, tmp_path: Path) -> None:
    flow = FLOW.replace("ToySave", "Save").replace("square.png", "square.png, existing: refuse")
    (tmp_path / "flow.yaml").write_text(flow)
    sweep = ("run", "flow.yaml", "grey=1..2", "--table", "t.csv")
    assert sdgraph(*sweep).code == 0
    (tmp_path / "t.csv").unlink()
    result = sdgraph(*sweep)
    assert result.code == 2 and "square_grey-0001.png, which exists already" in result.err
    assert not (tmp_path / "t.csv").exists()
    assert sdgraph(*sweep, "--overwrite").code == 0


def test_a_table_that_was_edited_or_is_of_another_program_stays(
    sdgraph: Command, tmp_path: Path
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("mine")
    sweep = ("run", "flow.yaml", "grey=1..2", "--table", "t.csv")
    assert "table → t_0002.csv" in sdgraph(*sweep).out
    assert "table → t_0002.csv" in sdgraph(*sweep).out
    assert table.read_text() == "mine"
    table.unlink()
    assert "table → t.csv" in sdgraph(*sweep).out
    table.write_text(table.read_text() + "a note\n")
    result = sdgraph(*sweep, "--json")
    opened = [json.loads(line) for line in result.out.splitlines() if "table_opened" in line]
    assert [Path(event["file"]).name for event in opened] == ["t_0002.csv"]
    assert "a note" in table.read_text()


def test_a_single_run_follows_the_rule_of_sweeps(sdgraph: Command, tmp_path: Path) -> None:
    for grey, name in ((3, "square.png"), (4, "square_0002.png"), (3, "square.png")):
        result = sdgraph("run", "flow.yaml", f"grey={grey}")
        assert result.code == 0 and f"result → out/{name}\n" in result.out
    result = sdgraph("run", "flow.yaml", "grey=5", "--json")
    events_by_kind = [json.loads(line) for line in result.out.splitlines()]
    written = [event["file"] for event in events_by_kind if event.get("file")]
    assert [Path(file).name for file in written] == ["square_0003.png"]
    assert "result → out/square.png\n" in sdgraph("run", "flow.yaml", "grey=6", "--overwrite").out
    assert len(output_files(tmp_path)) == 3


@pytest.mark.parametrize("option", [["--zip"], ["--sheet", "s.png"], ["--table", "t.csv"]])
def test_options_of_sweeps_want_a_sweep(sdgraph: Command, option: list[str]) -> None:
    result = sdgraph("run", "flow.yaml", *option)
    assert result.code == 2 and "no sweep" in result.err and option[0] in result.err


def test_each_picture_of_a_folder(sdgraph: Command, tmp_path: Path) -> None:
    flow = (
        "inputs: {photo: {type: Path}}\nnodes:\n  photo: {type: LoadImage, path: $inputs.photo}\n"
        '  save: {type: Save, image: $photo, path: "out/{photo}.png"}\n'
    )
    (tmp_path / "copy.yaml").write_text(flow)
    (tmp_path / "in").mkdir()
    for name in ("one.jpg", "two.png"):
        PIL.Image.new("RGB", (8, 8), "teal").save(tmp_path / "in" / name)
    assert sdgraph("run", "copy.yaml", "photo=@in").code == 0
    assert {"out/one.png", "out/two.png"} <= set(output_files(tmp_path))
    (tmp_path / "in/bad.png").write_text("no picture")
    result = sdgraph("run", "copy.yaml", "photo=in/*.png", "--out", "again")
    assert result.code == 2 and "bad.png" in result.err
    assert not (tmp_path / "again").exists()


# the sheet


def test_two_crossed_inputs_make_rows_and_columns(sdgraph: Command, tmp_path: Path) -> None:
    arguments = ("grey=[0, 100, 200]", "size=[8, 9]", "--sheet", "sheet.png")
    result = sdgraph("run", "flow.yaml", *arguments)
    assert result.code == 0, result.err
    sheet = read_image(tmp_path / "sheet.png").convert("RGB")
    assert sheet.width == 2 * (256 + 8) + 8
    step = (sheet.height - 8) // 3
    for row, grey in enumerate((0, 100, 200)):
        for column in (0, 1):
            assert sheet.getpixel((8 + 128 + column * 264, 8 + 128 + row * step)) == (grey,) * 3
    assert len(output_files(tmp_path)) == 7
    assert sdgraph("run", "flow.yaml", *arguments).code == 0
    assert len(output_files(tmp_path)) == 7


def test_a_sheet_holds_only_small_pictures_to_the_end(tmp_path: Path) -> None:
    from sdgraph.execution.planning import make_plan
    from sdgraph.graph import installed_registry, library_module
    from sdgraph.sweep import with_contact_sheet

    (tmp_path / "flow.yaml").write_text(FLOW)
    registry = installed_registry().with_file(Path(TOYS))
    workflow = load_workflow(tmp_path / "flow.yaml", registry=registry)
    sweep = build_sweep(workflow, make_variants({}, {"grey": range(40)}))
    sheet = with_contact_sheet(sweep, tmp_path / "s.png", library_module("contact_sheet"))
    held: set[Any] = set()
    for step in make_plan(sheet.graph).steps:
        held.add(step.node)
        large = [node for node in held if type(node).__name__.startswith(("ToySq", "ToySt"))]
        assert len(large) <= 2
        held -= set(step.releases)
    assert sheet.targets == sweep.targets


def test_a_sheet_wants_pictures(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "text.yaml").write_text(
        "inputs: {file: {type: Path}}\nnodes: {read: {type: ToyRead, path: $inputs.file}}"
    )
    (tmp_path / "a.txt").touch()
    result = sdgraph("run", "text.yaml", "file=@a.txt", "--sheet", "s.png")
    assert result.code == 2
    result = sdgraph("run", "text.yaml", "file=a.*", "--sheet", "s.png")
    assert result.code == 2 and "no picture in a variant" in result.err
    result = sdgraph("run", "flow.yaml", "grey=1..2", "--sheet", "s.doc")
    assert result.code == 2 and "--sheet.path" in result.err


# the table


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["new/runs.csv", "runs.jsonl"])
def test_a_table_has_a_row_for_each_variant(sdgraph: Command, tmp_path: Path, name: str) -> None:
    assert sdgraph("run", "flow.yaml", "grey=1..3", "size=7", "--table", name).code == 0
    table = rows(tmp_path / name)
    assert [str(row["grey"]) for row in table] == ["1", "2", "3"]
    assert [row["state"] for row in table] == ["done"] * 3
    assert {str(row["size"]) for row in table} == {"7"} and table[0]["words"] == "a b"
    for number, row in enumerate(table, 1):
        files = row["files"] if isinstance(row["files"], list) else [row["files"]]
        assert [Path(file).name for file in files] == [f"square_grey-000{number}.png"]
        assert float(row["seconds"]) >= 0
    result = sdgraph("run", "flow.yaml", "grey=4..5", "--table", name)
    numbered = Path(name).with_stem("runs_0002")
    assert result.code == 0 and f"table → {numbered}" in result.out
    assert [str(row["grey"]) for row in rows(tmp_path / numbered)] == ["4", "5"]
    assert [str(row["grey"]) for row in rows(tmp_path / name)] == ["1", "2", "3"]


def test_a_table_says_nothing_of_the_folders_it_was_made_in(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = (
        "inputs: {file: {type: Path}}\nnodes:\n"
        "  read: {type: ToyRead, path: $inputs.file}\n"
        "  square: {type: ToySquare}\n"
        "  stack: {type: ToyStack, images: [$square], title: $read}\n"
        "  save: {type: ToySave, image: $stack, path: out/square.png}\n"
    )
    alice = tmp_path / "home" / "alice"
    (alice / "flows").mkdir(parents=True)
    (alice / "flows" / "flow.yaml").write_text(flow)
    for name, content in (("a", b"fine"), ("b", b"\xff")):
        (alice / f"{name}.txt").write_bytes(content)
    files = f"{alice}/*.txt"
    table = {}
    for place in (alice, tmp_path):  # as the current folder
        monkeypatch.chdir(place)
        flow_file = str(alice / "flows" / "flow.yaml")
        for name in ("t.csv", "new/t.jsonl"):
            sdgraph("run", flow_file, f"file={files}", "--table", name, "--keep-going")
            text = (place / name).read_text()
            assert str(tmp_path) not in text
            table[place, name] = rows(place / name)
    assert [row["file"] for row in table[alice, "t.csv"]] == ["a.txt", "b.txt"]
    assert table[alice, "t.csv"][0]["files"] == "flows/out/square_file-a.png"
    assert table[alice, "new/t.jsonl"][0]["files"] == ["out/square_file-a.png"]
    assert table[tmp_path, "t.csv"][0]["file"] == "home/alice/a.txt"


def test_a_failure_halfway_is_in_the_table(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "inputs: {file: {type: Path}, seed: 3}\nnodes:\n"
        "  read: {type: ToyRead, path: $inputs.file}\n"
        "  square: {type: ToySquare}\n"
        "  stack: {type: ToyStack, images: [$square], title: $read}\n"
        "  save: {type: ToySave, image: $stack, path: square.png}\n"
    )
    for name, content in (("a", b"fine"), ("b", b"\xff"), ("c", b"too")):
        (tmp_path / f"{name}.txt").write_bytes(content)
    result = sdgraph("run", "bad.yaml", "file=*.txt", "--table", "runs.csv")
    assert result.code == 1 and "read[file=b.txt]" in result.err
    table = rows(tmp_path / "runs.csv")
    assert [(row["number"], row["state"]) for row in table] == [
        ("1", "done"),
        ("2", "failed"),
        ("3", "not done"),
    ]
    assert "utf-8" in table[1]["error"] and {row["seed"] for row in table} == {"3"}
    assert output_files(tmp_path) == ["square_file-a.png"]


@pytest.mark.parametrize("name", ["runs.txt", "flow.yaml/runs.csv"])
def test_a_table_that_cannot_be_written_stops_it_before_it_begins(
    sdgraph: Command, tmp_path: Path, name: str
) -> None:
    result = sdgraph("run", "flow.yaml", "grey=1..3", "--table", name)
    assert result.code == 1 and "--table" in result.err
    assert output_files(tmp_path) == []
