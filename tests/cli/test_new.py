"""`new` copies workflows with all that they read, and makes nodes and packages that work."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

from sdgraph.cli.new_files import NewFile, write_files
from sdgraph.cli.new_node import new_node, new_pack
from sdgraph.cli.new_workflow import SCHEMA_COMMENT, new_workflow
from sdgraph.graph import installed_registry
from sdgraph.language import load_workflow, shipped_workflows
from tests.support.command_line import Command, CommandResult


def new(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("new", *arguments, toys=False)


def test_a_copy_keeps_comments_and_reads_only_what_was_copied(
    sdgraph: Command, tmp_path: Path
) -> None:
    result = new(sdgraph, "mine", "background")
    assert result.code == 0 and "to run it: sdgraph run mine.yaml" in result.out
    original = shipped_workflows()["background"].read_text("utf-8")
    wanted = original.replace("\nname: background\n", "\nname: mine\n")
    assert (tmp_path / "mine.yaml").read_text("utf-8") == SCHEMA_COMMENT + wanted
    for file in ("samples/red_star.png", "parts/background.yaml", "sdgraph.schema.json"):
        assert (tmp_path / file).is_file() and f"written: {file}" in result.out
    result = sdgraph("validate", "mine.yaml", toys=False)
    assert result.code == 0 and "writes out/background.png" in result.out


def test_every_shipped_workflow_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(shipped_workflows()):
        write_files(new_workflow(f"copy{number}.yaml", name))
        copy, original = load_workflow(f"copy{number}.yaml"), load_workflow(name)
        assert copy.name == f"copy{number}" and copy.problems() == [], name
        assert {*copy.inputs} == {*original.inputs} and {*copy.template.specs} == {
            *original.template.specs
        }
        text = Path(f"copy{number}.yaml").read_text("utf-8")
        assert "../" not in text and text.startswith(SCHEMA_COMMENT)
        for declared in copy.inputs.values():
            if declared.type == "Path" and not declared.required:
                assert Path(declared.default).is_file(), (name, declared)


def test_without_a_source_the_simplest_is_copied(sdgraph: Command, tmp_path: Path) -> None:
    assert new(sdgraph, "no.yaml").code == 0
    assert '\nname: "no"\n' in (tmp_path / "no.yaml").read_text("utf-8")
    assert load_workflow(tmp_path / "no.yaml").name == "no"


def test_no_file_is_replaced_and_then_none_is_written(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/red_star.png").write_bytes(b"mine")
    (tmp_path / "mine.yaml").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    result = new(sdgraph, "mine", "background")
    assert result.code == 2 and sorted(tmp_path.rglob("*")) == before
    assert "mine.yaml\n  found:  another file of that name" in result.err
    assert "samples/red_star.png\n  found:  another" in result.err
    assert (tmp_path / "mine.yaml").read_text() == "mine"


def test_what_is_there_already_is_kept(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "sdgraph.schema.json").write_text("{}")
    assert new(sdgraph, "one", "background").code == 0
    result = new(sdgraph, "two", "background")
    assert result.out.splitlines()[0] == "written: two.yaml"
    assert (tmp_path / "sdgraph.schema.json").read_text() == "{}"


def test_after_a_full_disk_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    good = NewFile.text("a.txt", "a")
    (tmp_path / "b").mkdir(mode=0o500)
    bad = NewFile(Path("b.txt"), "not bytes")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_files([good, bad])
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a/b.yaml"], "cd a and write b.yaml"),
        (["../b.yaml"], "cd .. and write b.yaml"),
        ([""], "the name of a file in the current folder"),
        (["x", "inpant"], "did you mean 'inpaint'?"),
        (["x", "text", "--node"], "leave text out"),
        (["x", "--node", "--pack"], "leave one out"),
        (["Canny", "--node"], "the node type Canny, which is there already"),
        (["random", "--node"], "which Python or a library has"),
        (["3d", "--node"], "a letter first"),
        (["class", "--pack"], "a letter first"),
    ],
)
def test_a_wrong_name_is_an_error_with_a_fix(
    sdgraph: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    before = sorted(tmp_path.iterdir())
    result = new(sdgraph, *arguments)
    assert result.code == 2 and message in result.err and "Traceback" not in result.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_where_a_folder_is_needed_is_named(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "samples").write_text("")
    result = new(sdgraph, "mine", "background")
    assert result.code == 2 and "samples\n  found:  a file, where a folder" in result.err


@pytest.mark.parametrize("name", ["SoftGlow", "soft_glow", "soft_glow.py"])
def test_a_new_node_passes_its_own_test(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    result = new(sdgraph, name, "--node")
    assert result.code == 0 and "sdgraph run FILE --nodes soft_glow.py" in result.out
    assert "SoftGlow" in installed_registry().with_file(tmp_path / "soft_glow.py")
    _run_tests(tmp_path, tmp_path / "test_soft_glow.py", monkeypatch)


def test_a_new_package_offers_its_node_and_passes_its_test(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert new(sdgraph, "my-nodes", "--pack").code == 0
    folder = tmp_path / "my_nodes"
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    assert project["project"]["entry-points"]["sdgraph.nodes"] == {"my_nodes": "my_nodes"}
    registry = installed_registry().with_file(folder / "src/my_nodes")
    assert registry["Brighten"] is registry["my_nodes.Brighten"]
    _run_tests(folder / "src", folder / "tests/test_brighten.py", monkeypatch)


def _run_tests(root: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the tests in a file, with `root` in the path of modules."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(root)
    monkeypatch.syspath_prepend(file.parent)
    try:
        module = importlib.import_module(file.stem)
        tests = [test for name, test in vars(module).items() if name.startswith("test_")]
        assert len(tests) == 2
        for test in tests:
            test()
    finally:
        for name in set(sys.modules) - known:
            if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(
                root.parent
            ):
                del sys.modules[name]


def test_the_files_of_nodes_and_packages_are_formatted(tmp_path: Path) -> None:
    for file in [*new_node("soft_glow"), *new_pack("my_nodes")]:
        text = file.content.decode()
        assert "@" not in text and text == text.strip("\n") + "\n" * bool(text)
        assert all(len(line) <= 100 for line in text.splitlines())
