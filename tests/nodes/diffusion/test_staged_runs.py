"""Runs in memory that is enough for text encoders or the denoiser, but not for both at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Graph, Node, NodesFailedError, Session, Store
from sdgraph.events import Event, Evicted, Loaded, NodeFailed, NodeFinished, StageFinished
from sdgraph.execution import Plan
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.nodes import Image2Image, Text2Image
from sdgraph.nodes.diffusion.prompts import prompt_embeddings
from sdgraph.nodes.diffusion.prompts.prompt_embeddings import PromptInputs
from tests.nodes.diffusion.families.conftest import random_folder
from tests.support import toys

__all__ = ["random_folder"]

Paint = Callable[..., Text2Image]


@pytest.fixture
def paint(random_folder: Callable[[str], Path]) -> Paint:
    """A function that makes a node with the random checkpoint of FLUX.1."""
    checkpoint = Checkpoint(random_folder("flux"))

    def node(prompt: Any = "a red star", **fields: Any) -> Text2Image:
        sides: dict[str, Any] = {"width": 64, "height": 64}
        return Text2Image(prompt=prompt, checkpoint=checkpoint, steps=1, **sides, **fields)

    return node


def tight(node: Node[Any]) -> int:
    """A budget that is too small for all components of a node at once by one byte."""
    return Session(device="cpu", store=None).plan(Graph.of(node)).peak_host - 1


def run_as_planned(
    graph: Graph, budget: int | None, store: Store | None = None
) -> tuple[list[Any], Plan, list[Event]]:
    """The results, the plan and the events of a run that loads and drops what was planned."""
    models = ModelCache(budgets=Budgets(host=budget))
    session = Session(device="cpu", store=store, models=models)
    plan, seen, held, peak = session.plan(graph), list[Event](), 0, 0
    values = [*session.run(graph, seen.append).values()]
    for event in seen:
        if isinstance(event, Loaded | Evicted):
            held += event.bytes if isinstance(event, Loaded) else -event.bytes
            peak = max(peak, held)
    loads = [(e.component, e.bytes, e.file_bytes) for e in seen if isinstance(e, Loaded)]
    assert loads == [(load.name, load.bytes, load.file_bytes) for load in plan.loads]
    evicted = [e.component for e in seen if isinstance(e, Evicted)]
    actions = [action for step in plan.steps for action in step.memory_actions]
    assert evicted == [each.component.name for each in actions if each.kind == "evict"]
    assert peak <= plan.peak_host and (budget is None or plan.peak_host <= budget)
    return values, plan, seen


def count(seen: list[Event], kind: type[Event]) -> int:
    return sum(isinstance(event, kind) for event in seen)


def test_a_prompt_is_embedded_before_the_denoiser_is_loaded(paint: Paint) -> None:
    node = paint()
    whole, roomy, _ = run_as_planned(Graph.of(node), None)
    values, plan, seen = run_as_planned(Graph.of(node), tight(node))
    assert values == whole
    assert [step.name for step in roomy.steps] == ["text2_image"]
    assert [step.name for step in plan.steps] == ["text2_image: prompt", "text2_image"]
    assert [load.name for load in plan.loads if "text_encoder" in load.name]
    assert sorted(plan.loads) == sorted(roomy.loads), "nothing is loaded twice"
    assert count(seen, StageFinished) == count(seen, NodeFinished) == 1


def test_prompts_of_variants_are_embedded_first_and_one_that_is_shared_once(paint: Paint) -> None:
    nodes = [paint("a"), paint("b"), paint("c"), paint("a", seed=1)]
    graph = Graph.of(*nodes)
    whole, roomy, _ = run_as_planned(graph, None)
    values, plan, seen = run_as_planned(graph, tight(nodes[0]))
    assert values == whole and len(plan.loads) == len(roomy.loads)
    assert [step.stage is not None for step in plan.steps] == [True] * 3 + [False] * 4
    assert count(seen, StageFinished) == 3


def test_a_chain_with_one_prompt_embeds_it_once_and_remembers_it(
    paint: Paint, tmp_path: Path
) -> None:
    first = paint()
    fields: dict[str, Any] = {"prompt": first.prompt, "checkpoint": first.checkpoint}
    chain = Image2Image(image=first, strength=1.0, steps=1, **fields)
    whole, _, _ = run_as_planned(Graph.of(chain), None)
    store = Store(folder=tmp_path)
    values, plan, seen = run_as_planned(Graph.of(chain), tight(first), store)
    assert values == whole and count(seen, StageFinished) == 1
    assert plan.steps[0].name == "text2_image: prompt"
    _, plan, _ = run_as_planned(Graph.of(chain.replace(seed=1)), tight(first), store)
    assert not [load for load in plan.loads if "text_encoder" in load.name]


def test_a_prompt_that_a_node_makes_is_embedded_alone_too(paint: Paint) -> None:
    node = paint(toys.Text(text="a red star"))
    whole, _, _ = run_as_planned(Graph.of(paint()), None)
    values, plan, _ = run_as_planned(Graph.of(node), tight(paint()))
    assert values == whole and len(plan.steps) == 3


def test_nodes_of_a_stage_that_fails_fail_and_others_run(
    paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = prompt_embeddings._embeddings

    def fail_for_a(pipe: Any, family: Any, device: Any, inputs: PromptInputs) -> Any:
        if inputs.prompt == "a":
            raise ValueError("no such word")
        return real(pipe, family, device, inputs)

    monkeypatch.setattr(prompt_embeddings, "_embeddings", fail_for_a)
    graph = Graph.of(paint("a"), paint("a", seed=1), paint("b"))
    models = ModelCache(budgets=Budgets(host=tight(paint())))
    seen: list[Event] = []
    with pytest.raises(NodesFailedError) as caught:
        Session(device="cpu", store=None, models=models).run(graph, seen.append, keep_going=True)
    assert len(caught.value.failures) == count(seen, NodeFailed) == 2
    assert all("no such word" in failure.message for failure in caught.value.failures)
    assert count(seen, NodeFinished) == 1


def test_a_stage_that_runs_out_of_memory_is_tried_again(
    paint: Paint, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, attempts = paint(), list[str]()
    whole, _, _ = run_as_planned(Graph.of(node), None)
    real = prompt_embeddings._embeddings

    def fail_once(*arguments: Any, **more: Any) -> Any:
        attempts.append("embed")
        if len(attempts) == 1:
            raise MemoryError("no memory")
        return real(*arguments, **more)

    monkeypatch.setattr(prompt_embeddings, "_embeddings", fail_once)
    models = ModelCache(budgets=Budgets(host=tight(node)))
    values = Session(device="cpu", store=None, models=models).run(Graph.of(node))
    assert [*values.values()] == whole and len(attempts) == 2
