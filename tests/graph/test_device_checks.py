"""What a device cannot load is told before anything is loaded or fetched."""

from __future__ import annotations

import pytest

from sdgraph import Checkpoint, Graph, Session
from sdgraph.errors import InvalidWorkflowError
from sdgraph.graph import device_checks, likely_device_problems
from sdgraph.models.checkpoint import part_checks
from sdgraph.nodes import Text2Image


@pytest.fixture(autouse=True)
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that the packages for quantization are installed."""
    monkeypatch.setattr(part_checks, "find_spec", lambda _: True)


def graph_of(**fields: str) -> Graph:
    checkpoint = Checkpoint("tiny/text-to-image", **fields)  # type: ignore[arg-type]
    return Graph.of(Text2Image(prompt="a star", checkpoint=checkpoint))


@pytest.mark.torch
@pytest.mark.parametrize("field", ["quantization", "text_quantization"])
def test_a_plan_refuses_bitsandbytes_without_cuda(field: str) -> None:
    session = Session(device="cpu", store=None)
    for act in (session.plan, session.run):
        with pytest.raises(InvalidWorkflowError) as caught:
            act(graph_of(**{field: "nf4"}))
        text = str(caught.value)
        assert "text2_image.checkpoint" in text and "quantization nf4 on cpu" in text
        assert "cuda, the only device for bitsandbytes" in text and "int8wo" in text
    assert not session.models.loaded()
    session.plan(graph_of(**{field: "int8wo"}))
    Session(device="cuda", store=None).plan(graph_of(**{field: "nf4"}))


def test_it_cannot_wait_in_host_memory() -> None:
    graph = graph_of(quantization="nf4")
    (node,) = graph.nodes
    offloaded = Graph.of(node.replace(offload="model"))
    with pytest.raises(InvalidWorkflowError, match="on cpu"):
        Session(device="cuda", store=None).plan(offloaded)


def test_validation_tells_it_by_the_likely_device(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def guess(device: str) -> str:
        asked.append(True)
        return device

    monkeypatch.setattr(device_checks, "guess_device", lambda: guess("cpu"))
    (problem,) = likely_device_problems(graph_of(quantization="int8"))
    assert problem.subject == "text2_image.checkpoint" and "int8 on cpu" in problem.found
    assert asked.pop() and not likely_device_problems(graph_of()) and not asked
    monkeypatch.setattr(device_checks, "guess_device", lambda: guess("cuda"))
    assert not likely_device_problems(graph_of(quantization="int8"))
