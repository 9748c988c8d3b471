"""A workflow writes into its own folder, the current one or --out, and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.cli import main
from sdgraph.media import write_image
from tests.support import cli_nodes

TOYS = str(Path(cli_nodes.__file__))

Command = Callable[..., tuple[int, str, str]]

SAVE = "nodes: {{a: {{type: ToySquare}}, b: {{type: ToySave, image: $a, path: {path}}}}}\n"


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command in the folder `here`, and returns (code, out, err)."""
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")

    def called(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--nodes", TOYS])
        result = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, result.out, result.err

    return called


def files_outside(tmp_path: Path) -> list[str]:
    """What lies next to the current folder, and in the folders next to it."""
    return sorted(
        str(path.relative_to(tmp_path))
        for path in tmp_path.rglob("*")
        if not path.is_relative_to(tmp_path / "here") and not path.is_dir()
    )


OUTSIDE = ("../a.png", "{tmp}/a.png", "~/a.png", "out/../../a.png", "link/a.png", "pointer.png")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_outside_is_refused_before_any_work_and_allowed_by_a_flag(
    command: Command, tmp_path: Path, path: str
) -> None:
    Path("link").symlink_to(tmp_path)
    Path("pointer.png").symlink_to(tmp_path / "b.png")
    Path("w.yaml").write_text(SAVE.format(path=path.format(tmp=tmp_path)))
    for verb in ("run", "validate", "plan"):
        code, out, err = command(verb, "w.yaml")
        assert code == 2
        assert "b.path" in out + err and "--allow-outside" in out + err
        assert f"a path in the workflow's folder ({tmp_path / 'here'})" in out + err
    assert files_outside(tmp_path) == []
    assert command("validate", "w.yaml", "--allow-outside")[0] == 0
    assert command("plan", "w.yaml", "--allow-outside")[0] == 0
    assert command("run", "w.yaml", "--allow-outside")[0] == 0


@pytest.mark.parametrize("path", ["$$HOME/a.png", "${HOME}/a.png", "%HOME%/a.png"])
def test_environment_variables_in_a_path_are_names_of_folders(
    command: Command, tmp_path: Path, path: str
) -> None:
    Path("w.yaml").write_text(SAVE.format(path=f'"{path}"').replace("{HOME}", "{{HOME}}"))
    assert command("run", "w.yaml")[0] == 0
    assert files_outside(tmp_path) == []


@pytest.mark.parametrize("path", ["a.png", "out/deep/a.png", "{here}/a.png", "out/../a.png"])
def test_a_path_inside_is_written(command: Command, tmp_path: Path, path: str) -> None:
    Path("w.yaml").write_text(SAVE.format(path=path.format(here=tmp_path / "here")))
    assert command("run", "w.yaml")[0] == 0
    assert files_outside(tmp_path) == []


def test_a_workflow_elsewhere_writes_into_its_folder_and_the_current_one(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "flows").mkdir()
    flow = tmp_path / "flows/w.yaml"
    for path, code in (("a.png", 0), (f"{tmp_path}/here/b.png", 0), ("../c.png", 2)):
        flow.write_text(SAVE.format(path=path))
        assert command("run", str(flow))[0] == code
    assert files_outside(tmp_path) == ["flows/a.png", "flows/w.yaml"]


@pytest.mark.parametrize("path", [*OUTSIDE, "{tmp}/here/a.png", "../a.png"])
def test_nothing_leaves_the_folder_that_out_names(
    command: Command, tmp_path: Path, path: str
) -> None:
    Path("made").mkdir()
    Path("made/link").symlink_to(tmp_path / "here")
    Path("made/pointer.png").symlink_to(tmp_path / "here/b.png")
    Path("w.yaml").write_text(SAVE.format(path=path.format(tmp=tmp_path)))
    for verb in ("validate", "plan", "run"):
        code, out, err = command(verb, "w.yaml", "--out", "made")
        assert code == 2
        assert f"the folder for output ({tmp_path / 'here/made'})" in out + err
    assert not Path("a.png").exists() and not Path("b.png").exists()


def test_a_path_that_is_given_as_an_input_is_held_to_the_same_folders(
    command: Command, tmp_path: Path
) -> None:
    text = SAVE.format(path="$inputs.photo")
    Path("w.yaml").write_text(f"inputs: {{photo: {{type: Path, default: a.png}}}}\n{text}")
    assert command("run", "w.yaml", "photo=b.png")[0] == 0
    for change in (["photo=../b.png"], ["--set", f"b.path={tmp_path}/b.png"]):
        assert command("run", "w.yaml", *change)[0] == 2
        assert command("run", "w.yaml", "--out", "made", *change)[0] == 2
    assert files_outside(tmp_path) == []
    assert command("run", "w.yaml", "photo=../b.png", "--allow-outside")[0] == 0
    assert files_outside(tmp_path) == ["b.png"]


def test_a_sub_workflow_writes_only_where_the_outer_one_may(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "parts").mkdir()
    part = tmp_path / "parts/part.yaml"
    Path("w.yaml").write_text("nodes: {inner: {type: Workflow, path: ../parts/part.yaml}}")
    for path in ("a.png", "../a.png", f"{tmp_path}/a.png"):
        part.write_text(SAVE.format(path=path))
        code, _, err = command("run", "w.yaml")
        assert code == 2 and "inner/b.path" in err
    assert files_outside(tmp_path) == ["parts/part.yaml"]
    part.write_text(SAVE.format(path="../here/a.png"))
    assert command("run", "w.yaml")[0] == 0


def write_record(workflow: str, file: str = "strange.png") -> None:
    record = {
        "sdgraph_record": 2,
        "workflow": workflow,
        "node": "b",
        "device": "cpu",
        "dtype": None,
        "versions": {},
    }
    write_image(PIL.Image.new("RGB", (4, 4)), file, provenance=json.dumps(record))


@pytest.mark.parametrize("path", [*OUTSIDE, "..", ".", "/", "../.."])
@pytest.mark.parametrize("out", [[], ["--out", "made"]])
def test_the_workflow_in_a_picture_writes_nothing_outside(
    command: Command, tmp_path: Path, path: str, out: list[str]
) -> None:
    Path("link").symlink_to(tmp_path)
    Path("pointer.png").symlink_to(tmp_path / "b.png")
    path = path.format(tmp=tmp_path)
    write_record(SAVE.format(path=path))
    command("run", "strange.png", *out)
    assert files_outside(tmp_path) == []
    (tmp_path / "here/part.yaml").write_text(SAVE.format(path=path))
    write_record("nodes: {inner: {type: Workflow, path: part.yaml}}")
    command("run", "strange.png", *out)
    assert files_outside(tmp_path) == []
    write_record(
        f"inputs: {{to: {{type: Path, default: {path}}}}}\n{SAVE.format(path='$inputs.to')}"
    )
    command("run", "strange.png", *out)
    assert files_outside(tmp_path) == []


@pytest.mark.parametrize("option", ["--table", "--sheet"])
def test_tables_and_sheets_are_held_to_the_same_folders(
    command: Command, tmp_path: Path, option: str
) -> None:
    text = SAVE.format(path="'out/{grey}.png'").replace(
        "ToySquare", "ToySquare, grey: $inputs.grey"
    )
    Path("w.yaml").write_text(f"inputs: {{grey: 1}}\n{text}")
    name = "../s.png" if option == "--sheet" else "../s.csv"
    sweep = ("run", "w.yaml", "grey=1..2", "--overwrite", option)
    code, _, err = command(*sweep, name)
    assert code == 2 and err.startswith(option) and "--allow-outside" in err
    assert files_outside(tmp_path) == []
    assert command(*sweep, name[3:], "--out", "made")[0] == 0
    assert Path("made", name[3:]).exists()
    assert command(*sweep, name, "--out", "made")[0] == 2
    assert command(*sweep, name, "--allow-outside")[0] == 0
    of_table = [f"{name[3:]}.sdgraph.json"] if option == "--table" else []
    assert files_outside(tmp_path) == [name[3:], *of_table]


def test_validate_and_plan_list_what_is_written(command: Command, tmp_path: Path) -> None:
    text = SAVE.format(path="'out/{grey}.png'").replace(
        "ToySquare", "ToySquare, grey: $inputs.grey"
    )
    Path("w.yaml").write_text(f"inputs: {{grey: 1}}\n{text}")
    for verb in ("validate", "plan"):
        assert "writes out/1.png\n" in command(verb, "w.yaml")[1]
        assert "writes made/out/1.png\n" in command(verb, "w.yaml", "--out", "made")[1]
        _, out, _ = command(verb, "w.yaml", "grey=1..200")
        assert "writes 200 files: out/1.png, out/2.png, out/3.png and 197 more\n" in out
    data = json.loads(command("plan", "w.yaml", "grey=1..200", "--json")[1])
    assert data["writes"]["count"] == 200
    assert data["writes"]["files"][:2] == ["out/1.png", "out/2.png"]
    assert len(data["writes"]["files"]) == 100
    assert [step["node"] for step in data["steps"]][:2] == ["a[grey=1]", "b[grey=1]"]
    assert str(tmp_path) not in json.dumps(data)
