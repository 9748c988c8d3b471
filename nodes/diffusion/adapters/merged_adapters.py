"""Adapters that peft does not compute are merged into copies of the weights that they change.

The weights of the modules are shared by all nodes and never written to: for the time of a run a
module has another parameter in the place of its own, which it gets back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem

from .adapter_files import TargetedLayer
from .adapter_formulas import change_bias, change_weight

if TYPE_CHECKING:
    from torch import Tensor

_PLAIN_WEIGHT = "plain_weight"
"""The method of layers whose weight is in blocks of a GGUF file, which computes its numbers."""

ParameterKey = tuple[str, str]
"""A component and the name of one of its parameters."""


@contextmanager
def merge_adapters(
    pipe: Any, adapters: Iterable[tuple[str, float, Iterable[TargetedLayer]]]
) -> Iterator[None]:
    """Merges adapters into copies of a pipeline's weights, and puts the weights back afterwards.

    Args:
        pipe: The pipeline.
        adapters: The names of adapters in messages, each with its scale and its layers.

    Raises:
        InvalidValueError: A weight has another shape, or is stored in a way that cannot be changed.
    """
    import torch

    changed = _changed_weights(pipe, list(adapters))
    owners = []
    try:
        for key in list(changed):
            module, name = _owner(pipe, key)
            owners.append((module, name, module._parameters[name]))
            # A sum is let go as soon as the weight has its own dtype.
            module._parameters[name] = torch.nn.Parameter(
                changed.pop(key).to(_dtype(pipe, key)), requires_grad=False
            )
        yield
    finally:
        for module, name, own in owners:
            module._parameters[name] = own


def _changed_weights(
    pipe: Any, adapters: Sequence[tuple[str, float, Iterable[TargetedLayer]]]
) -> dict[ParameterKey, Tensor]:
    """The parameters that adapters change, as they become: in float32 if there are several."""
    # Sums are of float32; a weight that one adapter changes is stored in its own dtype at once.
    alone = len(adapters) == 1
    changed: dict[ParameterKey, Tensor] = {}
    for source, scale, layers in adapters:
        for layer in layers:
            try:
                for key, value in _changes(pipe, layer, scale):
                    total = changed[key] + (value - _plain(pipe, key)) if key in changed else value
                    changed[key] = total.to(_dtype(pipe, key)) if alone else total
            except (RuntimeError, AttributeError, ValueError) as error:
                wanted = "an adapter whose layers the checkpoint's network has"
                found = f"{source}: {layer.layers[0]}: {' '.join(str(error).split())[:200]}"
                raise InvalidValueError(Problem("loras", found, wanted)) from error
    return changed


def _changes(
    pipe: Any, layer: TargetedLayer, scale: float
) -> Iterator[tuple[ParameterKey, Tensor]]:
    """The parameters that a layer of an adapter changes, as they become, in float32.

    The weights of several layers for one layer of the adapter are joined, as its first code has
    them, and separated again.
    """
    import torch

    names = [_weight_name(pipe, layer.component, name) for name in layer.layers]
    weights = [_plain(pipe, (layer.component, name)) for name in names]
    rows = [weight.shape[0] for weight in weights]
    kinds = set(layer.tensors)
    device = weights[0].device
    tensors = {name: tensor.to(device) for name, tensor in layer.tensors.items()}
    if kinds - {"diff_b", "alpha"}:
        joined = _swap(torch.cat(weights), layer.swapped)
        result = _swap(change_weight(joined, tensors, scale), layer.swapped)
        for name, part in zip(names, result.split(rows), strict=True):
            yield (layer.component, name), part
    names = [f"{name.removesuffix('.weight')}.bias" for name in names]
    has_bias = all(_has(pipe, layer.component, name) for name in names)
    if kinds & {"diff_b", "up_bias"} or (has_bias and "ia3_l" in kinds):
        joined = _swap(
            torch.cat([_plain(pipe, (layer.component, name)) for name in names]), layer.swapped
        )
        result = _swap(change_bias(joined, tensors, scale), layer.swapped)
        for name, part in zip(names, result.split(rows), strict=True):
            yield (layer.component, name), part


def _swap(rows: Tensor, swapped: bool) -> Tensor:
    """A tensor with the two halves of its rows in the other order, if they are swapped."""
    import torch

    return torch.cat(rows.chunk(2)[::-1]) if swapped else rows


def _weight_name(pipe: Any, component: str, layer: str) -> str:
    """The name of a layer's weight: the layer may be a parameter itself."""
    return layer if _has(pipe, component, layer) else f"{layer}.weight"


def _has(pipe: Any, component: str, name: str) -> bool:
    """Whether a component has a parameter of a name."""
    path, _, last = name.rpartition(".")
    try:
        return last in pipe.components[component].get_submodule(path)._parameters
    except AttributeError:  # a parameter, or nothing, has the name of the module
        return False


def _plain(pipe: Any, key: ParameterKey) -> Tensor:
    """A parameter in float32; raises ValueError for one that is quantized.

    The blocks of a GGUF file are computed: a merged weight takes the memory of its numbers.
    """
    module, name = _owner(pipe, key)
    if name == "weight" and hasattr(module, _PLAIN_WEIGHT):
        return getattr(module, _PLAIN_WEIGHT)().float()
    parameter = _parameter(pipe, key)
    quantized = type(parameter).__name__ != "Parameter" or not parameter.is_floating_point()
    if quantized or type(parameter.data).__name__ != "Tensor" or parameter.itemsize < 2:
        raise ValueError("its weight is quantized, so that nothing can be added to it")
    return parameter.detach().float()


def _dtype(pipe: Any, key: ParameterKey) -> Any:
    """The dtype that a parameter is computed in."""
    module, name = _owner(pipe, key)
    in_blocks = name == "weight" and hasattr(module, _PLAIN_WEIGHT)
    return module.compute_dtype if in_blocks else _parameter(pipe, key).dtype


def _parameter(pipe: Any, key: ParameterKey) -> Tensor:
    return pipe.components[key[0]].get_parameter(key[1])


def _owner(pipe: Any, key: ParameterKey) -> tuple[Any, str]:
    """The module that has a parameter, and the parameter's name in it."""
    path, _, name = key[1].rpartition(".")
    return pipe.components[key[0]].get_submodule(path), name
