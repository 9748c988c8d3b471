"""For every node: a result's key depends on all that can change the result, and on nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Graph, Lora, Node, SdgraphError
from sdgraph.execution.planning import make_plan
from sdgraph.graph import parts_of
from sdgraph.language import node_schema, shipped_workflows, workflow_from_yaml
from sdgraph.memoize import memoized_scope
from sdgraph.models import resolve
from sdgraph.models.loading import libraries
from sdgraph.models.sources.shipped import shipped_folder, shipped_names
from sdgraph.nodes import Turbo
from sdgraph.nodes.training.data import WorldDataset
from sdgraph.store import Store, execution_context, result_key, store
from sdgraph.values import DepthMap, EdgeMap, Video, content_of
from tests.support import effort, mask_models
from tests.support import map_models as map_models
from tests.support.library_nodes import (
    LITERALS,
    NODE_CLASSES,
    every_node,
    fields_with_files,
    write_files,
)
from tests.support.lora_files import lora
from tests.support.photos import noisy, photo, spot
from tests.support.redux_files import redux
from tests.support.toys import Number

NUMBERS: tuple[Any, ...] = (0, 1, 2, 3, 8, 16, 31, 64, 512, 0.25, 0.5, 0.75, 1.5, 0.0, 1.0)
WORDS: tuple[Any, ...] = (True, False, None, "a ring", "red", "#123456", "ring", "none", "model")
LISTS: tuple[Any, ...] = (
    [1],
    ["a"],
    [0.25],
    [1, 2],
    [1, 2, 5, 6],
    [0, 0, 3, 3],
    [[1, 1], [5, 1], [5, 5]],
    [[1, 1], [6, 1], [5, 5]],
    [[1, 1, 5, 5]],
    [[2, 2, 5, 5]],
    {"vae": "tiling"},
    {"channels_last": True},
    {"attention": "slicing"},
    {"vae": ["slicing"]},
    {"layerwise_casting": "float8"},
    ["right"],
    ["growing"],
    [0],
    [[[1, 1], [5, 1]]],
    [[[2, 2]]],
    [{"nose": [1, 2]}],
)
VALUES: tuple[Any, ...] = (
    *LITERALS.values(),
    photo(9, 9),
    spot(9, 9),
    Video(noisy((2, 9, 9, 3)), 8),
    EdgeMap(noisy((9, 9, 3))),
    DepthMap(noisy((9, 9))),
    WorldDataset(1, 1, 32),
)
CHECKPOINTS = [Checkpoint(name) for name in shipped_names()]
AROUND: dict[str, list[dict[str, Any]]] = {
    "AnimateCharacter": [{"background": LITERALS[Video], "mask": spot(8, 8)}],
    "ControlNet": [
        {
            "image": photo(8, 8),
            "controlnet": Checkpoint("tiny/controlnet-edges"),
            "reference": photo(8, 8),
        },
        {
            "image": photo(8, 8),
            "mask": spot(8, 8),
            "controlnet": Checkpoint("tiny/controlnet-edges"),
        },
    ],
    "Crop": [{"width": None}],
    "Image2Video": [
        {"between": [photo(8, 8)], "at": [5]},
        {"between": [photo(8, 8), photo(8, 8)], "at": [1, 2]},
    ],
    "Inpaint": [{"reference": photo(8, 8)}],
    "Text2Image": [{"reference": photo(8, 8)}, {"refiner": Checkpoint("random/sdxl-refiner")}],
    "Mask": [
        {"path": None, "image": photo(8, 8)},
        {"path": None, "box": [1, 2, 5, 6], "width": 64, "height": 64},
    ],
    "MaskBySam": [{"points": [[1, 1]]}],
    "TinyWorld": [{"moving": True}],
    "Turbo": [{"steps": 4}],
    "VideoControl": [
        {"control": None, "reference": photo(8, 8)},
        {"video": LITERALS[Video], "mask": spot(8, 8)},
    ],
}
"""For some nodes: the other fields that a field requires."""

VIDEO_NODES = ("AnimateCharacter", "Image2Video", "Video2Video", "VideoControl")
"""The nodes that a plan asks for the length of their videos, by a checkpoint that makes some."""

ALONE = {("Mask", "alpha")}
"""Fields that take another value only when every other field is left out."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for files that nodes read, which no test changes."""
    folder = tmp_path_factory.mktemp("files")
    lora(folder / "lora", "tiny/text-to-image")
    return folder


def key(node: Node[Any]) -> bytes:
    return result_key(node, [], execution_context(node, "cpu", "float32"))


@cache
def schema_words(cls: type[Node[Any]], name: str) -> tuple[str, ...]:
    """The words that the schema of a field has in quotes: its choices, if it has any."""
    return tuple(re.findall(r"'([\w.-]+)'", str(_properties(cls)[name])))


@cache
def _properties(cls: type[Node[Any]]) -> dict[str, Any]:
    return dict(node_schema(cls)["properties"])


def other_values(cls: type[Node[Any]], name: str, folder: Path) -> Iterator[Any]:
    """Values that a field might take, of every kind; most do not fit it."""
    yield from (*schema_words(cls, name), *NUMBERS, *WORDS, *LISTS)
    yield from (folder / "other.png", folder / "other.mp4", folder / "other")
    for value in VALUES:
        yield from (value, [value, value])
    yield from CHECKPOINTS
    if name == "redux":
        yield Checkpoint(redux(folder / "other redux", 1.0))
    yield from ([Lora(folder / "lora", scale=0.5)], Lora(shipped_folder("tiny/ip-adapter")))


def keys_of_values(
    cls: type[Node[Any]], name: str, fields: dict[str, Any], folder: Path
) -> set[bytes]:
    """The keys with every value that one field takes; fails where two values share one.

    In a run of the quick tests, four values are enough.
    """
    keys: dict[str, bytes] = {}
    for changes in ({}, *({name: value} for value in other_values(cls, name, folder))):
        try:
            node = cls(**{**fields, **changes})
            keys[content_of(getattr(node, name))] = key(node)
        except (SdgraphError, ValueError, TypeError, OSError):
            continue  # no value of this field
        if effort.quick and len(keys) == 4:
            break
    assert len(set(keys.values())) == len(keys), name
    return set(keys.values())


@every_node
def test_flipping_any_field_changes_the_key(cls: type[Node[Any]], folder: Path) -> None:
    least = fields_with_files(cls, folder)
    with memoized_scope():  # no file changes in between
        for name in cls.definition.key_fields:
            for around in ({}, *AROUND.get(cls.__name__, ())):
                keys = keys_of_values(cls, name, {**least, **around}, folder)
                if len(keys) > 1 or ((cls.__name__, name) in ALONE and keys - {key(cls(**least))}):
                    break
            else:
                raise AssertionError(f"no other value was found for {name}")


@pytest.mark.parametrize("cls", [cls for cls in NODE_CLASSES if cls.definition.has_existing])
def test_what_happens_to_files_that_are_there_is_in_no_key(
    cls: type[Node[Any]], folder: Path
) -> None:
    fields = fields_with_files(cls, folder)
    rules = ("number", "replace", "refuse")
    assert len({key(cls(**{**fields, "existing": rule})) for rule in rules}) == 1


@every_node
def test_defaults_written_out_change_nothing(cls: type[Node[Any]], folder: Path) -> None:
    least = fields_with_files(cls, folder)
    with memoized_scope():  # no file changes in between
        node = cls(**least)
        for name in cls.model_fields:
            again = cls(**{**least, name: getattr(node, name)})
            assert key(again) == key(node), name
        backwards = {name: getattr(node, name) for name in reversed(cls.model_fields)}
        assert key(cls(**backwards)) == key(node)


@every_node
def test_a_nodes_version_is_in_its_key(cls: type[Node[Any]], folder: Path) -> None:
    def of_version(number: int) -> type[Node[Any]]:
        namespace = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "version": number,
        }
        return type(cls.__name__, (cls,), namespace)

    fields = fields_with_files(cls, folder)
    with memoized_scope():  # no file changes in between
        first_key = key(cls(**fields))
        assert key(of_version(cls.version)(**fields)) == first_key
        assert key(of_version(cls.version + 1)(**fields)) != first_key


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls in NODE_CLASSES for name in cls.definition.sources],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_files_pixel_changes_the_key_and_its_times_do_not(
    cls: type[Node[Any]], name: str, tmp_path: Path
) -> None:
    path = write_files(tmp_path)["path"]
    node = cls(**{**fields_with_files(cls, tmp_path), name: path})
    first_key = key(node)
    path.touch()
    assert key(node) == first_key
    pixels = np.asarray(PIL.Image.open(path)).copy()
    pixels[3, 4, 1] ^= 1
    PIL.Image.fromarray(pixels).save(path)
    assert key(node) != first_key


MODELS = {
    "facebook/sam-vit-base": mask_models.sam,
    "CIDAS/clipseg-rd64-refined": mask_models.clipseg,
    "IDEA-Research/grounding-dino-tiny": mask_models.grounding_dino,
    "usyd-community/vitpose-base-simple": map_models.vitpose,
    "PekingU/rtdetr_r50vd_coco_o365": map_models.rt_detr,
    "openmmlab/upernet-convnext-small": map_models.upernet,
    "black-forest-labs/FLUX.1-Redux-dev": redux,
}
"""What is taken for the checkpoints that do not ship."""

ADAPTERS = ("loras", "embeddings", "ip_adapter")
WEIGHTED = [
    (cls, name) for cls in NODE_CLASSES for name in cls.definition.weights if name not in ADAPTERS
]


def local(cls: type[Node[Any]], name: str, folder: Path) -> tuple[Node[Any], list[Path]]:
    """The node over a copy of a checkpoint that fits, and the files of it that it reads."""
    least = fields_with_files(cls, folder)
    default = cls.model_fields[name].default
    needed = {"redux": "black-forest-labs/FLUX.1-Redux-dev"}.get(name, "tiny/controlnet-edges")
    preferred = default.source if isinstance(default, Checkpoint) else needed
    sources = (preferred, *shipped_names())
    for around, source in product(({}, *AROUND.get(cls.__name__, ())), sources):
        copied = folder / source.replace("/", "-")
        if source in MODELS:
            MODELS[source](copied)
        elif not copied.exists():
            shutil.copytree(shipped_folder(source), copied)
        checkpoint = Checkpoint(copied)
        try:
            node = cls(**{**least, **around, name: checkpoint})
            if "models" not in cls.definition.services:
                return node, [path for path, _ in resolve(checkpoint).hashed_files]
            read = [
                folder / path
                for part in parts_of(node).values()
                if part.checkpoint.source == checkpoint.source
                for path in (copied / part.folder).glob("*.safetensors")
            ]
        except (SdgraphError, ValueError):
            continue
        if read:
            return node, read
    raise AssertionError(f"no shipped checkpoint fits {cls.__name__}.{name}")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("cls", "name"), WEIGHTED, ids=lambda value: getattr(value, "__name__", value)
)
def test_any_byte_of_a_checkpoint_changes_the_key(
    cls: type[Node[Any]], name: str, tmp_path: Path
) -> None:
    node, read = local(cls, name, tmp_path)
    first_key = key(node)
    assert any(path.suffix == ".safetensors" for path in read)
    for path in read:
        contents = path.read_bytes()
        path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
        try:
            assert key(node) != first_key, path
        finally:
            path.write_bytes(contents)
    assert key(node) == first_key


def test_a_library_that_makes_pixels_is_in_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Number(), Turbo(prompt="a star")
    before = key(small), key(large)

    def pretend_upgrade(package: str) -> None:
        installed = libraries.installed_version
        changed = lambda name: "99" if name == package else installed(name)  # noqa: E731
        monkeypatch.setattr(libraries, "installed_version", changed)
        libraries.library_versions.cache_clear()
        store._pixel_libraries.cache_clear()

    pretend_upgrade("torch")
    assert key(small) == before[0] and key(large) != before[1]
    pretend_upgrade("pillow")
    assert key(small) != before[0]
    monkeypatch.undo()
    libraries.library_versions.cache_clear()
    store._pixel_libraries.cache_clear()
    assert (key(small), key(large)) == before


def test_a_plan_names_these_keys(folder: Path) -> None:
    for cls in NODE_CLASSES:
        video = {"checkpoint": Checkpoint("tiny/text-to-video")}
        changes = video if cls.__name__ in VIDEO_NODES else {}
        node = cls(**{**fields_with_files(cls, folder), **changes})
        (step,) = make_plan(Graph.of(node), store=Store(), device="cpu", dtype="float32").steps
        assert step.key == key(node)


def merkle(graph: Graph) -> list[bytes]:
    """A key for each node, with its inputs' keys in place of their contents."""
    keys: dict[Node[Any], bytes] = {}
    for node in graph.nodes:
        inputs = [keys[child].hex() for _, child in node.wires]
        keys[node] = result_key(node, inputs, execution_context(node, "cpu", "float32"))
    return sorted(keys.values())


SMALL = sorted(name for name in shipped_workflows() if "/" not in name)


@pytest.mark.parametrize("name", SMALL)
def test_names_order_and_comments_of_a_file_change_no_key(name: str) -> None:
    path = shipped_workflows()[name]
    text = path.read_text()
    first_key = merkle(workflow_from_yaml(text, folder=path.parent).graph())
    head, _, body = text.partition("nodes:\n")
    entries = body.rstrip().splitlines()
    names = [entry.split(":")[0].strip() for entry in entries]
    renamed = []
    for entry in reversed(entries):
        for node_name in names:
            entry = re.sub(rf"\${node_name}\b", f"$the_{node_name}", entry)
        renamed.append(re.sub(r"^  (\w+):", r"  the_\1:", entry) + "  # a comment")
    other = f"# another comment\n{head}nodes:\n" + "\n\n".join(renamed) + "\n"
    assert merkle(workflow_from_yaml(other, folder=path.parent).graph()) == first_key
    data = workflow_from_yaml(text, folder=path.parent)
    swapped = [re.sub(r"\{type: (\w+), (.*)\}$", r"{\2, type: \1}", entry) for entry in entries]
    assert swapped != entries
    turned = f"{head}nodes:\n" + "\n".join(swapped) + "\n"
    assert merkle(workflow_from_yaml(turned, folder=path.parent).graph()) == first_key
    assert merkle(workflow_from_yaml(data.to_yaml(), folder=path.parent).graph()) == first_key
