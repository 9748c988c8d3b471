"""Adapter files that are read for a run: their tensors by layer, and what peft's config says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.models import PEFT_CONFIG, PEFT_NAME, read_json, read_tensors
from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.values import Lora

from .adapter_targets import LayerOwner, find_targets, owned_layers
from .lora_layers import flat_name

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TargetedLayer:
    """A layer of an adapter file with its tensors and the layers of a network that it changes.

    Args:
        component: The component that the layers belong to.
        layers: The names of the network's modules or parameters, in the order of the rows.
        tensors: The tensors, by what they are.
        swapped: Whether the network stores the two halves of the rows in the other order.
    """

    component: str
    layers: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    swapped: bool


def read_layers(path: Path, pipe: Any, family: ModelFamily, lora: Lora) -> Iterator[TargetedLayer]:
    """The layers of an adapter file, each with the layers of a pipeline's networks for it.

    Args:
        path: The file.
        pipe: The pipeline.
        family: The pipeline's family.
        lora: The adapter.

    Raises:
        InvalidValueError: A network lacks a layer.
    """
    held = read_tensors(path)
    config = _peft_config(path)
    shapes = {name: tuple(tensor.shape) for name, tensor in held.items()}
    blocks = getattr(pipe.components[family.denoiser.name].config, "layers_per_block", 2)
    known: dict[str, dict[str, str]] = {}
    for name, layer, owner in owned_layers(shapes, family, lora.component):
        module = None if owner is None else pipe.components.get(owner.component)
        if owner is None or module is None:
            _refuse(lora.source, name)
        names = known.setdefault(owner.component, layer_names(module))
        targets = find_targets(owner, family, names, blocks if isinstance(blocks, int) else 2)
        if targets is None:
            _refuse(lora.source, name)
        tensors = {what: held[full_name] for what, full_name in layer.names.items()}
        yield TargetedLayer(
            component=owner.component,
            layers=tuple(names[target] for target in targets),
            tensors=_with_alpha(tensors, name, config),
            swapped=_is_swapped(owner, family, targets),
        )


def layer_names(module: Any) -> dict[str, str]:
    """The names of a network's modules with a weight and of its parameters, by `flat_name`."""
    names = (name.removesuffix(".weight") for name, _ in module.named_parameters())
    return {flat_name(name): name for name in names}


def _is_swapped(owner: LayerOwner, family: ModelFamily, targets: tuple[str, ...]) -> bool:
    flat = flat_name(owner.layer)
    return flat not in targets and family.lora_names.is_swapped(flat)


def _refuse(source: str, layer: str) -> NoReturn:
    found = f"{source}: the networks have no layer for its {layer}"
    wanted = "an adapter whose layers the checkpoint's network has"
    raise InvalidValueError(Problem("loras", found, wanted))


def _peft_config(path: Path) -> Mapping[str, Any]:
    """What peft wrote next to a file about its adapter; {} if there is none."""
    config = path.parent / PEFT_CONFIG
    if path.name != PEFT_NAME or not config.is_file():
        return {}
    return dict(read_json(config))


def _with_alpha(
    tensors: dict[str, Tensor], layer: str, config: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The tensors with the alpha that peft's config gives a layer, if the file has none itself."""
    import torch

    if "alpha" in tensors or not config:
        return tensors
    alpha = config.get("lora_alpha", config.get("alpha"))
    rank = config.get("r")
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        alpha = value if layer.endswith(pattern) else alpha
    for pattern, value in (config.get("rank_pattern") or {}).items():
        rank = value if layer.endswith(pattern) else rank
    if alpha is None or not rank:
        return tensors
    root = rank**0.5 if config.get("use_rslora") else 1.0
    return {**tensors, "alpha": torch.tensor(alpha * root), "peft_rank": torch.tensor(rank)}
