"""Weights kept in host memory while a pipeline runs: by model, by layer, or by groups of layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from .families import CONTROLNET, ModelFamily

Offload = Literal["none", "model", "group", "sequential"]
"""How much is on the device at once: all, a model, a block of one, a layer."""

_GROUP_HOOKS = (
    "group_offloading",
    "layer_execution_tracker",
    "lazy_prefetch_group_offloading",
)
"""What diffusers calls the hooks of group offloading."""


@contextmanager
def offload_modules(
    pipe: Any, offload: Offload, device: str, family: ModelFamily
) -> Iterator[None]:
    """The pipeline with its modules moved to the device as `offload` asks, and back.

    On a CPU everything is in host memory already, so there is nothing to move. The modules are
    shared with other nodes, which must not find the hooks.
    """
    if offload == "none" or device == "cpu":
        yield
    elif offload == "group":
        with _in_groups(pipe, device, family):
            yield
    else:
        try:
            if offload == "model":
                pipe.enable_model_cpu_offload(device=device)
            else:
                pipe.enable_sequential_cpu_offload(device=device)
            yield
        finally:
            pipe.remove_all_hooks()
            pipe.to("cpu", silence_dtype_warnings=True)


@contextmanager
def _in_groups(pipe: Any, device: str, family: ModelFamily) -> Iterator[None]:
    """Block by block what runs once a step, layer by layer what is called in other ways.

    A block's hook waits for `forward`, and of a decoder only `decode` is called.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    components = pipe.components.items()
    modules = {name: each for name, each in components if isinstance(each, torch.nn.Module)}
    before = {
        id(each): (each, "forward" in vars(each), "_diffusers_hook" in vars(each))
        for module in modules.values()
        for each in module.modules()
    }
    try:
        for name, module in modules.items():
            by_block = name in (family.denoiser.name, CONTROLNET)
            apply_group_offloading(
                module,
                onload_device=torch.device(device),
                offload_device=torch.device("cpu"),
                offload_type="block_level" if by_block else "leaf_level",
                num_blocks_per_group=1 if by_block else None,
            )
        yield
    finally:
        for module in modules.values():
            _unhook(module)
        for each, had_forward, had_hooks in before.values():
            if not had_hooks:
                vars(each).pop("_diffusers_hook", None)
                if not had_forward:
                    vars(each).pop("forward", None)
        pipe.to("cpu", silence_dtype_warnings=True)


def _unhook(module: Any) -> None:
    for each in module.modules():
        hooks = vars(each).get("_diffusers_hook")
        for name in _GROUP_HOOKS if hooks is not None else ():
            hooks.remove_hook(name, recurse=False)
