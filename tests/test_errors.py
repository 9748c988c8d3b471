"""Errors are one tree, hold problems, survive pickling and say where, what, and how to fix it."""

from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest

import sdgraph
from sdgraph import errors
from sdgraph.errors import (
    CheckpointError,
    InvalidError,
    InvalidNodeError,
    InvalidWorkflowError,
    Mark,
    MediaError,
    NodeFailedError,
    NodesFailedError,
    OutOfMemoryError,
    Problem,
    SdgraphError,
    problems_in,
)

FAILURES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, Exception)
]
OWN = {
    "ArgumentError",
    "ResumeError",
    "RunNotFoundError",
    "TrainingStoppedError",
    *(failure.__name__ for failure in FAILURES),
}
FULL = Problem("edges.low", "3.5", "a whole number", "write 3", Mark("a.yaml", 4, 9))


def an_error(failure: type[SdgraphError], *problems: Problem) -> SdgraphError:
    """An error of any class in the tree that holds these problems."""
    if issubclass(failure, NodesFailedError):
        return failure(NodeFailedError("edges", problem) for problem in problems)
    return failure("edges", problems) if issubclass(failure, NodeFailedError) else failure(problems)


def documented_parents() -> dict[str, str | None]:
    """Each class in the drawing at the top of errors.py with the one that it stands below."""
    parents: dict[str, str | None] = {}
    path: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"[│├└─ ]*(\w+Error)  ", line):
            depth = match.start(1)
            while path and path[-1][0] >= depth:
                path.pop()
            parents[match[1]] = path[-1][1] if path else None
            path.append((depth, match[1]))
    return parents


def test_the_tree_that_is_drawn_is_the_tree_of_the_classes() -> None:
    tree = {cls.__name__: cls.__base__.__name__ for cls in FAILURES if cls.__base__}
    tree["SdgraphError"] = None  # type: ignore[assignment]
    assert documented_parents() == tree


@pytest.mark.parametrize("failure", FAILURES)
def test_the_drawing_says_which_errors_are_python_s_own_too(failure: type) -> None:
    assert errors.__doc__
    (line,) = re.findall(rf"^.*\b{failure.__name__}  .*$", errors.__doc__, re.MULTILINE)
    builtin = re.search(r"\(also a (\w+)\)", line)
    builtin_bases = [base.__name__ for base in failure.__bases__ if base.__module__ == "builtins"]
    assert ([builtin[1]] if builtin else []) == [
        name for name in builtin_bases if name != "Exception"
    ]


def test_every_error_can_be_caught_by_a_name_of_the_package() -> None:
    assert {*(failure.__name__ for failure in FAILURES), "Problem", "Mark"} <= set(sdgraph.__all__)


@pytest.mark.parametrize("failure", FAILURES)
def test_every_error_keeps_its_problems_text_and_notes_through_pickling(
    failure: type[SdgraphError],
) -> None:
    error = an_error(failure, FULL, Problem("e", "f", "g"))
    error.add_note("finished files stay")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is failure and copy.problems == error.problems
    assert len(copy.problems) == 2
    assert str(copy) == str(error) == "\n".join(map(str, error.problems))
    assert copy.__notes__ == ["finished files stay"]


@pytest.mark.parametrize("failure", FAILURES)
def test_an_error_without_a_problem_cannot_be_made(failure: type[SdgraphError]) -> None:
    with pytest.raises((ValueError, IndexError)):
        an_error(failure)


def test_an_error_takes_a_problem_several_or_a_text() -> None:
    assert MediaError(FULL).problems == MediaError([FULL]).problems == (FULL,)
    assert InvalidError(iter([FULL, FULL])).problems == (FULL, FULL)
    assert CheckpointError("torn").problems == (Problem("", "torn"),)
    assert str(CheckpointError("torn")) == "torn"


def test_problems_become_those_of_the_field_that_names_what_failed() -> None:
    error = MediaError([Problem("man.png", "no such file", "a picture", "look"), Problem("", "x")])
    assert error.as_problems_of("path", wanted="a file") == [
        Problem("path", "man.png: no such file", "a picture", "look"),
        Problem("path", "x", "a file"),
    ]


def test_a_failed_node_keeps_its_parts_through_pickling() -> None:
    error = pickle.loads(pickle.dumps(NodeFailedError("edges", "torn", Mark("f", 1, 2))))
    assert (error.node, error.message, error.at) == ("edges", "torn", Mark("f", 1, 2))
    assert str(error) == "f:1:2: edges: torn"


def test_a_failed_node_carries_the_problems_of_what_it_raised() -> None:
    cause = CheckpointError(Problem("model", "no weights", "safetensors", "convert it"))
    error = NodeFailedError("dream", problems_in(cause), Mark("f", 1, 2))
    assert error.problems == (
        Problem("dream: model", "no weights", "safetensors", "convert it", Mark("f", 1, 2)),
    )
    assert error.message == str(cause)
    assert str(error).startswith("f:1:2: dream: model\n  found:  no weights\n")


def test_several_failed_nodes_hold_the_problems_of_all_and_stand_for_the_first() -> None:
    first, second = NodeFailedError("a", "torn"), NodeFailedError("b", FULL)
    error = pickle.loads(pickle.dumps(NodesFailedError([first, second])))
    assert error.problems == (*first.problems, *second.problems)
    assert (error.node, error.message) == ("a", "torn")
    assert [failure.node for failure in error.failures] == ["a", "b"]


def test_other_exceptions_are_a_problem_of_their_class_and_text() -> None:
    assert problems_in(RuntimeError("broke")) == (Problem("", "RuntimeError: broke"),)
    assert problems_in(RuntimeError()) == (Problem("", "RuntimeError: it gave no reason"),)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OutOfMemoryError(Problem("memory", "none left", "room")), "none left"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("CUDA out of memory. Tried 2 GiB\nmore"), "CUDA out of memory. Tried 2 GiB"),
        (RuntimeError("broke"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_running_out_of_memory_is_known_by_what_raised_it(
    error: Exception, message: str | None
) -> None:
    assert errors.out_of_memory(error) == message


@pytest.mark.parametrize(
    ("word", "name"), [("cany", "Canny"), ("CANNY", "Canny"), ("zzz", None), ("", None)]
)
def test_the_nearest_name_is_found_whatever_its_case(word: str, name: str | None) -> None:
    assert errors.nearest(word, ["Canny", "LoadImage"]) == name
    assert errors.did_you_mean(word, ["Canny"]) == (f"did you mean {name!r}?" if name else "")


def test_an_invalid_node_is_a_value_error_and_a_workflow_is_not() -> None:
    assert issubclass(InvalidNodeError, ValueError)
    assert not issubclass(InvalidWorkflowError, ValueError)


def texts_in_place_of_problems(path: Path) -> list[str]:
    """Where a module makes an error of sdgraph from a text, which has no parts."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [
        f"{path.name}:{call.lineno}"
        for call in calls
        if isinstance(call.func, ast.Name)
        and call.func.id in OWN
        and any(
            isinstance(argument, ast.Constant | ast.JoinedStr)
            or (isinstance(argument, ast.Call) and getattr(argument.func, "id", "") == "str")
            for argument in call.args[:1]
        )
    ]


def test_errors_are_raised_with_problems_and_never_with_text() -> None:
    root = Path(errors.__file__).parents[1]
    modules = [path for folder in ("sdgraph", "nodes") for path in (root / folder).rglob("*.py")]
    assert not [place for path in modules for place in texts_in_place_of_problems(path)]
