"""Hypothesis: any graph a user could write with the toys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from sdgraph.graph import Node

from . import toys

TRICKY = (
    "",
    "$x",
    "$$x",
    "$$$",
    "$",
    "$inputs.x",
    "costs $5",
    "yes",
    "no",
    "null",
    "~",
    "1e3",
    "0x1f",
    "1:30",
    "2024-01-01",
    "<<",
    "=",
    "a: b",
    "a #b",
    "- a",
    "*a",
    "&a",
    "!x",
    "%x",
    "@x",
    "`x`",
    "{a}",
    "[a]",
    "tab\there",
    "two\nlines",
    "\n",
    " \n ",
    "...",
    "---\n",
    "'",
    '"',
    "\\",
    "größe",
    "🙂",
    "\u2028",
    "\x85",
    "\xa0",
    " lead",
    "trail ",
    "x" * 200,
)

texts = st.sampled_from(TRICKY) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
)
"""Texts a person could put into a field, the tricky ones often."""

numbers = st.integers(-1000, 1000)


@st.composite
def graphs(draw: st.DrawFn, *, max_size: int = 12) -> list[Node[Any]]:
    """Some nodes over numbers and texts, each after those it reads; all wires are right."""
    integers: list[Node[int]] = [toys.Number(value=draw(numbers))]
    words: list[Node[str]] = [toys.Text(text=draw(texts))]
    nodes: list[Node[Any]] = [*integers, *words]
    for _ in range(draw(st.integers(0, max_size))):
        node = draw(_next(integers, words))
        nodes.append(node)
        if node.output is int:
            integers.append(node)
        elif node.output is str:
            words.append(node)
    return nodes


def _next(
    integers: Sequence[Node[int]], words: Sequence[Node[str]]
) -> st.SearchStrategy[Node[Any]]:
    number = st.sampled_from(integers) | numbers
    word = st.sampled_from(words) | texts
    return st.one_of(
        st.builds(toys.Number, value=numbers),
        st.builds(toys.Text, text=texts, tags=st.lists(texts, max_size=3)),
        st.builds(toys.Add, a=number, b=number, offset=numbers),
        st.builds(toys.Halve, a=number),
        st.builds(toys.Sum, terms=st.lists(number, min_size=1, max_size=4)),
        st.builds(toys.Scale, number=number, by=st.floats(-1e6, 1e6)),
        st.builds(
            toys.Join,
            words=st.lists(word, max_size=4),
            glue=texts,
            style=st.sampled_from(["plain", "loud"]),
        ),
    )


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
"""Plain data: what a YAML file may hold."""
