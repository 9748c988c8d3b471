"""A chain over two families loads what its plan says, as often as it says, and no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Graph, Session
from sdgraph.events import Event, Evicted, Loaded
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.nodes import Edit, Image2Video, Inpaint, Text2Image
from sdgraph.values import Mask, Video

pytestmark = pytest.mark.usefixtures("ftfy")


def chain(klein: Checkpoint, wan: Checkpoint) -> Image2Video:
    settings: dict[str, Any] = {"steps": 2, "checkpoint": klein}
    mask = Mask(np.pad(np.full((32, 32), 255, np.uint8), 16))
    star = Text2Image(prompt="a red star", width=64, height=64, **settings)
    edited = Edit(prompt="make it blue", image=star, **settings)
    inpainted = Inpaint(prompt="a ring", image=edited, mask=mask, **settings)
    size: dict[str, Any] = {"width": 64, "height": 64, "frames": 5, "steps": 2}
    return Image2Video(prompt="it turns", image=inpainted, checkpoint=wan, **size)


@pytest.mark.parametrize("tight", [False, True], ids=["roomy", "tight"])
def test_text_edit_inpaint_and_video_load_as_planned(
    random_folder: Callable[[str], Path], tight: bool
) -> None:
    klein, wan = (Checkpoint(random_folder(name)) for name in ("flux2-klein", "wan-i2v"))
    graph = Graph.of(chain(klein, wan))
    roomy = Session(device="cpu", store=None)
    least = max(
        sum(use.component.bytes for use in step.uses) + step.working_bytes
        for step in roomy.plan(graph).steps
    )
    budgets = Budgets(host=least if tight else None)
    session = Session(device="cpu", store=None, models=ModelCache(budgets=budgets))
    planned = [(load.name, load.bytes, load.file_bytes) for load in session.plan(graph).loads]
    seen: list[Event] = []
    (result,) = session.run(graph, seen.append).values()
    loads = [event for event in seen if isinstance(event, Loaded)]
    assert [(load.component, load.bytes, load.file_bytes) for load in loads] == planned
    assert isinstance(result, Video) and len(result) == 5
    assert tight or len(planned) == len({*planned}), "no component is loaded twice"
    assert any(isinstance(event, Evicted) for event in seen) == tight
