"""LoRA: adapters that plain diffusers loads, and a base that is not changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import NodeFailedError
from sdgraph.models import fetch_checkpoint
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION, likely_family
from sdgraph.nodes.training.data import TinyWorld
from sdgraph.nodes.training.diffusion import DiffusionTrainee
from sdgraph.nodes.training.frozen import hash_module
from sdgraph.nodes.training.loading import load_parts
from sdgraph.nodes.training.lora import (
    add_lora_layers,
    fuse_lora_layers,
    hash_without_adapters,
)
from sdgraph.nodes.training.sdxl import TrainSdxl
from sdgraph.nodes.training.text_to_image import TrainFromText, TrainText2Image

from .test_inpaint import contents

BASES = {
    "text-to-image": (TrainText2Image, Checkpoint("tiny/text-to-image")),
    "sdxl": (TrainSdxl, Checkpoint("tiny/sdxl")),
}
SIDE = 64


def node(family: str, out: Path, **more: Any) -> TrainFromText:
    cls, base = BASES[family]
    fields: dict[str, Any] = {"rank": 4, "steps": 2, "batch": 2, "learning_rate": 0.05, **more}
    return cls(data=TinyWorld(count=8, side=SIDE), base=base, out=str(out), **fields)


@pytest.fixture(scope="module", params=list(BASES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def trained(family: str, tmp_path_factory: pytest.TempPathFactory, session: Session) -> Path:
    """The folder of a training."""
    with pytest.MonkeyPatch.context() as patched:
        for cls in (TrainText2Image, TrainSdxl):
            patched.setattr(cls.trainee, "sample", lambda _: None)
        result = run(node(family, tmp_path_factory.mktemp("lora")), session=session)
    return Path(result.source).parent


def picture(pipe: Any) -> Any:
    import torch

    pipe.set_progress_bar_config(disable=True)
    return pipe(
        "a red star on a navy background",
        height=SIDE,
        width=SIDE,
        num_inference_steps=4,
        guidance_scale=3.0,
        output_type="np",
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0]


def pipe_of(folder: Path | str) -> Any:
    import torch
    from diffusers import DiffusionPipeline

    return DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)


def test_plain_diffusers_takes_the_adapters_and_makes_what_the_fused_checkpoint_makes(
    family: str, trained: Path
) -> None:
    pipe = pipe_of(fetch_checkpoint(BASES[family][1]))
    plain = picture(pipe)
    pipe.load_lora_weights(trained / "lora")
    adapters, together = picture(pipe), picture(pipe_of(trained / "checkpoint"))
    far = float(np.abs(plain - adapters).max())
    assert far > 4 * float(np.abs(adapters - together).max())
    assert np.allclose(adapters, together, atol=2e-3)
    assert [path.name for path in (trained / "lora").iterdir()] == [
        "pytorch_lora_weights.safetensors"
    ]


def test_all_but_the_unet_is_copied_bit_for_bit(family: str, trained: Path) -> None:
    before, after = contents(fetch_checkpoint(BASES[family][1])), contents(trained / "checkpoint")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed - {"README.md"} == {"unet/diffusion_pytorch_model.safetensors"}


def test_the_unets_weights_without_an_adapter_are_the_bases(family: str, trained: Path) -> None:
    from safetensors.torch import load_file

    name = "unet/diffusion_pytorch_model.safetensors"
    before = load_file(fetch_checkpoint(BASES[family][1]) / name)
    after = load_file(trained / "checkpoint" / name)
    assert before.keys() == after.keys()
    changed = {key for key in before if not before[key].half().equal(after[key])}
    adapted = {
        key
        for key in before
        if key.removesuffix(".weight").endswith(STABLE_DIFFUSION.denoiser.lora_targets)
    }
    assert changed == adapted


def test_only_adapters_are_trained_and_kept_in_the_state(trained: Path) -> None:
    from safetensors import safe_open

    with safe_open(trained / "training" / "state.safetensors", "pt") as file:
        names = [name for name in file.keys() if name.startswith("now/")]  # noqa: SIM118
    assert names
    assert all(name.startswith("now/unet.") and ".lora_" in name for name in names)


def test_the_hashes_of_the_base_before_and_after_are_kept(family: str, trained: Path) -> None:
    data = json.loads((trained / "training" / "frozen.json").read_text())
    assert data["before"] == data["after"]
    assert set(data["before"]) == set(likely_family(BASES[family][1]).networks)


def test_a_unet_is_known_again_under_its_adapters() -> None:
    import torch

    parts = load_parts(BASES["text-to-image"][1], ("unet",))
    unet = parts.denoiser
    before, names = hash_module(unet), set(unet.state_dict())
    add_lora_layers(parts, 2, 0)
    assert (hash_without_adapters(unet) == before) and (hash_module(unet) != before)
    with torch.no_grad():
        unet.conv_in.weight[0, 0, 0, 0] += 1e-3
    assert hash_without_adapters(unet) != before
    fuse_lora_layers(parts)
    assert set(unet.state_dict()) == names


def test_at_first_adapters_add_nothing_and_one_seed_draws_one_set() -> None:
    import torch

    def initial_weights(seed: int) -> dict[str, Any]:
        parts = load_parts(BASES["text-to-image"][1], ("unet",))
        add_lora_layers(parts, 2, seed)
        state = parts.denoiser.state_dict()
        return {name: value for name, value in state.items() if "lora_" in name}

    one, same, other = initial_weights(1), initial_weights(1), initial_weights(2)
    assert all(not value.any() for name, value in one.items() if "lora_B" in name)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_goes_on_only_with_its_own_rank_and_base(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiffusionTrainee, "sample", lambda _: None)
    monkeypatch.setattr(TrainText2Image.trainee, "sample", lambda _: None)
    family = "text-to-image"
    first = run(node(family, tmp_path), session=session)
    before = contents(Path(first.source))
    again = run(node(family, tmp_path), session=session)
    assert contents(Path(again.source)) == before
    for other, message in (
        ({"rank": 8}, "rank was 4, is 8"),
        ({"rank": 0}, "rank was 4, is 0"),
        ({"base": Checkpoint(first.source)}, "base was .*unet.*, is "),
        ({"base": None, "vae": Checkpoint(first.source), "rank": 0}, "is None"),
    ):
        with pytest.raises(NodeFailedError, match=message):
            run(node(family, tmp_path).replace(**other), session=session)
