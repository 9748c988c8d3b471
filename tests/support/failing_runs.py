"""Runs that must fail: the text of the error; nothing was loaded."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph import InvalidNodeError, InvalidWorkflowError, Node, NodeFailedError, Session, run


def refused_before_load(node: Node[Any]) -> str:
    """The text of the error of a run that must stop before it loads anything."""
    session = Session(device="cpu", store=None)
    with pytest.raises(InvalidWorkflowError) as caught:
        run(node, session=session)
    assert session.models.loaded() == ()
    return str(caught.value)


def failure(node: Node[Any], session: Session) -> NodeFailedError:
    """The error of a run that must fail in a node; nothing stays pinned."""
    with pytest.raises(NodeFailedError) as caught:
        run(node, session=session)
    assert not any(component.leases for component in session.models.loaded())
    return caught.value


def refused_at_construction(cls: type[Node[Any]], **fields: Any) -> str:
    """The text of the error when a node is made."""
    with pytest.raises(InvalidNodeError) as caught:
        cls(**fields)
    return str(caught.value)


def problems_of(node: Node[Any]) -> str:
    """What the check of a node finds, as text; "" if all is well."""
    return "\n".join(str(problem) for problem in node.check())
