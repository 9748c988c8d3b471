"""What the README says, run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import PIL.Image
import pytest

from sdgraph import run
from sdgraph.cli.request import parse_request
from sdgraph.graph import installed_registry
from sdgraph.language import load_workflow, shipped_workflows, workflow_from_yaml
from sdgraph.nodes.diffusion.prompts.prompt_weights import parse_weights
from sdgraph.nodes.diffusion.tuning.offloading import Offload
from sdgraph.nodes.diffusion.tuning.performance import KNOBS
from sdgraph.nodes.tiny_world import parse_caption
from sdgraph.values import QUANTIZATIONS, Image
from tests.support import lora_files

README = Path(__file__).parents[1] / "README.md"
SAMPLES = Path(str(shipped_workflows()["inpaint"])).parent / "samples"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


@pytest.mark.torch
def test_the_python_example_saves_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(SAMPLES / "red_star.png", tmp_path)

    exec(compile(blocks("python")[0], "README", "exec", dont_inherit=True), {})

    with PIL.Image.open("yellow_star.png") as picture:
        assert picture.size == (64, 64)


def test_the_node_of_ones_own_runs() -> None:
    names: dict[str, object] = {"__name__": "readme"}
    exec(compile(blocks("python")[1], "README", "exec", dont_inherit=True), names)
    posterize = names["Posterize"]
    assert isinstance(posterize, type)

    with PIL.Image.open(SAMPLES / "red_star.png") as sample:
        result = run(posterize(image=Image.from_pil(sample), bits=1))

    assert set(result.numpy.flatten()) == {0, 128}


def test_the_yaml_example_has_no_problems() -> None:
    workflow = workflow_from_yaml(blocks("yaml")[0], folder=SAMPLES.parent)

    assert workflow.problems() == []


def test_every_line_of_the_tour_has_no_problems(tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(SAMPLES)
    (tmp_path / "recolour.yaml").write_text(blocks("yaml")[0], "utf-8")
    (tmp_path / "other.png").symlink_to(SAMPLES / "red_star.png")
    head = (
        "nodes:\n"
        "  photo: {type: LoadImage, path: samples/red_star.png}\n"
        "  mask: {type: Mask, image: $photo, box: [0, 0, 9, 9]}\n"
        "  edges: {type: Canny, image: $photo}\n"
        "  depth: {type: DepthEstimate, image: $photo}\n"
    )

    workflow = workflow_from_yaml(head + blocks("yaml")[1], folder=tmp_path)

    assert workflow.problems() == []


@pytest.mark.torch
def test_the_examples_with_an_adapter_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora_files.write(tmp_path / "style.safetensors", lora_files.tensors("tiny/text-to-image"))
    monkeypatch.chdir(tmp_path)

    vectors = {"emb_params": np.ones((2, 64), np.float32)}
    lora_files.write(tmp_path / "easynegative.safetensors", vectors)
    shutil.copy(SAMPLES / "red_star.png", tmp_path)

    for example in blocks("yaml")[2:5]:
        assert workflow_from_yaml(example, folder=tmp_path).problems() == []
    exec(compile(blocks("python")[2], "README", "exec", dont_inherit=True), {})


def test_every_knob_that_the_readme_names_is_there() -> None:
    text = README.read_text("utf-8")
    rows = [
        line.split("|")[2]
        for line in text.splitlines()
        if re.match(r"\| `(tuning|offl|quan)", line)
    ]
    tuning, offload, quantization = (set(re.findall(r"`(\w+)`", row)) for row in rows)

    assert tuning == set(KNOBS)
    assert offload == set(get_args(Offload))
    assert quantization == set(QUANTIZATIONS)


def test_every_workflow_and_node_that_the_readme_names_exists() -> None:
    text = README.read_text("utf-8")
    rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    systems = [row for row in rows if len(row) == 5 and row[1] in shipped_workflows()]
    named = set(re.findall(r"`([a-z0-9_/]+)`", text)) & set(shipped_workflows())
    commands = set(re.findall(r"sdgraph (?:run|plan) ([a-z]+(?:/[a-z]+)?)(?![\w./])", text))

    assert named == {name for name in shipped_workflows() if not name.startswith("training/")}
    nodes = {name for row in systems for name in re.findall(r"\b[A-Z]\w+", row[2])}
    assert nodes and nodes <= set(installed_registry())
    assert commands and commands <= set(shipped_workflows())


def test_every_prompt_of_the_examples_describes_the_tiny_world() -> None:
    text = "\n".join([*blocks("yaml"), *blocks("python")])
    prompts = re.findall(r"""(?<!_)prompt(?::| =) "?([a-z][^},"\n]*)""", text)

    assert len(prompts) >= 7
    for prompt in prompts:
        words = "".join(text for text, _ in parse_weights(prompt))
        parse_caption(f"a red star {words}" if words.startswith("on ") else words)


def test_every_sweep_of_the_readme_is_as_many_variants_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prompts = ["a red star on a navy background", "a white cross on a teal background"] * 2
    (tmp_path / "prompts.txt").write_text("\n".join(prompts))
    shutil.copytree(SAMPLES, tmp_path / "pictures")
    (block,) = [block for block in blocks("bash") if "seed=1..50" in block]
    counts = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)[2:]
        inputs = [word for word in words if re.match(r"\w+=", word)]
        changes = [word for word in words if word.startswith("result.path=")]
        request = parse_request(load_workflow(words[0], out=tmp_path), inputs, changes)
        counts.append(len(request.sweep(side_by_side="--zip" in words).variants))

    assert counts == [50, 8, 4, len(list(SAMPLES.glob("*.png"))), 4, 4]


@pytest.mark.torch
def test_the_sweep_in_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdgraph.load_workflow", lambda name: load_workflow(name, out=tmp_path))

    exec(compile(blocks("python")[3], "README", "exec", dont_inherit=True), {})

    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [
        "text_seed-0001.png",
        "text_seed-0002.png",
    ]
    assert len(capsys.readouterr().out.splitlines()) == 2
