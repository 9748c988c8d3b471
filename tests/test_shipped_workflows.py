"""The workflows that ship: each runs offline as it stands, and says what to change."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from sdgraph import Session, load_workflow, media
from sdgraph.provenance import read
from sdgraph.workflow import shipped, workflow_from_yaml
from sdgraph.workflows import draw_samples

NAMES = sorted(shipped())


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(store=None)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_no_problems(name: str) -> None:
    assert load_workflow(name).problems() == []


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_offline_and_its_files_tell_how_they_were_made(
    name: str, session: Session, tmp_path: Path
) -> None:
    files = session.run(load_workflow(name, out=tmp_path).graph())

    assert files
    for file in files.values():
        assert file.is_relative_to(tmp_path)
        if file.suffix == ".mp4":
            video = media.read_video(file)
            assert (len(video), video.fps) == (76, 25.0)
            assert video.frames.std() > 1
        else:
            assert np.asarray(PIL.Image.open(file)).std() > 1
        again = workflow_from_yaml(read(file).workflow, folder=tmp_path)
        assert again.problems() == []


@pytest.mark.parametrize("name", NAMES)
def test_it_opens_with_what_it_does_and_which_line_to_change(name: str) -> None:
    first, second, third = shipped()[name].read_text(encoding="utf-8").splitlines()[:3]

    assert first.startswith("# ")
    assert second.startswith("# Your own checkpoint")
    assert not third.startswith("#")
    named = re.findall(r"`(\w+)`", second)
    assert named
    assert set(named) <= set(load_workflow(name).inputs)


def test_the_reference_settings_are_the_fields_own() -> None:
    def node(workflow: str, name: str) -> object:
        graph = load_workflow(workflow).graph()
        return {label: node for node, label in graph.names.items()}[name]

    man, skyline = node("controlnet", "man"), node("depth", "skyline")
    bear, sketch = node("video", "bear"), node("turbo", "sketch")

    fields = ("scale", "scheduler", "steps", "seed")
    assert [getattr(man, field) for field in fields] == [0.5, "dpm++", 100, 12345]
    assert [getattr(skyline, field) for field in ("strength", "steps")] == [0.7, 100]
    assert [getattr(sketch, field) for field in ("steps", "guidance", "seed")] == [1, 0.0, 42]
    fields = ("seconds", "fps", "steps", "offload")
    assert [getattr(bear, field) for field in fields] == [3.0, 25.0, 25, "model"]


def test_the_samples_are_what_the_script_draws(tmp_path: Path) -> None:
    draw_samples.draw(tmp_path)
    folder = Path(str(resources.files("sdgraph.workflows"))) / "samples"

    for drawn in tmp_path.glob("*.png"):
        shown = np.asarray(PIL.Image.open(folder / drawn.name)).astype(int)
        assert np.abs(shown - np.asarray(PIL.Image.open(drawn))).max() <= 2
    assert {path.name for path in folder.glob("*")} == {path.name for path in tmp_path.glob("*")}
