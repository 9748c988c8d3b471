"""Colour profiles made by hand: Adobe RGB (1998), linear sRGB, greys, and the inks of a printer."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from itertools import product

_D50 = (0.9642, 1.0, 0.8249)
_ADOBE_RGB = {
    b"rXYZ": (0.60974, 0.31111, 0.01947),
    b"gXYZ": (0.20528, 0.62567, 0.06087),
    b"bXYZ": (0.14919, 0.06322, 0.74457),
}
_SRGB = {
    b"rXYZ": (0.43607, 0.22249, 0.01392),
    b"gXYZ": (0.38515, 0.71687, 0.09708),
    b"bXYZ": (0.14307, 0.06061, 0.71410),
}
_INKS = ((0, 120, 200), (200, 0, 120), (240, 220, 0), (30, 30, 30))
"""The colours of cyan, magenta, yellow and black on white paper, in linear light of 0..255."""


def adobe_rgb_profile() -> bytes:
    """The bytes of an ICC profile of version 2 with three primaries and one gamma."""
    return _display_profile(b"Adobe RGB by hand\0", _ADOBE_RGB, 563 / 256)


def linear_srgb_profile() -> bytes:
    """A profile whose name speaks of sRGB, but with linear light."""
    return _display_profile(b"Linear sRGB by hand\0", _SRGB, 1.0)


def grey_profile(gamma: float | None) -> bytes:
    """The profile of a grey picture with a gamma; None is the curve of sRGB."""
    if gamma is None:
        greys = [n / 255 for n in range(256)]
        light = [g / 12.92 if g <= 0.04045 else ((g + 0.055) / 1.055) ** 2.4 for g in greys]
        points = [round(65535 * value) for value in light]
    else:
        points = [round(gamma * 256)]
    curve = b"curv" + bytes(4) + struct.pack(f">I{len(points)}H", len(points), *points)
    tags = {b"desc": _description(b"greys by hand\0"), b"wtpt": _xyz(_D50)}
    return _profile(b"mntr", b"GRAY", b"XYZ ", {**tags, b"kTRC": curve + bytes(-len(curve) % 4)})


def cmyk_profile() -> bytes:
    """The profile of a printer with four inks; inks over one another are multiplied.

    Source: ICC.1:2001-04, section 6.5.8, lut8Type.
    """
    tags = {b"desc": _description(b"inks by hand\0"), b"A2B0": _ink_table(), b"wtpt": _xyz(_D50)}
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


def _display_profile(
    name: bytes, primaries: Mapping[bytes, tuple[float, ...]], gamma: float
) -> bytes:
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = {
        b"desc": _description(name),
        b"wtpt": _xyz(_D50),
        **{tag: _xyz(primary) for tag, primary in primaries.items()},
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve),
    }
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def _profile(kind: bytes, space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {**tags, b"cprt": b"text" + bytes(4) + b"none" + bytes(4)}
    table, data = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, body in tags.items():
        table += name + struct.pack(">II", begin + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    header = struct.pack(">I4sI4s4s4s", begin + len(data), b"", 0x02100000, kind, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + _numbers(_D50)
    return header.ljust(128, b"\0") + table + data


def _description(name: bytes) -> bytes:
    body = b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78)
    return body + bytes(-len(body) % 4)


def _ink_table() -> bytes:
    """The colour in Lab of each combination of full inks, between which is interpolated."""
    entries = b""
    for used in product((0, 1), repeat=4):
        light = [1.0, 1.0, 1.0]
        for ink, is_used in zip(_INKS, used, strict=True):
            light = [one * (of / 255 if is_used else 1) for one, of in zip(light, ink, strict=True)]
        entries += bytes(_lab(light))
    ramp = bytes(range(256))
    matrix = _numbers((1, 0, 0, 0, 1, 0, 0, 0, 1))
    return b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * ramp + entries + 3 * ramp


def _lab(light: list[float]) -> tuple[int, int, int]:
    """Linear sRGB as Lab of D50 in 8 bits."""
    xyz = [
        sum(part * primary[row] for part, primary in zip(light, _SRGB.values(), strict=True))
        for row in range(3)
    ]
    x, y, z = (_root(part / white) for part, white in zip(xyz, _D50, strict=True))
    lab = ((116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128)
    first, second, third = (min(255, max(0, round(value))) for value in lab)
    return first, second, third


def _root(value: float) -> float:
    return value ** (1 / 3) if value > 216 / 24389 else (24389 / 27 * value + 16) / 116


def _numbers(values: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + _numbers(values)
