"""The output of `plan` and `models`, as text and rows of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdgraph.formatting import format_bytes, format_count, shorten_path
from sdgraph.models import is_random
from sdgraph.models.sources.shipped import shipped_folder, shipped_names

if TYPE_CHECKING:
    from sdgraph.execution import Plan, Step


def list_files(paths: Sequence[Path]) -> str:
    """Some files or folders in words: the first ones, relative to the current folder if below it.

    Args:
        paths: Absolute paths, at least one.

    Example:
        >>> list_files([Path(f"/pictures/{number}.png") for number in range(1, 6)])
        '5 files: /pictures/1.png, /pictures/2.png, /pictures/3.png and 2 more'
    """
    shown = ", ".join(map(path_below_here, paths[:FILES_SHOWN]))
    if len(paths) == 1:
        return shown
    more = len(paths) - FILES_SHOWN
    return f"{len(paths):,} files: {shown}{f' and {more:,} more' if more > 0 else ''}"


def path_below_here(path: Path) -> str:
    """An absolute path, relative to the current folder if it is below it."""
    current = Path.cwd()
    return str(path.relative_to(current) if path.is_relative_to(current) else path)


def files_as_data(paths: Sequence[Path]) -> dict[str, Any]:
    """Files to write as plain data for JSON: their number, and the first ones.

    Args:
        paths: Absolute paths.
    """
    return {"count": len(paths), "files": [*map(path_below_here, paths[:FILES_IN_DATA])]}


FILES_SHOWN = 3
"""How many of the files that are written are named in text."""

FILES_IN_DATA = 100
"""How many of them are named in JSON."""


def plan_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A row for each step: number, name, type, loads, moves and memory, released results."""
    for number, step in enumerate(plan.steps, 1):
        released = ", ".join(plan.graph.names[node] for node in step.releases)
        yield (
            str(number),
            step.name,
            type(step.node).__name__,
            _loads(step),
            _moves(step),
            released,
        )


def _loads(step: Step) -> str:
    """The components that are loaded for a step, and how many of them are in memory already."""
    if step.action == "reuse":
        return "remembered"
    if step.made_with:
        return f"made at once with {step.made_with}"
    here = (use for use in step.uses if use.resolved.owner.root is not None)
    names = {use.component.key: use.name for use in here}
    loads = [
        f"{names[component.key]} {format_bytes(component.bytes)}"
        if component.bytes
        else names[component.key]
        for component in step.loads
        if component.key in names
    ]
    kept = len(names) - len(loads)
    loads += [f"({kept} in memory)"] if kept else []
    known = [f"{stage.name} remembered" for stage in step.stages if stage.remembered is not None]
    known += [f"{stage.name} made before" for stage in step.stages if stage.made_before]
    known += [step.not_kept] if step.not_kept else []
    unknown = [f"unknown parts of {source}" for source in step.absent]
    return ", ".join(loads + unknown + known)


def _moves(step: Step) -> str:
    words = {"evict": "drops", "offload": "offloads", "upload": "uploads"}
    actions = [
        f"{words[kind]} {component.name} {format_bytes(component.bytes)}"
        for kind, component in step.memory_actions
        if kind != "load"
    ]
    if step.prefetch:
        size = format_bytes(sum(component.file_bytes for component in step.prefetch))
        actions.append(f"reads {format_count(len(step.prefetch), 'component')} ahead ({size})")
    if step.absent and step.action == "run":
        actions.append("works in an unknown amount")
    elif step.working_bytes and step.action == "run" and not step.made_with:
        many = f" for {len(step.batch)} at once" if step.batch else ""
        actions.append(f"works in about {format_bytes(step.working_bytes)}{many}")
    return ", ".join(actions)


def plan_totals(plan: Plan) -> str:
    """Lines that say how much will be loaded and downloaded, and how much memory that takes."""
    lines = [f"\n{format_count(len(plan.steps), 'step')}, {_all_loads(plan)}"]
    if reused := sum(step.action == "reuse" for step in plan.steps):
        unneeded = format_count(len(plan.graph.nodes) - len(plan.steps), "node")
        lines.append(f"{format_count(reused, 'result')} remembered, {unneeded} not needed")
    if plan.uses_models:
        lines += _peaks(plan)
    if files := [path for path, _, _ in plan.graph.files_to_write]:
        lines.append(f"writes {list_files(files)}")
    for checkpoint in plan.fetches:
        how = "made" if is_random(checkpoint.source) else "downloaded from the hub"
        lines.append(f"to be {how}: {checkpoint.source}")
    problems = (*plan.checkpoint_warnings, *plan.graph.warnings())
    warnings = [f"warning: {problem.as_line()}" for problem in problems]
    return "\n".join([*lines, *plan.warnings, *warnings])


def _all_loads(plan: Plan) -> str:
    """How many components are loaded, and their bytes, as far as they are on this disk."""
    uses = (use for step in plan.steps for use in step.uses)
    absent = {use.component.key for use in uses if use.resolved.owner.root is None}
    known = sum(component.key not in absent for component in plan.loads)
    loads = f"{format_count(known, 'component')} loaded ({format_bytes(plan.bytes_loaded)})"
    if plan.absent:
        loads += f", and unknown ones of {', '.join(plan.absent)}"
    return loads


def plan_as_data(plan: Plan) -> dict[str, Any]:
    """The plan as plain data for JSON; of many files to write, the number and the first ones."""
    files = [path for path, _, _ in plan.graph.files_to_write]
    steps = [
        {
            "node": plan.graph.names[step.node],
            "stage": None if step.stage is None else step.stage.name,
            "type": type(step.node).__name__,
            "action": step.action,
            "loads": [component.name for component in step.loads],
            "working_bytes": step.working_bytes,
            "releases": [plan.graph.names[node] for node in step.releases],
        }
        for step in plan.steps
    ]
    return {
        "device": plan.device,
        "dtype": plan.dtype,
        "steps": steps,
        "bytes_loaded": plan.bytes_loaded,
        "peak_accelerator": plan.peak_accelerator,
        "peak_host": plan.peak_host,
        "downloads": [checkpoint.source for checkpoint in plan.fetches],
        "writes": files_as_data(files),
        "warnings": [*plan.warnings, *(problem.as_line() for problem in plan.graph.warnings())],
    }


def _peaks(plan: Plan) -> Iterator[str]:
    """A line for each memory that is used, with the peak of models and work, and the limit."""
    if plan.absent:
        yield f"peak of memory: unknown until {', '.join(plan.absent)} can be read"
        return
    limits, enforced = plan.limits.available, plan.limits.enforced
    tiers = [("host memory", plan.peak_host, limits.host, enforced.host)]
    if plan.device != "cpu":
        tiers.insert(
            0, (plan.device, plan.peak_accelerator, limits.accelerator, enforced.accelerator)
        )
    for name, peak, limit, wanted in tiers:
        if limit is None:
            yield f"peak on {name}: {format_bytes(peak)}"
        else:
            kind = "a budget" if wanted is not None else "free"
            yield f"peak on {name}: {format_bytes(peak)} of {format_bytes(limit)} ({kind})"


@dataclass(frozen=True)
class Section:
    """A section of `sdgraph models`: a title, a table, and its rows as data."""

    key: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: tuple[dict[str, Any], ...]


_ON_DISK = ("checkpoint", "size", "folder")


def shipped_checkpoints() -> Section:
    """The checkpoints that ship with sdgraph."""
    rows, data, total = [], [], 0
    for name in shipped_names():
        folder = shipped_folder(name)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        total += size
        rows.append((name, format_bytes(size), shorten_path(folder)))
        data.append({"checkpoint": name, "bytes": size, "folder": str(folder)})
    title = f"shipped with sdgraph ({format_bytes(total)})"
    return Section("shipped", title, _ON_DISK, tuple(rows), tuple(data))


def downloaded_checkpoints() -> Section:
    """The checkpoints that were downloaded from the hub."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import CacheNotFound

    folder = shorten_path(HF_HUB_CACHE)
    try:
        cache = scan_cache_dir(HF_HUB_CACHE)
    except CacheNotFound:
        title = f"downloaded from the hub: none; they would be kept in {folder}"
        return Section("hub", title, _ON_DISK, (), ())
    repos = sorted(cache.repos, key=lambda repo: -repo.size_on_disk)
    models = [repo for repo in repos if repo.repo_type == "model"]
    title = f"downloaded from the hub ({format_bytes(cache.size_on_disk)} in {folder})"
    rows = [(r.repo_id, format_bytes(r.size_on_disk), shorten_path(r.repo_path)) for r in models]
    data = [
        {"checkpoint": r.repo_id, "bytes": r.size_on_disk, "folder": str(r.repo_path)}
        for r in models
    ]
    return Section("hub", title, _ON_DISK, tuple(rows), tuple(data))


def loaded_components() -> Section:
    """The components in the memory of running processes, and why; no title if there are none."""
    from sdgraph.models.loading import process_records

    components = process_records.held_components()
    total = format_bytes(sum(component.bytes for component in components))
    headers = ("component", "size", "where", "why", "process")
    rows = [(r.name, format_bytes(r.bytes), r.where, r.why, str(r.process)) for r in components]
    title = f"in memory now ({total})" if components else ""
    return Section(
        "memory",
        title,
        headers,
        tuple(rows),
        tuple(component._asdict() for component in components),
    )
