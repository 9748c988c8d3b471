"""Quantized text encoders: asked of the library of each class, planned, and equal to diffusers."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidValueError
from sdgraph.models import resolve_part
from sdgraph.models.checkpoint import part_checks
from sdgraph.models.loading.quantization import quantization_config
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.values import Part
from tests.support.failing_runs import refused_before_load

BASE = "tiny/text-to-image"
HAS_TORCHAO = find_spec("torchao") is not None


def node(checkpoint: Checkpoint, **fields: Any) -> Text2Image:
    return Text2Image(prompt="a star", checkpoint=checkpoint, steps=2, width=64, height=64)


def test_only_text_encoders_are_quantized_by_it() -> None:
    parts = node(Checkpoint(BASE, text_quantization="nf4")).parts()
    kinds = {name: part.quantization for name, part in parts.items() if isinstance(part, Part)}
    assert kinds == {"text_encoder": "nf4", "tokenizer": None, "unet": None, "vae": None}
    parts = node(Checkpoint(BASE, quantization="int8", text_quantization="nf4")).parts()
    assert parts["unet"].quantization == "int8" and parts["text_encoder"].quantization == "nf4"


def test_a_quantized_text_encoder_is_another_component_and_smaller_in_the_plan() -> None:
    plain, small = (
        resolve_part(
            Part(Checkpoint(BASE, text_quantization=name), "text_encoder", encodes_text=True)
        )
        for name in (None, "int8wo")
    )
    assert plain.fingerprint != small.fingerprint
    assert small.footprint("float32") < plain.footprint("float32")


def test_without_its_package_it_is_refused_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_checks, "find_spec", lambda _: None)
    text = refused_before_load(node(Checkpoint(BASE, text_quantization="int8wo")))
    assert "text2_image.checkpoint" in text and "pip install torchao" in text


def test_an_unknown_word_is_refused_with_the_nearest() -> None:
    with pytest.raises(InvalidValueError, match="did you mean 'int8wo'"):
        Checkpoint(BASE, text_quantization="int8w")


def test_the_config_is_that_of_the_library_of_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    class TextEncoder:
        pass

    unet = diffusers.UNet2DConditionModel
    monkeypatch.setattr(diffusers, "BitsAndBytesConfig", lambda **options: ("diffusers", options))
    of_transformers = SimpleNamespace(BitsAndBytesConfig=lambda **each: ("transformers", each))
    monkeypatch.setitem(sys.modules, "transformers", of_transformers)
    for cls, library in [
        (unet, "diffusers"),
        (TextEncoder, "transformers"),
    ]:
        made = quantization_config("int8", "float16", cls)
        assert made == (library, {"load_in_8bit": True})


@pytest.mark.skipif(not HAS_TORCHAO, reason="torchao is not installed")
@pytest.mark.parametrize("name", ["int8wo", "float8wo"])
def test_quantized_by_torchao_a_picture_equals_that_of_diffusers(tmp_path: Path, name: Any) -> None:
    import diffusers
    import torch
    import transformers
    from torchao import quantization  # type: ignore[import-not-found,unused-ignore]

    make_checkpoint("flux", tmp_path / "flux")
    checkpoint = Checkpoint(tmp_path / "flux", quantization=name, text_quantization=name)
    session = Session(device="cpu", store=None)
    made = run(node(checkpoint), session=session)
    kinds = {"int8wo": "Int8WeightOnlyConfig", "float8wo": "Float8WeightOnlyConfig"}
    config = getattr(quantization, kinds[name])
    texts = dict.fromkeys(("text_encoder", "text_encoder_2"), transformers.TorchAoConfig(config()))
    mapping = {"transformer": diffusers.TorchAoConfig(config()), **texts}
    pipe = diffusers.FluxPipeline.from_pretrained(
        tmp_path / "flux",
        quantization_config=diffusers.PipelineQuantizationConfig(quant_mapping=mapping),
        dtype=torch.float32,
    )
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    size = {"width": 64, "height": 64}
    images = pipe(prompt="a star", num_inference_steps=2, generator=generator, **size).images
    assert np.array_equal(made.numpy, np.asarray(images[0]))
    for component in session.models.loaded():
        if component.name.endswith(("/transformer", "/text_encoder_2")):
            part = node(checkpoint).parts()[component.name.rpartition("/")[2]]
            planned = resolve_part(part).footprint("float32")
            assert planned == pytest.approx(component.bytes, rel=0.15)
