"""Every wrong checkpoint and every wrong file is one clear error, before anything is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Node, Session, run
from sdgraph.errors import CheckpointError
from sdgraph.models.sources.shipped import shipped_names
from sdgraph.nodes import (
    ControlNet,
    DepthEstimate,
    DepthToImage,
    Image2Image,
    Inpaint,
    Text2Image,
    Text2Video,
    Turbo,
)
from sdgraph.values import EdgeMap
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import photo, spot

PLAIN = {"tiny/text-to-image", "tiny/sdxl", "tiny/turbo"}
IMAGE = photo(64, 64)
EDGES = EdgeMap(IMAGE.numpy)
NODES: dict[str, tuple[Node[Any], set[str]]] = {
    "text": (Text2Image(prompt="a", steps=1), PLAIN),
    "image": (Image2Image(prompt="a", image=IMAGE, steps=2), PLAIN),
    "turbo": (Turbo(prompt="a", steps=1), PLAIN),
    "inpaint": (
        Inpaint(prompt="a", image=IMAGE, mask=spot(64, 64), steps=1),
        PLAIN | {"tiny/inpaint"},
    ),
    "control": (ControlNet(prompt="a", control=EDGES, steps=1), {"tiny/text-to-image"}),
    "control_mask": (
        ControlNet(prompt="a", control=EDGES, image=IMAGE, mask=spot(64, 64), steps=2),
        {"tiny/text-to-image", "tiny/inpaint"},
    ),
    "depth": (DepthToImage(prompt="a", image=IMAGE, steps=2), {"tiny/depth"}),
    "estimate": (DepthEstimate(image=IMAGE), {"tiny/depth-estimator"}),
    "video": (Text2Video(prompt="a", frames=1, steps=1), {"tiny/text-to-video"}),
}


@pytest.mark.parametrize("checkpoint", shipped_names())
@pytest.mark.parametrize("name", NODES)
def test_every_checkpoint_runs_where_it_fits_and_is_refused_elsewhere(
    session: Session, name: str, checkpoint: str
) -> None:
    node, fitting = NODES[name]
    node = node.replace(checkpoint=checkpoint)
    if checkpoint in fitting:
        run(node, session=session)
    else:
        text = refused_before_load(node)
        assert checkpoint in text
        assert "wanted:" in text
        assert ".checkpoint" in text or ".controlnet" in text


@pytest.mark.parametrize(
    ("node", "checkpoint", "words"),
    [
        ("text", "tiny/inpaint", ["9 channels (inpainting)", "Inpaint takes such a checkpoint"]),
        ("text", "tiny/depth", ["5 channels (depth-guided)", "DepthToImage takes such"]),
        ("inpaint", "tiny/depth", ["5 channels", "9 (inpainting) or 4 (text-to-image)"]),
        ("depth", "tiny/text-to-image", ["4 channels", "5 (depth-guided)", "Text2Image takes"]),
        ("depth", "tiny/sdxl", ["a StableDiffusionXLPipeline checkpoint", "Stable Diffusion"]),
        ("text", "tiny/text-to-video", ["a TextToVideoSDPipeline checkpoint", "SDXL"]),
        ("video", "tiny/text-to-image", ["a StableDiffusionPipeline", "text-to-video"]),
        ("text", "tiny/controlnet-edges", ["a single model, not a pipeline"]),
        ("estimate", "tiny/controlnet-edges", ["a ControlNetModel", "ForDepthEstimation"]),
        ("estimate", "tiny/depth", ["config.json"]),
        ("text", "tiny/text-to-imag", ["no shipped checkpoint", "'tiny/text-to-image'"]),
        ("text", "./no/such/folder", ["./no/such/folder", "no such folder", "tiny/sdxl"]),
        ("text", "/no/such", ["/no/such: no such folder"]),
        ("text", "~no-such-user/model", ["no such folder"]),
    ],
)
def test_a_wrong_checkpoint_says_what_it_is_and_what_fits(
    node: str, checkpoint: str, words: list[str]
) -> None:
    text = refused_before_load(NODES[node][0].replace(checkpoint=checkpoint))
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("source", "multiple"), [("black-forest-labs/FLUX.1-dev", 16), ("someone/unknown", 8)]
)
def test_sides_are_checked_by_the_family_in_the_name_of_what_is_not_here(
    monkeypatch: pytest.MonkeyPatch, source: str, multiple: int
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    node = Text2Image(prompt="a", checkpoint=Checkpoint(source), width=520, height=516)
    problems = {problem.subject: problem.wanted for problem in node.check()}
    assert problems.pop("height") == f"a multiple of {multiple}"
    assert problems == ({"width": "a multiple of 16"} if multiple == 16 else {})


@pytest.mark.parametrize("name", NODES)
def test_a_hub_checkpoint_that_is_not_here_is_refused_while_offline(
    no_hub: Path, name: str
) -> None:
    text = refused_before_load(NODES[name][0].replace(checkpoint="someone/nothing"))
    assert "someone/nothing: not in the hub's cache" in text
    assert "HF_HUB_OFFLINE" in text


@pytest.mark.parametrize("cls", [Text2Image, Turbo, Text2Video])
def test_sides_that_are_no_multiples_are_all_named_before_loading(cls: Any) -> None:
    text = refused_before_load(cls(prompt="a", width=100, height=71))
    assert "100 pixels" in text and "71 pixels" in text
    assert text.count("a multiple of 8") == 2
    assert "for example 72" in text


def test_a_folder_that_lost_a_config_is_refused_before_loading(
    copied: Callable[[str], Path],
) -> None:
    folder = copied("tiny/text-to-image")
    (folder / "unet" / "config.json").unlink()
    text = refused_before_load(Text2Image(prompt="a", checkpoint=Checkpoint(folder)))
    assert "'unet'" in text
    assert "config.json" in text


@pytest.mark.parametrize("content", ["{", "[]", "", '"text"', "\x00"])
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json"])
def test_a_damaged_config_is_named(copied: Callable[[str], Path], name: str, content: str) -> None:
    folder = copied("tiny/text-to-image")
    (folder / name).write_text(content)
    text = refused_before_load(Text2Image(prompt="a", checkpoint=Checkpoint(folder)))
    assert str(folder / name) in text


@pytest.mark.parametrize(
    ("node", "checkpoint", "lost"),
    [
        ("estimate", "tiny/depth-estimator", "preprocessor_config.json"),
        ("depth", "tiny/depth", "feature_extractor/preprocessor_config.json"),
        ("text", "tiny/text-to-image", "scheduler/scheduler_config.json"),
        ("video", "tiny/text-to-video", "scheduler/scheduler_config.json"),
        ("text", "tiny/text-to-image", "model_index.json"),
        ("text", "tiny/text-to-image", "vae/config.json"),
    ],
)
def test_any_lost_config_is_named_before_loading(
    copied: Callable[[str], Path], node: str, checkpoint: str, lost: str
) -> None:
    folder = copied(checkpoint)
    (folder / lost).unlink()
    text = refused_before_load(NODES[node][0].replace(checkpoint=folder))
    assert str(folder) in text
    assert "wanted" in text


def test_a_class_of_another_library_is_never_run(
    copied: Callable[[str], Path], session: Session
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "unet": ["os", "system"]}))
    text = refused_before_load(Text2Image(prompt="a", checkpoint=Checkpoint(folder)))
    assert "os.system" in text
    assert "custom code from checkpoints is never run" in text


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_weights_cut_short_are_refused_before_loading_until_they_are_whole(
    copied: Callable[[str], Path], part: str, keep: int
) -> None:
    folder = copied("tiny/text-to-image")
    (file,) = (folder / part).glob("*.safetensors")
    contents = file.read_bytes()
    file.write_bytes(contents[:keep])
    node = Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(folder))
    text = refused_before_load(node)
    assert f"{file}: {keep} bytes: it is cut short" in text
    file.write_bytes(contents)
    assert run(node, session=Session(device="cpu", store=None)).size == (64, 64)


def test_pickled_weights_are_refused_before_loading(copied: Callable[[str], Path]) -> None:
    folder = copied("tiny/text-to-image")
    (file,) = (folder / "unet").glob("*.safetensors")
    file.rename(file.with_suffix(".bin"))
    text = refused_before_load(Text2Image(prompt="a", checkpoint=Checkpoint(folder)))
    assert f"{folder}/unet" in text
    assert "pickles" in text and "safetensors" in text


def test_a_folder_without_weights_is_refused_before_loading(copied: Callable[[str], Path]) -> None:
    folder = copied("tiny/text-to-image")
    (file,) = (folder / "vae").glob("*.safetensors")
    file.unlink()
    text = refused_before_load(Text2Image(prompt="a", checkpoint=Checkpoint(folder)))
    assert "vae" in text
    assert "weights" in text or "safetensors" in text


def test_weights_of_another_shape_are_one_clear_error(
    copied: Callable[[str], Path], session: Session
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "unet" / "config.json"
    path.write_text(
        json.dumps({**json.loads(path.read_text()), "block_out_channels": [16, 32, 64]})
    )
    error = failure(Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(folder)), session)
    assert isinstance(error.__cause__, CheckpointError)
    assert f"{folder}/unet" in str(error)


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"guidance": -1.0}, "guidance"),
        ({"guidance": float("inf")}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"width": 63}, "width"),
        ({"offload": "all"}, "offload"),
        ({"checkpoint": 7}, "checkpoint"),
        ({"checkpoint": {"source": "a", "dtype": "float8"}}, "checkpoint"),
        ({"num_inference_step": 1}, "num_inference_step"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_a_wrong_parameter_is_named_at_construction(fields: dict[str, Any], subject: str) -> None:
    text = refused_at_construction(Text2Image, **{"prompt": "a", **fields})
    assert f"Text2Image.{subject}" in text


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Checkpoint\.dtype"):
        Checkpoint("tiny/sdxl", dtype="float8")
