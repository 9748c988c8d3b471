"""What is written into a record says nothing about the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph.files import OutputFolders
from sdgraph.graph import Graph, In, Node, SourceFolder
from sdgraph.language import PortablePaths, workflows_folder, write_workflow
from sdgraph.language.written_paths import RelativePaths
from sdgraph.values import Checkpoint, Lora
from tests.support import toys


class Plain(Node[str]):
    """Has a path in a field that does not say so."""

    text: In[str] = ""
    path: str = ""
    folder: SourceFolder | None = None

    def run(self, text: str) -> str:
        return text


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "here"


def of(*paths: Path | str, folder: Path | None = None) -> list[str]:
    """The texts of some paths of files that a graph reads."""
    nodes = [toys.Read(path=path) for path in paths]
    portable = PortablePaths(Graph.of(*nodes, folder=folder))
    return [portable.path(Path(path), is_target=False) for path in paths]


def test_a_path_is_relative_to_the_workflow_or_else_to_the_current_folder(here: Path) -> None:
    flows = here / "flows"
    assert of(flows / "a/b.png", here / "c.png", "d.png", folder=flows) == [
        "a/b.png",
        "c.png",
        "d.png",
    ]
    assert of(here / "flows/../a.png") == ["a.png"]
    assert of(workflows_folder() / "samples/red_star.png") == ["samples/red_star.png"]


def test_of_a_path_outside_only_the_name_is_written_and_names_do_not_clash(here: Path) -> None:
    paths: list[Path | str] = ["/x/a.png", here / "a.png", "/y/a.png", "/z/b.png", "/x/a.png"]
    assert of(*paths) == ["a-2.png", "a.png", "a-3.png", "b.png", "a-2.png"]
    assert of("../up.png") == ["up.png"]


def test_a_link_does_not_make_a_path_another(here: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(here)
    assert of(tmp_path / "link/a.png") == ["a.png"]


def test_a_path_to_write_is_relative_to_out(here: Path) -> None:
    out = OutputFolders.of(("the folder for output", Path("/elsewhere")))
    node = toys.Write(text="a", path="/elsewhere/out/a.txt")
    portable = PortablePaths(Graph.of(node, output_folders=out, folder=here))
    assert portable.path(Path(node.path), is_target=True) == "out/a.txt"
    assert portable.path(here / "out/a.txt", is_target=True) == "out/a.txt"
    assert portable.path(Path("/far/away/a.txt"), is_target=True) == "a.txt"


HUB = "/root/.cache/huggingface/hub/models--org--name/snapshots/c0ffee"


@pytest.mark.parametrize(
    ("checkpoint", "data"),
    [
        (Checkpoint("tiny/inpaint"), "tiny/inpaint"),
        (Checkpoint("org/name", variant="fp16"), {"source": "org/name", "variant": "fp16"}),
        (Checkpoint("./models/a"), "./models/a"),
        (Checkpoint("/home/bob/models/a"), "./a"),
        (Checkpoint("~/models/a", dtype="float16"), {"source": "./a", "dtype": "float16"}),
        (Lora("/home/bob/b.safetensors", scale=0.5), {"source": "./b.safetensors", "scale": 0.5}),
        (Checkpoint(HUB), {"source": "org/name", "revision": "c0ffee"}),
        (
            Checkpoint(f"{HUB}/vae", subfolder="deep"),
            {"source": "org/name", "revision": "c0ffee", "subfolder": "vae/deep"},
        ),
        (
            Lora(f"{HUB}/w.safetensors"),
            {"source": "org/name", "revision": "c0ffee", "file": "w.safetensors"},
        ),
    ],
)
def test_a_checkpoint_on_this_machine_is_named_and_not_located(
    here: Path, checkpoint: Checkpoint, data: Any
) -> None:
    portable = PortablePaths(Graph.of(toys.Text(text="a")))
    assert portable.checkpoint(checkpoint) == data
    absolute = Checkpoint(here / "models/a")
    assert portable.checkpoint(absolute) == "./models/a"


def test_the_absolute_path_of_a_file_in_a_plain_field_is_relative_too(here: Path) -> None:
    (here / "pictures").mkdir()
    path = str(here / "pictures")
    node = Plain(text=path, path=path, folder=path)
    text, _ = write_workflow(graph := Graph.of(node), paths=PortablePaths(graph))
    assert "path: pictures, folder: pictures" in text
    assert f"text: {path}" in text  # a text is what it says
    assert PortablePaths(graph).text("/no such/file") == "/no such/file"
    assert PortablePaths(graph).text("/") == "/"


def test_a_checkpoint_is_written_relative_to_the_folder_of_the_file(here: Path) -> None:
    paths = RelativePaths(here / "flows")
    assert paths.checkpoint(Checkpoint("./m", dtype="float16")) == {
        "source": "../m",
        "dtype": "float16",
    }
    assert paths.checkpoint(Lora("./flows/style.safetensors")) == "./style.safetensors"
    assert RelativePaths(None).checkpoint(Checkpoint("./m")) == "./m"
    for same in ("org/name", "/abs/m", "~/m", "tiny/inpaint"):
        assert paths.checkpoint(Checkpoint(same)) == same


def test_the_paths_in_a_message_lose_the_folders_of_this_machine(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    paths = PortablePaths(Graph.of(toys.Text(text="a")))
    text = f"{here}/a.txt and '{here}/b/c.txt'; /x{here}/d.txt, /home/alice/e.txt, /home/alicex"
    assert paths.message(text) == f"a.txt and 'b/c.txt'; /x{here}/d.txt, ~/e.txt, /home/alicex"
    assert paths.data({"a": [here / "b.png", 3], "b": "words"}) == {"a": ["b.png", 3], "b": "words"}
    assert paths.written_file(str(here / "out" / "a.png"), here / "out") == "a.png"
    assert paths.written_file(str(here / "out" / "a.png"), here / "tables") == "out/a.png"
