"""The plan of a node whose stage and rest do not fit into memory at once. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdgraph import In, InvalidValueError, Node, Session, Store
from sdgraph.execution import Plan
from sdgraph.graph import Graph, Stage
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache, Models
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

KB = 1000
ENCODER, PAINTER = 30 * KB, 40 * KB


class Painting(Node[str]):
    """Paints a text in two parts: an encoder reads the text, and a painter the rest."""

    text: In[str]
    seed: int = 0
    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {name: Part(self.checkpoint, name) for name in ("encoder", "painter")}

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        return 5 * KB

    def stages(self) -> Iterator[Stage]:
        wired = () if isinstance(self.text, str) else (self.text,)
        inputs = {"text": None if wired else self.text}
        yield Stage("prompt", inputs, ("encoder",), wired, runs_alone=True)

    def stage_memory(self, name: str, sizes: Mapping[str, int], dtype: str) -> int:
        return 2 * KB

    def run(self, text: str, checkpoint: Checkpoint, models: Models) -> str:
        raise NotImplementedError("it is only planned")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    weights = {
        name: fake_checkpoints.safetensors(bytes(size))
        for name, size in (("encoder", ENCODER), ("painter", PAINTER))
    }
    return Checkpoint(str(fake_checkpoints.checkpoint(tmp_path / "base", **weights)))


def plan(nodes: Iterable[Node[Any]], budget: int | None, store: Store | None = None) -> Plan:
    models = ModelCache(budgets=Budgets(host=budget))
    graph = replace(Graph.of(*nodes), variants=True)
    return Session(device="cpu", store=store, models=models).plan(graph)


def names(planned: Plan) -> list[str]:
    return [step.name for step in planned.steps]


def test_where_memory_is_enough_a_node_and_its_stage_are_one_step(checkpoint: Checkpoint) -> None:
    painting = Painting(text="a", checkpoint=checkpoint)
    for budget in (None, 75 * KB):
        planned = plan([painting], budget)
        assert names(planned) == ["painting"]
        assert planned.peak_host == 75 * KB


def test_where_it_is_not_the_stage_is_made_before_and_its_component_dropped(
    checkpoint: Checkpoint,
) -> None:
    planned = plan([Painting(text="a", checkpoint=checkpoint)], 75 * KB - 1)
    assert names(planned) == ["painting: prompt", "painting"]
    stage, painting = planned.steps
    assert [use.name for use in stage.uses] == ["encoder"] and stage.working_bytes == 2 * KB
    assert [use.name for use in painting.uses] == ["painter"] and painting.working_bytes == 5 * KB
    assert [action.kind for action in painting.memory_actions] == ["evict", "load"]
    assert len(planned.loads) == 2 and planned.peak_host == 45 * KB
    assert [component.name for component in stage.prefetch] == [painting.loads[0].name]


def test_a_budget_in_which_one_of_the_two_does_not_fit_is_refused(checkpoint: Checkpoint) -> None:
    painting = Painting(text="a", checkpoint=checkpoint)
    assert plan([painting], 45 * KB).peak_host == 45 * KB
    with pytest.raises(InvalidValueError, match=f"at least {45 * KB} bytes"):
        plan([painting], 45 * KB - 1)


def test_variants_of_one_text_share_a_stage(checkpoint: Checkpoint) -> None:
    variants = [Painting(text="a", seed=seed, checkpoint=checkpoint) for seed in range(3)]
    planned = plan(variants, 50 * KB)
    assert names(planned) == ["painting: prompt", "painting", "painting_2", "painting_3"]
    assert len(planned.loads) == 2
    roomy = plan(variants, None)
    assert names(roomy) == ["painting", "painting_2", "painting_3"] and len(roomy.loads) == 2
    assert [len(step.uses) for step in roomy.steps] == [2, 1, 1]


def test_the_stages_of_variants_of_several_texts_come_first_so_that_nothing_is_loaded_twice(
    checkpoint: Checkpoint,
) -> None:
    variants = [Painting(text=text, checkpoint=checkpoint) for text in "abc"]
    planned = plan(variants, 50 * KB)
    assert [name.endswith("prompt") for name in names(planned)] == [True] * 3 + [False] * 3
    assert len(planned.loads) == 2
    assert len(plan(variants, None).steps) == 3


def test_a_stage_that_reads_another_node_comes_after_it(checkpoint: Checkpoint) -> None:
    painting = Painting(text=toys.Text(text="a"), checkpoint=checkpoint)
    for store in (None, Store()):
        planned = plan([painting], 50 * KB, store)
        assert names(planned) == ["text", "painting: prompt", "painting"]
        assert planned.steps[1].inputs == (painting.text,)
        assert [len(step.releases) for step in planned.steps] == [0, 0, 1]


def test_a_text_in_a_chain_of_paintings_is_read_once_per_text(checkpoint: Checkpoint) -> None:
    first = Painting(text="a", checkpoint=checkpoint)
    chain = Painting(text=first, checkpoint=checkpoint)
    # The second text is known when the first picture is there: nothing can be embedded ahead.
    planned = plan([chain], 50 * KB)
    assert names(planned) == ["painting: prompt", "painting", "painting_2: prompt", "painting_2"]
    assert len(planned.loads) == 4


def test_a_node_that_is_not_remembered_has_a_stage_for_the_run_alone(
    checkpoint: Checkpoint,
) -> None:
    painting = Painting(text="a", checkpoint=checkpoint)
    models = ModelCache(budgets=Budgets(host=50 * KB))
    session = Session(device="cpu", store=Store(), models=models)
    planned = session.plan(Graph.of(painting, uncached=[painting]))
    assert len(planned.steps) == 2 and not planned.steps[1].stages[0].is_stored
