"""Nodes are frozen, hashable, lazy values; equal structure is one identity; nothing recurses."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sdgraph.errors import InvalidNodeError, NodeDefinitionError, Problem
from sdgraph.graph import In, Node, ancestry
from sdgraph.values import Image
from tests.support import toys
from tests.support.processes import forked
from tests.support.strategies import graphs, texts

LONG = 20_000


class Holder(Node[int]):
    """Takes a literal of any plain kind."""

    value: str | bool | int | float | list[str | bool | int | float | None] | None = None
    others: list[In[int]] | None = None

    def run(self, others: tuple[int, ...] | None) -> int:
        return len(others or ())


class Grid(Node[int]):
    """Takes lists in lists and pairs in lists."""

    rows: list[list[int]] = [[1], [2]]  # noqa: RUF012  a field's default, which pydantic copies
    corner: tuple[int, int] = (0, 0)
    points: list[tuple[int, int]] = []  # noqa: RUF012

    def run(self) -> int:
        return 0


@pytest.fixture(scope="module")
def chain() -> Node[int]:
    node: Node[int] = toys.Number(value=1)
    for _ in range(LONG):
        node = toys.Add(a=node, b=1)
    return node


def test_a_node_computes_nothing_until_it_is_run() -> None:
    toys.ran.clear()
    toys.Add(a=toys.Number(value=1), b=toys.Fail())
    assert toys.ran == []


@pytest.mark.parametrize("name", ["value", "identity", "own_identity", "wires", "nonsense"])
def test_a_node_is_frozen(name: str) -> None:
    node = toys.Number(value=1)
    with pytest.raises(ValidationError):
        setattr(node, name, 2)
    with pytest.raises((ValidationError, AttributeError)):
        delattr(node, name)
    assert node == toys.Number(value=1)


def test_equal_structure_is_one_node_and_one_hash() -> None:
    one = toys.Add(a=toys.Number(value=1), b=2)
    two = toys.Add(a=toys.Number(value=1), b=2)
    assert one == two and hash(one) == hash(two) and len({one, two}) == 1
    assert one != "a node" and one != toys.Number(value=1)


@pytest.mark.parametrize(
    "kinds", [[1, 1.0, True, "1"], [0, 0.0, -0.0, False, "", None], [2**70, float(2**70)]]
)
def test_values_that_python_calls_equal_are_different_parameters(kinds: list[Any]) -> None:
    assert len({Holder(value=kind) for kind in kinds}) == len(kinds)
    assert len({Holder(value=[kind]) for kind in kinds}) == len(kinds)


def test_lists_that_join_to_the_same_text_are_different() -> None:
    lists: list[Any] = [[], ["a", "b"], ["ab"], ["a,b"], ["a", ",b"], ["", "ab"]]
    assert len({Holder(value=texts) for texts in lists}) == len(lists)
    ints: list[Any] = [[1, 11], [11, 1], [111], [1, 1, 1], [0x1, 0xA], [0x1A]]
    assert len({Holder(others=numbers) for numbers in ints}) == len(ints)
    assert Holder(others=[]) != Holder(others=None)


@given(st.lists(st.integers(-300, 300)), st.lists(st.integers(-300, 300)))
def test_identities_are_equal_exactly_when_the_parameters_are(a: list[Any], b: list[Any]) -> None:
    assert (Holder(others=a) == Holder(others=b)) == (a == b)


def test_a_wire_is_no_literal_and_its_port_matters() -> None:
    zero = toys.Number(value=0)
    every = [
        toys.Add(a=zero, b=0),
        toys.Add(a=0, b=zero),
        toys.Add(a=0, b=0),
        toys.Add(a=zero, b=zero),
        toys.Sum(terms=[zero, 0]),
        toys.Sum(terms=[0, zero]),
        toys.Sum(terms=[zero]),
    ]
    assert len(set(every)) == len(every)


def test_the_own_part_of_an_identity_leaves_the_wired_nodes_out() -> None:
    one, two = toys.Number(value=1), toys.Number(value=2)
    assert toys.Halve(a=one).own_identity == toys.Halve(a=two).own_identity
    assert toys.Halve(a=one).identity != toys.Halve(a=two).identity
    assert toys.Add(a=one, b=5).own_identity != toys.Add(a=one, b=6).own_identity


def test_two_classes_of_one_name_make_different_nodes() -> None:
    def make_node(places: int) -> Node[int]:
        class Twin(Node[int]):
            version = places

            def run(self) -> int:
                return places

        return Twin()

    assert make_node(1) != make_node(2) and make_node(1) == make_node(1)

    class Number(Node[int]):
        value: int = 0

        def run(self) -> int:
            return -1

    assert Number(value=3) != toys.Number(value=3)


def test_an_identity_is_the_same_in_another_process() -> None:
    code = (
        "from tests.support import toys\n"
        "print(toys.Add(a=toys.Number(value=7), b=-1, offset=3).identity.hex())"
    )
    done = forked("-c", code)
    node = toys.Add(a=toys.Number(value=7), b=-1, offset=3)
    assert done.stdout.strip() == node.identity.hex()


def test_a_default_written_out_changes_nothing() -> None:
    assert toys.Add(a=1) == toys.Add(a=1, b=0, offset=0)
    assert repr(toys.Add(a=1, b=0)) == "Add(a=1)"


def test_a_literal_picture_counts_by_its_pixels() -> None:
    def edges(grey: int) -> Node[Any]:
        return toys.Edges(image=Image(np.full((2, 2, 3), grey, np.uint8)))

    assert edges(3) == edges(3) and edges(3) != edges(4)


def test_lists_become_tuples_at_any_depth_and_the_given_list_is_left_alone() -> None:
    rows: list[list[int]] = [[1, 2], [3]]
    node = Grid(rows=rows)
    rows[0].append(9)
    assert node.rows == ((1, 2), (3,))  # type: ignore[comparison-overlap]
    assert Grid(rows=[[1, 2], [3]]) == node


def test_lists_and_tuples_are_taken_alike_for_either() -> None:
    # Any: YAML knows only lists, and a type checker would refuse one for the other.
    loose: Any = Grid
    node = loose(rows=((1,),), corner=[3, 4], points=[[1, 2], (3, 4)])
    assert node == Grid(rows=[[1]], corner=(3, 4), points=[(1, 2), (3, 4)])
    assert node.corner == (3, 4) and node.points == ((1, 2), (3, 4))
    with pytest.raises(InvalidNodeError):
        loose(corner=[1, 2, 3])
    with pytest.raises(InvalidNodeError):
        loose(points=[[1, "2"]])


@given(graphs())
def test_copies_pickles_and_rebuilt_nodes_are_equal(nodes: list[Node[Any]]) -> None:
    for node in nodes:
        assert copy.copy(node) is node and copy.deepcopy([node])[0] is node
        again = pickle.loads(pickle.dumps(node))
        assert again == node and type(again) is type(node) and again.wires == node.wires
        assert node.replace() == node and type(node)(**node.non_default_fields()) == node


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_changed_copy_is_a_node_made_afresh(by: float) -> None:
    node = toys.Scale(number=1, by=by)
    assert node.replace() == node
    assert node.model_copy(update={"number": 2}) == toys.Scale(number=2, by=by)


def test_a_changed_copy_is_validated_and_has_its_own_identity() -> None:
    node = toys.Add(a=1, offset=5)
    changed = node.model_copy(update={"offset": 6})
    assert changed == toys.Add(a=1, offset=6) and changed.identity != node.identity
    assert node.offset == 5 and node.model_copy() is node
    with pytest.raises(InvalidNodeError, match=r"Add\.offset"):
        node.model_copy(update={"offset": 5000})
    with pytest.raises(InvalidNodeError, match=r"Add\.nope"):
        node.replace(nope=1)
    old: Any = node
    assert old.copy(update={"offset": 6}) == changed


def test_hash_eq_repr_pickle_and_copies_of_a_long_chain_never_recurse(chain: Node[int]) -> None:
    assert hash(chain) and chain == chain.replace() and len(repr(chain)) < 100
    assert copy.deepcopy({"x": chain})["x"] is chain
    again = pickle.loads(pickle.dumps(chain))
    assert again == chain and again is not chain and repr(again) == repr(chain)
    assert len(ancestry(again)) == LONG + 1
    del again  # freeing it must not recurse either


def test_ancestry_gives_each_node_once_after_all_it_reads(chain: Node[int]) -> None:
    order = ancestry(chain, chain)
    assert len(order) == len(set(order)) == LONG + 1 and order[-1] is chain


def test_ancestry_of_a_dense_graph_is_linear_in_its_edges() -> None:
    node: Node[int] = toys.Number(value=1)
    for _ in range(60):  # 2**60 paths
        node = toys.Add(a=node, b=node)
    assert len(ancestry(node)) == 61


LOAD = "load the file with a node of its own, then refer to that node as $name"

WRONG: list[tuple[Any, dict[str, Any], str, str, str, str]] = [
    (toys.Add, {"a": "1"}, "a", "the text '1'", "a whole number", "write it as a number: 1"),
    (toys.Add, {"a": 1.0}, "a", "1.0", "a whole number", "write 1"),
    (toys.Add, {"a": 3.9}, "a", "3.9", "a whole number", ""),
    (toys.Add, {"a": True}, "a", "true", "a whole number", ""),
    (toys.Add, {"a": "nan"}, "a", "the text 'nan'", "a whole number", ""),
    (toys.Add, {"a": "1.5"}, "a", "the text '1.5'", "a whole number", ""),
    (toys.Add, {"a": 1, "offset": True}, "offset", "true", "a whole number", ""),
    (toys.Add, {"a": 1, "offset": 1001}, "offset", "1001", "at most 1000", ""),
    (toys.Flag, {"value": "false"}, "value", "the text 'false'", "true or false", "write false"),
    (toys.Text, {"text": 3}, "text", "3", "text", 'quote it: "3"'),
    (toys.Text, {"text": True}, "text", "true", "text", 'quote it: "true"'),
    (toys.Text, {"text": [1]}, "text", "a list of 1", "text", "for a text with brackets, quote it"),
    (toys.Text, {"text": None}, "text", "nothing (null)", "text", 'for an empty text write ""'),
    (toys.Text, {"tags": ["a", 2]}, "tags.1", "2", "text", 'quote it: "2"'),
    (toys.Sum, {"terms": [1, "x"]}, "terms.1", "the text 'x'", "a whole number", ""),
    (toys.Sum, {"terms": []}, "terms", "a list of 0", "at least 1 items", ""),
    (toys.Sum, {"terms": 3}, "terms", "3", "a list", ""),
    (
        toys.Join,
        {"style": "lout"},
        "style",
        "the text 'lout'",
        "one of 'plain' or 'loud'",
        "did you mean 'loud'?",
    ),
    (toys.Edges, {"image": toys.Hole()}, "image", "Hole, which makes a Mask", "an Image", ""),
    (toys.Edges, {"image": "a.png"}, "image", "the text 'a.png'", "an Image", LOAD),
    (toys.Edges, {}, "image", "nothing", "an Image", "add `image: …`"),
    (
        toys.Edges,
        {"image": toys.Square(), "lo": 3},
        "lo",
        "a field 'lo'",
        "one of image, low",
        "did you mean 'low'?",
    ),
    (toys.Wrong, {"x": 1}, "x", "a field 'x'", "no fields at all", ""),
    (toys.Pair, {"low": 11}, "low", "11 above 10", "at most high", "swap the two"),
    (toys.Scale, {"number": math.nan}, "number", "nan", "a finite number", ""),
    (toys.Scale, {"number": 1, "by": math.inf}, "by", "inf", "a finite number", ""),
    (
        toys.Scale,
        {"number": "1e3"},
        "number",
        "the text '1e3'",
        "a number",
        "write it as a number: 1000",
    ),
    (toys.Add, {"a": toys.Flag()}, "a", "Flag, which makes true or false", "a whole number", ""),
    (toys.Read, {"path": ""}, "path", "the text ''", "a path", ""),
    (toys.Read, {"path": "a\0b"}, "path", "the text 'a\\x00b'", "a path without NUL", ""),
]


@pytest.mark.parametrize(("cls", "fields", "subject", "value", "expected", "fix"), WRONG)
def test_a_wrong_field_is_reported_with_found_wanted_and_fix(
    cls: Any, fields: dict[str, Any], subject: str, value: str, expected: str, fix: str
) -> None:
    with pytest.raises(InvalidNodeError) as caught:
        cls(**fields)
    problem = Problem(f"{cls.__name__}.{subject}", value, expected, fix)
    assert caught.value.problems == (problem,)


def test_every_wrong_field_of_a_node_is_reported_at_once() -> None:
    loose: Any = toys.Add
    with pytest.raises(InvalidNodeError) as caught:
        loose(b="x", offset=1.5, c=1)
    subjects = {problem.subject for problem in caught.value.problems}
    assert subjects == {"Add.a", "Add.b", "Add.offset", "Add.c"}


def test_an_int_will_do_for_a_float_but_nothing_else_is_converted() -> None:
    assert toys.Scale(number=1) == toys.Scale(number=1.0)
    assert toys.Scale(number=toys.Number(value=1)).wires
    loose: Any = toys.Scale
    for wrong in (True, "1", np.float64(1), toys.Flag()):
        with pytest.raises(InvalidNodeError):
            loose(number=wrong)


def test_a_node_that_makes_a_narrower_kind_fits_a_wider_port() -> None:
    assert toys.Edges(image=toys.Edges(image=toys.Square())).wires[0][0] == "image"


def test_a_class_that_cannot_run_cannot_be_made() -> None:
    class Abstract(Node[int]):
        value: int = 0

    with pytest.raises(NodeDefinitionError, match="wanted: a method `run`"):
        Abstract(value=1)


def test_a_home_that_does_not_exist_is_no_traceback() -> None:
    assert toys.Read(path="~nobody-of-this-name/x").path == Path("~nobody-of-this-name/x")
    assert toys.Read(path="~/x").path == Path.home() / "x"


@given(texts)
def test_any_text_is_a_parameter_and_is_kept_as_it_is(text: str) -> None:
    node = toys.Text(text=text)
    assert node.text == text and pickle.loads(pickle.dumps(node)).text == text


def test_a_seed_is_a_field_of_that_name_unless_it_comes_from_another_node() -> None:
    class Noise(Node[int]):
        """A random number."""

        seed: In[int] = 3

        def run(self, seed: int) -> int:
            return seed

    assert Noise().random_seed == 3 and toys.Number(value=1).random_seed is None
    assert Noise(seed=toys.Number(value=1)).random_seed is None


def test_a_node_makes_pictures_of_the_size_it_reads_unless_it_says_otherwise() -> None:
    assert toys.Edges(image=toys.Square()).output_size((3, 5)) == (3, 5)


def test_an_item_that_a_pair_lacks_is_named() -> None:
    class Pair(Node[int]):
        """A pair."""

        pair: tuple[int, int] = (1, 2)

        def run(self) -> int:
            return 0

    loose: Any = Pair
    with pytest.raises(InvalidNodeError, match=r"Pair\.pair\.1"):
        loose(pair=(1,))
