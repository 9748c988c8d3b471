"""A plan is frozen data: what runs in which order, what it loads, and what it releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.execution.planning import make_plan
from sdgraph.graph import Graph, Node
from sdgraph.memory import Placement, Tier
from sdgraph.store import Store
from tests.support import fake_checkpoints, toys
from tests.support.processes import forked
from tests.support.strategies import graphs


@settings(max_examples=60)
@given(graphs(), st.data())
def test_every_result_is_released_once_right_after_its_last_reader(
    nodes: list[Node[Any]], data: st.DataObject
) -> None:
    targets = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    plan = make_plan(Graph.of(*targets))
    held: set[Node[Any]] = set()
    for place, step in enumerate(plan.steps):
        assert {child for _, child in step.node.wires} <= held
        held.add(step.node)
        later = {child for after in plan.steps[place + 1 :] for _, child in after.node.wires}
        for node in step.releases:
            assert node in held and node not in later
            held.remove(node)
        assert held <= later | set(targets)
    assert held == set(targets)


def test_a_store_makes_a_plan_shorter() -> None:
    number = toys.Number(value=1)
    target = toys.Halve(a=toys.Add(a=number, b=1))
    store = Store()
    assert [step.action for step in make_plan(Graph.of(target), store=store).steps] == ["run"] * 3
    (leaf, *_) = make_plan(Graph.of(target), store=store).steps
    assert leaf.key is not None
    store.put(leaf.key, 1)
    steps = make_plan(Graph.of(target), store=store).steps
    assert [(step.name, step.action) for step in steps] == [
        ("number", "reuse"),
        ("add", "run"),
        ("halve", "run"),
    ]
    assert steps[1].key is not None and steps[2].key is None


def test_loads_are_listed_once_per_component_and_not_for_what_is_loaded(tmp_path: Path) -> None:
    number = fake_checkpoints.checkpoint(tmp_path / "one", unet=b"u" * 7, vae=b"same")
    two = fake_checkpoints.checkpoint(tmp_path / "two", unet=b"w" * 5, vae=b"same")
    first = toys.Dream(checkpoint=str(number))  # type: ignore[arg-type]
    target = toys.Dream(prompt=first, checkpoint=str(two))  # type: ignore[arg-type]
    plan = make_plan(Graph.of(target))
    assert [str(Path(load.name).relative_to(tmp_path)) for load in plan.loads] == [
        "one/unet",
        "one/vae",
        "two/unet",
    ]
    assert plan.bytes_loaded == 16 and plan.uses_models and not plan.fetches
    held = {load: Placement(Tier.HOST) for load in plan.loads}
    assert make_plan(Graph.of(target), contents=held).loads == ()


def test_a_plan_and_a_check_never_import_torch() -> None:
    code = (
        "import sys, sdgraph\n"
        "from tests.support import toys\n"
        "target = toys.Dream(checkpoint='tiny/text-to-image')\n"
        "made = sdgraph.plan(target)\n"
        "assert made.steps and made.loads\n"
        "print([name for name in ('torch', 'diffusers', 'transformers', 'cv2', 'networkx') "
        "if name in sys.modules])"
    )
    done = forked("-c", code, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]"
