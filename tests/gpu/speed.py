"""Warm runs beside bare diffusers, compiled ones, and how fast weights are loaded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sdgraph import Checkpoint, Graph, events
from sdgraph.models import fetch_checkpoint, quiet_libraries
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES

from .check import Bench, Check
from .checkpoints import checkpoint
from .systems import node, run, session

_ROUNDS = 5
_AIM = 1.10
_CHUNK = 64 * 2**20


def _seconds(bench: Bench, work: Callable[[], object]) -> float:
    """The wall seconds of a call, with all that the card does for it."""
    began = time.perf_counter()
    work()
    if not bench.is_small:
        import torch

        torch.cuda.synchronize()
    return time.perf_counter() - began


def _bare(bench: Bench, name: str, what: Any) -> Callable[[], Any]:
    """The call of a diffusers pipeline for the same picture."""
    import diffusers
    import torch

    source = f"random/{name}" if name in PIPELINES else "text-to-image"
    folder = fetch_checkpoint(Checkpoint(checkpoint(bench, source)))
    dtype = torch.float32 if bench.is_small else torch.float16
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=dtype).to(bench.device)
    pipe.set_progress_bar_config(disable=True)

    def script() -> Any:
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
        return pipe(
            prompt=what.prompt,
            num_inference_steps=what.steps,
            width=what.width,
            height=what.height,
            generator=torch.Generator("cpu").manual_seed(7),
            **what.guidance_arguments(),
        )

    return script


def _warm_ratio(name: str, bench: Bench) -> tuple[bool, str]:
    with quiet_libraries():
        what, on = node(bench, name), session(bench)
        script, ours = _bare(bench, name, what), partial(run, on, what)
        ours(), script()
        pairs = [(_seconds(bench, ours), _seconds(bench, script)) for _ in range(_ROUNDS)]
    ratio = median(mine / theirs for mine, theirs in pairs)
    first, second = (median(pair[n] for pair in pairs) * 1e3 for n in (0, 1))
    said = f"{first:.1f} ms, diffusers {second:.1f} ms: {ratio:.3f}"
    if bench.is_small:
        return True, f"{said} (tiny models on a CPU: not judged)"
    return ratio <= _AIM, said


def _compiled(bench: Bench) -> tuple[bool, str]:
    """The first run with `compile`, and warm ones beside those without it."""
    bench.needs_card("compiling takes minutes on a CPU")
    on, plain = session(bench), node(bench, "text", steps=20)
    compiled = plain.replace(tuning={"compile": True})
    run(on, plain)
    first = _seconds(bench, partial(run, on, compiled))
    pairs = [
        (_seconds(bench, partial(run, on, compiled)), _seconds(bench, partial(run, on, plain)))
        for _ in range(_ROUNDS)
    ]
    ratio = median(mine / theirs for mine, theirs in pairs)
    folder = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
    kept = sum(1 for path in Path(folder).rglob("*") if path.is_file()) if folder else 0
    said = f"first run {first:.1f} s, warm {ratio:.2f} of uncompiled, {kept} files are kept"
    return kept > 0 and ratio <= 1.05, said


def _disk_seconds(paths: list[Path]) -> float:
    """The seconds that reading files takes; as often, most of them are in the system's cache."""
    buffer, began = bytearray(_CHUNK), time.perf_counter()
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass
    return time.perf_counter() - began


def _bus_rate(bench: Bench) -> float | None:
    """The gigabytes a second from pinned memory to the card."""
    if bench.is_small:
        return None
    import torch

    pinned = torch.empty(2**30, dtype=torch.uint8, pin_memory=True)
    copy = partial(pinned.to, bench.device, non_blocking=True)
    _seconds(bench, copy)
    return 2**30 / 1e9 / median(_seconds(bench, copy) for _ in range(3))


def _load_rate(name: str, bench: Bench) -> tuple[bool, str]:
    what = node(bench, name)
    graph = Graph.of(what)
    run(session(bench), what)  # what the libraries do once is done
    log: list[events.Event] = []
    session(bench).run(graph, log.append)
    loads = [event for event in log if isinstance(event, events.Loaded) and event.file_bytes]
    size = sum(event.file_bytes for event in loads) / 1e9
    rate = size / sum(event.seconds for event in loads)
    folder = fetch_checkpoint(
        Checkpoint(checkpoint(bench, name if name != "text" else "text-to-image"))
    )
    paths = sorted(folder.rglob("*.safetensors"))
    disk = sum(path.stat().st_size for path in paths) / 1e9 / _disk_seconds(paths)
    bus = _bus_rate(bench)
    said = f"{size:.2f} GB at {rate:.2f} GB/s; files are read at {disk:.2f} GB/s"
    if bus is None:
        return True, f"{said} (tiny models on a CPU: not judged)"
    bound = 1 / (1 / disk + 1 / bus)
    share = f"{rate / bound:.2f} of reading, then copying"
    return rate >= 0.5 * bound, f"{said}, the bus copies {bus:.1f} GB/s: {share}"


def checks() -> Iterator[Check]:
    """Ratios and rates; on a CPU the figures say nothing about a card."""
    for name in ("text", "flux"):
        yield Check(f"warm {name} beside diffusers", f"≤ {_AIM}", partial(_warm_ratio, name))
    yield Check("compile", "≤ 1.05 of uncompiled, kept for later", _compiled, limit=150)
    for name in ("text", "turbo"):
        wanted = "≥ 0.5 of disk and bus one after the other"
        yield Check(f"loads of {name}", wanted, partial(_load_rate, name))
