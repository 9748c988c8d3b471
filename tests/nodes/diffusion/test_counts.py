"""`count` on a node that generates: a list of what it makes with the seeds seed, seed + 1, …."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Graph, Session, events, run
from sdgraph.errors import InvalidNodeError, InvalidWorkflowError
from sdgraph.language import workflow_from_yaml
from sdgraph.nodes import (
    Canny,
    ControlNet,
    Frames,
    Grid,
    Image2Image,
    Inpaint,
    Save,
    Text2Image,
    Turbo,
    VideoFromFrames,
)
from sdgraph.provenance import read_record
from sdgraph.values import Video
from tests.support.photos import noisy, photo, spot

STAR = "a yellow star on a navy background"
NODES = [
    Text2Image(prompt=STAR, steps=2, seed=3),
    Image2Image(image=photo(64, 64), prompt=STAR, steps=3, seed=3),
    Inpaint(image=photo(64, 64), mask=spot(64, 64), prompt=STAR, steps=2, seed=3),
    ControlNet(control=Canny(image=photo(64, 64)), prompt=STAR, steps=2, seed=3),
    Turbo(prompt=STAR, seed=3),
]


@pytest.mark.torch
@pytest.mark.parametrize("node", NODES, ids=lambda node: type(node).__name__)
def test_the_pictures_of_a_count_are_those_of_its_seeds_made_at_once(node: Any) -> None:
    session, heard = Session(device="cpu"), list[events.Event]()
    pictures = run(node.replace(count=3), session=session, on_event=heard.append)
    started = [e for e in heard if isinstance(e, events.NodeStarted) and e.type != "Canny"]
    assert [event.batch for event in started] == [3, 3, 3]
    alone = Session(device="cpu", store=None)
    for seed, picture in zip((3, 4, 5), pictures, strict=True):
        one = node.replace(seed=seed)
        np.testing.assert_array_equal(picture.numpy, run(one, session=alone).numpy)
        assert session.plan(Graph.of(one)).steps[-1].action == "reuse"


@pytest.mark.torch
def test_pictures_of_a_count_are_saved_each_with_a_record_of_its_own(tmp_path: Path) -> None:
    text = """\
inputs: {seed: 3, count: 2}
nodes:
  star: {type: Text2Image, prompt: a star, seed: $inputs.seed, count: $inputs.count, steps: 1}
  file: {type: Save, image: $star, path: star.png}
"""
    flow = workflow_from_yaml(text, folder=tmp_path)
    session = Session(device="cpu")
    paths = run(flow, session=session)["file"]
    assert [path.name for path in paths] == ["star_seed-0003.png", "star_seed-0004.png"]
    recorded = workflow_from_yaml(read_record(paths[1]).workflow, folder=tmp_path)
    again = recorded.graph()
    assert [node.action for node in session.plan(again).steps] == ["reuse", "run"]


def test_a_grid_shows_all_pictures_of_a_count() -> None:
    star = Text2Image(prompt=STAR, count=4)
    plan = Session(device="cpu", store=None).plan(
        Graph.of(Save(image=Grid(images=[star]), path="g.png"))
    )
    assert [step.name for step in plan.steps if "Text" not in type(step.node).__name__] == [
        "grid",
        "save",
    ]
    assert [step.node.wires for step in plan.steps if step.name == "grid"] == [
        tuple((f"images[{n}]", star.replace(count=1, seed=n)) for n in range(4))
    ]


def test_a_count_for_each_frame_of_a_video_is_refused() -> None:
    frames = Frames(video=Video(noisy((2, 64, 64, 3)), 8))
    drawn = Image2Image(image=frames, prompt=STAR, count=2)
    graph = Graph.of(VideoFromFrames(frames=drawn))
    with pytest.raises(InvalidWorkflowError, match="2 for each frame of a video"):
        Session(device="cpu", store=None).plan(graph)


def test_pictures_of_a_count_are_the_frames_of_a_video() -> None:
    video = VideoFromFrames(frames=Text2Image(prompt=STAR, count=3))
    steps = Session(device="cpu", store=None).plan(Graph.of(video)).steps
    assert [step.name for step in steps][-1] == "video_from_frames"
    assert len(steps[-1].node.wires) == 3


@pytest.mark.parametrize("count", [0, -1, 1001, 2.0, "2", True])
def test_a_count_is_a_whole_number_from_1_to_1000(count: Any) -> None:
    with pytest.raises(InvalidNodeError, match="count"):
        Text2Image(prompt=STAR, count=count)
