"""Caches of steps: the bits of diffusers' own, refused where they cannot work, gone afterwards."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, NodeFailedError, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Image2Image, Text2Image, Text2Video
from sdgraph.nodes.diffusion.families import FAMILIES, FLUX
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.nodes.diffusion.tuning import step_caches
from tests.support.effort import each_nth
from tests.support.failing_runs import refused_before_load
from tests.support.photos import photo

STEPS = 12
SIZE = {"width": 64, "height": 64}
UNGUIDED = {"chroma": 1.0, "ltx-video": 1.0, "qwen-image": 1.0, "wan": 1.0, "flux2-klein": 1.0}
"""A guidance without a second pass."""
PAIRS = [
    ("flux", "first-block"),
    ("flux", "taylorseer"),
    ("flux", "pyramid-attention"),
    ("flux", "fastercache"),
    ("flux", "magcache"),
    ("flux2-klein", "taylorseer"),
    ("qwen-image", "first-block"),
    ("qwen-image", "taylorseer"),
    ("chroma", "pyramid-attention"),
    ("wan", "first-block"),
    ("ltx-video", "pyramid-attention"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that makes a checkpoint by its name, once."""
    folder = tmp_path_factory.mktemp("random")

    def make(name: str) -> Path:
        if not (folder / name).exists():
            make_checkpoint(name, folder / name)
        return folder / name

    return make


def node(checkpoint: Path | str, cache: str | None = None, **fields: Any) -> Any:
    tuning: Any = {"cache": cache} if cache else {}
    more = {"steps": STEPS, "seed": 5, **SIZE, "tuning": tuning, **fields}
    if "frames" in fields:
        return Text2Video(prompt="a star", checkpoint=Checkpoint(checkpoint), **more)
    return Text2Image(prompt="a star", checkpoint=Checkpoint(checkpoint), **more)


def by_diffusers(folder: Path, cache: str, **call: Any) -> Any:
    """The pixels of a pipeline that diffusers loads, with `enable_cache` of diffusers."""
    import diffusers
    import torch
    from diffusers import hooks
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    config: dict[str, Callable[[], Any]] = {
        "first-block": hooks.FirstBlockCacheConfig,
        "taylorseer": hooks.TaylorSeerCacheConfig,
        "pyramid-attention": lambda: hooks.PyramidAttentionBroadcastConfig(
            current_timestep_callback=lambda: pipe.current_timestep
        ),
        "fastercache": lambda: hooks.FasterCacheConfig(
            current_timestep_callback=lambda: pipe.current_timestep, is_guidance_distilled=True
        ),
        "magcache": lambda: hooks.MagCacheConfig(
            mag_ratios=FLUX_MAG_RATIOS, num_inference_steps=STEPS
        ),
    }
    pipe.transformer.enable_cache(config[cache]())
    generator = torch.Generator().manual_seed(5)
    fields = {**SIZE, "num_inference_steps": STEPS, "output_type": "np", **call}
    output = pipe(prompt="a star", generator=generator, **fields)
    return to_pixels(output.images[0] if hasattr(output, "images") else output.frames[0])


def pixels(result: Any) -> Any:
    return result.numpy if hasattr(result, "numpy") else result.frames


@pytest.mark.parametrize(("name", "cache"), each_nth(PAIRS, 2, arguments=2))
def test_a_cache_gives_the_bits_of_diffusers(
    folders: Callable[[str], Path], session: Session, name: str, cache: str
) -> None:
    frames = {"wan": 5, "ltx-video": 9}.get(name)
    fields: dict[str, Any] = {"frames": frames} if frames else {}
    call: dict[str, Any] = {"num_frames": frames} if frames else {}
    if name in UNGUIDED:
        fields["guidance"] = UNGUIDED[name]
        key = "true_cfg_scale" if name == "qwen-image" else "guidance_scale"
        call[key] = UNGUIDED[name]
    made = run(node(folders(name), cache, **fields), session=session)
    expected = by_diffusers(folders(name), cache, **call)
    assert np.array_equal(pixels(made), expected)


def test_first_block_with_guidance_in_turn_gives_the_bits_of_diffusers(
    folders: Callable[[str], Path], session: Session
) -> None:
    folder = folders("qwen-image")
    made = run(node(folder, "first-block", guidance=4.0), session=session)
    call: dict[str, Any] = {"true_cfg_scale": 4.0, "negative_prompt": ""}
    assert np.array_equal(made.numpy, by_diffusers(folder, "first-block", **call))


@pytest.mark.parametrize("cache", ["first-block", "taylorseer", "pyramid-attention"])
def test_afterwards_the_denoiser_is_what_it_was(folders: Callable[[str], Path], cache: str) -> None:
    session = Session(device="cpu", store=None)
    before = run(node(folders("flux")), session=session)
    (transformer,) = (
        each.module for each in session.models.loaded() if each.name.endswith("/transformer")
    )
    state = {name: sorted(vars(layer)) for name, layer in transformer.named_modules()}
    cached = run(node(folders("flux"), cache), session=session)
    assert state == {name: sorted(vars(layer)) for name, layer in transformer.named_modules()}
    assert not transformer.is_cache_enabled
    assert run(node(folders("flux")), session=session) == before
    assert run(node(folders("flux"), cache), session=session) == cached

    def stop(event: Event) -> None:
        if isinstance(event, Stepped):
            raise RuntimeError("enough")

    with pytest.raises(NodeFailedError):
        run(node(folders("flux"), cache), session=session, on_event=stop)
    assert state == {name: sorted(vars(layer)) for name, layer in transformer.named_modules()}
    assert run(node(folders("flux")), session=session) == before


def test_a_cache_is_part_of_the_key_and_of_the_record(folders: Callable[[str], Path]) -> None:
    plain, cached = node(folders("flux")), node(folders("flux"), "taylorseer")
    assert plain != cached
    session = Session(device="cpu")
    assert run(plain, session=session) != run(cached, session=session)


def test_the_families_say_which_pipelines_of_diffusers_can_run_with_a_cache() -> None:
    import diffusers

    for family in FAMILIES:
        for cache, tasks in family.caches.items():
            for task in family.pipelines.keys() & set(tasks):
                cls = getattr(diffusers, family.pipelines[task])
                if cache in ("pyramid-attention", "fastercache"):
                    assert hasattr(cls, "current_timestep"), (cls, cache)
                else:
                    assert "cache_context" in inspect.getsource(cls), (cls, cache)


def test_a_cache_that_a_pipeline_cannot_use_is_refused_before_loading(
    folders: Callable[[str], Path],
) -> None:
    flux = folders("flux")
    text = refused_before_load(node("tiny/text-to-image", "first-block"))
    assert "text2_image.tuning" in text and "there is none" in text
    text = refused_before_load(node(folders("flux2-klein"), "first-block"))
    assert "taylorseer, pyramid-attention, fastercache" in text
    image = Image2Image(
        prompt="a", image=photo(64, 64), checkpoint=Checkpoint(flux), tuning={"cache": "taylorseer"}
    )
    assert "for image-to-image with it: there is none" in refused_before_load(image)
    guided = node(folders("wan"), "pyramid-attention", frames=5)
    assert "mix the two passes up" in refused_before_load(guided)


def test_a_plan_counts_what_a_cache_keeps(folders: Callable[[str], Path]) -> None:
    checkpoint = Checkpoint(folders("flux"))
    step = 1000
    for cache, tensors in [("first-block", 4), ("pyramid-attention", 2), ("taylorseer", 4)]:
        kept = step_caches.cached_bytes(cache, FLUX, checkpoint, step, guided=False)
        assert kept == int(step * tensors / FLUX.denoiser.tensors)
    assert step_caches.cached_bytes(None, FLUX, checkpoint, step, guided=False) == 0
