"""Keeps weights in host memory while a pipeline runs: by model, by layer, or by groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from sdgraph.nodes.diffusion.families import CONTROLNET, ModelFamily

from .module_hooks import without_new_hooks

Offload = Literal["none", "model", "group", "sequential"]
"""What is on the device at once: everything, one model, one block of a model, or one layer."""

_GROUP_HOOKS = (
    "group_offloading",
    "layer_execution_tracker",
    "lazy_prefetch_group_offloading",
)
"""The names of diffusers' hooks for group offloading."""


@contextmanager
def offload_modules(
    pipe: Any, offload: Offload, device: str, family: ModelFamily
) -> Iterator[None]:
    """Moves a pipeline's modules to the device as they are needed, and back afterwards.

    On a CPU there is nothing to move. The hooks are removed afterwards, because the modules are
    shared with other nodes.

    Args:
        pipe: The pipeline.
        offload: What is on the device at once.
        device: The device, such as "cuda".
        family: The pipeline's family.
    """
    if offload == "none" or device == "cpu":
        yield
    elif offload == "group":
        with _offload_groups(pipe, device, family):
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
def _offload_groups(pipe: Any, device: str, family: ModelFamily) -> Iterator[None]:
    """Moves the networks that run once per step block by block, other modules layer by layer.

    A block's hook runs in `forward`, but pipelines call only `decode` of a decoder.
    """
    import torch
    from diffusers.hooks import apply_group_offloading

    components = pipe.components.items()
    modules = {
        name: component for name, component in components if isinstance(component, torch.nn.Module)
    }
    with without_new_hooks(list(modules.values())):
        try:
            for name, module in modules.items():
                by_block = name in (*family.denoisers, CONTROLNET)
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
                _remove_group_hooks(module)
            pipe.to("cpu", silence_dtype_warnings=True)


def _remove_group_hooks(module: Any) -> None:
    for layer in module.modules():
        hooks = vars(layer).get("_diffusers_hook")
        for name in _GROUP_HOOKS if hooks is not None else ():
            hooks.remove_hook(name, recurse=False)
