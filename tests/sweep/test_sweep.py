"""A sweep is one graph of all variants: shared nodes run once, each variant has its own files."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Node, Session, run_many
from sdgraph.errors import InvalidWorkflowError
from sdgraph.execution.planning import make_plan
from sdgraph.graph import Graph, In, Registry
from sdgraph.language import Workflow, load_workflow, nodes_that_read, workflow_from_yaml
from sdgraph.language.writer import graph_to_yaml
from sdgraph.sweep import Sweep, build_sweep, make_variants, output_files
from sdgraph.sweep.output_files import files_to_write
from sdgraph.sweep.sweep import merge_variants
from tests.support import toys

FLOW = """\
inputs: {seed: 0, word: a, photo: {type: Path, default: photo.png}}
nodes:
  number: {type: Number, value: $inputs.seed}
  half: {type: Halve, a: $number}
  text: {type: Text, text: $inputs.word}
  loud: {type: Join, words: [$text], style: loud}
  save: {type: Write, text: $loud, path: out/loud.txt}
output: $half
"""


def read(text: str, folder: Path | str = "/nowhere") -> Workflow:
    return workflow_from_yaml(text, registry=toys.REGISTRY, folder=folder)


def writing(path: str, folder: Path | str = "/nowhere") -> Workflow:
    """A workflow that writes the word and the seed to a path."""
    return read(
        "inputs: {seed: 0, word: a, on: true}\n"
        "nodes:\n"
        "  text: {type: Text, text: $inputs.word}\n"
        "  other: {type: Fixed, seed: $inputs.seed, text: $text, on: $inputs.on}\n"
        f'  save: {{type: Write, text: $other, path: "{path}"}}\n',
        folder,
    )


def problems(workflow: Workflow, axes: dict[str, Any], **options: Any) -> str:
    with pytest.raises(InvalidWorkflowError) as caught:
        build_sweep(workflow, make_variants({}, axes, **options))
    return str(caught.value)


def files(sweep: Sweep) -> list[str]:
    return [path.name for path, _, _ in files_to_write(sweep)]


AXES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.lists(st.integers(), min_size=1, max_size=4), max_size=3
)


@given(AXES)
def test_variants_are_all_combinations_and_the_last_input_changes_first(
    axes: dict[str, list[int]],
) -> None:
    variants = make_variants({"fixed": 1}, axes)
    assert [tuple(variant.swept.values()) for variant in variants] == list(product(*axes.values()))
    assert [variant.number for variant in variants] == list(range(1, len(variants) + 1))
    assert all(variant.inputs["fixed"] == 1 for variant in variants)


@given(st.integers(1, 5), st.sets(st.sampled_from("abc"), min_size=1))
def test_side_by_side_the_first_values_go_together(count: int, names: set[str]) -> None:
    variants = make_variants({}, {name: range(count) for name in names}, side_by_side=True)
    assert [set(variant.swept.values()) for variant in variants] == [{n} for n in range(count)]


def test_values_that_cannot_go_together_say_how_many_there_are() -> None:
    workflow = read(FLOW)
    assert "2 of seed, 3 of word" in problems(
        workflow, {"seed": [1, 2], "word": [*"abc"]}, side_by_side=True
    )
    assert "150,000 variants" in problems(workflow, {"seed": range(50_000), "word": [*"abc"]})
    assert "no values" in problems(workflow, {"seed": []})


SHARING = """\
inputs: {seed: 0, word: a, photo: {type: Path, default: photo.png}}
nodes:
  fixed: {type: Text, text: always}
  photo: {type: Number, value: 7}
  number: {type: Number, value: $inputs.seed}
  half: {type: Halve, a: $number}
  other: {type: Halve, a: $photo}
  text: {type: Text, text: $inputs.word}
  loud: {type: Join, words: [$text, $fixed], style: loud}
  save: {type: Write, text: $loud, path: out/loud.txt}
  numbered: {type: Write, text: $fixed, path: "out/{number}.txt"}
"""


@given(
    AXES.map(lambda axes: {"seed": axes.get("a", [0]), "word": list(map(str, axes.get("b", "x")))})
)
def test_each_variant_has_the_nodes_that_its_inputs_alone_give(axes: dict[str, list[Any]]) -> None:
    workflow = read(SHARING)
    variants = make_variants({}, axes)
    sweep = merge_variants(workflow, variants)
    for variant, targets in zip(variants, sweep.targets, strict=True):
        alone, ends = workflow.bind(variant.inputs, (), variant.number)
        assert targets == {alone.names[node]: node for node in ends}
        assert all(node in sweep.needed for node in alone.names)
        for node, places in alone.marks.items():
            assert places.items() <= sweep.graph.marks[node].items()


def test_a_node_that_no_varying_input_reaches_is_made_once() -> None:
    workflow = read(SHARING)
    assert nodes_that_read(workflow.template, {"seed"}) == {"number", "half", "numbered"}
    assert nodes_that_read(workflow.template, {"word"}) == {"text", "loud", "save", "numbered"}
    assert nodes_that_read(workflow.template, ()) == {"numbered"}
    first, _ = workflow.bind({"seed": 1})
    known = first.without(nodes_that_read(workflow.template, {"seed"}), {"seed"})
    second, _ = workflow.bind({"seed": 2}, (), 2, known)
    assert second.nodes["save"] is first.nodes["save"]
    assert second.nodes["half"] != first.nodes["half"]
    assert list(second.nodes) == list(first.nodes)


def test_nodes_are_named_for_the_values_that_their_variants_share() -> None:
    sweep = merge_variants(
        read(FLOW), make_variants({}, {"seed": [1, 2], "word": ["a", "b"]}), ["half", "save"]
    )
    assert sorted(sweep.graph.names.values()) == sorted(
        [
            "number[seed=1]",
            "half[seed=1]",
            "number[seed=2]",
            "half[seed=2]",
            "text[word=a]",
            "loud[word=a]",
            "save[word=a]",
            "text[word=b]",
            "loud[word=b]",
            "save[word=b]",
        ]
    )


def test_names_stay_apart_where_their_values_look_alike() -> None:
    words = ["x" * 30 + "1", "x" * 30 + "2", "x" * 30 + "2 "]
    sweep = merge_variants(read(FLOW), make_variants({}, {"word": words}), ["save"])
    names = list(sweep.graph.names.values())
    assert len(set(names)) == len(names) == 9
    assert all(name.partition("[")[0] in ("text", "loud", "save") for name in names)


def test_what_variants_share_is_one_node_and_keeps_its_name() -> None:
    sweep = merge_variants(read(FLOW), make_variants({}, {"seed": [1, 2, 3]}), ["half", "save"])
    assert [name for name in sweep.graph.names.values() if "[" not in name] == [
        "text",
        "loud",
        "save",
    ]
    assert len(sweep.graph.nodes) == 3 + 3 * 2


def test_a_plan_goes_from_variant_to_variant_and_holds_little() -> None:
    sweep = merge_variants(
        read(FLOW), make_variants({}, {"seed": range(30), "word": [*"ab"]}), ["half", "save"]
    )
    planned, held, most = make_plan(sweep.graph), set[Any](), 0
    for step in planned.steps:
        held.add(step.node)
        most = max(most, len(held - set(sweep.graph.targets)))
        held -= set(step.releases)
    assert most <= 2


def test_every_problem_comes_once_and_before_anything_runs() -> None:
    text = problems(read(FLOW), {"seed": ["one", 2], "word": [1, "a"], "sed": [1]})
    assert text.count("inputs.seed\n") == 1 and text.count("inputs.word\n") == 1
    assert text.count("an input 'sed'") == 1
    flow = "inputs: {low: 0}\nnodes: {pair: {type: Pair, low: $inputs.low, high: 3}}"
    assert problems(read(flow), {"low": range(8)}).count("above 3") == 4
    missing = "inputs: {path: {type: Path}}\nnodes: {read: {type: Read, path: $inputs.path}}"
    messages = problems(read(missing), {"path": ["/no/a", "/no/b"]})
    assert "read[path=/no/a]" in messages and "/no/b: no such file" in messages


def test_a_merged_graph_can_be_written_and_read_again() -> None:
    graph = merge_variants(
        read(FLOW), make_variants({}, {"seed": [1, 2], "word": [*"ab"]}), ["half"]
    ).graph
    again = read(graph_to_yaml(graph)).graph()
    assert set(again.nodes) == set(graph.nodes)


# files


class Fixed(Node[str]):
    """A text that depends on every field."""

    seed: int = 0
    on: bool = True
    text: In[str]

    def run(self, text: str) -> str:
        return f"{text} {self.seed} {self.on}"


toys_and_fixed = Registry({**toys.REGISTRY, "Fixed": Fixed})


@pytest.fixture(autouse=True)
def fixed_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys, "REGISTRY", toys_and_fixed)


@pytest.mark.parametrize(
    ("axes", "names"),
    [
        ({"seed": [1, 12]}, ["t_seed-0001.txt", "t_seed-0012.txt"]),
        ({"seed": [7, 123456]}, ["t_seed-000007.txt", "t_seed-123456.txt"]),
        ({"word": ["A b!", "c"]}, ["t_word-a-b.txt", "t_word-c.txt"]),
        ({"word": ["a b", "a, b"]}, ["t_0001.txt", "t_0002.txt"]),
        ({"word": ["a"], "on": [True, False]}, ["t_word-a_on-true.txt", "t_word-a_on-false.txt"]),
        ({"seed": [-1, 1]}, ["t_seed--1.txt", "t_seed-1.txt"]),
    ],
)
def test_files_without_a_pattern_are_named_for_what_varies(
    axes: dict[str, Any], names: list[str]
) -> None:
    assert files(build_sweep(writing("out/t.txt"), make_variants({}, axes))) == names


def test_side_by_side_with_values_that_come_again_the_number_is_in_the_name() -> None:
    axes: dict[str, Sequence[Any]] = {"seed": [1, 2, 1], "word": [*"aba"]}
    variants = make_variants({}, axes, side_by_side=True)
    assert files(build_sweep(writing("t.txt"), variants)) == [
        "t_seed-0001_word-a.txt",
        "t_seed-0002_word-b.txt",
    ]
    flow = writing("t.txt").with_fields({"save.text": "$text"})
    axes = {"seed": [1, 2, 3], "word": [*"abb"]}
    variants = make_variants({}, axes, side_by_side=True)
    assert files(build_sweep(flow, variants)) == ["t_0001.txt", "t_0002.txt", "t_0003.txt"]


def test_a_path_that_is_swept_over_itself_is_left_as_it_is() -> None:
    flow = (
        "inputs: {seed: 0, to: {type: Path}}\nnodes:\n"
        "  text: {type: Fixed, seed: $inputs.seed, text: x}\n"
        "  save: {type: Write, text: $text, path: $inputs.to}\n"
    )
    names = ["a.txt", "b.txt"]
    assert files(build_sweep(read(flow), make_variants({}, {"to": names}))) == names
    messages = problems(read(flow), {"seed": [1, 2], "to": names})
    assert "a.txt, written by variant 1" in messages


def test_a_file_that_all_variants_share_keeps_its_name() -> None:
    assert files(build_sweep(read(FLOW), make_variants({}, {"seed": [1, 2]}))) == ["loud.txt"]


def test_a_pattern_is_taken_as_it_is() -> None:
    axes: dict[str, Any] = {"seed": [1, 2], "word": ["A b", "c"]}
    sweep = build_sweep(writing("{word_slug}/{seed:03d}_{number}.txt"), make_variants({}, axes))
    assert [str(path.relative_to("/nowhere")) for path, _, _ in files_to_write(sweep)] == [
        "a-b/001_1.txt",
        "c/001_2.txt",
        "a-b/002_3.txt",
        "c/002_4.txt",
    ]


def test_a_pattern_that_names_one_file_twice_is_a_problem_with_both_variants() -> None:
    messages = problems(writing("{word}.txt"), {"seed": [1, 2]})
    assert "/nowhere/a.txt, written by variant 1 (seed=1) and by variant 2 (seed=2)" in messages
    assert "{seed} or {number}" in messages and "<text>:5:" in messages
    assert "one.txt" in problems(writing("x/../{word_slug}.txt"), {"word": ["One", "one!"]})


def test_two_nodes_of_a_variant_that_write_one_file_are_a_problem() -> None:
    flow = FLOW.replace("output:", "  more: {type: Write, text: x, path: out/loud.txt}\noutput:")
    assert "written by save and more" in problems(read(flow), {"seed": [1, 2]})


def test_the_files_of_a_sweep_are_those_of_single_runs_byte_for_byte(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    PIL.Image.new("RGB", (40, 30), "navy").save(source)
    flow = (
        "inputs: {width: 8}\n"
        "nodes:\n"
        f"  photo: {{type: LoadImage, path: {source}}}\n"
        "  small: {type: Resize, image: $photo, width: $inputs.width, height: 8}\n"
        '  save: {type: Save, image: $small, path: "{width}.png"}\n'
    )
    (tmp_path / "flow.yaml").write_text(flow)
    workflow = load_workflow(tmp_path / "flow.yaml")
    session = Session(device="cpu", store=None)
    run_many(workflow, session=session, width=[8, 16])
    swept = [(tmp_path / f"{width}.png").read_bytes() for width in (8, 16)]
    for width, content in zip((8, 16), swept, strict=True):
        session.run(workflow.graph(width=width))
        assert (tmp_path / f"{width}.png").read_bytes() == content


def test_a_sweep_of_one_plan_is_no_other_graph_for_a_single_workflow() -> None:
    single = read(FLOW).graph(seed=3, only=["half"])
    sweep = merge_variants(read(FLOW), make_variants({}, {"seed": [3]}), ["half"])
    assert sweep.graph.nodes == single.nodes
    assert Graph.of(*single.targets).nodes == single.nodes


@pytest.mark.parametrize(("batch", "at_most"), [(1, 6), (4, 4 * 6)])
def test_with_memory_for_all_models_few_results_are_held_and_each_is_loaded_once(
    batch: int, at_most: int
) -> None:
    sweep = build_sweep(load_workflow("chain"), make_variants({}, {"seed": range(12)}))
    session, held, most = Session(device="cpu", store=None, batch=batch), set[Any](), 0
    planned = session.plan(sweep.graph)
    single = Session(device="cpu", store=None).plan(load_workflow("chain").graph())
    for step in planned.steps:
        held.add(step.node)
        most = max(most, len(held - set(sweep.graph.targets)))
        held -= set(step.releases)
    assert most <= at_most
    assert len(planned.loads) == len(single.loads)


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize(
    "axes",
    [
        {"seed": range(6)},
        {"seed": range(6), "word": list("abcdef")},
        {"seed": [5, 5, 5, 1, 2, 3], "word": list("aabbcd")},
        {"word": ["a", "a", "a", "a", "a", "b"]},
        {"word": ["a b", "a-b", "a_b", "a b.", "c", "d"]},
    ],
)
@pytest.mark.parametrize("flow", [FLOW, FLOW.replace("$loud", "$text")])
def test_the_files_of_a_large_sweep_are_those_of_a_small_one(
    flow: str, axes: dict[str, Any], side_by_side: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {name: [*of] for name, of in axes.items()}
    variants = make_variants({}, values, side_by_side=side_by_side)
    outcomes = []
    for most in (1000, 0):
        monkeypatch.setattr(output_files, "MANY_VARIANTS", most)
        try:
            outcomes.append(files(build_sweep(read(flow.replace("output: $half\n", "")), variants)))
        except InvalidWorkflowError as error:
            outcomes.append([str(error)])
    assert outcomes[0] == outcomes[1]
