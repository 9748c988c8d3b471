"""What the fuzzer tries: a command with mutated arguments, or with a mutated file."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import PIL.Image
import yaml

from sdgraph.language import shipped_workflows
from sdgraph.media import write_video
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.values import Video

from .mutations import mutate_bytes, mutate_data, mutate_text, random_word

FLOW = """\
name: flow
inputs:
  size: {type: int, default: 8}
  share: {type: float, default: 0.5}
  text: {type: str, default: hello}
  tint: {type: bool, default: false}
  photo: {type: Image, default: a.png}
  where: {type: Path, default: a.png}
  model: {type: Checkpoint, default: tiny/text-to-image}
nodes:
  photo: {type: LoadImage, path: $inputs.where}
  small: {type: Resize, image: $inputs.photo, width: $inputs.size, height: 8}
  mixed: {type: Blend, image: $small, over: $small, amount: $inputs.share}
  noted: {type: Text, image: $mixed, text: $inputs.text}
  result: {type: Save, image: $noted, path: out.png}
"""
"""A workflow without models, with an input of each type."""

LOAD_IMAGE = """\
inputs: {photo: {type: Path}}
nodes:
  photo: {type: LoadImage, path: $inputs.photo}
  small: {type: Resize, image: $photo, width: 8, height: 8}
  result: {type: Save, image: $small, path: out.png}
"""
LOAD_VIDEO = """\
inputs: {photo: {type: Path}}
nodes:
  video: {type: LoadVideo, path: $inputs.photo}
  frame: {type: Frame, video: $video, number: 1}
  result: {type: Save, image: $frame, path: out.png}
"""
PAINT = """\
nodes:
  picture: {type: Text2Image, prompt: a star, steps: 1, checkpoint: ./checkpoint}
  result: {type: Save, image: $picture, path: out.png}
"""


@dataclass(frozen=True)
class Case:
    """A command whose files are written.

    Args:
        kind: What was mutated.
        arguments: What follows `sdgraph`.
        summary: What was mutated, in a few words.
    """

    kind: str
    arguments: tuple[str, ...]
    summary: str


class Workbench:
    """The folder in which cases run: shipped workflows with their samples, and small media.

    Args:
        folder: An empty folder, which is the current one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shipped = Path(next(iter(shipped_workflows().values()))).parent
        for name in ("samples", "parts"):
            shutil.copytree(shipped / name, folder / name)
        (folder / "flow.yaml").write_text(FLOW, "utf-8")
        (folder / "image.yaml").write_text(LOAD_IMAGE, "utf-8")
        (folder / "video.yaml").write_text(LOAD_VIDEO, "utf-8")
        (folder / "paint.yaml").write_text(PAINT, "utf-8")
        PIL.Image.new("RGB", (8, 8), "red").save(folder / "a.png")
        self._kept = {*folder.iterdir()}

    def clean(self) -> None:
        """Removes what a case has written, so that no case depends on another."""
        for path in {*self.folder.iterdir()} - self._kept:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    @cached_property
    def workflows(self) -> list[str]:
        """The texts of the shipped workflows and of `FLOW`."""
        paths = [path for name, path in shipped_workflows().items() if "training" not in name]
        return [FLOW, *(path.read_text("utf-8") for path in paths)]

    @cached_property
    def media(self) -> dict[str, bytes]:
        """Small whole files by name: the formats that are read and written."""
        ramp = np.linspace(0, 255, 16 * 16 * 3).astype(np.uint8).reshape(16, 16, 3)
        picture = PIL.Image.fromarray(ramp)
        files = {}
        for suffix in ("png", "jpg", "tiff", "webp", "bmp", "gif"):
            stream = io.BytesIO()
            picture.save(stream, format="JPEG" if suffix == "jpg" else suffix.upper())
            files[f"x.{suffix}"] = stream.getvalue()
        for suffix in ("mp4", "gif", "webm"):
            path = self.folder / f"made.{suffix}"
            write_video(Video(np.stack([ramp] * 4), 8), path)
            files[f"clip.{suffix}"] = path.read_bytes()
            path.unlink()
        (self.folder / "made.png").unlink(missing_ok=True)
        return files

    @cached_property
    def checkpoint(self) -> Path:
        """A shipped checkpoint."""
        return shipped_folder("tiny/text-to-image")


def mutate_arguments(bench: Workbench, random: Random) -> Case:
    """A command with unusual words where values, names and options are expected."""
    verb = random.choice(("run", "validate", "plan", "show", "nodes", "runs", "cache", "models"))
    words = [verb]
    if verb in ("runs", "cache") and random.random() < 0.5:
        words.append(random.choice(("show", "prune", "clear")))
    if verb in ("run", "validate", "plan", "show"):
        usual = random.random() < 0.8
        words.append("flow.yaml" if usual else _safe_word(verb, random))
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        words += _argument(verb, random)
    return Case("arguments", tuple(words), " ".join(word[:40] for word in words))


_INPUTS = ("size", "share", "text", "tint", "photo", "where", "model", "sise", "")
_OPTIONS = ("--set", "--only", "--device", "--dtype", "--vram", "--ram", "--out", "--nodes", "--to")
_FLAGS = ("--json", "--debug", "--explain", "--keep-going", "--zip", "--overwrite", "--no-cache")


def _argument(verb: str, random: Random) -> list[str]:
    word = _safe_word(verb, random)
    kind = random.random()
    if kind < 0.5:
        return [f"{random.choice(_INPUTS)}={word}"]
    if kind < 0.75:
        return [random.choice(_OPTIONS), word]
    if kind < 0.85:
        fields = ("small.width", "result.path", "photo.path", "noted.text", "mixed.amount")
        return ["--set", f"{random.choice(fields)}={word}"]
    if kind < 0.92:
        return [random.choice((*_FLAGS, "--gpu", "--sheet", "--table"))]
    return [word]


def _safe_word(verb: str, random: Random) -> str:
    """A word; for a command that runs none that names a workflow with models or a folder above."""
    word = random_word(random)
    unsafe = {"text", "inpaint", "..", "/", "-h"}
    return "x" if verb == "run" and (word in unsafe or word.startswith(("../", "/"))) else word


def mutate_workflow_text(bench: Workbench, random: Random) -> Case:
    """A shipped workflow after some changes of its text."""
    text = mutate_text(random.choice(bench.workflows), random, random.choice((1, 1, 2, 4)))
    return _workflow_case("text", bench, text.encode("utf-8", "surrogateescape"), random)


def mutate_workflow_tree(bench: Workbench, random: Random) -> Case:
    """A shipped workflow after some changes of its data."""
    data = yaml.safe_load(random.choice(bench.workflows))
    changed = mutate_data(data, random, random.choice((1, 1, 2, 4)))
    if random.random() < 0.3:
        text = json.dumps(changed, default=str)
    else:
        text = yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)
    return _workflow_case("tree", bench, text.encode("utf-8", "surrogatepass"), random)


def _workflow_case(kind: str, bench: Workbench, content: bytes, random: Random) -> Case:
    (bench.folder / "mutated.yaml").write_bytes(content)
    verb = random.choice(("validate", "validate", "plan", "show"))
    return Case(kind, (verb, "mutated.yaml"), verb)


def mutate_config(bench: Workbench, random: Random) -> Case:
    """A workflow over a checkpoint of which one file was changed."""
    target = bench.folder / "checkpoint"
    files = sorted(path for path in bench.checkpoint.rglob("*") if path.is_file())
    files = [path for path in files if path.suffix != ".md"]
    chosen = random.choice(files)
    for path in files:
        copy = target / path.relative_to(bench.checkpoint)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path is not chosen:
            copy.symlink_to(path)
        elif (content := _mutated_file(path, random)) is not None:
            copy.write_bytes(content)
    verb = random.choice(("validate", "plan"))
    name = str(chosen.relative_to(bench.checkpoint))
    return Case("configs", (verb, "paint.yaml"), f"{verb} with another {name}")


def mutate_loads(bench: Workbench, random: Random) -> Case:
    """A run over a checkpoint of which one file was changed."""
    case = mutate_config(bench, random)
    import_libraries()
    return Case("loads", ("run", "paint.yaml", "--device", "cpu"), case.summary)


@cache
def import_libraries() -> None:
    """Imports what loads models, which may take longer than a case may."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel, CLIPTokenizer

    assert all((StableDiffusionPipeline, CLIPTextModel, CLIPTokenizer))


def _mutated_file(path: Path, random: Random) -> bytes | None:
    """The changed content of a file; None for a file that is missing."""
    if random.random() < 0.05:
        return None
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        return _mutated_weights(content, random)
    if path.suffix == ".json" and random.random() < 0.7:
        data = mutate_data(json.loads(content), random, random.choice((1, 1, 3)))
        return json.dumps(data).encode("utf-8", "surrogatepass")
    return mutate_bytes(content, random, random.choice((1, 2)))


def _mutated_weights(content: bytes, random: Random) -> bytes:
    size = int.from_bytes(content[:8], "little")
    if random.random() < 0.3:
        return mutate_bytes(content[: 8 + size], random) + content[8 + size :]
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    changed = json.dumps(mutate_data(header, random, random.choice((1, 2)))).encode()
    return len(changed).to_bytes(8, "little") + changed + content[8 + size :]


def mutate_media(bench: Workbench, random: Random) -> Case:
    """A run that loads a damaged picture or video."""
    name = random.choice(sorted(bench.media))
    content = mutate_bytes(bench.media[name], random, random.choice((1, 1, 2, 3)))
    if random.random() < 0.1:  # under the suffix of another format
        name = f"{Path(name).stem}{Path(random.choice(sorted(bench.media))).suffix}"
    (bench.folder / name).write_bytes(content)
    flow = "video.yaml" if name.startswith("clip") else "image.yaml"
    command = ("show", name) if random.random() < 0.2 else ("run", flow, f"photo={name}")
    return Case("media", command, " ".join(command))


KINDS: dict[str, Callable[[Workbench, Random], Case]] = {
    "arguments": mutate_arguments,
    "text": mutate_workflow_text,
    "tree": mutate_workflow_tree,
    "configs": mutate_config,
    "loads": mutate_loads,
    "media": mutate_media,
}
"""What makes a case of each kind."""
