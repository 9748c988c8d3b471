"""Draws text on a picture, in Pillow's own font or in one from a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, SourceFile, refuse
from sdgraph.values import Image

from .colour import check_colour, parse_rgba

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Text"]

Anchor = Literal[
    "top left",
    "top",
    "top right",
    "left",
    "center",
    "right",
    "bottom left",
    "bottom",
    "bottom right",
]

_LONGEST = 10_000
"""The largest number of characters; more fit on no picture."""


class Text(Node[Image]):
    """Draws text on a picture; line breaks start new lines, and no line is wrapped."""

    category = "picture"

    image: In[Image] = Field(description="a picture of any size; text that does not fit is cut off")
    text: In[str] = Field(description="the text to draw")
    anchor: Anchor = Field(
        default="top left",
        description="where in the picture; with `position`, which point of the text is there",
    )
    position: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="[x, y] in pixels; if not given, the side or corner that `anchor` names",
    )
    margin: int = Field(
        default=4,
        ge=0,
        le=16_384,
        description="pixels to the border of the picture, without `position`",
    )
    size: float = Field(
        default=24.0, ge=1, le=1024, description="the height of the letters in pixels"
    )
    color: str = Field(default="white", description="of the letters: a name, #rrggbb or #rrggbbaa")
    stroke: float = Field(
        default=0.0, ge=0, le=64, description="the width of the outline around letters in pixels"
    )
    stroke_color: str = Field(
        default="black", description="of the outline: a name, #rrggbb or #rrggbbaa"
    )
    font: SourceFile | None = Field(
        default=None, description="a TrueType or OpenType file; Pillow's own font if not given"
    )

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        check_colour("color", self.color)
        check_colour("stroke_color", self.stroke_color)
        if any(abs(number) > 1_000_000 for number in self.position or ()):
            raise refuse(
                "position",
                found=str(list(self.position or ())),
                wanted="pixels of -1,000,000..1,000,000",
            )
        return self

    def check(self) -> Iterator[Problem]:
        if self.font is not None:
            try:
                _load_font(self.font, self.size)
            except OSError as error:
                yield Problem("font", f"{self.font}: {error}", "a TrueType or OpenType font")

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, text: str) -> Image:
        import numpy as np

        style = {
            "font": _load_font(self.font, self.size),
            "fill": parse_rgba(self.color),
            "stroke_width": self.stroke,
            "stroke_fill": parse_rgba(self.stroke_color) if self.stroke else None,
        }
        x, y = self.position or self._anchor_point(image.size)
        return Image(np.asarray(draw_text(image.pil, text, (x, y), self.anchor, style)))

    def _anchor_point(self, size: tuple[int, int]) -> tuple[int, int]:
        """The point of the picture for the anchor of the text."""
        across, down = _sides(self.anchor)
        x = {"l": self.margin, "m": size[0] // 2, "r": size[0] - self.margin}[across]
        y = {"a": self.margin, "m": size[1] // 2, "d": size[1] - self.margin}[down]
        return x, y


def draw_text(
    picture: PIL.Image.Image,
    text: str,
    place: tuple[int, int],
    anchor: str,
    style: dict[str, Any],
) -> PIL.Image.Image:
    """The picture with text drawn on it.

    Args:
        picture: The picture, RGB or RGBA.
        text: The text, with line breaks.
        place: x and y in pixels of the anchor.
        anchor: The point of the text that is at `place`.
        style: The arguments for Pillow: font, fill, stroke_width, stroke_fill.

    Raises:
        InvalidValueError: The text cannot be drawn.
    """
    import PIL.Image
    from PIL import ImageDraw

    if len(text) > _LONGEST:
        found = f"{len(text)} characters"
        raise InvalidValueError(Problem("text", found, f"at most {_LONGEST}"))
    if not text.strip():
        return picture
    across, down = _sides(anchor)
    # Pillow replaces alpha when it draws, and ignores the alpha of the colour it draws with.
    layered = picture.mode == "RGBA" or any(
        len(ink) == 4 and ink[3] < 255 for ink in style.values() if type(ink) is tuple
    )
    transparent = (*style["fill"][:3], 0)
    layer = PIL.Image.new("RGBA", picture.size, transparent) if layered else picture
    try:
        ImageDraw.Draw(layer).text(place, text, anchor=across + down, align=_ALIGN[across], **style)
    except (ValueError, OSError, PIL.Image.DecompressionBombError) as error:
        found = f"{text[:40]!r}, which cannot be drawn ({error})"
        raise InvalidValueError(
            Problem("text", found, "fewer, smaller or other letters")
        ) from error
    if not layered:
        return picture
    return PIL.Image.alpha_composite(picture.convert("RGBA"), layer).convert(picture.mode)


_ALIGN = {"l": "left", "m": "center", "r": "right"}


def _sides(anchor: str) -> tuple[str, str]:
    """An anchor as Pillow's letters for left, middle, right and ascender, middle, descender."""
    across = "l" if "left" in anchor else "r" if "right" in anchor else "m"
    return across, "a" if "top" in anchor else "d" if "bottom" in anchor else "m"


def _load_font(path: Any, size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
