"""Colours by name or number, as the fields of nodes accept them."""

from __future__ import annotations

from sdgraph.graph import refuse


def check_colour(field: str, colour: str) -> None:
    """Raises the validation error of a field whose text is no colour.

    Args:
        field: The name of the field.
        colour: Its value.
    """
    try:
        parse_rgba(colour)
    except ValueError:
        raise refuse(field, found=repr(colour), wanted="a colour name or #rrggbb") from None


def parse_rgba(colour: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha of a colour, each 0..255; raises ValueError for another text."""
    from PIL import ImageColor

    red, green, blue, *alpha = ImageColor.getrgb(colour)
    return red, green, blue, alpha[0] if alpha else 255
