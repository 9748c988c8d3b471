"""Contact sheets: many pictures in rows and columns, each with its label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image

from .resize import fit_size

if TYPE_CHECKING:
    import PIL.Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

__all__ = ["Grid"]

MAX_PIXELS = 89_478_485
"""The largest picture that Pillow opens without a warning."""

LINES = 3
"""The largest number of lines of a label; a longer label ends in an ellipsis."""


class Grid(Node[Image]):
    """Arranges pictures in rows and columns, each fitted into a square cell with a label below.

    The size of the result follows from the cells, the gaps and the lines of the labels.
    """

    category = "picture"
    gathers_copies: ClassVar[bool] = True

    images: Sequence[In[Image]] = Field(
        min_length=1, description="pictures of any size, row by row"
    )
    labels: list[str] = Field(
        default=[], description="a text for each picture; empty for no labels"
    )
    columns: int = Field(
        default=0, ge=0, le=1000, description="the number of columns; 0 for about as many as rows"
    )
    cell: int = Field(
        default=256, ge=16, le=4096, description="the width and height of a cell in pixels"
    )
    gap: int = Field(
        default=8, ge=0, le=512, description="pixels between the cells and around them"
    )
    background: str = Field(default="white", description="a colour name or #rrggbb")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        from PIL import ImageColor

        if self.labels and len(self.labels) != len(self.images):
            found = f"{len(self.labels)} labels for {len(self.images)} pictures"
            raise refuse("labels", found=found, wanted="a label for each picture, or none")
        try:
            ImageColor.getcolor(self.background, "RGB")
        except ValueError:
            wanted = "a colour name or #rrggbb"
            raise refuse("background", found=repr(self.background), wanted=wanted) from None
        width, height = self._size()
        if width * height > MAX_PIXELS:
            found = f"{len(self.images)} cells of {self.cell} pixels: a sheet of {width}×{height}"
            raise refuse(
                "cell",
                found=found,
                wanted=f"at most {MAX_PIXELS} pixels",
                fix="make the cells smaller",
            )
        return self

    def run(self, images: tuple[Image, ...]) -> Image:
        import PIL.Image
        from PIL.Image import Resampling

        cell = (self.cell, self.cell)
        sheet = PIL.Image.new("RGB", self._size(), self.background)
        for index, image in enumerate(images):
            left, top = self._corner(index)
            fitted = image.pil.resize(fit_size(image.size, cell), Resampling.LANCZOS)
            dx, dy = ((self.cell - side) // 2 for side in fitted.size)
            mask = fitted.getchannel("A") if fitted.mode == "RGBA" else None
            sheet.paste(fitted.convert("RGB"), (left + dx, top + dy), mask)
            if self.labels:
                self._draw_label(sheet, self.labels[index], (left, top + self.cell))
        return Image.from_pil(sheet)

    def _column_count(self) -> int:
        return min(self.columns or math.ceil(math.sqrt(len(self.images))), len(self.images))

    def _font_size(self) -> int:
        return max(10, self.cell // 16)

    def _row_height(self) -> int:
        """The height of a row with its label and one gap."""
        label = self._line_height() * max(map(_max_line_count, self.labels), default=0)
        return self.cell + self.gap + label

    def _line_height(self) -> int:
        return math.ceil(self._font_size() * 1.3)

    def _size(self) -> tuple[int, int]:
        columns = self._column_count()
        rows = math.ceil(len(self.images) / columns)
        return columns * (self.cell + self.gap) + self.gap, rows * self._row_height() + self.gap

    def _corner(self, index: int) -> tuple[int, int]:
        """The left and top of a picture's cell."""
        row, column = divmod(index, self._column_count())
        return self.gap + column * (self.cell + self.gap), self.gap + row * self._row_height()

    def _draw_label(self, sheet: PIL.Image.Image, label: str, corner: tuple[int, int]) -> None:
        from PIL import ImageColor, ImageDraw, ImageFont

        red, green, blue = ImageColor.getrgb(self.background)[:3]
        ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else "white"
        font = ImageFont.load_default(self._font_size())
        left, top = corner
        draw = ImageDraw.Draw(sheet)
        for number, line in enumerate(wrap_label(label, font, self.cell)):
            draw.text((left, top + number * self._line_height()), line, fill=ink, font=font)


def wrap_label(label: str, font: FreeTypeFont | ImageFont, width: int) -> list[str]:
    """Wraps a label into at most LINES lines; an ellipsis marks where it was cut.

    Args:
        label: The text.
        font: The font that it is drawn in.
        width: The largest width of a line in pixels.
    """
    lines = [""]
    for word in label.split():
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"{lines[LINES - 1]}…"]
    return [_shorten(line, font, width) for line in lines]


def _shorten(line: str, font: FreeTypeFont | ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.rstrip("…")
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1]
    return f"{line}…"


def _max_line_count(label: str) -> int:
    return min(LINES, len(label.split()))
