"""What the README says, run."""

from __future__ import annotations

import re
from pathlib import Path

import PIL.Image
import pytest

from sdgraph import run
from sdgraph.registry import installed
from sdgraph.values import Image
from sdgraph.workflow import shipped, workflow_from_yaml

README = Path(__file__).parents[1] / "README.md"
SAMPLES = Path(str(shipped()["inpaint"])).parent / "samples"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


def test_the_python_example_saves_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with PIL.Image.open(SAMPLES / "man.png") as sample:
        sample.resize((128, 128)).save("man.png")

    exec(compile(blocks("python")[0], "README", "exec", dont_inherit=True), {})

    with PIL.Image.open("man_with_beard.png") as made:
        assert made.size == (128, 128)


def test_the_node_of_ones_own_runs() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(blocks("python")[1], "README", "exec", dont_inherit=True), names)
    posterize = names["Posterize"]
    assert isinstance(posterize, type)

    with PIL.Image.open(SAMPLES / "man.png") as sample:
        made = run(posterize(image=Image.from_pil(sample), bits=1))

    assert set(made.numpy.flatten()) == {0, 128}


def test_the_yaml_example_has_no_problems() -> None:
    workflow = workflow_from_yaml(blocks("yaml")[0], folder=SAMPLES.parent)

    assert workflow.problems() == []


def test_every_line_of_the_tour_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(SAMPLES)
    (tmp_path / "portrait.yaml").write_text(blocks("yaml")[0], "utf-8")
    (tmp_path / "other.png").symlink_to(SAMPLES / "man.png")
    head = (
        "nodes:\n"
        "  photo: {type: LoadImage, path: samples/man.png}\n"
        "  mask: {type: Mask, image: $photo, box: [0, 0, 9, 9]}\n"
        "  edges: {type: Canny, image: $photo}\n"
        "  depth: {type: DepthEstimate, image: $photo}\n"
    )

    workflow = workflow_from_yaml(head + blocks("yaml")[1], folder=tmp_path)

    assert workflow.problems() == []


def test_every_workflow_and_node_that_the_readme_names_exists() -> None:
    table = re.findall(r"^\| [^|]+ \| `(\w+)` \| `?(\w*)`?", README.read_text("utf-8"), re.M)

    assert {workflow for workflow, _ in table} == set(shipped())
    assert {node for _, node in table if node} <= set(installed())
