"""Control maps that are pictures in files already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, InvalidWorkflowError, Session, plan, run
from sdgraph.language import workflow_from_yaml
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthFromFile,
    EdgesFromFile,
    LoadImage,
    NormalsFromFile,
    PoseFromFile,
    Save,
    ScribbleFromFile,
    SegmentsFromFile,
    SoftEdgesFromFile,
)
from tests.support.failing_runs import failure, refused_before_load
from tests.support.photos import MODES, photo, picture, save_in_mode

PICTURES: tuple[Any, ...] = (
    EdgesFromFile,
    NormalsFromFile,
    PoseFromFile,
    ScribbleFromFile,
    SegmentsFromFile,
    SoftEdgesFromFile,
)


@pytest.mark.parametrize("cls", PICTURES, ids=lambda node_type: str(node_type.__name__))
@pytest.mark.parametrize("mode", MODES)
def test_a_picture_of_any_mode_is_read_as_it_shows(
    cls: Any, mode: str, tmp_path: Path, session: Session
) -> None:
    path = save_in_mode(picture(31, 17, "cat"), mode, tmp_path)
    result = run(cls(path=path), session=session)
    assert (
        type(result) is cls.output and result.size == (31, 17) and result.numpy.shape == (17, 31, 3)
    )
    assert np.array_equal(result.numpy, np.asarray(run(LoadImage(path=path), session=session).rgb))


@pytest.mark.torch
def test_edges_that_were_saved_steer_as_those_that_were_made(
    tmp_path: Path, session: Session
) -> None:
    edges = Canny(image=photo(64, 64))
    path = run(Save(image=edges, path=str(tmp_path / "edges.png")), session=session)
    node = ControlNet(prompt="a red star", control=edges, steps=1)
    assert run(node.replace(control=EdgesFromFile(path=path)), session=session) == run(
        node, session=session
    )
    (*_, step) = plan(node.replace(control=EdgesFromFile(path=path))).steps
    assert any("controlnet-edges" in use.component.name for use in step.uses)


def test_the_kind_finds_the_network_for_a_real_base(tmp_path: Path) -> None:
    picture(8, 8).save(tmp_path / "pose.png")
    node = ControlNet(
        prompt="a",
        control=PoseFromFile(path=tmp_path / "pose.png"),
        checkpoint=Checkpoint("stable-diffusion-v1-5/stable-diffusion-v1-5"),
    )
    (network,) = node.controlnets()
    assert network.source == "lllyasviel/sd-controlnet-openpose"


@pytest.mark.parametrize("bits", [8, 16])
def test_depth_keeps_all_its_bits_and_may_be_turned_round(bits: int, tmp_path: Path) -> None:
    values = np.arange(64 * 48).reshape(48, 64) % 2**bits
    path = tmp_path / "depth.png"
    PIL.Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16)).save(path)
    near = DepthFromFile(path=path).run()
    assert len(np.unique(near.depth)) == len(np.unique(values))
    assert np.array_equal(DepthFromFile(path=path, invert=True).run().depth, -near.depth)


def test_what_is_no_map_is_one_clear_error(tmp_path: Path, session: Session) -> None:
    picture(8, 8, "cat").save(tmp_path / "colours.png")
    message = str(failure(DepthFromFile(path=tmp_path / "colours.png"), session))
    assert "a colour picture" in message and "DepthEstimate" in message
    PIL.Image.new("L", (8, 8), 7).save(tmp_path / "flat.png")
    assert "one depth" in str(failure(DepthFromFile(path=tmp_path / "flat.png"), session))
    (tmp_path / "text.png").write_text("no picture")
    assert "a file that is not a picture" in refused_before_load(
        EdgesFromFile(path=tmp_path / "text.png")
    )


def test_a_picture_in_the_place_of_a_map_is_refused_with_the_node_that_makes_one(
    tmp_path: Path,
) -> None:
    picture(8, 8).save(tmp_path / "a.png")
    text = (
        "nodes: {p: {type: LoadImage, path: a.png}, c: {type: ControlNet, control: $p, prompt: a}}"
    )
    (problem,) = workflow_from_yaml(text, folder=tmp_path).problems()
    assert "EdgesFromFile" in problem.fix and "Canny" in problem.fix


@pytest.mark.parametrize("cls", (*PICTURES, DepthFromFile), ids=lambda cls: str(cls.__name__))
def test_an_input_of_its_kind_takes_the_path_of_a_picture(
    cls: Any, tmp_path: Path, session: Session
) -> None:
    PIL.Image.linear_gradient("L").resize((16, 8)).save(path := tmp_path / "map.png")
    text = (
        f"inputs: {{map: {{type: {cls.output.__name__}}}}}\n"
        "nodes: {saved: {type: Save, image: $inputs.map, path: out.png}}"
    )
    workflow = workflow_from_yaml(text, folder=tmp_path)
    graph = workflow.graph(map=path)
    assert graph.targets == (Save(image=cls(path=path), path=tmp_path / "out.png"),)
    session.run(graph)
    assert (tmp_path / "out.png").is_file()


def test_a_control_map_of_no_known_kind_takes_no_path(tmp_path: Path) -> None:
    text = (
        "inputs: {map: {type: ControlMap}}\n"
        "nodes: {saved: {type: Save, image: $inputs.map, path: out.png}}"
    )
    with pytest.raises(InvalidWorkflowError, match=r"wanted: a ControlMap(\n|$)"):
        workflow_from_yaml(text, folder=tmp_path).graph(map=tmp_path / "map.png")
