"""Errors are one tree, survive pickling and say where, what, and how to mend it."""

from __future__ import annotations

import pickle
import re

import pytest

from sdgraph import errors
from sdgraph.errors import InvalidNodeError, InvalidWorkflowError, Mark, NodeFailedError, Problem

CLASSES = [each for each in vars(errors).values() if isinstance(each, type)]
FAILURES = [each for each in CLASSES if issubclass(each, Exception)]


@pytest.mark.parametrize("failure", FAILURES)
def test_every_error_is_an_sdgraph_error_and_stands_in_the_drawn_tree(failure: type) -> None:
    assert issubclass(failure, errors.SdgraphError)
    assert errors.__doc__ and re.search(rf"\b{failure.__name__}\b", errors.__doc__)


def test_a_problem_reads_place_subject_found_wanted_fix() -> None:
    problem = Problem("edges.low", "3.5", "a whole number", "write 3", Mark("a.yaml", 4, 9))
    assert str(problem) == (
        "a.yaml:4:9: edges.low\n  found:  3.5\n  wanted: a whole number\n  fix:    write 3"
    )


def test_a_problem_without_fix_or_place_has_no_empty_lines() -> None:
    assert str(Problem("low", "3", "4")) == "low\n  found:  3\n  wanted: 4"


def test_a_problem_seen_from_outside_keeps_its_own_place() -> None:
    inner, outer = Mark("in.yaml", 1, 1), Mark("out.yaml", 2, 2)
    assert Problem("low", "a", "b", at=inner).under("edges", outer).at == inner
    assert Problem("low", "a", "b").under("edges", outer) == Problem(
        "edges.low", "a", "b", at=outer
    )
    assert Problem("", "a", "b").under("edges").subject == "edges"


@pytest.mark.parametrize("kind", [InvalidNodeError, InvalidWorkflowError])
def test_invalid_errors_keep_their_problems_through_pickling(
    kind: type[errors.InvalidError],
) -> None:
    problems = (Problem("a", "b", "c", "d", Mark("f", 1, 2)), Problem("e", "f", "g"))
    error = pickle.loads(pickle.dumps(kind(problems)))
    assert type(error) is kind and error.problems == problems
    assert str(error) == f"{problems[0]}\n{problems[1]}"


def test_a_failed_node_keeps_its_parts_through_pickling() -> None:
    error = pickle.loads(pickle.dumps(NodeFailedError("edges", "torn", Mark("f", 1, 2))))
    assert (error.node, error.message, error.at) == ("edges", "torn", Mark("f", 1, 2))
    assert str(error) == "f:1:2: edges: torn"


def test_invalid_node_is_a_value_error_and_bad_definitions_are_type_errors() -> None:
    assert issubclass(InvalidNodeError, ValueError)
    assert issubclass(errors.NodeDefinitionError, TypeError)


@pytest.mark.parametrize(
    ("word", "found"), [("cany", "Canny"), ("CANNY", "Canny"), ("zzz", None), ("", None)]
)
def test_the_nearest_name_is_found_whatever_its_case(word: str, found: str | None) -> None:
    assert errors.nearest(word, ["Canny", "LoadImage"]) == found
    assert errors.did_you_mean(word, ["Canny"]) == (f"did you mean {found!r}?" if found else "")
