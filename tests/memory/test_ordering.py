"""The best plan is never above any plain order, and on small graphs close to the optimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.errors import InvalidValueError
from sdgraph.memory import Budgets, MemoryPlan, Placement, Requirement, Tier, ordering
from sdgraph.memory.beam_search import BeamSearch
from sdgraph.memory.ordering import (
    PLAIN_ORDERS,
    authored_order,
    best_plan,
    breadth_first_order,
    lexicographic_order,
    merge_free_steps,
    model_affine_order,
)
from sdgraph.memory.simulation import simulate, simulate_below
from sdgraph.memory.workload import Workload
from tests.benchmarks.exhaustive import Optimum
from tests.benchmarks.workloads import corpus, large
from tests.support.workloads import (
    POLICIES,
    POLICIES_BY_NAME,
    Memory,
    assert_plan_is_true,
    component,
    random_workload,
    workloads,
)

ORDERS = (*PLAIN_ORDERS, model_affine_order)


def dag(workload: Workload) -> nx.DiGraph[int]:
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_nodes_from(range(len(workload.steps)))
    for index, step in enumerate(workload.steps):
        graph.add_edges_from((before, index) for before in step.after)
    return graph


def sweep(models: int, variants: int) -> Workload:
    """A chain of models over variants, variant after variant, and memory for one model."""
    components = [component(f"model {n}", 4) for n in range(models)]
    steps = [
        Requirement(
            f"{model} of {variant}",
            (components[model],),
            after=(variant * models + model - 1,) if model else (),
        )
        for variant in range(variants)
        for model in range(models)
    ]
    return Workload(components, steps, Budgets(4, 0))


@given(workloads())
def test_each_order_is_topological_and_what_it_is_said_to_be(workload: Workload) -> None:
    graph = dag(workload)
    for order in (*(order(workload) for order in ORDERS), best_plan(workload).order):
        assert sorted(order) == list(graph)
        place = {index: n for n, index in enumerate(order)}
        assert all(place[before] < place[after] for before, after in graph.edges)
    assert breadth_first_order(workload) == tuple(nx.topological_sort(graph))
    assert authored_order(workload) == tuple(nx.lexicographical_topological_sort(graph))
    names = [step.name for step in workload.steps]
    by_name = nx.lexicographical_topological_sort(graph, key=lambda index: (names[index], index))
    assert lexicographic_order(workload) == tuple(by_name)


@settings(max_examples=300)
@given(workloads(max_steps=12))
def test_the_best_plan_is_never_above_any_order_with_any_policy(workload: Workload) -> None:
    best = best_plan(workload)
    assert_plan_is_true(workload, best)
    graph = dag(workload)
    orders = {tuple(nx.topological_sort(graph)), *(order(workload) for order in ORDERS)}
    for order in orders:
        for policy in POLICIES:
            assert best.cost <= simulate(workload, order, policy).cost


@pytest.mark.parametrize("seed", [83, 128, 154, 219, 221])
def test_where_the_search_finds_nothing_the_other_policies_are_tried(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(BeamSearch, "search", lambda *arguments: None)
    workload = random_workload(seed, 10, 6, True)
    best = best_plan(workload).cost
    costs = {
        name: min(simulate(workload, order(workload), policy).cost for order in ORDERS)
        for name, policy in POLICIES_BY_NAME.items()
    }
    assert best == min(costs.values()) < min(costs["keep_soonest_used"], costs["keep_largest"])


@pytest.mark.parametrize("seed", [47, 61, 162, 263, 290])
def test_what_a_search_found_is_done_where_the_dead_have_gone_before(seed: int) -> None:
    workload = replace(random_workload(seed, 12, 6, True), keep_unused=False)
    assert_plan_is_true(workload, best_plan(workload))


@given(workloads(max_steps=12))
def test_the_best_plan_is_the_same_every_time(workload: Workload) -> None:
    again = replace(workload)
    assert best_plan(workload) == best_plan(workload) == best_plan(again)


@settings(max_examples=150)
@given(workloads(max_steps=5))
def test_nothing_is_below_the_optimum(workload: Workload) -> None:
    optimum = Optimum(workload).cost()
    assert optimum is not None
    assert optimum <= best_plan(workload).cost[:2]


def test_real_sizes_come_close_to_the_optimum() -> None:
    small = [w for w in corpus(60, seed=1) if sum(bool(step.components) for step in w.steps) <= 7]
    assert len(small) > 10
    pairs = [(best_plan(workload), Optimum(workload).cost()) for workload in small]
    assert all(optimum is not None and optimum <= best.cost[:2] for best, optimum in pairs)
    loaded = sum(best.bytes_loaded for best, _ in pairs)
    assert loaded <= 1.05 * sum(optimum[0] for _, optimum in pairs if optimum)


@pytest.mark.parametrize("models, variants", [(1, 1), (2, 2), (4, 20), (3, 50)])
def test_a_sweep_loads_each_model_once(models: int, variants: int) -> None:
    workload = sweep(models, variants)
    best = best_plan(workload)
    assert best.loads == models
    if models * variants <= 10:
        assert Optimum(workload).cost() == best.cost[:2]
    if variants > 1 and models > 1:
        by_variant = simulate(workload, authored_order(workload), POLICIES[0])
        assert by_variant.loads == models * variants


def test_a_search_ahead_finds_what_no_plain_order_does() -> None:
    improved = 0
    for workload in corpus(60, seed=3):
        plain = min(
            simulate(workload, order(workload), policy).cost
            for order in ORDERS
            for policy in POLICIES
        )
        improved += best_plan(workload).cost[:2] < plain[:2]
    assert improved


def test_where_memory_is_never_short_each_order_is_tried_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = []

    def counting(*arguments: Any) -> MemoryPlan | None:
        tried.append(arguments[1])
        return simulate_below(*arguments)

    monkeypatch.setattr(ordering, "simulate_below", counting)
    workload = replace(sweep(3, 5), budgets=Budgets())
    assert best_plan(workload).loads == 3
    assert len(tried) == len(set(tried))


def test_with_all_else_equal_the_first_file_is_saved_early() -> None:
    steps = [Requirement("load a"), Requirement("load b"), Requirement("load c")]
    steps += [Requirement(f"save {n}", after=(n,), saves=True) for n in range(3)]
    assert best_plan(Workload([], steps)).first_saved == 1


def test_pinned_components_stay_and_what_is_there_is_used_first() -> None:
    components = [component(f"model {n}", 4) for n in range(3)]
    steps = [Requirement(f"step {n}", (components[n],)) for n in range(3)]
    on_accelerator = Placement(Tier.ACCELERATOR)
    start = {components[2]: on_accelerator, components[1]: replace(on_accelerator, pinned=True)}
    best = best_plan(Workload(components, steps, Budgets(8, 0), start))
    assert best.bytes_loaded == 4
    assert best.order.index(2) < best.order.index(0)
    assert not [a for actions in best.actions for a in actions if a.component == components[1]]


@given(workloads())
def test_joined_steps_cost_nothing_more_than_their_head(workload: Workload) -> None:
    joined, groups = merge_free_steps(workload)
    assert sorted(step for group in groups for step in group) == list(range(len(workload.steps)))
    for head, group in enumerate(groups):
        for step in group:
            assert not workload.required[step] & ~joined.required[head]
            assert all(
                a <= b for a, b in zip(workload.working[step], joined.working[head], strict=True)
            )
    in_groups = tuple(step for head in authored_order(joined) for step in groups[head])
    plan = simulate(workload, in_groups, POLICIES[0])
    Memory(workload).run(plan)
    assert plan.bytes_loaded == simulate(joined, authored_order(joined), POLICIES[0]).bytes_loaded


def test_large_workflows_are_planned_and_done() -> None:
    for workload in large(300):
        assert_plan_is_true(workload, best_plan(workload))


@pytest.mark.parametrize("order", [*ORDERS, best_plan])
def test_steps_in_a_circle_are_refused(order: object) -> None:
    steps = [Requirement("a", after=(1,)), Requirement("b", after=(0,)), Requirement("c")]
    with pytest.raises(InvalidValueError, match=r"a, b\n  found:  steps that wait for one another"):
        order(Workload([], steps))  # type: ignore[operator]


def test_what_no_order_can_do_is_refused_with_the_budget_that_would_do() -> None:
    a, b = component("a", 2), component("b", 5)
    steps = [Requirement("small", (a,)), Requirement("large", (a, b), working_bytes=3)]
    workload = Workload([a, b], steps, Budgets(9))
    with pytest.raises(
        InvalidValueError, match=r"large\n.*9 bytes on the accelerator\n.*at least 10"
    ):
        best_plan(workload)
    assert best_plan(replace(workload, budgets=Budgets(10))).bytes_loaded == 7


@given(st.integers(0, 3))
def test_no_steps_need_nothing(components: int) -> None:
    parts = [component(str(n), 1, 1) for n in range(components)]
    assert best_plan(Workload(parts, [])).cost == (0, 0, 0, 0, 0)
