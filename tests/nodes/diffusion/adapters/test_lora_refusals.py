"""What is no LoRA for a checkpoint is refused before anything loads."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Node, Session, run
from sdgraph.nodes import Text2Image, Text2Video
from sdgraph.values import Lora
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.lora_files import lora, tensors, write

from .test_lora import BASES, node


@pytest.mark.parametrize(
    ("loras", "words"),
    [
        ([3], "a source, or a mapping"),
        ([{"source": "a", "scael": 1}], "did you mean 'scale'"),
        ([{"source": "a", "scale": "big"}], "a finite number"),
        ([{"scale": 1}], "a source, or a mapping"),
        ([{"source": "a", "file": "a.bin"}], "safetensors"),
        ("./a", "a list"),
    ],
)
def test_a_wrong_value_is_reported(loras: Any, words: str) -> None:
    text = refused_at_construction(Text2Image, prompt="a", loras=loras)
    assert "Text2Image.loras" in text and words in text


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of files that are no adapters for Stable Diffusion, each wrong in its own way."""
    good = write(tmp_path / "good.safetensors", tensors(BASES["sd"]))
    (tmp_path / "short.safetensors").write_bytes(good.read_bytes()[:-10])
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 100)
    (tmp_path / "empty.safetensors").write_bytes(b"")
    write(tmp_path / "whole.safetensors", {"conv_in.weight": np.zeros((2, 2), np.float32)})
    flux = {"transformer.x.lora_A.weight": np.zeros((2, 2), np.float32)}
    write(tmp_path / "flux.safetensors", flux)
    (tmp_path / "pickled.bin").write_bytes(b"")
    write(tmp_path / "xl.safetensors", tensors(BASES["xl"]))
    write(
        tmp_path / "xl_unet.safetensors",
        {k: v for k, v in tensors(BASES["xl"]).items() if "attn2.to_k" in k},
    )
    dora = {**tensors(BASES["sd"]), "unet.a.dora_scale": np.zeros(2, np.float32)}
    write(tmp_path / "dora.safetensors", dora)
    real = np.zeros((4, 768), np.float32)
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora.down.weight"
    write(tmp_path / "real.safetensors", {layer: real})
    for name in ("pickles", "several", "bare"):
        (tmp_path / name).mkdir()
    (tmp_path / "pickles" / "pytorch_lora_weights.bin").write_bytes(b"")
    for name in ("a", "b"):
        shutil.copy(good, tmp_path / "several" / f"{name}.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("god.safetensors", "good.safetensors"),
        ("short.safetensors", "it is cut short"),
        ("noise.safetensors", "its header cannot be read"),
        ("empty.safetensors", "it is cut short"),
        ("whole.safetensors", "holds no LoRA"),
        ("flux.safetensors", "a LoRA for a diffusion transformer (it has transformer.x"),
        ("pickled.bin", "convert it to safetensors"),
        ("xl.safetensors", "SDXL: it has layers for a second text encoder"),
        ("xl_unet.safetensors", "another network"),
        ("dora.safetensors", "DoRA magnitude and no matrices"),
        ("real.safetensors", "a LoRA for Stable Diffusion 1.x"),
        ("pickles", "pickles can run code"),
        ("several", "name one: {source: …, file: …}"),
        ("bare", "no safetensors"),
    ],
)
def test_what_is_no_adapter_for_it_is_refused_before_anything_loads(
    broken: Path, name: str, words: str
) -> None:
    text = refused_before_load(node("sd", Lora(broken / name)))
    assert "text2_image.loras" in text and words in text
    assert str(broken / name.split(".")[0]) in text or "god" in name


def test_one_of_several_in_a_folder_is_named(broken: Path, session: Session) -> None:
    chosen = Lora(broken / "several", file="a.safetensors")
    direct = Lora(broken / "good.safetensors")
    assert run(node("sd", chosen), session=session) == run(node("sd", direct), session=session)
    text = refused_before_load(node("sd", Lora(broken / "several", file="aa.safetensors")))
    assert "did you mean" in text


def test_all_that_is_wrong_is_reported_at_once(broken: Path) -> None:
    adapters = [Lora(broken / "short.safetensors"), Lora(broken / "flux.safetensors")]
    text = refused_before_load(node("sd", *adapters, width=65))
    assert all(word in text for word in ("short.", "flux.", "text2_image.width"))


def test_an_sd_adapter_over_sdxl_is_refused(broken: Path) -> None:
    assert "another network" in refused_before_load(node("xl", Lora(broken / "good.safetensors")))


def test_a_video_takes_none_because_diffusers_cannot_put_them_on(broken: Path) -> None:
    node: Node[Any] = Text2Video(prompt="a", loras=[Lora(broken / "good.safetensors")])
    text = refused_before_load(node)
    assert "text2_video.loras" in text and "3-D U-Net" in text


def test_an_adapter_is_no_checkpoint(tmp_path: Path) -> None:
    adapter = lora(tmp_path, BASES["sd"])
    text = refused_before_load(Text2Image(prompt="a", checkpoint=adapter))
    assert "text2_image.checkpoint" in text and "under `loras`" in text
