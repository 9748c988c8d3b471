"""Budgets, planned against measured peaks, fallbacks that are provoked, and batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from sdgraph import Graph, events

from .check import Bench, Check
from .systems import SYSTEMS, node, pixels, run, session

_LEAST, _MOST = 0.5, 1.1
"""How much of the planned peak may be measured."""
_BATCH = 4


def _peak(name: str, share: float | None, bench: Bench) -> tuple[bool, str]:
    """Runs with a budget that is a share of the planned peak, or none; compares the peaks."""
    bench.needs_card("torch.cuda.max_memory_allocated")
    import torch

    graph = Graph.of(node(bench, name))
    budget = None
    if share is not None:
        budget = int(session(bench).plan(graph).peak_accelerator * share)
    on = session(bench, budget=budget)
    planned = on.plan(graph).peak_accelerator
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    on.run(graph)
    measured = torch.cuda.max_memory_allocated() - before
    within = _LEAST * planned <= measured <= _MOST * planned
    if budget is not None:
        within = within and measured <= budget
    said = f"planned {planned / 2**30:.2f} GiB, measured {measured / 2**30:.2f} GiB"
    ratio = f"{measured / planned:.2f}"
    limit = "" if budget is None else f", budget {budget / 2**30:.2f} GiB"
    return within, f"{said} ({ratio}){limit}"


def _too_small(bench: Bench) -> tuple[bool, str]:
    """A budget that no plan can keep is refused before anything is loaded."""
    from sdgraph.errors import InvalidValueError

    log: list[events.Event] = []
    try:
        session(bench, budget=1000).run(Graph.of(node(bench, "text")), log.append)
    except InvalidValueError as error:
        return not any(isinstance(event, events.Loaded) for event in log), str(error)
    return False, "it ran"


@contextmanager
def _card_limited_to(size: int) -> Iterator[None]:
    """Has torch refuse more than a number of bytes of the card, by its real out of memory error."""
    import torch

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total))
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _fall_back(share: float, bench: Bench) -> tuple[bool, str]:
    """Runs where less memory is than the measured peak; the fallbacks must save the run."""
    bench.needs_card("the card's own out of memory error")
    import torch

    what = node(bench, "text")
    torch.cuda.reset_peak_memory_stats()
    expected = pixels(run(session(bench), what))
    log: list[events.Event] = []
    with _card_limited_to(int(torch.cuda.max_memory_allocated() * share)):
        value = pixels(run(session(bench), what, log.append))
    tried = [event.change for event in log if isinstance(event, events.Retried)]
    mean = float(np.abs(value.astype(int) - expected.astype(int)).mean())
    said = f"tried: {'; '.join(tried) or 'nothing'}; mean difference {mean:.2f}"
    return bool(tried) and value.shape == expected.shape, said


def _batch(bench: Bench) -> tuple[bool, str]:
    """Some seeds at once and one after another: their time and whether their bits are equal."""
    import time

    seeds = [node(bench, "text", seed=seed) for seed in range(_BATCH)]
    graph = Graph.of(*seeds)
    found: dict[int, tuple[float, list[Any]]] = {}
    for most in (1, _BATCH):
        on = session(bench, batch=most)
        on.run(graph)
        began = time.perf_counter()
        values = list(on.run(graph).values())
        found[most] = time.perf_counter() - began, [pixels(value) for value in values]
    (one, alone), (many, together) = found[1], found[_BATCH]
    worst = max(
        int(np.abs(a.astype(int) - b.astype(int)).max())
        for a, b in zip(alone, together, strict=True)
    )
    steps = session(bench, batch=_BATCH).plan(graph).steps
    size = max((len(step.batch) for step in steps), default=0)
    said = f"{size} at once, {many / one:.2f} of the time one by one, bits differ by {worst}"
    return worst == 0, said


def checks() -> Iterator[Check]:
    """Budgets, fallbacks and batches."""
    wanted = f"{_LEAST} to {_MOST} of the planned peak"
    for name in (*SYSTEMS, "flux"):
        yield Check(f"peak of {name}, no budget", wanted, partial(_peak, name, None))
    for name in ("text", "turbo"):
        run_it = partial(_peak, name, 0.8)
        yield Check(f"peak of {name}, --vram of 0.8 of it", f"{wanted}, within it", run_it)
    yield Check("--vram that nothing fits in", "refused before a load", _too_small)
    for share in (0.9, 0.5):
        name = f"a card of {share} of the measured peak"
        yield Check(name, "a fallback makes the picture", partial(_fall_back, share), limit=90)
    yield Check(f"{_BATCH} seeds at once", "the same bits as one by one", _batch)
