"""A smoke test of each system, small enough for `pytest -m quick`: few steps, small pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdgraph import Session, load_workflow
from sdgraph.values import Image, Video

SYSTEMS = {
    "inpaint": ("star", {"star.steps": 4}),
    "controlnet": ("star", {"star.steps": 4}),
    "turbo": ("sketch", {}),
    "depth": ("evening", {"evening.steps": 4}),
    "video": ("star", {"star.steps": 2, "star.frames": 4}),
}
"""A node of each workflow, and the fields that make it small."""

pytestmark = [pytest.mark.torch, pytest.mark.quick]


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(device="cpu", store=None)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_system_makes_a_picture(system: str, session: Session, tmp_path: Path) -> None:
    name, small = SYSTEMS[system]
    graph = load_workflow(system, out=tmp_path).with_fields(small).graph(only=[name])

    value = session.run(graph)[name]

    assert isinstance(value, Video if system == "video" else Image)
    pixels = value.frames if isinstance(value, Video) else value.numpy
    assert pixels.shape[-3:] == (64, 64, 3)
    assert np.std(pixels) > 10  # a scene, no even colour
