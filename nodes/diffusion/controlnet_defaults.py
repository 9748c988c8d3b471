"""Which ControlNet fits which kind of control map over which base."""

from __future__ import annotations

from sdgraph.errors import CheckpointError, Problem
from sdgraph.values import Checkpoint

from .families import likely_family


def default_controlnet(base: object, kind: type) -> Checkpoint:
    """The ControlNet for a kind of control map over a base checkpoint.

    Raises:
        CheckpointError: Where the base's family knows none; it lists the kinds which have one.
    """
    if not isinstance(base, Checkpoint):
        raise CheckpointError(
            Problem(
                "the base",
                "a checkpoint that another node makes",
                "a network for it by name",
                "add `controlnet: …`",
            )
        )
    version = likely_family(base, "controlnet").version_of(base)
    if kind not in version.controlnets:
        known = ", ".join(each.__name__ for each in version.controlnets) or "none"
        found = f"no known ControlNet for {kind.__name__} over {version.label}"
        wanted = f"a kind that has one: {known}"
        raise CheckpointError(Problem("", found, wanted, "name one with `controlnet:`"))
    return Checkpoint(version.controlnets[kind], dtype=base.dtype)
