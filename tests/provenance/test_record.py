"""A saved file carries the workflow that made it, and that workflow makes it again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from PIL.PngImagePlugin import PngInfo

from sdgraph.errors import MediaError
from sdgraph.graph import Graph, Node
from sdgraph.language import workflow_from_yaml
from sdgraph.media import write_image
from sdgraph.nodes import Crop, LoadImage, Resize
from sdgraph.provenance import make_record, read_record
from sdgraph.values import Image
from tests.support import toys
from tests.support.strategies import texts

PICTURE = Image(np.zeros((8, 8, 3), np.uint8))


def save_picture(path: Path, text: str | None) -> Path:
    write_image(PICTURE.pil, path, provenance=text)
    return path


@given(texts)
def test_the_workflow_in_a_record_makes_the_same_graph(text: str) -> None:
    target: Node[str] = toys.Join(words=[toys.Text(text=text), text], glue=text)
    record = make_record(Graph.of(target), "a/join", device="cpu", dtype=None)
    assert workflow_from_yaml(record.workflow, registry=toys.REGISTRY).graph().targets == (target,)
    assert json.loads(record.to_text())["sdgraph_record"] == 2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
def test_a_record_is_read_back_from_a_picture(tmp_path: Path, name: str) -> None:
    graph = Graph.of(toys.Text(text="größe $x"))
    record = make_record(graph, "text", device="cpu", dtype="float32")
    assert read_record(save_picture(tmp_path / name, record.to_text())) == record
    assert record.versions["sdgraph"] and record.versions["torch"]


def test_a_record_of_an_older_and_of_a_newer_version_is_read(tmp_path: Path) -> None:
    old = {
        "sdgraph_record": 1,
        "workflow": "nodes: {}",
        "node": "a",
        "device": "cpu",
        "dtype": None,
        "versions": {"torch": "2.0"},
    }
    first = read_record(save_picture(tmp_path / "a.png", json.dumps(old)))
    assert (first.node, first.inputs) == ("a", {})
    newer = {**old, "sdgraph_record": 9, "mood": "blue"}
    assert read_record(save_picture(tmp_path / "b.png", json.dumps(newer))) == first


BEFORE_PACKS = (
    '{"sdgraph_record": 2, "workflow": "name: small\\nnodes:\\n'
    "  load_image: {type: LoadImage, path: photo.png}\\n"
    "  crop: {type: Crop, image: $load_image, width: 8}\\n"
    '  small: {type: Resize, image: $crop, width: 4, height: 4}\\n", "node": "small",'
    ' "device": "cpu", "dtype": null, "versions": {"sdgraph": "0.1.0", "torch": "2.13.0+cpu"},'
    ' "altered": {}, "inputs": {}, "seeds": {}, "sources": {}, "checkpoints": []}'
)
"""As it was written when keys of results held the modules of nodes."""


def test_a_record_from_before_nodes_were_known_by_pack_makes_the_same_graph(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    record = read_record(save_picture(photo, BEFORE_PACKS))
    (target,) = workflow_from_yaml(record.workflow, folder=tmp_path).graph().targets
    part = Crop(image=LoadImage(path=photo), width=8)
    assert target == Resize(image=part, width=4, height=4)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "no json",
        "{}",
        "[1]",
        "3",
        '{"sdgraph_record": 1}',
        "[" * 9999,
        '{"sdgraph_record": 2, "workflow": 3, "node": "", "device": "", "versions": {}}',
    ],
)
def test_a_picture_without_a_record_is_reported(tmp_path: Path, text: str | None) -> None:
    with pytest.raises(MediaError, match="no record of how it was made"):
        read_record(save_picture(tmp_path / "a.png", text))


A1111 = "a star\nNegative prompt: bad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


def save_as_program(path: Path, name: str, text: str) -> Path:
    """A picture or video with what another program writes under a name."""
    picture = PIL.Image.new("RGB", (4, 4))
    exif = PIL.Image.Exif()
    if name == "UserComment":
        exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + text.encode("utf-16-be")
    elif path.suffix != ".png":
        exif[0x010F] = f"{name}:{text}"
    else:
        info = PngInfo()
        info.add_text(name, text)
        picture.save(path, pnginfo=info)
        return path
    picture.save(path, exif=exif)
    return path


@pytest.mark.parametrize(
    ("file", "name", "text", "program"),
    [
        ("a.png", "parameters", A1111, "A1111"),
        ("a.jpg", "UserComment", A1111, "A1111"),
        ("a.webp", "UserComment", A1111, "A1111"),
        ("a.png", "prompt", '{"3": {"class_type": "KSampler", "inputs": {}}}', "ComfyUI"),
        ("a.png", "workflow", '{"nodes": [], "links": []}', "ComfyUI"),
        ("a.webp", "workflow", '{"nodes": [], "links": []}', "ComfyUI"),
        ("a.png", "invokeai_metadata", "{}", "InvokeAI"),
    ],
)
def test_a_picture_of_another_program_is_named_and_what_to_do(
    tmp_path: Path, file: str, name: str, text: str, program: str
) -> None:
    with pytest.raises(MediaError, match=f"a file of {program}") as caught:
        read_record(save_as_program(tmp_path / file, name, text))
    assert "Text2Image" in caught.value.problems[0].fix
    assert "Sampler" not in str(caught.value).replace("KSampler", "")  # nothing of it is quoted


def test_a_picture_handed_in_from_python_is_said_and_no_reason_to_fail() -> None:
    graph = Graph.of(toys.Edges(image=PICTURE))
    record = make_record(graph, "edges", device="cpu", dtype=None)
    assert record.workflow.startswith("# edges.image") and "Image" in record.workflow
    assert all(line.startswith("#") for line in record.workflow.splitlines())


def test_a_record_says_nothing_of_files_that_were_there_before() -> None:
    def record(existing: str) -> str:
        flow = (
            f"inputs: {{existing: {existing}}}\nnodes:\n  photo: {{type: LoadImage, path: a.png}}\n"
            "  save: {type: Save, image: $photo, path: b.png, existing: $inputs.existing}\n"
        )
        bound, (save,) = workflow_from_yaml(flow).bind({})
        assert save.existing == existing  # type: ignore[attr-defined]
        graph = Graph.of(save, names=bound.names, origins=bound.origins)
        return make_record(graph, "save", device="cpu", dtype=None).to_text()

    assert record("number") == record("replace") == record("refuse")
    assert "existing" not in record("replace")


def test_pictures_from_python_have_records_of_their_own() -> None:
    def origin(grey: int, width: int) -> str:
        small = Resize(image=Image(np.full((4, 4, 3), grey, np.uint8)), width=width, height=4)
        return make_record(Graph.of(small), "small", device="cpu", dtype=None).to_text()

    assert origin(1, 8) == origin(1, 8)
    assert len({origin(1, 8), origin(2, 8), origin(1, 9)}) == 3
