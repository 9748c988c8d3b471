"""Caches of steps: a denoiser reuses what its layers computed in earlier steps.

They are diffusers' own, with its defaults. They are faster and change the picture a little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from sdgraph.errors import Problem
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.families import ModelFamily, Task
from sdgraph.values import Checkpoint

from .module_hooks import without_new_hooks

StepCache = Literal["first-block", "taylorseer", "pyramid-attention", "fastercache", "magcache"]
"""The names.

First Block Cache (ParaAttention, 2024), TaylorSeer (Liu et al. 2025), Pyramid Attention Broadcast
(Zhao et al. 2024), FasterCache (Lv et al. 2024), MagCache (Ma et al. 2025).
"""

_ONE_PASS = ("pyramid-attention", "fastercache")
"""The caches that keep one result for a layer, and would mix up two passes that take turns."""

_BY_BLOCK = ("first-block", "magcache")
"""The caches that keep the result of the first block and of all others."""


def cache_problems(
    cache: str | None,
    checkpoint: Checkpoint,
    family: ModelFamily,
    task: Task,
    *,
    guided: bool,
) -> Iterator[Problem]:
    """The problems of a cache of steps with a checkpoint, its pipeline and its guidance.

    Args:
        cache: The cache's name; None for none.
        checkpoint: The checkpoint, whose configs are on this disk.
        family: Its family.
        task: What the pipeline does.
        guided: Whether a step has a second pass, for the negative prompt.
    """
    if cache is None:
        return
    found = f"cache: {cache} for {checkpoint.source}, a {family.label} checkpoint"
    fitting = [name for name, tasks in family.caches.items() if task in tasks]
    if cache not in fitting:
        names = ", ".join(fitting)
        wanted = f"one that diffusers has for {task} with it: {names or 'there is none'}"
        yield Problem("tuning", found, wanted, "leave `cache` out")
        return
    in_turn = family.guidance.in_turn
    if guided and cache in _ONE_PASS and (in_turn or cache == "fastercache"):
        both = "with guidance in a second pass"
        wanted = "no such guidance: it would mix the two passes up"
        fix = f"set guidance to {family.guidance.none_up_to:g}, or take another cache"
        yield Problem("tuning", f"{found} {both}", wanted, fix)
    blocks = _count_blocks(family, checkpoint)
    if cache == "first-block" and blocks == 1:
        yield Problem("tuning", f"{found} with one block", "two blocks", "leave `cache` out")


def _count_blocks(family: ModelFamily, checkpoint: Checkpoint) -> int:
    config = family.denoiser_config(checkpoint)
    return int(config.get("num_layers") or 1) + int(config.get("num_single_layers") or 0)


def cached_bytes(
    cache: str | None, family: ModelFamily, checkpoint: Checkpoint, step_bytes: int, *, guided: bool
) -> int:
    """The bytes that a cache of steps keeps from one step to the next, at most.

    Args:
        cache: The cache's name; None for none.
        family: The checkpoint's family.
        checkpoint: The checkpoint.
        step_bytes: The bytes that a step needs without the cache.
        guided: Whether a step has a second pass.
    """
    if cache is None or not family.denoiser.tensors:
        return 0
    blocks = _count_blocks(family, checkpoint)
    kept = 4 if cache in _BY_BLOCK else blocks if cache == "pyramid-attention" else 2 * blocks
    passes = 2 if guided and family.guidance.in_turn else 1
    return int(step_bytes * kept * passes / family.denoiser.tensors)


@contextmanager
def use_step_cache(pipe: Any, cache: str, networks: Sequence[Any], steps: int) -> Iterator[None]:
    """Switches a cache on for a pipeline's denoisers, and off afterwards.

    Args:
        pipe: The pipeline.
        cache: The cache's name.
        networks: The pipeline's denoisers.
        steps: The number of denoising steps.
    """
    with ExitStack() as stack:
        stack.enter_context(without_new_hooks(networks))
        for network in networks:
            with quiet_libraries():
                network.enable_cache(_make_config(cache, pipe, steps))
            stack.callback(_switch_off, network)
        yield


def _switch_off(network: Any) -> None:
    network.disable_cache()
    vars(network).pop("_cache_config", None)  # the class has the same


def _make_config(cache: str, pipe: Any, steps: int) -> Any:
    from diffusers import hooks

    def timestep() -> Any:
        return pipe.current_timestep

    if cache == "first-block":
        return hooks.FirstBlockCacheConfig()
    if cache == "taylorseer":
        return hooks.TaylorSeerCacheConfig()
    if cache == "pyramid-attention":
        return hooks.PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2, current_timestep_callback=timestep
        )
    if cache == "fastercache":
        return hooks.FasterCacheConfig(
            current_timestep_callback=timestep,
            attention_weight_callback=lambda _: 0.5,
            is_guidance_distilled=True,  # `cache_problems` refuses a second pass
        )
    from diffusers.hooks.mag_cache import FLUX_MAG_RATIOS

    return hooks.MagCacheConfig(mag_ratios=FLUX_MAG_RATIOS, num_inference_steps=steps)
