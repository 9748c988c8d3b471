"""INPUT=VALUE on the command line is one value or several, or a clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdgraph.errors import InvalidWorkflowError
from sdgraph.language import Input
from sdgraph.language.inputs import INPUT_TYPES
from sdgraph.sweep.axis_syntax import AxisValues, left_out_notice, parse_input

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def several(kind: str, text: str) -> tuple[Any, ...]:
    parsed = parse_input(Input("it", kind), text)
    assert isinstance(parsed, AxisValues)
    return parsed.values


def refusal(kind: str, text: str) -> str:
    with pytest.raises(InvalidWorkflowError) as caught:
        parse_input(Input("it", kind), text)
    (problem,) = caught.value.problems
    assert problem.subject == "inputs.it"
    return str(problem)


@given(st.integers(-500, 500), st.integers(-500, 500), st.integers(1, 60))
def test_a_range_of_whole_numbers_is_pythons_with_its_end(first: int, last: int, step: int) -> None:
    way = 1 if last >= first else -1
    expected = tuple(range(first, last + way, way * step))
    assert several("int", f"{first}..{last}..{step}") == expected
    assert several("int", f"{first}..{last}") == tuple(range(first, last + way, way))


@given(st.integers(-100, 100), st.integers(0, 60), st.integers(1, 30))
def test_a_range_of_fractions_has_no_rounding_of_its_own(first: int, count: int, step: int) -> None:
    last = first + count * step
    text = f"{first / 100:.2f}..{last / 100:.2f}..{step / 100:.2f}"
    assert several("float", text) == tuple((first + n * step) / 100 for n in range(count + 1))


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("int", "1..", "FIRST..LAST"),
        ("int", "1...5", "FIRST..LAST"),
        ("int", "1..5..0", "a step above 0"),
        ("int", "1..5..-1", "a step above 0"),
        ("int", "1..2..0.5", "whole numbers"),
        ("int", "0.5..2..1", "whole numbers"),
        ("float", "0.1..0.9", "it needs a step"),
        ("float", "nan..1", "FIRST..LAST"),
        ("int", "1..1000000000", "more than 100,000 values"),
        ("int", "1..1e99", "more than 100,000 values"),
        ("int", "[1, two]", "a whole number"),
        ("str", "[]", "at least one"),
        ("str", "[[a, b]]", "plain values"),
        ("str", "[a: b]", "plain values"),
        ("str", "[&x a, *x]", "plain values"),
        ("str", "[!!python/name:os.system a]", "plain values"),
        ("str", "[a] and [b]", "it=['…']"),
        ("str", "@", "no name"),
        ("str", "@nowhere.txt", "it=['@nowhere.txt']"),
    ],
)
def test_what_is_no_value_says_what_would_be(kind: str, text: str, message: str) -> None:
    assert message in refusal(kind, text)


@given(st.lists(TEXTS, min_size=2, max_size=6))
def test_a_list_gives_back_its_texts(texts: list[str]) -> None:
    text = yaml.safe_dump(texts, default_flow_style=True, width=10**6).strip()
    assert several("str", text) == tuple(texts)


@given(TEXTS)
def test_a_list_of_one_is_the_text_itself(text: str) -> None:
    written = yaml.safe_dump([text], default_flow_style=True, width=10**6).strip()
    assert parse_input(Input("it", "str"), written) == text


def test_items_are_read_as_the_input_declares_and_not_as_yaml_guesses() -> None:
    assert several("str", "[007, on, 1.0, null]") == ("007", "on", "1.0", "null")
    assert several("float", "[1, 2.5]") == (1.0, 2.5)
    assert several("bool", "[true, FALSE]") == (True, False)


@given(st.sampled_from(INPUT_TYPES), TEXTS)
def test_any_text_is_a_value_or_a_clear_error(kind: str, text: str) -> None:
    try:
        parsed = parse_input(Input("it", kind), text)
    except InvalidWorkflowError as error:
        assert all(problem.found and problem.wanted for problem in error.problems)
    else:
        assert not isinstance(parsed, AxisValues) or parsed.values


@pytest.mark.parametrize("text", ["1..5", "a..b", "costs [5]", "a, b", "* stars *", "e@mail"])
def test_a_text_stays_a_text(text: str) -> None:
    assert parse_input(Input("it", "str"), text) == text


@HERE
@given(st.lists(TEXTS.map(str.strip).filter(lambda line: line and line[0] != "#"), min_size=1))
def test_a_file_has_one_value_a_line(tmp_path: Path, lines: list[str]) -> None:
    lines = [line for line in lines if len(line.splitlines()) == 1] or ["a"]
    file = tmp_path / "values.txt"
    file.write_text("\ufeff# about\n\n" + "\n  \n".join(lines) + "\n# end", "utf-8")
    assert several("str", f"@{file}") == tuple(lines)


def test_paths_in_a_file_are_relative_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/list.txt").write_text("a.png\n/b.png\n")
    monkeypatch.chdir(tmp_path)
    assert several("Path", "@deep/list.txt") == (tmp_path / "deep/a.png", Path("/b.png"))
    (tmp_path / "deep/list.txt").write_text("./model\nowner/name\n")
    assert several("Checkpoint", "@deep/list.txt") == (str(tmp_path / "deep/model"), "owner/name")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "empty.txt").write_text("# nothing\n\n")
    (tmp_path / "numbers.txt").write_text("1\ntwo\n")
    assert "not UTF-8" in refusal("str", f"@{tmp_path}/bytes.txt")
    assert "no value" in refusal("str", f"@{tmp_path}/empty.txt")
    assert "the text 'two'" in refusal("int", f"@{tmp_path}/numbers.txt")
    assert "the folder" in refusal("str", f"@{tmp_path}")


def test_a_folder_gives_its_pictures_sorted(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png"):
        PIL.Image.new("RGB", (4, 4)).save(tmp_path / name)
    for name in ("notes.txt", "clip.mp4"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert several("Path", f"@{tmp_path}") == (tmp_path / "a.JPG", tmp_path / "b.png")
    assert several("Image", f"@{tmp_path}/") == (tmp_path / "a.JPG", tmp_path / "b.png")
    assert several("Video", f"@{tmp_path}") == (tmp_path / "clip.mp4",)
    assert several("Path", f"{tmp_path}/*.t?t") == (tmp_path / "notes.txt",)
    assert "no file" in refusal("Path", f"{tmp_path}/*.webp")
    assert "no file" in refusal("Path", f"@{tmp_path}/folder.png")


def test_a_file_whose_name_has_a_star_is_itself(tmp_path: Path) -> None:
    (tmp_path / "a*.txt").write_text("")
    assert parse_input(Input("it", "Path"), f"{tmp_path}/a*.txt") == f"{tmp_path}/a*.txt"


def test_what_a_folder_holds_besides_is_counted_and_named(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for name in ("b.heic", "c.psd", "d.txt", "e.txt", "a.bmp.sdgraph.json", ".hidden"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "more").mkdir()
    parsed = parse_input(declared := Input("photo", "Path"), f"@{tmp_path}")
    assert parsed.left_out == ("b.heic", "c.psd", "d.txt", "e.txt", "more/")
    notice = left_out_notice(declared, "@pictures/", parsed.left_out).as_line()
    assert "inputs.photo: 5 entries of pictures/ left out" in notice
    assert "b.heic, c.psd, d.txt and 2 more" in notice
    (tmp_path / "a.png").unlink()
    text = refusal("Path", f"@{tmp_path}")
    assert "no file is an Image: b.heic, c.psd" in text and ".png" in text


def test_a_checkpoint_may_be_a_map_and_a_list_may_have_some() -> None:
    checkpoint, mixed = Input("it", "Checkpoint"), {"source": "a/b", "vae": {"source": "./x"}}
    assert parse_input(checkpoint, "{source: a/b, vae: {source: ./x}}") == mixed
    assert parse_input(checkpoint, "a/b") == "a/b"
    text = "[c, {source: a/b, vae: {source: ./x}}, 'd, e']"
    assert several("Checkpoint", text) == ("c", mixed, "d, e")
    assert "a map such as {source: a/b" in refusal("Checkpoint", "{source: a/b")
    assert "a list of plain values" in refusal("str", "[{a: b}]")
