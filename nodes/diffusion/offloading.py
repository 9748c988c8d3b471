"""Weights kept in host memory while a pipeline runs: by model, by layer, or by groups of layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

Offload = Literal["none", "model", "group", "sequential"]
"""How much is on the device at once: all, a model, a block of one, a layer."""

_HOOKS = ("group_offloading", "layer_execution_tracker", "lazy_prefetch_group_offloading")
"""What diffusers calls the hooks of group offloading."""


@contextmanager
def offloaded(pipe: Any, how: Offload, device: str) -> Iterator[None]:
    """The pipeline with its modules moved to the device as `how` asks, and back.

    On a CPU everything is in host memory already, so there is nothing to move. The modules are
    shared with other nodes, which must not find the hooks.
    """
    if how == "none" or device == "cpu":
        yield
    elif how == "group":
        with _in_groups(pipe, device):
            yield
    else:
        try:
            if how == "model":
                pipe.enable_model_cpu_offload(device=device)
            else:
                pipe.enable_sequential_cpu_offload(device=device)
            yield
        finally:
            pipe.remove_all_hooks()
            pipe.to("cpu", silence_dtype_warnings=True)


@contextmanager
def _in_groups(pipe: Any, device: str) -> Iterator[None]:
    """Block by block what runs once a step, layer by layer what is called in other ways.

    A block's hook waits for `forward`, and of a VAE only `decode` is called.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    parts = pipe.components.items()
    modules = {name: part for name, part in parts if isinstance(part, torch.nn.Module)}
    before = {
        id(each): (each, "forward" in vars(each), "_diffusers_hook" in vars(each))
        for module in modules.values()
        for each in module.modules()
    }
    try:
        for name, module in modules.items():
            by_block = name in ("unet", "controlnet")
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
        for name in _HOOKS if hooks is not None else ():
            hooks.remove_hook(name, recurse=False)
