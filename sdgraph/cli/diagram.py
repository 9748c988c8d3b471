"""Draws a workflow file as text and as a Mermaid flowchart.

It draws the file and not a graph, so that workflows with missing inputs or wrong wires can be drawn
too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sdgraph.formatting import align_columns
from sdgraph.graph import Node
from sdgraph.language import (
    Input,
    NodeSpec,
    Reference,
    WorkflowTemplate,
    parse_reference,
    walk_scalars,
)

Types = Mapping[str, type[Node[Any]]]

_BRIEF = 40


def as_text(template: WorkflowTemplate, registry: Types) -> str:
    """A workflow as text: the inputs, then the nodes in order with output, wires and fields.

    Args:
        template: The workflow as it is written in its file.
        registry: The known node types.
    """
    title = f"{template.name}: {template.description}" if template.description else template.name
    lines = [title]
    if template.inputs:
        rows = [_input_row(declared) for declared in template.inputs.values()]
        lines += ["", "inputs", *(f"  {row}" for row in align_columns(rows))]
    boxes = [_node_row(template.specs[name], registry) for name in _order(template)]
    lines += ["", "nodes", *(f"  {row}" for row in align_columns(boxes))]
    if template.output:
        lines += ["", f"output  {template.output}"]
    return "\n".join(lines)


def as_mermaid(template: WorkflowTemplate, registry: Types) -> str:
    """A workflow as a Mermaid `flowchart LR`: boxes with name and type, arrows with the port.

    Args:
        template: The workflow as it is written in its file.
        registry: The known node types.
    """
    order = _order(template)
    # Ids are numbered: a node may be called `end`, which is a keyword of Mermaid.
    ids = {name: f"n{place}" for place, name in enumerate(order)}
    inputs = {name: f"i{place}" for place, name in enumerate(template.inputs)}
    lines = ["flowchart LR"]
    lines += [f"  {key}([{_quote(f'$inputs.{name}')}])" for name, key in inputs.items()]
    for name in order:
        spec = template.specs[name]
        effect = _is_effect(spec, registry)
        opening, closing = ("[[", "]]") if effect else ("[", "]")
        lines.append(f"  {ids[name]}{opening}{_quote(name, spec.type)}{closing}")
    for name in order:
        for field, to in _wires(template.specs[name]):
            source = (inputs if to.to_input else ids).get(to.name)
            if source is not None:
                arrow = "-.->" if to.to_input else "-->"
                lines.append(f"  {source} {arrow}|{_quote(field)}| {ids[name]}")
    return "\n".join(lines)


def unneeded_nodes(template: WorkflowTemplate, registry: Types) -> list[str]:
    """The names of the nodes that no target needs."""
    targets = [name for name, spec in template.specs.items() if _is_effect(spec, registry)]
    if not targets:
        return []  # then every node that no other node reads is a target
    needed: set[str] = set()
    stack = [*targets, *([template.output] if template.output else [])]
    while stack:
        name = stack.pop()
        if name not in needed and name in template.specs:
            needed.add(name)
            stack += template.specs[name].references()
    return [name for name in template.specs if name not in needed]


def _is_effect(spec: NodeSpec, registry: Types) -> bool:
    """Whether a node is a target; a sub-workflow and an unknown type may be one."""
    cls = registry.get(spec.type)
    return cls is None or cls.effect


def _order(template: WorkflowTemplate) -> list[str]:
    """The names, each after those it refers to; in the order of the file if there is a cycle."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(template.specs)
    graph.add_edges_from(
        (other, name)
        for name, spec in template.specs.items()
        for other in spec.references()
        if other in template.specs
    )
    if not nx.is_directed_acyclic_graph(graph):
        return list(template.specs)
    return [name for layer in nx.topological_generations(graph) for name in layer]


def _wires(spec: NodeSpec) -> Iterator[tuple[str, Reference]]:
    """Each reference in a node's fields, with its place, such as `controls[0]`."""
    for place, value in walk_scalars(dict(spec.fields)):
        if (to := parse_reference(value)) is not None:
            steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place[1:])
            yield f"{place[0]}{''.join(steps)}", to


def _node_row(spec: NodeSpec, registry: Types) -> tuple[str, str, str]:
    cls = registry.get(spec.type)
    is_known = spec.type == "Workflow" or cls is not None
    output = f" → {cls.definition.output.__name__}" if cls is not None else ""
    kind = f"{spec.type}{output}" if is_known else f"{spec.type} (unknown)"
    wires = list(_wires(spec))
    parts = [f"{field} ← {to.name}" for field, to in wires if not to.to_input]
    parts += [f"{field} ← {to}" for field, to in wires if to.to_input]
    parts += [
        f"{name}={_brief(value)}"
        for name, value in spec.fields.items()
        if not any(parse_reference(inner) for _, inner in walk_scalars(value))
    ]
    return spec.name, kind, ", ".join(parts)


def _input_row(declared: Input) -> tuple[str, str, str, str]:
    default = "must be given" if declared.required else _brief(declared.default)
    return declared.name, declared.type, default, declared.description


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _BRIEF else f"{text[: _BRIEF - 1]}…"


def _quote(*lines: str) -> str:
    """Lines as one Mermaid label, in which special characters are written as codes."""
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
    encoded = ("".join(codes.get(char, char) for char in line) for line in lines)
    return f'"{"<br/>".join(encoded)}"'
