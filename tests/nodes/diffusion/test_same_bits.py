"""One seed, one result: alone, after any other nodes, warm or cold, evicted in between or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from sdgraph import Graph, Lora, Node, NodeFailedError, Session, events
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthToImage,
    Image2Image,
    Inpaint,
    Text2Image,
    Text2Video,
    Turbo,
)
from tests.support.lora_files import lora
from tests.support.photos import photo, spot

IMAGE, MASK = photo(64, 64), spot(64, 64)
SMALL: dict[str, Any] = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Node[Any]]:
    """Every system that generates, and some with adapters and knobs over the same weights."""
    folder = tmp_path_factory.mktemp("loras")
    style = lora(folder / "style", "tiny/text-to-image")
    other = Lora(lora(folder / "other", "tiny/text-to-image", seed=1).source, scale=-0.5)
    of_xl = lora(folder / "xl", "tiny/turbo")
    everything = {"vae": "both", "attention": "sliced", "channels_last": True}
    text = Text2Image(prompt="a red star", steps=2, **SMALL)
    edges = ControlNet(prompt="a red star", control=Canny(image=IMAGE), steps=1)
    turbo = Turbo(prompt="a red star", steps=1, **SMALL)
    return {
        "text": text,
        "text, another seed": text.replace(seed=1),
        "text, a lora": text.replace(loras=[style]),
        "text, two loras": text.replace(loras=[style, other]),
        "text, knobs": text.replace(tuning=everything),
        "text, float8 layers": text.replace(tuning={"layerwise_casting": "float8_e4m3fn"}),
        "text, in groups": text.replace(offload="group"),
        "image": Image2Image(prompt="a blue ring", image=IMAGE, steps=2),
        "inpaint": Inpaint(prompt="a blue ring", image=IMAGE, mask=MASK, steps=2),
        "edges": edges,
        "edges, a lora": edges.replace(loras=[other]),
        "turbo": turbo,
        "turbo, a lora": turbo.replace(loras=[of_xl]),
        "depth": DepthToImage(prompt="a red star", image=IMAGE, steps=2),
        "video": Text2Video(prompt="a red star", frames=2, steps=1, width=32, height=32),
    }


@pytest.fixture(scope="module")
def alone(nodes: dict[str, Node[Any]]) -> Callable[[str], str]:
    """What a node makes in a session of its own, as the hash of its pixels."""

    @cache
    def content(name: str) -> str:
        return contents(Session(device="cpu", store=None), [nodes[name]])[0]

    return content


def contents(session: Session, nodes: Sequence[Node[Any]], **more: Any) -> list[str]:
    graph = Graph.of(*nodes)
    values = session.run(graph, **more)
    return [values[graph.names[node]].content for node in nodes]


def limited_session(nodes: Sequence[Node[Any]], slack: float) -> Session:
    """A session whose memory holds the largest of the nodes, and `slack` of all the rest."""
    unlimited = Session(device="cpu", store=None)
    largest = max(unlimited.plan(Graph.of(node)).peak_host for node in nodes)
    every = unlimited.plan(Graph.of(*nodes)).peak_host
    budget = largest + round(slack * max(0, every - largest))
    return Session(device="cpu", store=None, models=ModelCache(budgets=Budgets(host=budget)))


def broken_off(event: events.Event) -> None:
    if isinstance(event, events.Stepped):
        raise RuntimeError("enough")


NAMES = (
    "text",
    "text, another seed",
    "text, a lora",
    "text, two loras",
    "text, knobs",
    "text, float8 layers",
    "text, in groups",
    "image",
    "inpaint",
    "edges",
    "edges, a lora",
    "turbo",
    "turbo, a lora",
    "depth",
    "video",
)


def test_the_names_are_those_of_the_nodes(nodes: dict[str, Node[Any]]) -> None:
    assert tuple(nodes) == NAMES


@settings(max_examples=4, suppress_health_check=list(HealthCheck))
@given(
    runs=st.lists(
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=2, unique=True),
        min_size=1,
        max_size=3,
    ),
    slack=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
    between=st.sampled_from(["nothing", "unloads", "breaks off", "keeps nothing"]),
)
def test_after_any_others_within_any_budget_it_makes_the_same(
    nodes: dict[str, Node[Any]],
    alone: Callable[[str], str],
    runs: list[list[str]],
    slack: float,
    between: str,
) -> None:
    used = [nodes[name] for names in runs for name in names]
    session = limited_session(list(dict.fromkeys(used)), slack)
    session.models.keep_alive = 0 if between == "keeps nothing" else None
    for names in runs:
        if between == "unloads":
            session.models.unload()
        if between == "breaks off":
            with pytest.raises(NodeFailedError, match="enough"):
                contents(session, [nodes[names[-1]]], on_event=broken_off)
        results = contents(session, [nodes[name] for name in names])
        note(f"{names} in {session.models.budgets}: {results}")
        assert results == [alone(name) for name in names]


def test_where_each_evicts_the_others_and_loads_again(
    nodes: dict[str, Node[Any]], alone: Callable[[str], str]
) -> None:
    names = ["turbo", "text, a lora", "depth", "text", "turbo, a lora", "turbo", "text"]
    session = limited_session([nodes[name] for name in set(names)], 0.0)
    event_log: list[events.Event] = []
    for name in names:
        assert contents(session, [nodes[name]], on_event=event_log.append) == [alone(name)], name
    unets = [
        event.component
        for event in event_log
        if isinstance(event, events.Loaded)
        if event.component.endswith("/unet")
    ]
    assert len(unets) > len(set(unets)) >= 3, "some are loaded again"
    assert any(isinstance(event, events.Evicted) for event in event_log)


def test_the_nodes_differ(alone: Callable[[str], str]) -> None:
    same = {"text, knobs", "text, in groups"}  # of the same meaning; the bits may differ or not
    results = [alone(name) for name in NAMES if name not in same]
    assert len(set(results)) == len(results)
