"""Converts pictures with a colour profile to sRGB, in which all nodes compute."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image

_SPACES = {"RGB ": ("RGB", "RGBA", "RGBX"), "CMYK": ("CMYK",), "GRAY": ("L",)}
"""The modes that a profile can describe, by the colour space in its header."""


def convert_to_srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A picture with its colours as sRGB; the same picture if it has no profile of its own.

    A profile that is damaged, or that is not of the picture's mode, is ignored, as viewers do.

    Args:
        picture: A picture with the ICC profile of its file in `info`.
    """
    profile_bytes = picture.info.get("icc_profile")
    if not profile_bytes:
        return picture
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(profile_bytes))
        if "srgb" in ImageCms.getProfileDescription(profile).lower():
            return picture
        if picture.mode not in _SPACES.get(profile.profile.xcolor_space, ()):
            return picture
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(
            picture,
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode=mode,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture
    if converted is None:
        return picture
    converted.info.pop("icc_profile", None)
    return converted
