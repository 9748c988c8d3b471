"""YAML becomes plain data with a line and column for every part; anything else is refused."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
import yamlcore
from hypothesis import example, given
from hypothesis import strategies as st

from sdgraph.cli.source_excerpt import format_problem
from sdgraph.errors import InvalidWorkflowError, Mark
from sdgraph.language import load_workflow, workflow_from_yaml, yaml_document
from sdgraph.language.yaml_document import parse_document, read_document
from tests.support import toys
from tests.support.strategies import plain


class CoreLoader(yamlcore.CoreLoader):  # type: ignore[misc]
    """YAML 1.2's core schema, and the merge keys that PyYAML reads."""


class CoreDumper(yamlcore.CoreDumper):  # type: ignore[misc]
    """Writes YAML 1.2, with quotes around texts that are merge keys without them."""


for _class in (CoreLoader, CoreDumper):
    _class.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile("<<$"), ["<"])
CoreLoader.add_constructor("tag:yaml.org,2002:merge", lambda loader, node: node.value)


@given(plain, st.booleans())
@example({"<<": []}, False)
def test_what_yaml_writes_is_read_back(data: Any, flow: bool) -> None:
    text = yaml.dump(data, Dumper=CoreDumper, default_flow_style=flow, sort_keys=False)
    assert parse_document(text).data == data


@given(plain)
def test_unicode_is_read_back_unescaped(data: Any) -> None:
    text = yaml.dump(data, Dumper=CoreDumper, allow_unicode=True)
    # Not `data`: yaml folds U+0085 to a space.
    assert parse_document(text).data == yaml.load(text, Loader=CoreLoader)


PIECES = st.sampled_from(
    [
        "a",
        "b",
        ": ",
        ":",
        "- ",
        "\n",
        "\n  ",
        "  ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&x ",
        "*x",
        "<<: ",
        "'",
        '"',
        "#",
        "!t ",
        "!!str ",
        "---\n",
        "...",
        "|",
        ">",
        "1",
        "1.5",
        "yes",
        "null",
        "~",
        "?",
        "%",
        "0x1",
        "2024-01-01",
        "1e3",
        ".inf",
        "=",
        "\t",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
def test_it_reads_what_a_loader_of_yaml_1_2_reads_and_nothing_else(text: str) -> None:
    try:
        expected = yaml.load(text, Loader=CoreLoader)
    except (yaml.YAMLError, ValueError, TypeError):
        expected = InvalidWorkflowError
    try:
        data = parse_document(text).data
    except InvalidWorkflowError as error:
        assert error.problems and all(problem.at for problem in error.problems)
        return  # stricter than a plain loader: tags, second documents, keys that are no text
    if expected is not InvalidWorkflowError:
        assert _as_text_keys(expected) == data


def _as_text_keys(data: Any) -> Any:
    """The same with keys as they may be written: a loader makes a number of `1`."""
    if isinstance(data, dict):
        if not all(isinstance(key, str) for key in data):
            return _Anything()
        return {key: _as_text_keys(value) for key, value in data.items()}
    return [_as_text_keys(item) for item in data] if isinstance(data, list) else data


class _Anything:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


WORDS = st.text("abc", min_size=1, max_size=5)


@given(st.dictionaries(WORDS, st.lists(WORDS | st.integers(0, 99), max_size=3), max_size=5))
def test_every_mark_points_at_its_value(data: dict[str, list[Any]]) -> None:
    flow = "\n".join(f"{key}: {value}" for key, value in data.items())
    for text in (yaml.safe_dump(data), flow.replace("'", "")):
        document = parse_document(text)
        lines = text.split("\n")
        for key, values in data.items():
            at = document.key_mark(key)
            assert lines[at.line - 1][at.column - 1 :].startswith(f"{key}:")
            for index, value in enumerate(values):
                at = document.mark(key, index)
                assert lines[at.line - 1][at.column - 1 :].startswith(str(value))


def test_marks_and_key_marks_are_lines_and_columns_from_one() -> None:
    document = parse_document("a:\n  b: [1, {c: x}]\n  'd': y\n", "f.yaml")
    assert document.mark("a", "b") == Mark("f.yaml", 2, 6)
    assert document.mark("a", "b", 0) == Mark("f.yaml", 2, 7)
    assert document.mark("a", "b", 1, "c") == Mark("f.yaml", 2, 14)
    assert document.key_mark("a", "b", 1, "c") == Mark("f.yaml", 2, 11)
    assert document.key_mark("a", "d") == Mark("f.yaml", 3, 3)
    assert document.mark("a", "nothing", "there") == document.mark("a") == Mark("f.yaml", 2, 3)


def test_columns_count_characters_and_not_bytes() -> None:
    assert parse_document("ä: {ö: 🙂, x: 1}").mark("ä", "x") == Mark("<text>", 1, 14)


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("\ufeffa: 1", {"a": 1}),
        ("yes: 1\n1: 2\nnull: 3", {"yes": 1, "1": 2, "null": 3}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
        ("a: &x {b: 1}\nc: {b: 2, <<: *x}", {"a": {"b": 1}, "c": {"b": 2}}),
        (
            "x: &a {k: 1}\ny: &b {k: 2}\nz: {<<: [*a, *b]}",
            {"x": {"k": 1}, "y": {"k": 2}, "z": {"k": 1}},
        ),
        ("'<<': 1", {"<<": 1}),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("a: 2024-01-02", {"a": "2024-01-02"}),
        ("a: 010", {"a": 10}),
    ],
)
def test_plain_yaml_is_read(text: str, data: Any) -> None:
    assert parse_document(text).data == data


ALIAS_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@contextmanager
def _counted_calls() -> Iterator[list[str]]:
    """One entry for every function that is called meanwhile, in Python and in C."""
    calls: list[str] = []

    def note(frame: object, event: str, argument: object) -> None:
        if event in ("call", "c_call"):
            calls.append(event)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize(
    ("text", "subject", "place"),
    [
        ("a:\n\tb: 1", "YAML", (2, 1)),
        ("a: 1\nb: [1, 2\n\n", "YAML", (4, 1)),
        ("a: b: c", "YAML", (1, 5)),
        ("a: 1\nb: 2\na: 3", "a", (3, 1)),
        ("a: {x: 1, x: 1}", "x", (1, 11)),
        ("a: {<<: {b: 1}, <<: {c: 1}}", "<<", (1, 17)),
        ("a: !!python/object/apply:os.system [ls]", "tag", (1, 4)),
        ("a: !env HOME", "tag", (1, 4)),
        ("a: !!binary aGk=", "tag", (1, 4)),
        ("a: !!set {x}", "tag", (1, 4)),
        ("a: *b", "alias", (1, 4)),
        ("a: &red dress\nb: 1", "YAML", (1, 4)),
        ("a: [&b 1, &c 2, *b]", "YAML", (1, 11)),
        ("a: &a [*a]", "alias", (1, 8)),
        ("a: &k x\n*k : 1", "key", (2, 1)),
        ("{a: 1}: 2", "key", (1, 1)),
        ("? [a]\n: 2", "key", (1, 3)),
        ("a: 1\n---\nb: 1", "document", (2, 1)),
        (ALIAS_BOMB, "alias", (6, 8)),
        ("[" * 100 + "]" * 100, "nesting", (1, 41)),
        ("a: " + "1" * 5000, "value", (1, 4)),
        ("a: x\nb: \x00", "YAML", (2, 4)),
        ("a: \ud800", "YAML", (1, 4)),
        ("a: 'no end\n\n", "YAML", (1, 4)),
        ("a: @x", "YAML", (1, 4)),
        ("a: %x", "YAML", (1, 4)),
    ],
)
def test_what_is_not_plain_is_refused_at_its_place(
    text: str, subject: str, place: tuple[int, int]
) -> None:
    with pytest.raises(InvalidWorkflowError) as caught, _counted_calls() as calls:
        parse_document(text, "f.yaml")
    # Refused before its aliases are written out: ALIAS_BOMB stands for a billion values.
    assert len(calls) < 1000 + 100 * len(text)
    problem = caught.value.problems[0]
    assert (problem.subject, problem.at) == (subject, Mark("f.yaml", *place))
    assert problem.found and problem.wanted and "\n" not in problem.found + problem.wanted


def test_every_duplicate_key_and_tag_is_reported_at_once() -> None:
    with pytest.raises(InvalidWorkflowError) as caught:
        parse_document("a: 1\na: 2\nb: !x 1\nc: {d: 1, d: 2}\n")
    assert [problem.subject for problem in caught.value.problems] == ["a", "tag", "d"]


def test_bytes_that_are_no_utf8_are_refused_at_their_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("a: 1\nb: größe".encode("latin-1"))
    with pytest.raises(InvalidWorkflowError, match="0xf6") as caught:
        read_document(path)
    assert caught.value.problems[0].at == Mark(str(path), 2, 6)


def test_a_file_too_large_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path := tmp_path / "big.yaml").write_text("a: 1234567890")
    monkeypatch.setattr(yaml_document, "MAX_WORKFLOW_BYTES", 5)
    with pytest.raises(InvalidWorkflowError, match="13 bytes"):
        read_document(path)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "portrait.yaml").write_text("")
    with pytest.raises(InvalidWorkflowError, match=r"did you mean 'portrait\.yaml'"):
        read_document(tmp_path / "portrat.yaml")
    with pytest.raises(InvalidWorkflowError, match="a folder"):
        read_document(tmp_path)


SECRET = "c2VjcmV0IGtleQ"

NO_WORKFLOWS = {
    "a private key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{SECRET}\n-----END KEY-----\n",
    "a list of users": f"root:x:0:0:{SECRET}:/root:/bin/bash\n",
    "settings": f"[default]\naws_secret_access_key = {SECRET}\n",
    "variables": f"TOKEN={SECRET}\nPASSWORD: '{SECRET}\n",
    "a map": f"token: {SECRET}\n{SECRET}: 1\n",
    "JSON": f'{{"auths": {{"hub": {{"auth": "{SECRET}"}}}}}}',
    "JSON that is damaged": f'{{"auth": "{SECRET}"',
    "a tab": f"\t{SECRET}",
    "tags": f"!{SECRET} {SECRET}",
    "duplicate keys": f"{SECRET}: 1\n{SECRET}: 2\n",
    "two documents": f"{SECRET}\n---\n{SECRET}",
    "an alias": f"*{SECRET}",
    "a long number": f"{SECRET}: {'7' * 5000}",
    "a control character": f"{SECRET}\x07",
}


@pytest.mark.parametrize("kind", NO_WORKFLOWS)
def test_nothing_of_a_file_that_is_no_workflow_is_quoted(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(NO_WORKFLOWS[kind])
    (tmp_path / "outer.yaml").write_text("nodes: {inner: {type: Workflow, path: file}}")
    with pytest.raises(InvalidWorkflowError) as caught:
        load_workflow(tmp_path / "file", registry=toys.REGISTRY)
    problems = [*caught.value.problems]
    problems += load_workflow(tmp_path / "outer.yaml", registry=toys.REGISTRY).problems()
    for problem in problems:
        shown = format_problem(problem)
        assert str(tmp_path / "file") in shown and SECRET[:4] not in shown and "777" not in shown
        assert "a file that is no workflow" in shown


def test_a_misspelled_key_nodes_is_still_named(tmp_path: Path) -> None:
    (path := tmp_path / "a.yaml").write_text("node: {one: {type: Number}}")
    with pytest.raises(InvalidWorkflowError, match=r"did you mean 'nodes'\?"):
        load_workflow(path)


@pytest.mark.parametrize("begin", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\x7fELF\2\1\1\0"])
def test_a_picture_or_program_is_no_workflow(tmp_path: Path, begin: bytes) -> None:
    (path := tmp_path / "a.yaml").write_bytes(begin + SECRET.encode())
    with pytest.raises(InvalidWorkflowError, match="a file of bytes that are no text") as caught:
        read_document(path)
    assert SECRET not in str(caught.value)


def test_only_plain_files_are_workflows(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(InvalidWorkflowError, match="a named pipe, not a plain file"):
        read_document(tmp_path / "pipe.yaml")
    with pytest.raises(InvalidWorkflowError, match="a device, not a plain file"):
        read_document(Path("/dev/zero"))


def test_the_first_hundred_problems_are_listed_and_the_others_counted() -> None:
    text = "\n".join(["nodes:", *(f"  n{n}: {{type: Nmber{n}, value: $m{n}}}" for n in range(250))])
    problems = workflow_from_yaml(text, registry=toys.REGISTRY).problems()
    assert len(problems) == 101 and str(problems[-1]) == "400 more problems"
    assert [problem.at and problem.at.line for problem in problems[:4]] == [2, 2, 3, 3]
    assert sum(problem.count for problem in problems) == 500
    with pytest.raises(InvalidWorkflowError, match="150 more problems"):
        parse_document("\n".join(f"a: {n}" for n in range(251)))


def test_more_values_than_are_read_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert yaml_document.MAX_VALUES == 200_000
    monkeypatch.setattr(yaml_document, "MAX_VALUES", 2000)
    text = "\n".join(f"k{n}: {n}" for n in range(2001))
    with pytest.raises(InvalidWorkflowError, match="more than 2,000 values"):
        parse_document(text)
