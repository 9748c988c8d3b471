"""Colours by name or number, as every node takes them."""

from __future__ import annotations

from sdgraph.graph import refuse


def check_colour(field: str, colour: str) -> None:
    """Raises the error of a node's own validator where a field holds no colour."""
    try:
        parse_rgba(colour)
    except ValueError:
        raise refuse(field, found=repr(colour), wanted="a colour name or #rrggbb") from None


def parse_rgba(colour: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha, each 0..255; raises ValueError for what is no colour."""
    from PIL import ImageColor

    red, green, blue, *alpha = ImageColor.getrgb(colour)
    return red, green, blue, alpha[0] if alpha else 255
