"""Simulated memory: budgets hold, what a step needs is loaded, and totals match the moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.errors import InvalidValueError
from sdgraph.memory import Action, Budgets, Placement, Requirement, Tier
from sdgraph.memory.bitsets import bitset, members
from sdgraph.memory.eviction import (
    cheapest_subset,
    farthest_next_use,
    keep_soonest_used,
    least_recently_used,
    smallest_first,
)
from sdgraph.memory.ordering import authored_order
from sdgraph.memory.shortfall import check_budgets, find_shortfalls
from sdgraph.memory.simulation import NO_VICTIMS, EvictionPolicy, Victims, simulate
from sdgraph.memory.workload import Workload
from tests.support.workloads import (
    ACCELERATOR,
    HOST,
    POLICIES,
    POLICIES_BY_NAME,
    Memory,
    assert_plan_is_true,
    chain_workload,
    component,
    least_for,
    workloads,
)

policies = pytest.mark.parametrize("policy", POLICIES, ids=list(POLICIES_BY_NAME))


@policies
@settings(max_examples=300)
@given(workload=workloads())
def test_what_is_said_is_what_happens(policy: EvictionPolicy, workload: Workload) -> None:
    plan = simulate(workload, authored_order(workload), policy)
    assert_plan_is_true(workload, plan)
    leased = [workload.file_size(lease) for lease in workload.required]
    assert workload.min_bytes_loaded <= plan.bytes_loaded <= sum(leased)
    assert plan == simulate(replace(workload), authored_order(workload), policy)


@policies
@given(workload=workloads(limited=False))
def test_without_a_budget_each_component_is_loaded_once(
    policy: EvictionPolicy, workload: Workload
) -> None:
    plan = simulate(workload, authored_order(workload), policy)
    kinds = [action.kind for actions in plan.actions for action in actions]
    used = {part for step in workload.steps for part in step.components}
    assert kinds.count("load") == plan.loads == len(used - set(workload.start))
    assert "offload" not in kinds
    assert not (workload.keep_unused and "evict" in kinds)
    assert not plan.over_budget


@policies
@given(workload=workloads())
def test_a_policy_that_keeps_nothing_never_loads_while_an_unused_component_is_held(
    policy: EvictionPolicy, workload: Workload
) -> None:
    workload = replace(workload, keep_unused=False)
    plan = simulate(workload, authored_order(workload), policy)
    memory = Memory(workload)
    for place, actions in enumerate(plan.actions):
        step = workload.steps[plan.order[place]]
        used = {part for n in plan.order[place:] for part in workload.steps[n].components}
        for action in actions:
            memory.do(action, step)
            if action.kind in ("load", "upload"):
                assert set(memory.tiers) <= used | memory.pinned


@policies
@given(workload=workloads(limited=False))
def test_what_keeps_nothing_loads_the_same_and_takes_no_more(
    policy: EvictionPolicy, workload: Workload
) -> None:
    order = authored_order(workload)
    kept, plain = (
        simulate(replace(workload, keep_unused=keeps), order, policy) for keeps in (True, False)
    )
    assert plain.bytes_loaded == kept.bytes_loaded
    assert plain.peak_accelerator <= kept.peak_accelerator
    assert plain.peak_host <= kept.peak_host


def test_a_chain_that_keeps_nothing_takes_what_its_largest_step_takes() -> None:
    chain = chain_workload((3, 5, 2, 1), ((0, 3), (1, 3), (2,)), Budgets())
    assert done(chain, keep_soonest_used) == ["load0 load3", "load1", "load2"]
    assert simulate(chain, (0, 1, 2), keep_soonest_used).peak_accelerator == 11
    lean = replace(chain, keep_unused=False)
    assert done(lean, keep_soonest_used) == ["load0 load3", "evict0 load1", "evict1 evict3 load2"]
    assert simulate(lean, (0, 1, 2), keep_soonest_used).peak_accelerator == 6


@settings(max_examples=300)
@given(workloads(limited=False), st.integers(0, 40), st.integers(0, 40))
def test_what_cannot_be_done_is_known_before_and_what_would_do(
    workload: Workload, accelerator: int, host: int
) -> None:
    workload = replace(workload, start={n: h for n, h in workload.start.items() if h.pinned})
    tried = replace(workload, budgets=Budgets(accelerator, host))
    shortfalls = {shortfall.tier: shortfall for shortfall in find_shortfalls(tried)}
    for tier, budget in zip(Tier, (accelerator, host), strict=True):
        demanded = any(
            (step.working_bytes and step.working_tier is tier)
            or any(part.home is tier for part in step.components)
            for step in workload.steps
        )
        assert (tier in shortfalls) == (demanded and least_for(workload, tier) > budget)
        if tier in shortfalls:
            assert shortfalls[tier].smallest == least_for(workload, tier)
            assert shortfalls[tier].step in {step.name for step in workload.steps}
    if shortfalls:
        with pytest.raises(InvalidValueError, match="at least"):
            simulate(tried, authored_order(tried), keep_soonest_used)
    enough = {tier: shortfall.smallest for tier, shortfall in shortfalls.items()}
    smallest = Budgets(enough.get(ACCELERATOR, accelerator), enough.get(HOST, host))
    check_budgets(replace(workload, budgets=smallest))
    for tier in enough:
        name = tier.value
        with pytest.raises(InvalidValueError):
            check_budgets(replace(workload, budgets=replace(smallest, **{name: enough[tier] - 1})))


def done(workload: Workload, policy: EvictionPolicy) -> list[str]:
    plan = simulate(workload, authored_order(workload), policy)
    assert_plan_is_true(workload, plan)
    return [
        " ".join(f"{action.kind}{action.component.name.removeprefix('c')}" for action in actions)
        for actions in plan.actions
    ]


def test_dead_components_go_first() -> None:
    workload = chain_workload([1, 9, 1], [[0], [1], [2], [0]], Budgets(10, 0))
    assert done(workload, keep_soonest_used) == ["load0", "load1", "evict1 load2", ""]
    assert done(workload, least_recently_used)[2] == "evict0 load2"


def test_the_cheapest_sufficient_set_goes_not_the_fewest() -> None:
    sizes, uses = [8, 1, 1, 2], [[0, 1, 2], [3], [0], [1], [2]]
    workload = chain_workload(sizes, uses, Budgets(10, 0))
    assert done(workload, keep_soonest_used)[1] == "evict1 evict2 load3"
    assert simulate(workload, authored_order(workload), keep_soonest_used).bytes_loaded == 14
    workload = chain_workload(sizes, [[0, 1, 2], [3], [1], [2], [0]], Budgets(10, 0))
    assert done(workload, farthest_next_use)[1] == "evict0 load3"
    assert done(workload, smallest_first)[1] == "evict1 evict2 load3"


def test_what_is_used_again_is_moved_to_the_host_while_there_is_memory() -> None:
    uses = [[0], [1], [0]]
    assert done(chain_workload([4, 4], uses, Budgets(4, 8)), keep_soonest_used) == [
        "load0",
        "offload0 load1",
        "evict1 upload0",
    ]
    assert done(chain_workload([4, 4], uses, Budgets(4, 3)), keep_soonest_used)[1] == "evict0 load1"


def test_on_a_machine_with_host_memory_only_nothing_is_moved() -> None:
    workload = chain_workload([4, 4], [[0], [1], [0]], Budgets(None, 4), HOST)
    assert done(workload, keep_soonest_used) == ["load0", "evict0 load1", "evict1 load0"]


def test_what_is_parked_gives_way_to_what_is_needed_sooner() -> None:
    workload = chain_workload([3, 4, 4], [[0], [1], [2], [1], [2], [0]], Budgets(4, 7))
    assert done(workload, keep_soonest_used)[:3] == ["load0", "offload0 load1", "offload1 load2"]
    workload = replace(workload, budgets=Budgets(4, 4))
    assert done(workload, keep_soonest_used)[:3] == [
        "load0",
        "offload0 load1",
        "evict0 offload1 load2",
    ]


def test_a_start_above_the_budget_shrinks_at_the_first_step_that_needs_the_tier() -> None:
    workload = chain_workload([4, 4, 2], [[2], [2]], Budgets(6, 0))
    a, b, c = workload.components
    workload = replace(workload, start={a: Placement(ACCELERATOR), b: Placement(ACCELERATOR)})
    assert simulate(workload, (0, 1), keep_soonest_used).actions[0] == (
        Action("evict", a),
        Action("load", c),
    )


def test_the_start_is_least_recently_used_first() -> None:
    workload = chain_workload([4, 4, 4], [[2], [0], [1]], Budgets(8, 0))
    a, b, _ = workload.components
    on_accelerator = Placement(ACCELERATOR)
    assert (
        done(replace(workload, start={a: on_accelerator, b: on_accelerator}), least_recently_used)[
            0
        ]
        == "evict0 load2"
    )
    assert (
        done(replace(workload, start={b: on_accelerator, a: on_accelerator}), least_recently_used)[
            0
        ]
        == "evict1 load2"
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=10), st.integers(0, 60))
def test_the_cheapest_set_is_the_cheapest_of_all(parts: list[tuple[int, int]], amount: int) -> None:
    workload = Workload([component(str(n), size, 0) for n, (size, _) in enumerate(parts)], [])
    costs = dict(enumerate(cost for _, cost in parts))
    everything = bitset(costs)
    chosen = cheapest_subset(workload, costs, everything, amount)
    if workload.size(everything) <= amount:
        assert chosen == (everything if amount > 0 else 0)
        return
    sufficient = [
        sum(costs[n] for n in some)
        for count in range(len(parts) + 1)
        for some in combinations(costs, count)
        if sum(parts[n][0] for n in some) >= amount
    ]
    assert workload.size(chosen) >= amount
    assert sum(costs[n] for n in members(chosen)) == min(sufficient) or len(parts) > 8


@pytest.mark.parametrize("victims", [NO_VICTIMS, Victims(2, 0), Victims(0, 1), Victims(4, 0)])
def test_a_policy_that_frees_too_little_or_what_must_stay_is_refused(victims: Victims) -> None:
    workload = chain_workload([4, 4, 4], [[0], [1], [0]], Budgets(4, 3))
    with pytest.raises(InvalidValueError, match="of what may leave"):
        simulate(workload, (0, 1, 2), lambda request: victims)


def test_what_names_nothing_or_starts_nowhere_is_refused() -> None:
    part, on_host = component("unet", 4), component("text", 4, home=HOST)
    with pytest.raises(InvalidValueError, match=r"a\n  found:  text\n  wanted: components of"):
        Workload([part], [Requirement("a", (on_host,))])
    with pytest.raises(InvalidValueError, match=r"the start\n  found:  unet"):
        Workload([], [], start={part: Placement(ACCELERATOR)})
    with pytest.raises(InvalidValueError, match=r"steps \[3\]\n  wanted: indices below 1"):
        Workload([part], [Requirement("a", after=(3,))])
    with pytest.raises(InvalidValueError, match=r"unet\n  found:  held on the host"):
        Workload([part], [], start={part: Placement(HOST, pinned=True)})
    with pytest.raises(InvalidValueError, match=r"text\n  found:  held on the accelerator"):
        Workload([on_host], [], start={on_host: Placement(ACCELERATOR)})
