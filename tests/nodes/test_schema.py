"""Every node of the library says what it is, what it takes and where it belongs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdgraph.nodes
from sdgraph import Checkpoint, Node
from sdgraph.nodes.training.data import Dataset, WorldDataset
from sdgraph.values import DepthMap, EdgeMap, Image, Mask, Video
from tests.support.photos import noisy, photo, spot

EVERY: list[type[Node[Any]]] = [getattr(sdgraph.nodes, name) for name in sdgraph.nodes.__all__]
LITERALS: dict[type, Any] = {
    Image: photo(8, 8),
    Mask: spot(8, 8),
    Video: Video(noisy((2, 8, 8, 3)), 8),
    EdgeMap: EdgeMap(noisy((8, 8, 3))),
    DepthMap: DepthMap(np.eye(8)),
    Checkpoint: Checkpoint("tiny/sdxl"),
    str: "a star",
    Dataset: WorldDataset(1, 0, 32),
}
PARAMETERS: dict[str, Any] = {
    "path": "file.png",
    "out": "out",
    "width": 64,
    "height": 64,
    "box": [1, 1, 3, 3],
    "points": [[0, 0], [5, 0], [0, 5]],
    "strokes": [[[1, 1]]],
    "color": "red",
    "people": [{"nose": [8, 8]}],
}
SOURCES: dict[str, dict[str, Any]] = {
    "Crop": {"width": 4},
    "Grid": {"images": [photo(8, 8)]},
    "Mask": {"path": "mask.png"},
    "MaskBySam": {"box": [1, 1, 3, 3]},
    "MaskIntersect": {"masks": [spot(8, 8), spot(8, 8)]},
    "MaskUnion": {"masks": [spot(8, 8), spot(8, 8)]},
}
every_node = pytest.mark.parametrize("cls", EVERY, ids=lambda cls: cls.__name__)


def required(cls: type[Node[Any]]) -> dict[str, Any]:
    """The fewest fields that make a node."""
    fields = dict(SOURCES.get(cls.__name__, {}))
    for name, field in cls.model_fields.items():
        if field.is_required() and name not in fields:
            port = cls.definition.ports.get(name)
            kinds = [] if port is None else port.kinds
            fitting = [v for k, v in LITERALS.items() if any(issubclass(k, kind) for kind in kinds)]
            fields[name] = fitting[0] if fitting else PARAMETERS[name]
    return fields


@every_node
def test_it_is_made_from_what_it_requires_alone(cls: type[Node[Any]]) -> None:
    fields = required(cls)
    node = cls(**fields)
    assert node == cls(**fields)
    assert hash(node) == hash(cls(**fields))
    for name in fields:
        if cls.model_fields[name].is_required():
            with pytest.raises(ValueError, match=f"{cls.__name__}.{name}"):
                cls(**{key: value for key, value in fields.items() if key != name})


@every_node
def test_its_docstring_begins_with_a_sentence(cls: type[Node[Any]]) -> None:
    first = (cls.__doc__ or "").splitlines()[0]
    assert len(first) > 20
    assert first[0].isupper() and first.endswith(".")


@every_node
def test_every_field_is_described(cls: type[Node[Any]]) -> None:
    schema = cls.model_json_schema()
    for name, field in cls.model_fields.items():
        assert field.description, name
        assert schema["properties"][name]["description"]


@every_node
def test_it_has_a_category_and_a_version(cls: type[Node[Any]]) -> None:
    assert cls.category in (
        "file",
        "picture",
        "video",
        "mask",
        "control",
        "generate",
        "train",
    )
    assert type(cls.version) is int and cls.version >= 1


@every_node
def test_a_field_it_does_not_have_is_refused(cls: type[Node[Any]]) -> None:
    with pytest.raises(ValueError, match="no_such_field"):
        cls(**{**required(cls), "no_such_field": 1})


def test_the_public_names_are_sorted_and_are_nodes() -> None:
    assert sdgraph.nodes.__all__ == sorted(sdgraph.nodes.__all__)
    assert all(issubclass(cls, Node) for cls in EVERY)


def test_only_nodes_with_files_to_write_have_an_effect() -> None:
    assert {cls.__name__ for cls in EVERY if cls.effect} == {"Save", "SaveVideo"}


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
    done = run_python(code)
    assert done.returncode == 0, done.stderr
