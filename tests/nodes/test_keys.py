"""For every node: a result's key depends on all that can change the result, and on nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
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
from sdgraph.models import libraries, resolve, shipped
from sdgraph.nodes import Turbo
from sdgraph.nodes.training.data import WorldDataset
from sdgraph.store import Store, execution_context, result_key, store
from sdgraph.values import DepthMap, EdgeMap, Video, content_of
from tests.nodes.test_schema import EVERY, LITERALS, every_node, required
from tests.support import map_models as map_models
from tests.support import mask_models
from tests.support.lora_files import lora
from tests.support.photos import noisy, photo, picture, spot
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
AROUND: dict[str, list[dict[str, Any]]] = {
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
    "Inpaint": [{"reference": photo(8, 8)}],
    "Text2Image": [{"reference": photo(8, 8)}],
    "Mask": [
        {"path": None, "image": photo(8, 8)},
        {"path": None, "box": [1, 2, 5, 6], "width": 64, "height": 64},
    ],
    "MaskBySam": [{"points": [[1, 1]]}],
    "TinyWorld": [{"moving": True}],
    "Turbo": [{"steps": 4}],
}
"""For some nodes: the other fields that a field requires."""

ALONE = {("Mask", "alpha")}
"""Fields that take another value only when every other field is left out."""


def files(folder: Path) -> dict[str, Any]:
    """Files for the fields that read some."""
    folder.mkdir(exist_ok=True)
    for name, seed in (("file.png", 0), ("other.png", 1)):
        picture(8 + seed, 8).save(folder / name)
    (folder / "file.mp4").write_bytes(b"film")
    (folder / "other.mp4").write_bytes(b"other film")
    (folder / "pictures").mkdir(exist_ok=True)
    return {"path": folder / "file.png", "out": folder / "out"}


def minimal_fields(cls: type[Node[Any]], folder: Path) -> dict[str, Any]:
    """The fewest fields that make a node; every file that it reads exists."""
    there = files(folder)
    if not cls.definition.sources:
        there["path"] = str(folder / "pictures")
    if cls.effect:
        there["path"] = folder / ("out.mp4" if "video" in cls.model_fields else "out.png")
    return {k: there.get(k, v) if isinstance(v, str) else v for k, v in required(cls).items()}


def key(node: Node[Any]) -> bytes:
    return result_key(node, [], execution_context(node, "cpu", "float32"))


def others(cls: type[Node[Any]], name: str, folder: Path) -> Iterator[Any]:
    """Values that a field might take, of every kind; most do not fit it."""
    schema = node_schema(cls)
    yield from re.findall(r"'([\w.-]+)'", str(schema["properties"][name]))
    yield from (*NUMBERS, *WORDS, *LISTS)
    yield from (folder / "other.png", folder / "other.mp4", folder / "other")
    for value in VALUES:
        yield from (value, [value, value])
    yield from (Checkpoint(name) for name in shipped.names())
    yield from ([Lora(folder / "lora", scale=0.5)], Lora(shipped.folder("tiny/ip-adapter")))


def flipped(cls: type[Node[Any]], name: str, fields: dict[str, Any], folder: Path) -> set[bytes]:
    """The keys with every value that one field takes; fails where two values share one."""
    keys: dict[str, bytes] = {}
    for changes in ({}, *({name: value} for value in others(cls, name, folder))):
        try:
            node = cls(**{**fields, **changes})
            keys[content_of(getattr(node, name))] = key(node)
        except (SdgraphError, ValueError, TypeError, OSError):
            continue  # no value of this field
    assert len(set(keys.values())) == len(keys), name
    return set(keys.values())


@every_node
def test_flipping_any_field_changes_the_key(cls: type[Node[Any]], tmp_path: Path) -> None:
    lora(tmp_path / "lora", "tiny/text-to-image")
    least = minimal_fields(cls, tmp_path)
    for name in cls.model_fields:
        for around in ({}, *AROUND.get(cls.__name__, ())):
            fields = {**least, **around}
            with memoized_scope():  # no file changes in between
                keys = flipped(cls, name, fields, tmp_path)
            if len(keys) > 1 or ((cls.__name__, name) in ALONE and keys - {key(cls(**least))}):
                break
        else:
            raise AssertionError(f"no other value was found for {name}")


@every_node
def test_defaults_written_out_change_nothing(cls: type[Node[Any]], tmp_path: Path) -> None:
    least = minimal_fields(cls, tmp_path)
    node = cls(**least)
    for name in cls.model_fields:
        again = cls(**{**least, name: getattr(node, name)})
        assert key(again) == key(node), name
    backwards = {name: getattr(node, name) for name in reversed(cls.model_fields)}
    assert key(cls(**backwards)) == key(node)


@every_node
def test_a_nodes_version_is_in_its_key(cls: type[Node[Any]], tmp_path: Path) -> None:
    def of_version(number: int) -> type[Node[Any]]:
        members = {
            "__module__": cls.__module__,
            "__qualname__": cls.__qualname__,
            "version": number,
        }
        return type(cls.__name__, (cls,), members)

    fields = minimal_fields(cls, tmp_path)
    assert key(of_version(cls.version)(**fields)) == key(cls(**fields))
    assert key(of_version(cls.version + 1)(**fields)) != key(cls(**fields))


@pytest.mark.parametrize(
    ("cls", "name"),
    [(cls, name) for cls in EVERY for name in cls.definition.sources],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_files_pixel_changes_the_key_and_its_times_do_not(
    cls: type[Node[Any]], name: str, tmp_path: Path
) -> None:
    path = files(tmp_path)["path"]
    node = cls(**{**minimal_fields(cls, tmp_path), name: path})
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
}
"""What is taken for the checkpoints that do not ship."""

ADAPTERS = ("loras", "embeddings", "ip_adapter")
WEIGHTED = [(cls, name) for cls in EVERY for name in cls.definition.weights if name not in ADAPTERS]


def local(cls: type[Node[Any]], name: str, folder: Path) -> tuple[Node[Any], list[Path]]:
    """The node over a copy of a checkpoint that fits, and the files of it that it reads."""
    least = minimal_fields(cls, folder)
    default = cls.model_fields[name].default
    preferred = default.source if isinstance(default, Checkpoint) else "tiny/controlnet-edges"
    sources = (preferred, *shipped.names())
    for around, source in product(({}, *AROUND.get(cls.__name__, ())), sources):
        copied = folder / source.replace("/", "-")
        if source in MODELS:
            MODELS[source](copied)
        elif not copied.exists():
            shutil.copytree(shipped.folder(source), copied)
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

    def upgraded(package: str) -> None:
        installed = libraries.installed_version
        changed = lambda name: "99" if name == package else installed(name)  # noqa: E731
        monkeypatch.setattr(libraries, "installed_version", changed)
        libraries.library_versions.cache_clear()
        store._pixel_libraries.cache_clear()

    upgraded("torch")
    assert key(small) == before[0] and key(large) != before[1]
    upgraded("pillow")
    assert key(small) != before[0]
    monkeypatch.undo()
    libraries.library_versions.cache_clear()
    store._pixel_libraries.cache_clear()
    assert (key(small), key(large)) == before


def test_a_plan_names_these_keys(tmp_path: Path) -> None:
    for cls in EVERY:
        node = cls(**minimal_fields(cls, tmp_path))
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
