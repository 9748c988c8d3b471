"""The plan compared with plain orders and policies.

`OMP_NUM_THREADS=1 python -m tests.benchmarks.planning` prints what each would load on a
corpus of random workflows with the sizes of real checkpoints, how far the plan is from the optimum
where that can be had, and what planning takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from statistics import mean

from sdgraph import Graph, Session
from sdgraph.memoize import memoized_scope
from sdgraph.memory import Budgets, MemoryPlan
from sdgraph.memory.eviction import farthest_next_use, least_recently_used, smallest_first
from sdgraph.memory.ordering import (
    authored_order,
    best_plan,
    breadth_first_order,
    depth_first_order,
    lexicographic_order,
)
from sdgraph.memory.simulation import simulate
from sdgraph.memory.workload import Workload
from sdgraph.models import ModelCache

from .exhaustive import Optimum
from .timing import median_seconds
from .workloads import corpus, large, real_graph

ORDERS = {
    "authored": authored_order,
    "breadth-first": breadth_first_order,
    "depth-first": depth_first_order,
    "lexicographic": lexicographic_order,
}
POLICIES = {
    "least recently used": least_recently_used,
    "smallest first": smallest_first,
    "farthest next use (Belady)": farthest_next_use,
}
COUNT = 1000

SMALL = 10
"""The most steps with models of the workflows whose optimum is searched for."""


@dataclass(frozen=True)
class Case:
    """A workflow, our plan for it, and the plans of the other policies."""

    workload: Workload
    ours: MemoryPlan
    others: dict[tuple[str, str], MemoryPlan]

    def ratio(self, name: tuple[str, str]) -> float:
        return self.others[name].bytes_loaded / self.ours.bytes_loaded

    @property
    def best_of_others(self) -> MemoryPlan:
        return min(self.others.values(), key=lambda score: score.cost)

    @property
    def parks(self) -> bool:
        """Whether there is a host tier below the accelerator."""
        return bool(self.workload.budgets.host) and bool(self.workload.budgets.accelerator)

    @property
    def tight(self) -> bool:
        """Whether the plan had to free memory at least once."""
        return self.ours.over_budget


def cases() -> list[Case]:
    """The corpus, planned."""
    return [_case(workload) for workload in corpus(COUNT)]


def _case(workload: Workload) -> Case:
    others = {
        (policy, order): simulate(workload, ORDERS[order](workload), POLICIES[policy])
        for policy in POLICIES
        for order in ORDERS
    }
    return Case(workload, best_plan(workload), others)


def rivals(corpus: list[Case]) -> Iterator[str]:
    """Bytes loaded by each policy on each order, as multiples of our plan's."""
    groups = {
        "all": corpus,
        "tight": [case for case in corpus if case.tight],
        "tight, no host tier": [case for case in corpus if case.tight and not case.parks],
        "tight, host tier": [case for case in corpus if case.tight and case.parks],
    }
    heads = [f"{name} ({len(group)})" for name, group in groups.items()]
    yield _line("eviction", "order", *heads, "worst", "loads less than ours", "moved, GB")
    yield _line(*["---"] * (len(heads) + 5))
    yield _line(
        "**this plan**",
        "chosen",
        *["1.000"] * len(heads),
        "1.00",
        "",
        _mean_moved(c.ours for c in corpus),
    )
    for name in corpus[0].others:
        means = [f"{mean(case.ratio(name) for case in group):.3f}" for group in groups.values()]
        worst = max(case.ratio(name) for case in corpus)
        less = sum(case.others[name].bytes_loaded < case.ours.bytes_loaded for case in corpus)
        moved = _mean_moved(case.others[name] for case in corpus)
        yield _line(*name, *means, f"{worst:.2f}", str(less), moved)
    best = [
        f"{mean(c.best_of_others.bytes_loaded / c.ours.bytes_loaded for c in group):.3f}"
        for group in groups.values()
    ]
    worst = max(c.best_of_others.bytes_loaded / c.ours.bytes_loaded for c in corpus)
    below = sum(c.best_of_others.cost < c.ours.cost for c in corpus)
    yield _line(
        "the best of these",
        "for each workflow",
        *best,
        f"{worst:.2f}",
        str(below),
        _mean_moved(c.best_of_others for c in corpus),
    )


def _mean_moved(plans: Iterable[MemoryPlan]) -> str:
    return f"{mean(plan.bytes_moved for plan in plans) / 1e9:.2f}"


def optimum(corpus: list[Case]) -> Iterator[str]:
    """How far the plans of small workflows are from the optimum."""
    small = [c for c in corpus if sum(bool(step.components) for step in c.workload.steps) <= SMALL]
    optima = [(case, Optimum(case.workload).cost()) for case in small]
    solved = [(case, least) for case, least in optima if least is not None]
    yield _line("small workflows", "optimum known", "mean excess", "worst", "at the optimum", "aim")
    yield _line(*["---"] * 6)
    for name, group in (
        ("all", solved),
        ("tight", [(case, least) for case, least in solved if case.tight]),
    ):
        excess = [case.ours.bytes_loaded / least[0] - 1 for case, least in group]
        same = sum(not difference for difference in excess)
        total = len(small) if name == "all" else sum(case.tight for case in small)
        yield _line(
            f"{name}: {total}",
            str(len(group)),
            f"{mean(excess):.3%}",
            f"{max(excess):.1%}",
            f"{same} of {len(group)}",
            "mean within 5 %",
        )
        assert all(case.ours.cost[:2] >= least for case, least in group)


def seconds() -> Iterator[str]:
    """CPU time of planning, each workflow five times."""
    yield _line("nodes", "workflow", "budget", "median CPU ms", "aim")
    yield _line(*["---"] * 5)
    names = [
        (shape, budget) for shape in ("sweep", "free graph") for budget in ("tight", "less tight")
    ]
    for count, aim in ((100, 10), (2000, 200)):
        for (shape, budget), workload in zip(names, large(count), strict=True):
            taken = median_seconds(partial(_plan_again, workload))
            yield _line(
                str(len(workload.steps)), shape, budget, f"{taken * 1e3:.1f}", f"under {aim}"
            )


def large_rows() -> Iterator[str]:
    """CPU time of `Session.plan`, for graphs of nodes over the shipped checkpoints' files."""
    yield _line("nodes", "budget", "validation, median CPU ms", "the plan, median CPU ms", "aim")
    yield _line(*["---"] * 5)
    for count, aim in ((100, 10), (2000, 200)):
        graph = real_graph(count)
        for name, bytes_ in (("tight", 30 * 10**6), ("ample", 10**12)):
            models = ModelCache(budgets=Budgets(bytes_, bytes_), probe=lambda device: None)
            session = Session(device="cuda", dtype="float16", store=None, models=models)
            checked = median_seconds(partial(_check_graph, graph))
            total = median_seconds(partial(session.plan, graph))
            yield _line(
                str(len(graph.nodes)),
                name,
                f"{checked * 1e3:.1f}",
                f"{(total - checked) * 1e3:.1f}",
                f"under {aim}",
            )


def _check_graph(graph: Graph) -> None:
    with memoized_scope():
        assert not graph.check()


def _plan_again(workload: Workload) -> MemoryPlan:
    # A workload remembers what was worked out of it; a copy remembers nothing.
    return best_plan(replace(workload))


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    planned = cases()
    sizes = [len(case.workload.steps) for case in planned]
    print(
        f"{COUNT} workflows of {min(sizes)} to {max(sizes)} steps, mean {mean(sizes):.0f}. "
        "Bytes loaded, this plan = 1, mean of the ratios:\n"
    )
    for part in (rivals(planned), optimum(planned), seconds(), large_rows()):
        print(*part, sep="\n", end="\n\n")
