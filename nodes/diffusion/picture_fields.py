"""What several nodes do with their fields for pictures and for the size of one."""

from __future__ import annotations

from sdgraph.graph import refuse
from sdgraph.values import Checkpoint

from .families import ModelFamily


def refuse_empty_list(field: str, pictures: object) -> None:
    """Raises a refusal of a field that is a list of pictures without any.

    Args:
        field: The name of the field.
        pictures: Its value: a picture, a node, or a list of them.
    """
    if isinstance(pictures, list | tuple) and not pictures:
        raise refuse(field, found="an empty list", wanted="at least one picture")


def chosen_sides(
    family: ModelFamily, checkpoint: Checkpoint, width: int | None, height: int | None
) -> dict[str, int]:
    """The usual sides of a checkpoint's pictures, by name, where they were not given.

    Args:
        family: The family of the checkpoint.
        checkpoint: The checkpoint.
        width: The width in pixels; None if it was not given.
        height: The height in pixels; None if it was not given.
    """
    given = {"width": width, "height": height}
    sides = family.sides(checkpoint, width, height)
    return {name: side for name, side in sides.items() if side and not given[name]}
