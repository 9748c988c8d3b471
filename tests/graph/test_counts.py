"""A node with a `count` stands for several, which differ in their seeds."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from sdgraph import Session, events, run
from sdgraph.errors import InvalidWorkflowError, NodeDefinitionError
from sdgraph.graph import Graph, In, Node, Registry, find_copies
from sdgraph.language import Workflow, workflow_from_yaml
from sdgraph.sweep import build_sweep, make_variants
from sdgraph.sweep.runner import run_many
from sdgraph.values import content_of
from tests.support.toys import Add, Write


class Draw(Node[int]):
    """A number from a seed, several of them with a count."""

    counted = True

    start: In[int] = 0
    seed: int = Field(default=0, ge=0, lt=100)
    count: int = Field(default=1, ge=1, le=1000)

    def run(self, start: int) -> int:
        return start * 100 + self.seed


class Total(Node[int]):
    """The sum of all numbers."""

    gathers_copies = True

    terms: list[In[int]]

    def run(self, terms: tuple[int, ...]) -> int:
        return sum(terms)


class Both(Node[int]):
    """The sum of two numbers in a list, of which each is there several times."""

    terms: list[In[int]]

    def run(self, terms: tuple[int, ...]) -> int:
        return sum(terms)


class Say(Node[str]):
    """A number as a text."""

    number: In[int]

    def run(self, number: int) -> str:
        return f"{number}"


REGISTRY = Registry({"Draw": Draw, "Say": Say, "Total": Total, "Write": Write})
FLOW = """\
inputs: {count: 3, seed: 9, style: 0}
nodes:
  draw: {type: Draw, start: $inputs.style, seed: $inputs.seed, count: $inputs.count}
  say: {type: Say, number: $draw}
  file: {type: Write, text: $say, path: out/n.txt}
"""


def read(text: str, folder: Path | str = "/nowhere") -> Workflow:
    return workflow_from_yaml(text, registry=REGISTRY, folder=folder)


def make(*nodes: Node[Any]) -> Any:
    return run(*nodes, session=Session(device="cpu", store=None))


@given(st.integers(1, 20), st.integers(0, 80))
def test_a_count_is_the_list_of_what_its_seeds_make(count: int, seed: int) -> None:
    copies, problems = find_copies([Draw(seed=seed, count=count)])
    alone = tuple(Draw(seed=seed + n) for n in range(count))
    assert problems == []
    found = [copy.node for own in copies.values() for copy in own]
    assert tuple(found) == (alone if count > 1 else ())


def test_one_is_a_value_and_several_are_a_list() -> None:
    assert make(Draw(seed=5)) == 5
    assert make(Draw(seed=5, count=1)) == 5
    assert make(Draw(seed=5, count=3)) == [5, 6, 7]
    assert Draw(seed=5, count=1) == Draw(seed=5) != Draw(seed=5, count=2)


def test_a_class_that_gets_a_count_keeps_its_keys() -> None:
    contents = [Draw.definition.identity.tag, content_of(0), content_of(5)]
    digest = blake2b(",".join(contents).encode(), digest_size=16).digest()
    assert Draw(seed=5).own_identity == Draw(seed=5, count=1).own_identity == digest
    assert Draw(seed=5, count=2).own_identity != digest


def test_what_reads_it_runs_for_each() -> None:
    several = Draw(seed=5, count=3)
    assert make(Add(a=several, b=1), Add(a=several, b=several)) == ([6, 7, 8], [10, 12, 14])
    assert make(Add(a=several, b=Draw(seed=20, count=3))) == [25, 27, 29]
    assert make(Both(terms=[several, several, 1])) == [11, 13, 15]


def test_what_gathers_takes_all() -> None:
    several = Draw(seed=5, count=3)
    assert make(Total(terms=[several, 100])) == 118
    assert make(Add(a=Total(terms=[several]), b=several)) == [23, 24, 25]


def test_counts_within_counts() -> None:
    assert make(Draw(start=Draw(seed=1, count=2), count=2, seed=7)) == [107, 108, 207, 208]


def test_each_is_remembered_by_itself() -> None:
    session = Session(device="cpu")
    run(Draw(seed=5, count=3), session=session)
    heard: list[events.Event] = []
    values: Any = run(Draw(seed=7, count=2), session=session, on_event=heard.append)
    assert values == [7, 8]
    kinds = [(type(e), e.node) for e in heard if isinstance(e, events.Reused | events.NodeStarted)]
    assert kinds == [
        (events.Reused, "draw[seed=7]"),
        (events.NodeStarted, "draw[seed=8]"),
    ] or kinds == [(events.NodeStarted, "draw[seed=8]"), (events.Reused, "draw[seed=7]")]


def test_lists_of_different_lengths_are_refused() -> None:
    graph = Graph.of(Add(a=Draw(count=3), b=Draw(count=2, seed=9)))
    with pytest.raises(InvalidWorkflowError, match="3 values in a and 2 in b"):
        Session(device="cpu", store=None).plan(graph)


def test_a_seed_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidWorkflowError, match=r"3 seeds from 98 on"):
        Session(device="cpu", store=None).run(Graph.of(Draw(seed=98, count=3)))


def test_a_counted_class_needs_both_fields() -> None:
    with pytest.raises(NodeDefinitionError, match="`count: int` and `seed: int`"):

        class NoSeed(Node[int]):
            """It has no seed."""

            counted = True

            count: int = 1

            def run(self) -> int:
                return 0


def test_files_get_the_seeds_in_their_names(tmp_path: Path) -> None:
    graph = read(FLOW, tmp_path).graph()
    (tmp_path / "out").mkdir()
    names = [tmp_path / f"out/n_seed-{seed:04d}.txt" for seed in (9, 10, 11)]
    assert [path for path, _, _ in graph.files_to_write] == names
    assert Session(device="cpu", store=None).run(graph) == {"file": names}
    assert [path.read_text() for path in names] == ["9", "10", "11"]


def test_a_file_keeps_its_name_without_a_count(tmp_path: Path) -> None:
    graph = read(FLOW, tmp_path).graph(count=1)
    assert [path.name for path, _, _ in graph.files_to_write] == ["n.txt"]


def test_a_rival_of_a_numbered_file_is_found() -> None:
    other = "  other: {type: Write, text: a, path: out/n_seed-0010.txt}\n"
    (problem,) = read(FLOW + other).problems()
    assert problem.found.endswith("n_seed-0010.txt, where file[seed=10] writes too")


def test_counts_in_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    records = run_many(
        read(FLOW, tmp_path), style=[1, 2], count=2, session=Session(device="cpu", store=None)
    )
    files = [[Path(file).name for file in record.files] for record in records]
    assert files == [
        [f"n_style-000{style}_seed-0009.txt", f"n_style-000{style}_seed-0010.txt"]
        for style in (1, 2)
    ]
    texts = [[path.read_text() for path in record.values["file"]] for record in records]
    assert texts == [["109", "110"], ["209", "210"]]
    assert all(record.state == "done" for record in records)


def test_a_copy_that_two_variants_need_is_one_node() -> None:
    flow = read("inputs: {seed: 0}\nnodes: {d: {type: Draw, seed: $inputs.seed, count: 2}}\n")
    sweep = build_sweep(flow, make_variants({}, {"seed": [1, 2]}))
    assert [node.seed for node in sweep.graph.nodes if isinstance(node, Draw)] == [1, 2, 3]
    assert sweep.needed[Draw(seed=2)] == [0, 1]


def test_frames_of_a_video_take_no_count() -> None:
    class Split(Node[int]):
        """The frames of a video."""

        scatters = True
        scatter_advice = "gather them"

        def run(self) -> Any:
            raise NotImplementedError

    nodes = [Split(), Draw(start=Split(), count=2)]
    ((_, problem),) = find_copies(nodes)[1]
    assert problem.subject == "count"
    assert "each frame of a video" in problem.found


def test_problems_of_a_node_are_told_once() -> None:
    flow = read("nodes: {d: {type: Draw, seed: 99, count: 4}}")
    assert [problem.subject for problem in flow.problems()] == ["d.count"]
