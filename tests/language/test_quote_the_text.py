"""A text that YAML reads as something else is said to need quotes, in braces and in lines."""

from __future__ import annotations

import pytest

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.language import workflow_from_yaml
from tests.support import toys


def problems_of(node: str) -> list[Problem]:
    """The problems of a workflow whose second node is written so."""
    text = f"nodes:\n  pic: {{type: Square}}\n  star: {node}\n"
    try:
        workflow = workflow_from_yaml(text, registry=toys.REGISTRY, file="f.yaml")
        return workflow.problems()
    except InvalidWorkflowError as error:
        return list(error.problems)


def in_both_styles(value: str) -> list[str]:
    """A node with a text, in braces and in lines."""
    return [f"{{type: Text, text: {value}}}", f"\n    type: Text\n    text: {value}"]


MARKED = (
    "#ff0000",
    "#1",
    "a: b",
    "*star*",
    "*star",
    "&x",
    "!tag",
    "!tag x",
    "%x",
    "@x",
    "`x`",
    "> x",
    "| x",
    "- x",
    "? x",
    "{a|b}",
    "{a|b} fox",
    "[a:b:0.5]",
    "[a] fox",
)


@pytest.mark.parametrize(
    "value",
    MARKED,
)
def test_a_text_with_a_mark_of_yaml_is_to_be_quoted(value: str) -> None:
    for node in in_both_styles(value):
        (first, *_) = problems_of(node)
        assert "quote" in first.fix, node
        assert first.at is not None and first.at.line >= 3, node


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("#ff0000", '"#ff0000"'),
        ("*star*", '"*star*"'),
        ("@x y", '"@x y"'),
        ("%x", '"%x"'),
        ("&x", '"&x"'),
    ],
)
def test_the_fix_is_the_text_in_quotes(value: str, text: str) -> None:
    for node in in_both_styles(value):
        assert problems_of(node)[0].fix == f"quote the text: {text}"


@pytest.mark.parametrize(
    ("node", "fix"),
    [
        (
            "{type: Text, text: a red fox, sitting}",
            'quote the text: text: "a red fox, sitting"',
        ),
        (
            "{type: Text, text: a fox, sitting, on a hill, tags: [x]}",
            'quote the text: text: "a fox, sitting, on a hill"',
        ),
        (
            "{type: Text, text: a fox,\n    sitting}",
            'quote the text: text: "a fox, sitting"',
        ),
        (
            '{type: Text, text: a "big" fox, sitting}',
            "quote the text: text: 'a \"big\" fox, sitting'",
        ),
        ("{type: Text, text:a fox}", "write text: a fox"),
        ("{type:Text, text: a fox}", "write type: Text"),
        ("\n    type: Text\n    text:a fox", "write text: a fox"),
        ("\n    type:Text\n    text: a fox", "write type: Text"),
        ("\n    type: Text\n    text = a fox", "write text: a fox"),
    ],
)
def test_a_comma_or_a_missing_space_ends_a_text_too_early(node: str, fix: str) -> None:
    (problem,) = problems_of(node)
    assert problem.fix == fix


def test_what_follows_a_comma_may_look_like_a_field() -> None:
    (problem,) = problems_of("{type: Text, text: a red fox, tail: long}")
    assert problem.subject == "star.tail"
    assert problem.fix == "if it belongs to the text of text, quote the whole text"


@pytest.mark.parametrize("text", ['"hello"', "'hello'"])
def test_of_a_text_in_quotes_nothing_is_left_to_quote(text: str) -> None:
    (problem,) = problems_of(f"{{type: Text, text: {text}, tail: long}}")
    assert (problem.subject, problem.fix) == ("star.tail", "")


@pytest.mark.parametrize("value", [r'"C:\Users\new"', r'"C:\photos"', r'"\q"'])
def test_a_backslash_in_double_quotes_needs_single_ones(value: str) -> None:
    for node in in_both_styles(value):
        (problem,) = problems_of(node)
        assert problem.found == "a backslash in double quotes that stands for no character"
        assert problem.fix.startswith("write the text in single quotes")


@pytest.mark.parametrize(
    ("value", "fix"),
    [
        ("'it's a fox'", "inside single quotes write '' for each quote"),
        ('"a "big" fox"', 'inside double quotes write \\" for each quote'),
        ('"a fox', "close it"),
    ],
)
def test_a_quote_inside_a_quoted_text(value: str, fix: str) -> None:
    for node in in_both_styles(value):
        assert problems_of(node)[0].fix == fix


@pytest.mark.parametrize(
    ("value", "fix"), [("3", 'quote it: "3"'), ("true", 'quote it: "true"'), ("", 'write ""')]
)
def test_a_number_or_nothing_is_no_text(value: str, fix: str) -> None:
    for node in in_both_styles(value):
        assert problems_of(node)[0].fix.endswith(fix)


@pytest.mark.parametrize(
    "value",
    ["http://a.b/c", "12:30", "a #b", "costs $5", "a - b", "(red:1.3)", "5 > 3", "C:\\new", "a|b"],
)
def test_a_text_that_yaml_reads_as_it_is_needs_no_quotes(value: str) -> None:
    block = in_both_styles(value)[1]
    assert [problem for problem in problems_of(block) if "YAML" in problem.subject] == []


def test_a_comment_after_a_key_is_a_comment() -> None:
    text = "nodes:  #all nodes\n  pic:  # a picture\n    {type: Square}  #here\n"
    assert workflow_from_yaml(text, registry=toys.REGISTRY).problems() == []
