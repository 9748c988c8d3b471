"""The control maps of a ControlNet node, and the arguments of a pipeline's call for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import ControlSettings, ModelFamily, UnionSettings
from sdgraph.values import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Control:
    """One control map of a node.

    Args:
        kind: The class of the map.
        network: Its ControlNet; not a checkpoint if another node makes it.
        scale: How strongly it is followed.
        start: The share of the steps after which it starts.
        end: The share of the steps after which it ends.
    """

    kind: type
    network: Any
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Its ControlNet, None if another node makes it."""
        return self.network if isinstance(self.network, Checkpoint) else None


def union_of(network: Checkpoint | None, family: ModelFamily) -> UnionSettings | None:
    """The settings of a union ControlNet; None for a ControlNet that takes no kind of map.

    Args:
        network: The ControlNet; for one that is not on this disk the result is None.
        family: The family of its base.
    """
    union = family.control.union
    config = resolve(network).config() if network is not None and union is not None else None
    if union is None or config is None or config.get("_class_name") != union.class_name:
        return None
    return union if config.get(union.count) is not None else None


def mode_of(control: Control, family: ModelFamily) -> int | None:
    """The `control_mode` of a map: the number of its kind; None if the ControlNet takes none."""
    union = union_of(control.checkpoint, family)
    return None if union is None else union.modes.get(control.kind)


def shares_network(controls: Sequence[Control], family: ModelFamily) -> bool:
    """Whether one network reads several maps at once."""
    first = controls[0].checkpoint
    if len(controls) == 1 or any(control.checkpoint != first for control in controls):
        return False
    union = union_of(first, family)
    return family.control.several == "one network" or bool(union and union.pipelines)


def conditioning_arguments(controls: Sequence[Control], family: ModelFamily) -> dict[str, Any]:
    """How strongly and in which steps each map is followed, as arguments of a pipeline's call.

    Args:
        controls: The maps, one or several.
        family: The pipeline's family.
    """
    arguments: dict[str, list[Any]] = {
        "controlnet_conditioning_scale": [float(control.scale) for control in controls]
    }
    if family.control.has_timing:
        arguments["control_guidance_start"] = [float(control.start) for control in controls]
        arguments["control_guidance_end"] = [float(control.end) for control in controls]
    modes = [mode_of(control, family) for control in controls]
    if any(mode is not None for mode in modes):
        arguments["control_mode"] = modes
    elif len(controls) > 1 and family.control.union and not family.control.union.pipelines:
        arguments["control_mode"] = modes  # its pipelines want an item for each network
    if len(controls) == 1:
        return {argument: values[0] for argument, values in arguments.items()}
    return arguments


def map_argument(control: Control, family: ModelFamily) -> str:
    """The argument for the map of a pipeline that starts from noise."""
    union = union_of(control.checkpoint, family)
    return "control_image" if union and union.pipelines else family.control.map_argument


def picture_arguments(
    argument: str,
    settings: ControlSettings,
    maps: Any,
    image: Any = None,
    mask: Any = None,
    *,
    strength: float,
    size: Mapping[str, int],
) -> dict[str, Any]:
    """The pictures as arguments of a pipeline's call; pipelines name them differently.

    Args:
        argument: The argument for the map of a pipeline that starts from noise.
        settings: How its family takes ControlNets.
        maps: The control map, or a list of several; None if the ControlNet reads none.
        image: The picture to start from, if any.
        mask: The mask to repaint, if any.
        strength: How much of the picture changes.
        size: The width and height.
    """
    if image is None:
        return {argument: maps, **size}
    if mask is None:
        return {"image": image, "control_image": maps, "strength": strength, **size}
    if not settings.repaints_by_map:
        return {"control_image": image, "control_mask": mask, **size}
    arguments = {"image": image, "mask_image": mask, "control_image": maps, **size}
    return {**arguments, "strength": strength} if settings.has_strength else arguments


def kinds_of(controls: Sequence[Any]) -> list[type]:
    """The kind of each map, which may be a value or the node that makes it."""
    return [getattr(control, "output", type(control)) for control in controls]
