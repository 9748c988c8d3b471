"""T2I-Adapters in the place of ControlNets give the pictures of diffusers' own pipelines."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, plan, run
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import ControlNet
from sdgraph.nodes.diffusion.control.map_adapters import adapter_features, unet_features
from sdgraph.nodes.diffusion.families import Task
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.values import EdgeMap, PoseMap
from tests.support.failing_runs import refused_before_load
from tests.support.photos import photo, spot

EDGES = EdgeMap(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
GREY = EdgeMap(np.repeat(np.random.default_rng(2).integers(0, 256, (64, 80, 1), np.uint8), 3, 2))
POSE = PoseMap(np.random.default_rng(3).integers(0, 256, (64, 80, 3), np.uint8))
BASES = {
    "tiny/text-to-image": "StableDiffusionAdapterPipeline",
    "tiny/sdxl": "StableDiffusionXLAdapterPipeline",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """T2I-Adapters that read coloured and grey maps."""
    folder = tmp_path_factory.mktemp("adapters")
    for name in ("t2i-adapter", "t2i-adapter-grey"):
        make_checkpoint(name, folder / name)
    return {
        "rgb": Checkpoint(folder / "t2i-adapter"),
        "grey": Checkpoint(folder / "t2i-adapter-grey"),
    }


def node(network: object, base: str = "tiny/text-to-image", **fields: Any) -> ControlNet:
    common: dict[str, Any] = {"prompt": "a man", "steps": 3, "seed": 2, "guidance": 5.0}
    fields = {"control": EDGES, "controlnet": network, **common, **fields}
    return ControlNet(checkpoint=Checkpoint(base), **fields)


def by_diffusers(base: str, networks: list[Checkpoint], pipeline: str = "", **call: Any) -> Any:
    import diffusers
    import torch

    loaded = [diffusers.T2IAdapter.from_pretrained(each.source) for each in networks]
    adapter = loaded[0] if len(loaded) == 1 else diffusers.MultiAdapter(loaded)
    cls, folder = getattr(diffusers, pipeline or BASES[base]), Path(base)
    if base.startswith("tiny/"):
        folder = shipped_folder(base)
    pipe = cls.from_pretrained(folder, adapter=adapter, dtype=torch.float32)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        prompt="a man",
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(2),
        output_type="np",
        width=80,
        height=64,
        **call,
    ).images
    return to_pixels(images[0])


@pytest.mark.parametrize(
    ("base", "task", "pipeline"), [(base, "controlnet", name) for base, name in BASES.items()]
)
def test_it_makes_what_diffusers_makes(
    session: Session, adapters: dict[str, Checkpoint], base: str, task: Task, pipeline: str
) -> None:
    node_of_base = node(adapters["rgb"], base)
    assert (node_of_base.task(), node_of_base.pipeline_class()) == (task, pipeline)
    made = run(node(adapters["rgb"], base, scale=0.7), session=session)
    expected = by_diffusers(
        base, [adapters["rgb"]], image=EDGES.pil, adapter_conditioning_scale=0.7
    )
    assert (made.numpy == expected).all() and made.numpy.std() > 5
    assert run(node(adapters["rgb"], base, scale=0.2), session=session) != made


@pytest.mark.parametrize(
    ("name", "task", "pipeline"),
    [("latent-consistency", "controlnet", "StableDiffusionAdapterPipeline")],
)
def test_over_a_latent_consistency_model_it_makes_what_diffusers_makes(
    session: Session, tmp_path: Path, name: str, task: Task, pipeline: str
) -> None:
    import diffusers

    make_checkpoint(name, tmp_path / "base")
    settings = {"downscale_factor": 16, "adapter_type": "full_adapter_xl"}
    diffusers.T2IAdapter(channels=[16, 32], **settings).save_pretrained(tmp_path / "adapter")
    base, adapter = str(tmp_path / "base"), Checkpoint(tmp_path / "adapter")
    controlled = node(adapter, base)
    assert (controlled.task(), controlled.pipeline_class()) == (task, pipeline)
    expected = by_diffusers(base, [adapter], pipeline, image=EDGES.pil)
    assert (run(controlled, session=session).numpy == expected).all()


@pytest.mark.parametrize("base", BASES)
def test_several_maps_are_read_by_an_adapter_each(
    session: Session, adapters: dict[str, Checkpoint], base: str
) -> None:
    networks = [adapters["rgb"], adapters["grey"]]
    both = node(networks, base, control=[POSE, GREY], scale=[0.7, 0.3])
    grey = GREY.pil.convert("L")
    expected = by_diffusers(
        base, networks, image=[POSE.pil, grey], adapter_conditioning_scale=[0.7, 0.3]
    )
    assert (run(both, session=session).numpy == expected).all()


def test_over_sdxl_it_may_end_before_the_last_step(
    session: Session, adapters: dict[str, Checkpoint]
) -> None:
    half = node(adapters["rgb"], "tiny/sdxl", end=0.5)
    expected = by_diffusers(
        "tiny/sdxl", [adapters["rgb"]], image=EDGES.pil, adapter_conditioning_factor=0.5
    )
    assert (run(half, session=session).numpy == expected).all()


def test_a_map_of_any_size_is_padded_to_what_it_reads(
    session: Session, adapters: dict[str, Checkpoint]
) -> None:
    odd = EdgeMap(np.ascontiguousarray(EDGES.numpy[:63, :77]))
    assert run(node(adapters["rgb"], control=odd, steps=1), session=session).size == (77, 63)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image": photo(80, 64)}, "follows maps from noise alone"),
        ({"image": photo(80, 64), "mask": spot(80, 64)}, "follows maps from noise alone"),
        ({"end": 0.5}, "start 0, end 0.5 for a T2I-Adapter"),
        ({"reference": photo(80, 64)}, "no pipeline for both"),
    ],
)
def test_what_its_pipeline_cannot_do_is_refused_before_any_load(
    adapters: dict[str, Checkpoint], fields: dict[str, Any], words: str
) -> None:
    text = refused_before_load(node(adapters["rgb"], **fields))
    assert words in text and text.count("found:") == 1


def test_over_sdxl_start_and_different_ends_are_refused(adapters: dict[str, Checkpoint]) -> None:
    text = refused_before_load(node(adapters["rgb"], "tiny/sdxl", start=0.2))
    assert "start 0.2, end 1" in text
    both = node(adapters["rgb"], "tiny/sdxl", control=[EDGES, POSE], end=[1.0, 0.5])
    assert "start 0 and one end for all maps" in refused_before_load(both)


def test_with_a_controlnet_it_is_refused(
    adapters: dict[str, Checkpoint], networks: tuple[Checkpoint, Checkpoint]
) -> None:
    mixed = node([adapters["rgb"], networks[0]], control=[EDGES, POSE])
    assert "ControlNets and T2I-Adapters" in refused_before_load(mixed)


def test_over_a_family_without_a_pipeline_for_it_it_is_refused(
    adapters: dict[str, Checkpoint], tmp_path: Path
) -> None:
    make_checkpoint("flux", tmp_path / "flux")
    other = node(adapters["rgb"]).replace(checkpoint=Checkpoint(tmp_path / "flux"))
    assert "a T2I-Adapter over FLUX.1" in refused_before_load(other)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"channels": [320, 640, 1280, 1280]}, "levels 320 wide (1/8)"),
        ({"adapter_type": "full_adapter"}, "made for Stable Diffusion with levels 32 wide (1/8)"),
        ({"downscale_factor": 16}, "made for SDXL with levels 32 wide (1/16)"),
        ({"in_channels": 4}, "which reads 4 channels"),
    ],
)
def test_one_for_another_base_is_refused_before_any_load(
    adapters: dict[str, Checkpoint], tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    folder = Path(shutil.copytree(adapters["rgb"].source, tmp_path / "other"))
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    text = refused_before_load(node(Checkpoint(folder)))
    assert words in text and "control_net.controlnet" in text


def test_those_of_stable_diffusion_and_of_sdxl_fit_their_own_base_alone() -> None:
    widths = [320, 640, 1280, 1280]
    sd = {
        "block_out_channels": widths,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    }
    xl = {
        "block_out_channels": widths[:3],
        "down_block_types": ["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
    }
    full = adapter_features({"adapter_type": "full_adapter", "channels": widths})
    light = adapter_features({"adapter_type": "light_adapter", "channels": widths[:3]})
    for_xl = adapter_features(
        {"adapter_type": "full_adapter_xl", "channels": widths, "downscale_factor": 16}
    )
    assert full == light == unet_features(sd, 8)[:-1] != for_xl
    assert for_xl == unet_features(xl, 8) != full


def test_the_plan_counts_it_and_what_it_holds(adapters: dict[str, Checkpoint]) -> None:
    with_adapter = node(adapters["rgb"])
    assert "controlnet_0" in {use.name for step in plan(with_adapter).steps for use in step.uses}
    memory = with_adapter.family.denoiser.memory
    config = with_adapter.family.denoiser_config(with_adapter.known_checkpoint)
    held = memory(config, 2, 4096, "float16", controls=with_adapter.control_configs())
    of_controlnet = memory(config, 2, 4096, "float16", controls=[{}])
    assert memory(config, 2, 4096, "float16") < held < of_controlnet


def test_one_file_makes_the_pictures_of_the_folder(
    session: Session, adapters: dict[str, Checkpoint], tmp_path: Path
) -> None:
    """In the names of diffusers and, numbered through, in those of its authors."""
    import safetensors.torch

    folder = Path(adapters["rgb"].source)
    tensors = safetensors.torch.load_file(folder / "diffusion_pytorch_model.safetensors")
    expected = run(node(adapters["rgb"]), session=session)
    numbered = {
        re.sub(r"adapter\.(body\.\d+\.)?(resnets\.0\.)?", r"\1", name): tensor
        for name, tensor in tensors.items()
    }
    assert "body.3.block1.weight" in numbered and "body.1.in_conv.weight" in numbered
    for number, weights in enumerate((tensors, numbered)):
        path = tmp_path / f"{number}.safetensors"
        safetensors.torch.save_file(weights, path)
        named = Checkpoint(path, config=str(folder))
        assert run(node(named), session=session) == expected
    as_base = node(adapters["rgb"]).replace(checkpoint=Checkpoint(path))
    assert "a T2I-Adapter" in refused_before_load(as_base)
