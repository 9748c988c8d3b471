"""The filters by which pictures and masks are resized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL.Image import Resampling

Resample = Literal["nearest", "bilinear", "bicubic", "lanczos"]
"""The names of the filters, as Pillow names them."""


def pillow_filter(name: Resample) -> Resampling:
    """Pillow's filter of a name."""
    from PIL.Image import Resampling

    return Resampling[name.upper()]
