"""Every node of the library says what it is, what it takes and where it belongs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sdgraph.nodes
from sdgraph import Node
from sdgraph.graph.definition import check_defaults
from sdgraph.language import node_schema
from tests.support.library_nodes import NODE_CLASSES, every_node, required_fields
from tests.support.processes import forked


@every_node
def test_it_names_a_required_field_that_is_missing(cls: type[Node[Any]]) -> None:
    fields = required_fields(cls)
    for name in fields:
        if cls.model_fields[name].is_required():
            with pytest.raises(ValueError, match=f"{cls.__name__}.{name}"):
                cls(**{key: value for key, value in fields.items() if key != name})


@every_node
def test_its_fields_take_their_own_defaults(cls: type[Node[Any]]) -> None:
    check_defaults(cls)  # of nodes that ship it is not done when the class is made


@every_node
def test_its_first_sentence_says_more_than_its_name(cls: type[Node[Any]]) -> None:
    assert len((cls.__doc__ or "").splitlines()[0]) > 20


@every_node
def test_its_schema_describes_every_field(cls: type[Node[Any]]) -> None:
    schema = node_schema(cls)
    for name in cls.model_fields:
        assert schema["properties"][name]["description"], name


@every_node
def test_it_has_a_category(cls: type[Node[Any]]) -> None:
    assert cls.category != "other"


@every_node
def test_a_field_it_does_not_have_is_refused(cls: type[Node[Any]]) -> None:
    with pytest.raises(ValueError, match="no_such_field"):
        cls(**{**required_fields(cls), "no_such_field": 1})


def test_the_public_names_are_sorted_and_are_nodes() -> None:
    assert sdgraph.nodes.__all__ == sorted(sdgraph.nodes.__all__)
    assert all(issubclass(cls, Node) for cls in NODE_CLASSES)


def test_only_nodes_with_files_to_write_have_an_effect() -> None:
    assert {cls.__name__ for cls in NODE_CLASSES if cls.effect} == {"Save", "SaveVideo"}


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


def test_the_library_has_one_name_only() -> None:
    done = run_python("import nodes")
    assert done.returncode == 1
    assert "import these nodes as sdgraph.nodes" in done.stderr


def test_importing_and_checking_nodes_imports_no_torch() -> None:
    code = (
        "import sys, sdgraph\n"
        "from sdgraph.nodes import *\n"
        "from sdgraph.values import EdgeMap\n"
        "import numpy as np\n"
        "edges = EdgeMap(np.zeros((8, 8, 3), np.uint8))\n"
        "node = ControlNet(prompt='a', control=edges, checkpoint='tiny/sdxl')\n"
        "assert list(node.check()) and list(Text2Video(prompt='a', width=100).check())\n"
        "sdgraph.plan(Save(image=Text2Image(prompt='a'), path='out.png'))\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'cv2', 'accelerate'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = forked("-c", code, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
