"""Pictures keep their pixels, modes, orientation and provenance in files."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ImageCms

from sdgraph.errors import MediaError
from sdgraph.media import (
    converted_profile,
    probe_image,
    read_image,
    read_provenance,
    write_image,
    write_video,
)
from sdgraph.values import Image
from tests.support.icc_profiles import (
    adobe_rgb_profile,
    cmyk_profile,
    grey_profile,
    linear_srgb_profile,
)
from tests.support.small_images import PICTURES, PROVENANCE, gradient, mean_difference, small_video


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from((3, 4))).flatmap(
        lambda shape: hnp.arrays(np.uint8, shape)
    ),
    st.sampled_from((".png", ".webp", ".tif", ".bmp")),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
def test_lossless_formats_keep_every_pixel_and_the_provenance(
    tmp_path: Path, pixels: npt.NDArray[np.uint8], suffix: str, text: str
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".bmp":
        pixels = pixels[..., :3]
    stored = write_image(Image(pixels).pil, path, provenance=text, quality=100)
    assert np.array_equal(np.asarray(read_image(path).convert(Image(pixels).pil.mode)), pixels)
    assert stored == (suffix != ".bmp" and bool(text))
    assert read_provenance(path) == (text or None)


@pytest.mark.parametrize("suffix", PICTURES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I", "I;16"])
def test_every_format_takes_every_mode(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    stored = write_image(PIL.Image.new(mode, (5, 3)), path, provenance=PROVENANCE)
    assert probe_image(path)[:2] == read_image(path).size == (5, 3)
    assert read_provenance(path) == PROVENANCE
    assert stored == (suffix != ".bmp")


def test_sixteen_bits_of_grey_survive_png_and_tiff(tmp_path: Path) -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    for suffix in (".png", ".tif"):
        write_image(PIL.Image.fromarray(deep), path := tmp_path / f"a{suffix}")
        assert np.array_equal(np.asarray(read_image(path)), deep)


def test_jpeg_lays_transparency_over_white(tmp_path: Path) -> None:
    clear = PIL.Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    write_image(clear, tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").getpixel((8, 8)) == (255, 255, 255)


def test_quality_changes_the_file(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            write_image(picture, path := tmp_path / f"a{suffix}", quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(gradient()).save(path := tmp_path / f"a{suffix}", exif=exif, quality=95)
    turned = np.rot90(gradient(), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert mean_difference(read_image(path), turned) < 4
    assert probe_image(path) == (turned.shape[1], turned.shape[0], "RGB")


def test_probing_reads_the_header_alone(tmp_path: Path) -> None:
    write_image(PIL.Image.fromarray(gradient(200, 300)), path := tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:200])
    assert probe_image(path) == (300, 200, "RGB")
    with pytest.raises(MediaError, match=r"damaged"):
        read_image(path)


def test_the_first_frame_of_a_moving_picture_is_read(tmp_path: Path) -> None:
    write_video(small_video(), tmp_path / "a.gif")
    assert (
        mean_difference(read_image(tmp_path / "a.gif").convert("RGB"), small_video().frames[0]) < 6
    )


def test_a_size_that_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"16384"):
        write_image(PIL.Image.new("L", (16384, 1)), tmp_path / "a.webp")
    with pytest.raises(MediaError):
        write_image(PIL.Image.new("L", (65536, 1)), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_colours_of_another_profile_become_those_of_srgb(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"green{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    picture = PIL.Image.new("RGB", (16, 16), (144, 255, 60))
    picture.save(path, icc_profile=adobe_rgb_profile(), **options)
    picture = read_image(path)
    assert np.abs(np.asarray(picture, np.int16) - np.array([0, 255, 0], np.int16)).max() <= 4
    assert "icc_profile" not in picture.info


def test_a_profile_leaves_transparency_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "green.png"
    PIL.Image.new("RGBA", (4, 4), (144, 255, 60, 77)).save(path, icc_profile=adobe_rgb_profile())
    red, green, blue, alpha = read_image(path).getpixel((1, 1))  # type: ignore[misc]
    assert (max(red, 255 - green, blue), alpha) == (pytest.approx(0, abs=4), 77)


def test_srgb_and_damaged_profiles_change_no_pixel(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"no profile", adobe_rgb_profile()[:200]):
        path = tmp_path / "a.png"
        PIL.Image.new("RGB", (4, 4), (144, 255, 60)).save(path, icc_profile=profile)
        assert read_image(path).getpixel((0, 0)) == (144, 255, 60)


@pytest.mark.parametrize(
    ("begin", "kind"), [(b"\x76\x2f\x31\x01", "OpenEXR"), (b"#?RADIANCE\n", "Radiance HDR")]
)
def test_high_dynamic_range_is_named_for_what_it_is(
    tmp_path: Path, begin: bytes, kind: str
) -> None:
    (tmp_path / "a.exr").write_bytes(begin + bytes(100))
    with pytest.raises(MediaError, match=f"{kind} picture"):
        read_image(tmp_path / "a.exr")


def test_no_format_that_runs_another_program_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(MediaError, match="not a picture"):
        read_image(tmp_path / "a.png")


def png_with_gamma(path: Path, picture: PIL.Image.Image, gamma: float, extra: bytes = b"") -> Path:
    """Saves a PNG with a `gAMA` chunk after its header, and further chunks if there are any."""
    picture.save(path)
    data, body = path.read_bytes(), b"gAMA" + round(gamma * 100_000).to_bytes(4, "big")
    chunk = (4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    path.write_bytes(data[:33] + chunk + extra + data[33:])
    return path


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_linear_numbers_of_a_png_are_encoded_as_srgb(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.new("RGBA", (4, 4), (55, 55, 55, 77)).convert(mode)
    picture = read_image(path := png_with_gamma(tmp_path / "a.png", picture, 1.0))
    # IEC 61966-2-1: 1.055 * (55 / 255) ** (1 / 2.4) - 0.055 is 0.502, which is 128 of 255.
    assert picture.convert("RGB").getpixel((1, 1)) == (128, 128, 128)
    assert "A" not in mode or picture.getchannel("A").getpixel((1, 1)) == 77
    assert "gamma" not in picture.info and converted_profile(path) == "a gamma of 1"


@pytest.mark.parametrize(("mode", "by_profile"), [("L", False), ("RGB", False), ("RGB", True)])
def test_a_transparent_colour_stays_transparent_when_colours_are_converted(
    tmp_path: Path, mode: str, by_profile: bool
) -> None:
    key = 55 if mode == "L" else (55, 55, 55)
    picture, path = PIL.Image.new(mode, (4, 4), "white"), tmp_path / "a.png"
    picture.putpixel((1, 1), key)
    picture.info["transparency"] = key
    if by_profile:
        picture.save(path, icc_profile=linear_srgb_profile())
    else:
        png_with_gamma(path, picture, 1.0)
    alpha = read_image(path).convert("RGBA").getchannel("A")
    assert (alpha.getpixel((1, 1)), alpha.getpixel((0, 0))) == (0, 255)


def test_a_linear_png_of_16_bits_keeps_its_depth(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.full((4, 4), 14_135, np.uint16))  # 55 / 255 of 65535
    picture = read_image(png_with_gamma(tmp_path / "a.png", picture, 1.0))
    assert picture.mode == "I;16"
    assert np.asarray(picture)[0, 0] == pytest.approx(0.502 * 65_535, abs=66)


def test_the_gamma_of_srgb_and_one_of_a_file_that_says_srgb_change_no_pixel(tmp_path: Path) -> None:
    body = b"sRGB\0"
    srgb = (1).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    picture = PIL.Image.new("RGB", (4, 4), (55, 99, 200))
    for gamma, extra in ((0.45455, b""), (1.0, srgb), (0.0, b""), (100.0, b"")):
        path = png_with_gamma(tmp_path / "a.png", picture, gamma, extra)
        assert read_image(path).getpixel((1, 1)) == (55, 99, 200)
        assert converted_profile(path) is None


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_inks_become_the_colours_that_their_profile_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    options: dict[str, Any] = {"quality": 100} if suffix == ".jpg" else {}
    expected = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 182, 229)}
    for inks, colour in expected.items():
        PIL.Image.new("CMYK", (8, 8), inks).save(path, icc_profile=cmyk_profile(), **options)
        picture = read_image(path)
        assert picture.mode == "RGB"
        assert np.abs(np.asarray(picture)[4, 4] - np.array(colour)).max() <= 8
    assert converted_profile(path) == "inks by hand"


def test_a_profile_counts_by_its_colours_and_not_by_its_name(tmp_path: Path) -> None:
    picture = PIL.Image.new("RGB", (4, 4), (144, 255, 60))
    picture.save(path := tmp_path / "a.png", icc_profile=linear_srgb_profile())
    assert np.abs(np.asarray(read_image(path))[0, 0] - np.array((198, 255, 133))).max() <= 2
    assert converted_profile(path) == "Linear sRGB by hand"


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_greys_of_another_profile_become_those_of_srgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    numbers = np.full((4, 4), 64 * 257, np.uint16)
    picture = PIL.Image.fromarray(numbers) if mode == "I;16" else PIL.Image.new(mode, (4, 4), 64)
    picture.save(path, icc_profile=grey_profile(1.0))
    assert np.abs(np.asarray(Image.from_pil(read_image(path)).rgb)[0, 0] - 137.0).max() <= 2
    assert converted_profile(path) == "greys by hand"
    picture.save(path, icc_profile=grey_profile(None))
    assert read_image(path).mode == mode and converted_profile(path) is None
    assert np.array_equal(np.asarray(read_image(path)), np.asarray(picture))


def test_a_grey_picture_of_16_bits_keeps_them_under_a_profile(tmp_path: Path) -> None:
    numbers = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    PIL.Image.fromarray(numbers).save(path := tmp_path / "a.png", icc_profile=grey_profile(1.8))
    found = np.asarray(read_image(path))
    assert found.dtype == np.uint16 and len(np.unique(found)) == 64
    assert (np.diff(found.ravel().astype(int)) > 0).all() and found[0, 0] == 0


def test_a_picture_in_lab_has_the_colours_that_lab_says(tmp_path: Path) -> None:
    """A red: L* 53.2, a* 80.1, b* 67.2."""
    lab = PIL.Image.new("LAB", (4, 4), (136, 208, 195))
    lab.save(path := tmp_path / "a.tif")
    found = Image.from_pil(read_image(path)).numpy[0, 0]
    assert np.abs(found - np.array((255.0, 0, 0))).max() <= 12


def test_grey_numbers_of_32_bits_are_read_by_their_range(tmp_path: Path) -> None:
    for numbers, expected in (((0, 128, 255), (0, 128, 255)), ((0, 257, 65535), (0, 1, 255))):
        picture = PIL.Image.fromarray(np.array([numbers], np.int32))
        picture.save(path := tmp_path / "a.tif")
        assert Image.from_pil(read_image(path)).numpy[0, :, 0].tolist() == [*expected]


@pytest.mark.parametrize("mode", ["P", "LA"])
def test_colours_of_a_palette_are_converted_too(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.new("RGB", (4, 4), (144, 255, 60))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    picture.save(path := tmp_path / "a.png", icc_profile=adobe_rgb_profile())
    found = np.asarray(read_image(path).convert("RGB"))[0, 0]
    if mode == "P":
        assert np.abs(found - np.array((0, 255, 0))).max() <= 2
    else:  # a profile of colours is none of a grey picture
        assert converted_profile(path) is None
