"""What `validate`, `plan` and `models` tell, as text and rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.execution import Plan, Step
from sdgraph.formatting import format_bytes, format_count, shorten_path
from sdgraph.graph import Registry
from sdgraph.language import Input, Workflow
from sdgraph.models import process_records, shipped

from .diagram import unneeded
from .request import ArgumentError, Request, files_and_inputs, opened, registry_with, requested
from .source_excerpt import problem_text


@dataclass(frozen=True)
class Report:
    """What is wrong with one workflow file, and what is only worth a note."""

    file: str
    problems: tuple[Problem, ...]
    unneeded: tuple[str, ...] = ()
    required: tuple[Input, ...] = ()

    def as_text(self) -> str:
        """Every problem with its line; then the notes."""
        lines = [f"{problem_text(problem)}\n" for problem in self.problems]
        if not self.problems:
            lines.append(f"{self.file}: no problems")
        if self.unneeded:
            lines.append(f"  note: no target needs {', '.join(self.unneeded)}")
        if self.required:
            listed = ", ".join(f"{each.name} ({each.type})" for each in self.required)
            lines.append(f"  note: a run must be given {listed}")
        return "\n".join(lines)


def reports(arguments: Sequence[str], packs: Sequence[Path]) -> list[Report]:
    """A report for each file; several files share the inputs, each takes those it declares."""
    files, assignments = files_and_inputs(arguments)
    if not files:
        raise ArgumentError(Problem("FILE", f"only {' '.join(arguments)}", "a file to validate"))
    registry = registry_with(packs)
    found = [_opened(file, registry) for file in files]
    workflows = [each for each in found if isinstance(each, Workflow)]
    declared = {name for workflow in workflows for name in workflow.inputs}
    made, strangers = [], [each for each in assignments if _name(each) not in declared]
    for file, workflow in zip(files, found, strict=True):
        if isinstance(workflow, InvalidWorkflowError):
            made.append(Report(file, workflow.problems))
            continue
        own = [each for each in assignments if _name(each) in workflow.inputs]
        made.append(_report(file, requested(workflow, [*strangers, *own])))
        strangers = []  # told once
    return made


def _opened(file: str, registry: Registry) -> Workflow | InvalidWorkflowError:
    try:
        return opened(file, registry)
    except InvalidWorkflowError as error:
        return error


def _name(assignment: str) -> str:
    return assignment.partition("=")[0]


def _report(file: str, asked: Request) -> Report:
    workflow = asked.workflow
    open_inputs = (
        each
        for each in workflow.inputs.values()
        if each.required and each.name not in (*asked.inputs, *asked.axes)
    )
    idle = unneeded(workflow.template, workflow.registry)
    return Report(file, tuple(asked.every_problem()), tuple(idle), tuple(open_inputs))


def plan_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """A row for each step: place, name, type, loads, what is done for room and speed, releases."""
    for place, step in enumerate(plan.steps, 1):
        released = ", ".join(plan.graph.names[node] for node in step.releases)
        yield (
            str(place),
            step.name,
            type(step.node).__name__,
            _loads(step),
            _shifts(step),
            released,
        )


def _loads(step: Step) -> str:
    """What is loaded for a step, and how much of what it uses is there already."""
    if step.action == "reuse":
        return "remembered"
    names = {use.component.key: use.name for use in step.uses}
    loads = [
        f"{names[each.key]} {format_bytes(each.bytes)}" if each.bytes else names[each.key]
        for each in step.loads
    ]
    kept = len(names) - len(loads)
    loads += [f"({kept} there)"] if kept else []
    return ", ".join(
        loads + [f"{k.name} remembered" for k in step.stages if k.remembered is not None]
    )


def _shifts(step: Step) -> str:
    words = {"evict": "drops", "offload": "parks", "upload": "brings back"}
    told = [
        f"{words[kind]} {each.name} {format_bytes(each.bytes)}"
        for kind, each in step.memory_actions
        if kind != "load"
    ]
    if step.prefetch:
        size = format_bytes(sum(each.file_bytes for each in step.prefetch))
        told.append(f"reads {format_count(len(step.prefetch), 'component')} ahead ({size})")
    if step.working_bytes and step.action == "run":
        told.append(f"works in about {format_bytes(step.working_bytes)}")
    return ", ".join(told)


def plan_totals(plan: Plan) -> str:
    """How much will be loaded and fetched, and how much memory it takes, in words."""
    loads = f"{format_count(len(plan.loads), 'component')} loaded"
    lines = [
        f"\n{format_count(len(plan.steps), 'step')}, {loads} ({format_bytes(plan.bytes_loaded)})"
    ]
    if reused := sum(step.action == "reuse" for step in plan.steps):
        spared = format_count(len(plan.graph.nodes) - len(plan.steps), "node")
        lines.append(f"{format_count(reused, 'result')} remembered, {spared} not needed for that")
    if plan.uses_models:
        lines += _peaks(plan)
    for checkpoint in plan.fetches:
        lines.append(f"to be fetched from the hub: {checkpoint.source}")
    return "\n".join([*lines, *plan.warnings])


def _peaks(plan: Plan) -> Iterator[str]:
    """The peak of models and of what they work in on each tier that is used, beside its limit."""
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
    """The checkpoints or components in one place: a title, rows for people, the same as data."""

    key: str
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    data: tuple[dict[str, Any], ...]


_ON_DISK = ("checkpoint", "size", "folder")


def shipped_family() -> Section:
    """The checkpoints that ship with sdgraph."""
    rows, data, total = [], [], 0
    for name in shipped.names():
        folder = shipped.folder(name)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        total += size
        rows.append((name, format_bytes(size), shorten_path(folder)))
        data.append({"checkpoint": name, "bytes": size, "folder": str(folder)})
    title = f"shipped with sdgraph ({format_bytes(total)})"
    return Section("shipped", title, _ON_DISK, tuple(rows), tuple(data))


def hub_cache() -> Section:
    """The checkpoints that were fetched from the hub."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import CacheNotFound

    place = shorten_path(HF_HUB_CACHE)
    try:
        found = scan_cache_dir()
    except CacheNotFound:
        title = f"fetched from the hub: none; they would be kept in {place}"
        return Section("hub", title, _ON_DISK, (), ())
    repos = sorted(found.repos, key=lambda repo: -repo.size_on_disk)
    models = [repo for repo in repos if repo.repo_type == "model"]
    title = f"fetched from the hub ({format_bytes(found.size_on_disk)} in {place})"
    rows = [(r.repo_id, format_bytes(r.size_on_disk), shorten_path(r.repo_path)) for r in models]
    data = [
        {"checkpoint": r.repo_id, "bytes": r.size_on_disk, "folder": str(r.repo_path)}
        for r in models
    ]
    return Section("hub", title, _ON_DISK, tuple(rows), tuple(data))


def in_memory() -> Section:
    """What processes that run now hold in memory, and why; without a title where there is none."""
    found = process_records.held()
    total = format_bytes(sum(each.bytes for each in found))
    headers = ("component", "size", "where", "why", "process")
    rows = [(r.name, format_bytes(r.bytes), r.where, r.why, str(r.process)) for r in found]
    title = f"in memory now ({total})" if found else ""
    return Section("memory", title, headers, tuple(rows), tuple(each._asdict() for each in found))
