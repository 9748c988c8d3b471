"""Shipped workflows: those of the tiny world run offline, the others say what they fetch."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Node, Session, load_workflow
from sdgraph.cli.request import open_workflow
from sdgraph.cli.saved_file import workflow_of_saved_file
from sdgraph.graph import Graph, installed_registry
from sdgraph.language import shipped_workflows
from sdgraph.media import read_video
from sdgraph.nodes.maps.skeleton import COLORS, JOINTS
from sdgraph.nodes.tiny_world import canny_edges, edge_f1, judge_picture, parse_caption
from sdgraph.values import Mask
from sdgraph.workflows import draw_samples

NAMES = [name for name in shipped_workflows() if "/" not in name]
REFERENCE = [name for name in shipped_workflows() if name.startswith("reference/")]

FOLDER = Path(str(resources.files("sdgraph.workflows")))
SMALL = FOLDER / "samples"

BOTH = "a green circle on the left and a yellow square on the right on a teal background"


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(store=None)


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that may be asked, of which nothing is here yet."""
    import huggingface_hub.constants as constants

    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def check_files(files: dict[str, Path], folder: Path, *nameless: str) -> None:
    """Whether each file shows something, and carries a workflow without problems.

    `nameless` are the fields with checkpoints of which a record has only the name.
    """
    assert files
    for file in files.values():
        assert file.is_relative_to(folder)
        if file.suffix == ".mp4":
            assert read_video(file).frames.std() > 1
        else:
            assert np.asarray(PIL.Image.open(file)).std() > 1
        saved = workflow_of_saved_file(str(file), installed_registry(), allow_outside=False)
        assert {problem.subject for problem in saved.problems()} <= set(nameless)


def node(workflow: str, name: str) -> Node[Any]:
    graph = load_workflow(workflow).graph()
    return {label: node for node, label in graph.names.items()}[name]


def test_those_in_folders_are_named_by_them() -> None:
    assert NAMES == [
        "background",
        "chain",
        "controlnet",
        "depth",
        "face",
        "inpaint",
        "outpaint",
        "pose",
        "regions",
        "replace",
        "text",
        "turbo",
        "two_maps",
        "video",
        "video_edges",
    ]
    assert "training/base" in shipped_workflows()


@pytest.mark.usefixtures("empty_hub")
@pytest.mark.parametrize("name", shipped_workflows())
def test_it_has_no_problems(name: str) -> None:
    assert load_workflow(name).problems() == []


@pytest.mark.torch
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_offline_and_its_files_tell_how_they_were_made(
    name: str, session: Session, tmp_path: Path
) -> None:
    check_files(session.run(load_workflow(name, out=tmp_path).graph()), tmp_path)


@pytest.mark.parametrize("name", [*NAMES, *REFERENCE])
def test_it_opens_with_what_it_does_and_which_line_to_change(name: str) -> None:
    first, second, third = shipped_workflows()[name].read_text(encoding="utf-8").splitlines()[:3]

    assert first.startswith("# ")
    assert second.startswith(("# Your own checkpoint", "# Your own video"))
    assert not third.startswith("#")
    named = re.findall(r"`(\w+)`", second)
    assert named
    assert set(named) <= set(load_workflow(name).inputs)
    if f"reference/{name}" in REFERENCE:
        assert f"`reference/{name}`" in second


@pytest.mark.parametrize("name", NAMES)
def test_its_prompts_describe_the_tiny_world(name: str) -> None:
    graph = load_workflow(name).graph()
    prompts = [
        f"a red star {prompt}" if getattr(node, "reference", None) else prompt
        for node in graph.nodes
        if (prompt := getattr(node, "prompt", None))
    ]

    assert prompts or name == "video_edges"
    for prompt in prompts:
        parse_caption(prompt)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("name", "shows", "kept"),
    [
        ("replace", "a cyan star in the center on a gray background", "rest"),
        ("background", "a red star on the left on a sunset background", "subject"),
        ("regions", BOTH, "rest"),
    ],
)
def test_it_changes_what_it_should_and_nothing_else(
    name: str, shows: str, kept: str, session: Session, tmp_path: Path
) -> None:
    graph = load_workflow(name, out=tmp_path).graph()
    nodes = {label: node for node, label in graph.names.items()}
    complete = Graph.of(*graph.targets, *nodes.values(), names=graph.names)
    values = session.run(complete)
    picture = np.asarray(PIL.Image.open(values["result"]).convert("RGB"))
    before = values["photo"].numpy[..., :3]
    areas = [value.numpy for value in values.values() if isinstance(value, Mask)]
    if kept == "subject":
        assert (
            picture[values["subject"].numpy == 255] == before[values["subject"].numpy == 255]
        ).all()
    else:
        outside = np.max(areas, axis=0) == 0
        assert outside.any() and (picture[outside] == before[outside]).all()
    assert judge_picture(picture, parse_caption(shows)).all


@pytest.mark.torch
def test_a_larger_canvas_keeps_the_picture_and_goes_on_with_its_ground(
    session: Session, tmp_path: Path
) -> None:
    (file,) = session.run(load_workflow("outpaint", out=tmp_path).graph()).values()
    picture = np.asarray(PIL.Image.open(file).convert("RGB")).astype(int)
    photo = np.asarray(PIL.Image.open(SMALL / "red_circle.png").convert("RGB")).astype(int)
    assert picture.shape == (64, 96, 3)
    assert (picture[:, 16:80] == photo).all()
    for strip in (picture[:, :16], picture[:, 80:]):
        assert np.abs(strip - photo[0, 0]).max(axis=2).mean() < 12


@pytest.mark.torch
def test_the_small_video_is_two_seconds_long(session: Session, tmp_path: Path) -> None:
    workflow = load_workflow("video", out=tmp_path).with_fields({"star.steps": 1})
    (file,) = session.run(workflow.graph()).values()

    video = read_video(file)
    assert (len(video), video.fps, video.size) == (16, 8.0, (64, 64))


def test_the_edges_of_the_video_are_those_of_its_frames(session: Session, tmp_path: Path) -> None:
    (file,) = session.run(load_workflow("video_edges", out=tmp_path).graph()).values()

    video, clip = read_video(file), read_video(SMALL / "moving_star.mp4")
    assert (len(video), video.fps, video.size) == (16, 8.0, (132, 64))
    for side_by_side, frame in zip(video.frames, clip.frames, strict=True):
        assert edge_f1(canny_edges(frame), side_by_side[:, 68:, 1]) > 0.9


@pytest.mark.torch
def test_two_maps_at_once_are_both_followed(session: Session, tmp_path: Path) -> None:
    files = session.run(load_workflow("two_maps", out=tmp_path).graph())

    picture, edges = (np.asarray(PIL.Image.open(files[name])) for name in ("result", "lines"))
    star: Any = node("two_maps", "star")
    assert judge_picture(picture, parse_caption(star.prompt)).all
    assert edge_f1(picture, edges[..., 0], tolerance=2) > 0.6
    assert list(star.scale) == [0.7, 0.5] and list(star.end) == [1.0, 0.8]


@pytest.mark.torch
def test_the_subject_of_a_reference_stands_where_the_prompt_says(
    session: Session, tmp_path: Path
) -> None:
    (file,) = session.run(load_workflow("face", out=tmp_path).graph()).values()

    picture = np.asarray(PIL.Image.open(file).convert("RGB"))
    assert judge_picture(picture, parse_caption("a red star on the left on a teal background")).all


@pytest.mark.torch
def test_the_pose_is_drawn_at_the_given_points(session: Session, tmp_path: Path) -> None:
    files = session.run(load_workflow("pose", out=tmp_path).graph())

    pixels = np.asarray(PIL.Image.open(files["map"]))
    pose: Any = node("pose", "pose")
    (person,) = pose.people
    for joint, (x, y) in person.items():
        assert tuple(pixels[round(y), round(x)].tolist()) == COLORS[JOINTS.index(joint)]


def test_the_samples_are_what_the_script_draws(tmp_path: Path) -> None:
    draw_samples.draw(tmp_path)

    names = {path.relative_to(tmp_path) for path in tmp_path.rglob("*.*")}
    assert names == {path.relative_to(FOLDER) for path in FOLDER.glob("**/samples/*")}
    for name in names:
        if name.suffix == ".mp4":
            committed = read_video(FOLDER / name).frames.astype(int)
            assert np.abs(committed - read_video(tmp_path / name).frames).mean() <= 1
            continue
        committed = np.asarray(PIL.Image.open(FOLDER / name)).astype(int)
        assert np.abs(committed - np.asarray(PIL.Image.open(tmp_path / name))).max() <= 2


@pytest.mark.parametrize("name", ["inpaint", "reference/inpaint"])
def test_what_it_writes_goes_below_the_current_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    (target,) = open_workflow(name, installed_registry()).graph().targets

    assert Path(target.non_default_fields()["path"]) == tmp_path / "out" / "inpaint.png"
