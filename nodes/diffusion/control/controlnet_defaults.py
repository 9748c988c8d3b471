"""The default ControlNet for each kind of control map over each kind of base checkpoint."""

from __future__ import annotations

from sdgraph.errors import CheckpointError, Problem
from sdgraph.nodes.diffusion.families import likely_family
from sdgraph.values import Checkpoint


def default_controlnet(base: object, kind: type) -> Checkpoint:
    """The ControlNet for a kind of control map over a base checkpoint, in the base's dtype.

    Args:
        base: The value of a checkpoint port.
        kind: The class of the control map, such as `EdgeMap`.

    Raises:
        CheckpointError: None is known for this kind; the error lists the kinds that have one.
    """
    _refuse_unknown(base)
    assert isinstance(base, Checkpoint)
    version = likely_family(base, "controlnet").version_of(base)
    if kind not in version.controlnets:
        kinds = ", ".join(supported.__name__ for supported in version.controlnets)
        found = f"no known ControlNet for {kind.__name__} over {version.label}"
        wanted = f"a kind that has one: {kinds}" if kinds else "a ControlNet by name"
        raise CheckpointError(Problem("", found, wanted, "name one with `controlnet:`"))
    return Checkpoint(version.controlnets[kind], dtype=base.dtype)


def default_repainting_controlnet(base: object) -> Checkpoint:
    """The ControlNet that reads a picture and a mask and no map, in the base's dtype.

    Args:
        base: The value of a checkpoint port.

    Raises:
        CheckpointError: The base's family has none.
    """
    _refuse_unknown(base)
    assert isinstance(base, Checkpoint)
    version = likely_family(base, "controlnet").version_of(base)
    if not version.repainting_controlnet:
        found = f"no control map, and no known ControlNet over {version.label} without one"
        fix = "add `control:`, or name such a ControlNet with `controlnet:`"
        raise CheckpointError(Problem("", found, "a control map", fix))
    return Checkpoint(version.repainting_controlnet, dtype=base.dtype)


def _refuse_unknown(base: object) -> None:
    """Raises CheckpointError for a base checkpoint that another node makes."""
    if not isinstance(base, Checkpoint):
        raise CheckpointError(
            Problem(
                "the base",
                "a checkpoint that another node makes",
                "a network for it by name",
                "add `controlnet: …`",
            )
        )
