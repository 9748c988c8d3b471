"""Memory along an order: budgets hold, what is needed is there, the totals are what was done."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.errors import InvalidValueError
from sdgraph.memory import Budgets, Placement, Tier
from sdgraph.memory.eviction import (
    cheapest,
    farthest_next_use,
    least_recently_used,
    smallest_first,
    soonest_kept,
)
from sdgraph.memory.ordering import authored
from sdgraph.memory.simulation import NONE, Eviction, Policy, simulate
from sdgraph.memory.workload import (
    IndexAction,
    Item,
    Need,
    Workload,
    as_set,
    check,
    members,
    shortfalls,
)
from tests.support.workloads import (
    ACCELERATOR,
    HOST,
    NAMED,
    POLICIES,
    Memory,
    assert_true_to_its_word,
    least_for,
    one_after_another,
    workloads,
)

policies = pytest.mark.parametrize("policy", POLICIES, ids=list(NAMED))


@policies
@settings(max_examples=300)
@given(workload=workloads())
def test_what_is_said_is_what_happens(policy: Policy, workload: Workload) -> None:
    plan = simulate(workload, authored(workload), policy)
    assert_true_to_its_word(workload, plan)
    leased = [workload.file_size(lease) for lease in workload.leases]
    assert workload.least_loaded <= plan.bytes_loaded <= sum(leased)
    assert plan == simulate(replace(workload), authored(workload), policy)


@policies
@given(workload=workloads(limited=False))
def test_without_a_budget_each_component_is_loaded_once(policy: Policy, workload: Workload) -> None:
    plan = simulate(workload, authored(workload), policy)
    kinds = [action.kind for actions in plan.actions for action in actions]
    used = {n for step in workload.steps for n in step.leases}
    assert kinds.count("load") == plan.loads == len(used - set(workload.start))
    assert "offload" not in kinds
    assert not (workload.keeps and "evict" in kinds)
    assert not plan.short


@policies
@given(workload=workloads())
def test_what_keeps_nothing_never_loads_beside_what_is_dead(
    policy: Policy, workload: Workload
) -> None:
    workload = replace(workload, keeps=False)
    plan = simulate(workload, authored(workload), policy)
    memory = Memory(workload)
    for place, actions in enumerate(plan.actions):
        step = workload.steps[plan.order[place]]
        used = {n for index in plan.order[place:] for n in workload.steps[index].leases}
        for action in actions:
            memory.do(action, step)
            if action.kind in ("load", "upload"):
                assert set(memory.at) <= used | memory.pinned


@policies
@given(workload=workloads(limited=False))
def test_what_keeps_nothing_loads_the_same_and_takes_no_more(
    policy: Policy, workload: Workload
) -> None:
    order = authored(workload)
    kept, plain = (
        simulate(replace(workload, keeps=keeps), order, policy) for keeps in (True, False)
    )
    assert plain.bytes_loaded == kept.bytes_loaded
    assert plain.peak_accelerator <= kept.peak_accelerator
    assert plain.peak_host <= kept.peak_host


def test_a_chain_that_keeps_nothing_takes_what_its_largest_step_takes() -> None:
    chain = one_after_another((3, 5, 2, 1), ((0, 3), (1, 3), (2,)), Budgets())
    assert done(chain, soonest_kept) == ["load0 load3", "load1", "load2"]
    assert simulate(chain, (0, 1, 2), soonest_kept).peak_accelerator == 11
    lean = replace(chain, keeps=False)
    assert done(lean, soonest_kept) == ["load0 load3", "evict0 load1", "evict1 evict3 load2"]
    assert simulate(lean, (0, 1, 2), soonest_kept).peak_accelerator == 6


@settings(max_examples=300)
@given(workloads(limited=False), st.integers(0, 40), st.integers(0, 40))
def test_what_cannot_be_done_is_known_before_and_what_would_do(
    workload: Workload, accelerator: int, host: int
) -> None:
    workload = replace(workload, start={n: h for n, h in workload.start.items() if h.pinned})
    tried = replace(workload, budgets=Budgets(accelerator, host))
    short = {each.tier: each for each in shortfalls(tried)}
    for tier, budget in zip(Tier, (accelerator, host), strict=True):
        demanded = any(
            (step.working and step.working_on is tier)
            or any(workload.components[n].home is tier for n in step.leases)
            for step in workload.steps
        )
        assert (tier in short) == (demanded and least_for(workload, tier) > budget)
        if tier in short:
            assert short[tier].smallest == least_for(workload, tier)
            assert short[tier].step in {step.name for step in workload.steps}
    if short:
        with pytest.raises(InvalidValueError, match="at least"):
            simulate(tried, authored(tried), soonest_kept)
    enough = {tier: each.smallest for tier, each in short.items()}
    smallest = Budgets(enough.get(ACCELERATOR, accelerator), enough.get(HOST, host))
    check(replace(workload, budgets=smallest))
    for tier in enough:
        name = tier.value
        with pytest.raises(InvalidValueError):
            check(replace(workload, budgets=replace(smallest, **{name: enough[tier] - 1})))


def done(workload: Workload, policy: Policy) -> list[str]:
    plan = simulate(workload, authored(workload), policy)
    assert_true_to_its_word(workload, plan)
    return [
        " ".join(f"{action.kind}{action.component}" for action in actions)
        for actions in plan.actions
    ]


def test_dead_components_go_first() -> None:
    workload = one_after_another([1, 9, 1], [[0], [1], [2], [0]], Budgets(10, 0))
    assert done(workload, soonest_kept) == ["load0", "load1", "evict1 load2", ""]
    assert done(workload, least_recently_used)[2] == "evict0 load2"


def test_the_cheapest_sufficient_set_goes_not_the_fewest() -> None:
    sizes, uses = [8, 1, 1, 2], [[0, 1, 2], [3], [0], [1], [2]]
    workload = one_after_another(sizes, uses, Budgets(10, 0))
    assert done(workload, soonest_kept)[1] == "evict1 evict2 load3"
    assert simulate(workload, authored(workload), soonest_kept).bytes_loaded == 14
    workload = one_after_another(sizes, [[0, 1, 2], [3], [1], [2], [0]], Budgets(10, 0))
    assert done(workload, farthest_next_use)[1] == "evict0 load3"
    assert done(workload, smallest_first)[1] == "evict1 evict2 load3"


def test_what_is_used_again_is_parked_on_the_host_while_there_is_room() -> None:
    uses = [[0], [1], [0]]
    assert done(one_after_another([4, 4], uses, Budgets(4, 8)), soonest_kept) == [
        "load0",
        "offload0 load1",
        "evict1 upload0",
    ]
    assert done(one_after_another([4, 4], uses, Budgets(4, 3)), soonest_kept)[1] == "evict0 load1"


def test_on_a_machine_with_host_memory_only_nothing_is_moved() -> None:
    workload = one_after_another([4, 4], [[0], [1], [0]], Budgets(None, 4), HOST)
    assert done(workload, soonest_kept) == ["load0", "evict0 load1", "evict1 load0"]


def test_what_is_parked_gives_way_to_what_is_needed_sooner() -> None:
    workload = one_after_another([3, 4, 4], [[0], [1], [2], [1], [2], [0]], Budgets(4, 7))
    assert done(workload, soonest_kept)[:3] == ["load0", "offload0 load1", "offload1 load2"]
    workload = replace(workload, budgets=Budgets(4, 4))
    assert done(workload, soonest_kept)[:3] == ["load0", "offload0 load1", "evict0 offload1 load2"]


def test_a_start_above_the_budget_shrinks_at_the_first_step_that_needs_the_tier() -> None:
    workload = one_after_another([4, 4, 2], [[2], [2]], Budgets(6, 0))
    workload = replace(workload, start={0: Placement(ACCELERATOR), 1: Placement(ACCELERATOR)})
    assert simulate(workload, (0, 1), soonest_kept).actions[0] == (
        IndexAction("evict", 0),
        IndexAction("load", 2),
    )


def test_the_start_is_least_recently_used_first() -> None:
    workload = one_after_another([4, 4, 4], [[2], [0], [1]], Budgets(8, 0))
    held = Placement(ACCELERATOR)
    assert (
        done(replace(workload, start={0: held, 1: held}), least_recently_used)[0] == "evict0 load2"
    )
    assert (
        done(replace(workload, start={1: held, 0: held}), least_recently_used)[0] == "evict1 load2"
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20)), max_size=10), st.integers(0, 60))
def test_the_cheapest_set_is_the_cheapest_of_all(parts: list[tuple[int, int]], amount: int) -> None:
    workload = Workload([Item(str(n), size, 0) for n, (size, _) in enumerate(parts)], [])
    costs = dict(enumerate(cost for _, cost in parts))
    everything = as_set(costs)
    chosen = cheapest(workload, costs, everything, amount)
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


@pytest.mark.parametrize("gone", [NONE, Eviction(2, 0), Eviction(0, 1), Eviction(4, 0)])
def test_a_policy_that_frees_too_little_or_what_must_stay_is_refused(gone: Eviction) -> None:
    workload = one_after_another([4, 4, 4], [[0], [1], [0]], Budgets(4, 3))
    with pytest.raises(InvalidValueError, match="of what may leave"):
        simulate(workload, (0, 1, 2), lambda shortage: gone)


def test_what_names_nothing_or_starts_nowhere_is_refused() -> None:
    part, on_host = Item("unet", 4, 4), Item("text", 4, 4, HOST)
    with pytest.raises(InvalidValueError, match=r"components \[1\]\n  wanted: indices below 1"):
        Workload([part], [Need("a", (1,))])
    with pytest.raises(InvalidValueError, match=r"steps \[3\]\n  wanted: indices below 1"):
        Workload([part], [Need("a", after=(3,))])
    with pytest.raises(InvalidValueError, match=r"unet\n  found:  held on the host"):
        Workload([part], [], start={0: Placement(HOST, pinned=True)})
    with pytest.raises(InvalidValueError, match=r"text\n  found:  held on the accelerator"):
        Workload([on_host], [], start={0: Placement(ACCELERATOR)})
