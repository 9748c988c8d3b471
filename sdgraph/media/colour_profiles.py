"""Converts pictures with a colour profile, or a gamma of PNG, to sRGB: all nodes compute in it."""

from __future__ import annotations

from io import BytesIO
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import PIL.Image
    from numpy.typing import NDArray
    from PIL.ImageCms import ImageCmsProfile

_MODES = {"RGB ": ("RGB", "RGBA", "RGBX"), "CMYK": ("CMYK",), "GRAY": ("L", "LA", "I;16")}
"""The modes that a profile can describe, by the colour space in its header."""

_CHANNELS = {"P": ("RGB", "RGBA"), "RGB": ("RGB", "RGBA"), "L": ("L", "LA")}
"""The modes without and with alpha in which pictures of some modes are converted."""

_GAMMAS = (0.1, 4.0)
"""The least and the largest gamma of a PNG that is believed; others are errors of programs."""

_GAMMA_MODES = ("L", "LA", "P", "RGB", "RGBA", "I;16")
"""The modes of PNG files whose numbers a gamma changes: in black and white it changes none."""

_SRGB_GAMMA = 1 / 2.2
"""The gamma that programs write for sRGB."""

_SAME_GAMMA = 0.02
"""How much a gamma may differ from that of sRGB and be taken for it."""

_SAME_COLOUR = 2
"""How many of 255 a colour may differ that is taken for the same: profiles are rounded."""


def convert_to_srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A picture with its colours as sRGB; the same picture if it has no profile of its own.

    A profile that is damaged, or that is not of the picture's mode, is ignored, as viewers do.
    The `gAMA` chunk of a PNG counts if the file has no profile, as the PNG specification wants.

    Args:
        picture: A picture with the ICC profile of its file in `info`.
    """
    profile = find_profile(picture)
    if profile is None:
        gamma = find_gamma(picture)
        return picture if gamma is None else _convert_gamma(picture, gamma)
    picture = _with_channels(picture)
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


def find_gamma(picture: PIL.Image.Image) -> float | None:
    """The gamma with which a picture's light was encoded; None if it is that of sRGB, or unknown.

    Numbers are light to the power of gamma, both from 0 to 1; with a gamma of 1 they are linear.
    """
    info = picture.info
    gamma = info.get("gamma")
    if gamma is None or picture.mode not in _GAMMA_MODES or "srgb" in info:
        return None
    if info.get("icc_profile"):  # damaged or of another mode: nothing is known
        return None
    low, high = _GAMMAS
    is_believed = low <= gamma <= high and abs(gamma - _SRGB_GAMMA) > _SAME_GAMMA
    return float(gamma) if is_believed else None


def profile_name(picture: PIL.Image.Image) -> str | None:
    """The name of the profile from which `convert_to_srgb` converts; None if it does not."""
    from PIL import ImageCms

    profile = find_profile(picture)
    if profile is None:
        gamma = find_gamma(picture)
        return None if gamma is None else f"a gamma of {gamma:.3g}"
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


def _with_channels(picture: PIL.Image.Image) -> PIL.Image.Image:
    """A picture without a palette; transparency is alpha and no colour, which would be changed."""
    opaque, transparent = _CHANNELS.get(picture.mode, (picture.mode, picture.mode))
    mode = transparent if picture.has_transparency_data else opaque
    return picture if mode == picture.mode else picture.convert(mode)


def _convert_gamma(picture: PIL.Image.Image, gamma: float) -> PIL.Image.Image:
    """A picture encoded with a gamma as sRGB (IEC 61966-2-1), with its mode, alpha unchanged."""
    import numpy as np
    import PIL.Image

    picture = _with_channels(picture)
    info = {key: value for key, value in picture.info.items() if key != "gamma"}
    if picture.mode == "I;16":
        numbers = np.rint(_encode_srgb(np.asarray(picture) / 65535, gamma) * 65535)
        converted = PIL.Image.fromarray(numbers.astype(np.uint16))
    else:
        levels = np.rint(_encode_srgb(np.arange(256) / 255, gamma) * 255).astype(int).tolist()
        same = list(range(256))
        bands = picture.getbands()
        converted = picture.point([v for band in bands for v in (same if band == "A" else levels)])
    converted.info = info
    return converted


def _encode_srgb(numbers: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """Numbers from 0 to 1 of light to the power of gamma, encoded as sRGB."""
    light = numbers ** (1 / gamma)
    curve: NDArray[np.float64] = 1.055 * light ** (1 / 2.4) - 0.055
    return (light > 0.0031308) * curve + (light <= 0.0031308) * 12.92 * light


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
