"""A saved picture says with which settings it was made, and which differ from those given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from sdgraph import Checkpoint, Session, run
from sdgraph.cli import main
from sdgraph.media.metadata import pillow_metadata
from sdgraph.models import ModelCache, Models, ResolvedPart, resolve_part
from sdgraph.models.checkpoint import part_checks
from sdgraph.models.loading import devices
from sdgraph.models.loading.loader import load_quietly
from sdgraph.nodes import Image2Image, Save, SaveVideo, Text2Image, Text2Video
from sdgraph.provenance import ProvenanceRecord, read_record
from sdgraph.values import Part
from tests.support.lora_files import lora

BASE = "tiny/text-to-image"


def fresh(**more: Any) -> Session:
    return Session(device="cpu", store=None, **more)


def written(record: ProvenanceRecord) -> dict[str, Any]:
    """The nodes of a record's workflow, by name."""
    nodes: dict[str, Any] = yaml.safe_load(record.workflow)["nodes"]
    return nodes


KNOBS: dict[str, Any] = {
    "offload": "group",
    "tuning": {"vae": "tiled", "attention": "sliced", "channels_last": True},
    "scheduler": "ddim",
    "guidance": 3.0,
    "seed": 7,
    "steps": 2,
}


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_knobs_and_adapters_are_in_the_picture_with_the_values_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str
) -> None:
    flow, target = tmp_path / "flow.yaml", tmp_path / f"star.{suffix}"
    lora(tmp_path / "style", BASE)
    flow.write_text(
        f"""
inputs:
  vae: sliced
  strength: 0.5
nodes:
  star:
    type: Text2Image
    prompt: a red star
    loras: [{{source: ./style, scale: $inputs.strength}}]
    offload: group
    tuning: {{vae: $inputs.vae, attention: sliced, channels_last: true, compile: false}}
    steps: 2
  result: {{type: Save, image: $star, path: {target.name}}}
"""
    )
    for arguments in (
        ["run", str(flow), "vae=tiled", "--device", "cpu", "--quiet"],
        ["show", str(target), "--yaml"],
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    record = yaml.safe_load(capsys.readouterr().out)
    star = record["nodes"]["star"]
    assert record["inputs"] == {"vae": "tiled", "strength": 0.5}
    assert star["tuning"] == {"vae": "$inputs.vae", "attention": "sliced", "channels_last": True}
    assert star["offload"] == "group"
    assert star["loras"] == [{"source": "./style", "scale": "$inputs.strength"}]
    assert not read_record(target).altered
    assert "peft" in read_record(target).versions


def test_every_field_that_was_set_is_in_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "star.png"
    run(Save(image=Text2Image(prompt="a red star", **KNOBS), path=path), session=fresh())
    assert KNOBS.items() <= written(read_record(path))["text2_image"].items()


def test_a_video_says_so_too(tmp_path: Path) -> None:
    path = tmp_path / "star.mp4"
    clip = Text2Video(prompt="a red star moving right", seconds=0.5, fps=4, **KNOBS)
    run(SaveVideo(video=clip, path=path), session=fresh())
    assert KNOBS.items() <= written(read_record(path))["text2_video"].items()


def test_quantization_is_in_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_checks, "find_spec", lambda name: name)

    def load(part: ResolvedPart, dtype: str, device: str) -> Any:
        # What torchao would quantize is loaded whole here.
        unquantized = resolve_part(Part(Checkpoint(BASE), part.part.folder))
        return load_quietly(unquantized, dtype, device)

    path = tmp_path / "star.png"
    star = Text2Image(
        prompt="a red star",
        steps=1,
        checkpoint=Checkpoint(BASE, dtype="float32", quantization="int8wo"),
    )
    run(Save(image=star, path=path), session=fresh(models=ModelCache(load)))
    assert written(read_record(path))["text2_image"]["checkpoint"] == {
        "source": BASE,
        "dtype": "float32",
        "quantization": "int8wo",
    }


class Tight(Text2Image):
    """A node that runs out of memory until its autoencoder works by tiles, or for good."""

    enough: str = "tiles"

    @contextmanager
    def offload_modules(self, pipe: Any, models: Models) -> Iterator[None]:
        light = {
            "retry": str(self.prompt) in tries,
            "tiles": self.tuning.get("vae") == "both",
            "groups": self.offload == "group",
            "host": models.device == "cpu",
        }
        tries.append(str(self.prompt))
        if not light[self.enough]:
            raise MemoryError("out of memory: tried to allocate 9 GiB")
        with super().offload_modules(pipe, models):
            yield


tries: list[str] = []
TILES = "the autoencoder works by slices and tiles"
GROUPS = "weights stay on the host and move by groups"


@pytest.mark.parametrize(
    ("enough", "changes"), [("retry", []), ("tiles", [TILES]), ("groups", [TILES, GROUPS])]
)
def test_a_picture_made_in_another_way_than_asked_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], enough: str, changes: list[str]
) -> None:
    tries.clear()
    tight = Tight(prompt="a red star", steps=1, enough=enough)
    other = Text2Image(prompt="a blue ring", steps=1)
    repainted = Image2Image(prompt="a blue ring", image=tight, steps=2)
    repainted_path, other_path = tmp_path / "both.png", tmp_path / "alone.png"
    run(
        Save(image=repainted, path=repainted_path),
        Save(image=other, path=other_path),
        session=fresh(),
    )
    assert read_record(repainted_path).altered == ({"tight": changes} if changes else {})
    assert read_record(other_path).altered == {}
    assert "tuning" not in written(read_record(repainted_path))["tight"], "as it was asked"
    with pytest.raises(SystemExit):
        main(["show", str(repainted_path)])
    line = f"out of memory, tight ran with other settings: {', '.join(changes)}\n"
    assert (line in capsys.readouterr().out) == bool(changes)


def test_one_made_on_the_cpu_instead_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    monkeypatch.setattr(devices, "give_back", lambda device, collect=True: None)

    path = tmp_path / "star.png"
    load = lambda part, dtype, device: load_quietly(part, dtype, "cpu")  # noqa: E731
    session = fresh(models=ModelCache(load, probe=lambda device: 10**9, reserve=0))
    session.device = "cuda"
    run(Save(image=Tight(prompt="a red star", steps=1, enough="host"), path=path), session=session)
    record = read_record(path)
    assert record.device == "cuda" and record.altered == {"tight": [TILES, GROUPS, "on the CPU"]}


def test_a_record_without_that_line_is_read(tmp_path: Path) -> None:
    text = ProvenanceRecord("nodes: {}", "star", "cpu", None, {}).to_text()
    assert '"altered": {}' in text
    older = text.replace(', "altered": {}', "")
    path = tmp_path / "star.png"
    Image.new("RGB", (4, 4)).save(path, pnginfo=pillow_metadata("PNG", older)["pnginfo"])
    assert read_record(path).altered == {}
