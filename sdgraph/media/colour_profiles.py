"""Converts pictures with a colour profile to sRGB, in which all nodes compute."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import PIL.Image
    from PIL.ImageCms import ImageCmsProfile

_MODES = {"RGB ": ("RGB", "RGBA", "RGBX"), "CMYK": ("CMYK",), "GRAY": ("L", "LA", "I;16")}
"""The modes that a profile can describe, by the colour space in its header."""

_SAME_COLOUR = 2
"""How many of 255 a colour may differ that is taken for the same: profiles are rounded."""


def convert_to_srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A picture with its colours as sRGB; the same picture if it has no profile of its own.

    A profile that is damaged, or that is not of the picture's mode, is ignored, as viewers do.

    Args:
        picture: A picture with the ICC profile of its file in `info`.
    """
    profile = find_profile(picture)
    if profile is None:
        return picture
    if picture.mode == "P":
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode == "I;16":
        return _convert_grey(picture, profile)
    alpha = picture.getchannel("A") if picture.mode == "LA" else None
    converted = _transform(picture.getchannel("L") if alpha else picture, profile)
    if converted is None:
        return picture
    if alpha is not None:
        converted.putalpha(alpha)
    converted.info = {**picture.info}
    converted.info.pop("icc_profile", None)
    return converted


def find_profile(picture: PIL.Image.Image) -> ImageCmsProfile | None:
    """The profile of a picture whose colours are not those of sRGB; None without such a one."""
    data = picture.info.get("icc_profile")
    if not data:
        return None
    from PIL import ImageCms

    mode = "RGB" if picture.mode == "P" else picture.mode
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(data))
        if mode not in _MODES.get(profile.profile.xcolor_space, ()):
            return None
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
    return None if mode != "CMYK" and _is_srgb(profile, mode) else profile


def profile_name(picture: PIL.Image.Image) -> str | None:
    """The name of the profile from which `convert_to_srgb` converts; None if it does not."""
    from PIL import ImageCms

    profile = find_profile(picture)
    if profile is None:
        return None
    return ImageCms.getProfileDescription(profile).strip() or "a profile without a name"


def _is_srgb(profile: ImageCmsProfile, mode: str) -> bool:
    """Whether a profile leaves colours as they are; a name such as "linear sRGB" misleads."""
    import PIL.Image

    if mode.startswith("RGB"):
        steps = (0, 64, 128, 192, 255)
        colours = bytes(value for colour in product(steps, repeat=3) for value in colour)
        picture = PIL.Image.frombytes("RGB", (25, 5), colours)
    else:
        colours = bytes(value for value in range(256) for _ in "RGB")
        picture = _all_greys()
    converted = _transform(picture, profile)
    if converted is None:
        return False
    return all(
        abs(one - other) <= _SAME_COLOUR
        for one, other in zip(colours, converted.tobytes(), strict=True)
    )


def _all_greys() -> PIL.Image.Image:
    import PIL.Image

    return PIL.Image.frombytes("L", (256, 1), bytes(range(256)))


def _convert_grey(picture: PIL.Image.Image, profile: ImageCmsProfile) -> PIL.Image.Image:
    """A grey picture of 16 bits as sRGB, still of 16 bits: between 256 greys it is interpolated."""
    import numpy as np
    import PIL.Image

    greys = _transform(_all_greys(), profile)
    if greys is None:
        return picture
    levels = np.asarray(greys, np.float64).mean(axis=2)[0] * 257
    numbers = np.interp(np.asarray(picture), np.arange(256) * 257, levels)
    converted = PIL.Image.fromarray(np.rint(numbers).astype(np.uint16))
    converted.info = {key: value for key, value in picture.info.items() if key != "icc_profile"}
    return converted


def _transform(picture: PIL.Image.Image, profile: ImageCmsProfile) -> PIL.Image.Image | None:
    """A picture of a profile as sRGB; None if the profile cannot be used."""
    from PIL import ImageCms

    try:
        return ImageCms.profileToProfile(
            picture,
            profile,
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGBA" if picture.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
