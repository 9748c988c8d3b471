"""Exchangeable parts of shipped workflows: the parts themselves, and ways to find the subject."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from sdgraph import Session, load_workflow
from sdgraph.graph import Graph
from sdgraph.language import shipped_workflows, workflow_from_yaml
from sdgraph.nodes import LoadImage, MaskFromColor
from sdgraph.nodes.tiny_world import judge_picture, parse_caption

FOLDER = Path(str(resources.files("sdgraph.workflows")))


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(store=None)


@pytest.mark.torch
@pytest.mark.parametrize("background", ["sunset", "navy"])
def test_a_background_of_the_same_depth_keeps_the_subject(
    session: Session, background: str
) -> None:
    before = LoadImage(path=FOLDER / "samples" / "red_star.png")
    photo, subject = session.run(
        Graph.of(before, MaskFromColor(image=before, color="red", tolerance=90))
    ).values()
    prompt = f"a red star on the left on a {background} background"
    part = load_workflow("parts/background_depth")
    (picture,) = session.run(part.graph(image=photo, subject=subject, prompt=prompt)).values()
    kept = subject.numpy == 255
    assert kept.any() and (picture.numpy[kept] == photo.numpy[kept]).all()
    assert judge_picture(picture.numpy, parse_caption(prompt)).all


@pytest.mark.parametrize("name", ["background", "replace"])
def test_the_line_by_words_that_it_names_can_be_put_in(name: str) -> None:
    text = shipped_workflows()[name].read_text(encoding="utf-8")
    (line,) = re.findall(r"`(\w+: \{type: MaskByWords.*?\})`", text)
    label = line.partition(":")[0]
    other, count = re.subn(rf"(?m)^  {label}: .*$", f"  {line}", text)
    assert count == 1
    assert workflow_from_yaml(other, folder=FOLDER).problems() == []
