"""The metadata of a picture is read up to a limit, in every format."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import limited_file, probe_image, read_image, read_provenance, write_image
from sdgraph.media.limited_file import MAX_METADATA_BYTES

BOMB = MAX_METADATA_BYTES + 2**20


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunk(path: Path, chunk: bytes, *, last: bool = False) -> Path:
    """A small PNG with one more chunk, in front of its pixels or after them."""
    PIL.Image.new("RGB", (8, 8)).save(path)
    data = path.read_bytes()
    place = data.index(b"IEND" if last else b"IDAT") - 4
    path.write_bytes(data[:place] + chunk + data[place:])
    return path


def bomb(path: Path) -> Path:
    """A picture with too much metadata, of the format of the path's suffix."""
    picture = PIL.Image.new("RGB", (8, 8))
    text = b"x" * BOMB
    if path.suffix == ".png":
        return with_chunk(path, png_chunk(b"tEXt", b"a\0" + text))
    picture.save(path)
    data = path.read_bytes()
    if path.suffix == ".jpg":
        segment = b"\xff\xef\xff\xff" + bytes(65533)
        path.write_bytes(data[:2] + segment * (BOMB // 65535) + data[2:])
    elif path.suffix == ".webp":
        more = b"XMP " + struct.pack("<I", len(text)) + text
        path.write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8 + len(more)) + data[8:] + more)
    elif path.suffix == ".tif":
        picture.save(path, tiffinfo={270: text.decode()})
    elif path.suffix == ".gif":
        blocks = (b"\xff" + bytes(255)) * (BOMB // 256)
        place = data.index(b",\0\0\0\0")
        path.write_bytes(data[:place] + b"!\xfe" + blocks + b"\0" + data[place:])
    return path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif"])
def test_a_picture_with_too_much_metadata_is_refused_in_little_memory(
    tmp_path: Path, name: str
) -> None:
    path = bomb(tmp_path / name)
    for read in (probe_image, read_image, read_provenance):
        tracemalloc.start()
        with pytest.raises(MediaError, match="more metadata than is read"):
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * MAX_METADATA_BYTES


def test_metadata_after_the_pixels_is_limited_too(tmp_path: Path) -> None:
    path = with_chunk(tmp_path / "a.png", png_chunk(b"tEXt", b"a\0" + b"x" * BOMB), last=True)
    with pytest.raises(MediaError):
        read_image(path)


def test_compressed_text_is_limited(tmp_path: Path) -> None:
    text = zlib.compress(bytes(100 * 2**20))
    for chunk in (b"zTXt", b"iTXt"):
        head = b"sdgraph\0\0" if chunk == b"zTXt" else b"sdgraph\0\1\0\0\0"
        path = with_chunk(tmp_path / "a.png", png_chunk(chunk, head + text))
        with pytest.raises(MediaError):
            read_provenance(path)


def test_a_header_of_very_many_pieces_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_file, "MAX_READS", 1000)
    path = with_chunk(tmp_path / "a.png", png_chunk(b"tEXt", b"a\0b") * 80_000)
    with pytest.raises(MediaError, match="more metadata than is read"):
        probe_image(path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.bmp", "a.gif"])
def test_a_large_picture_without_much_metadata_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(limited_file, "_SMALL_FILE", 2**12)
    noise = PIL.Image.effect_noise((160, 120), 90).convert("RGB")
    path = tmp_path / name
    assert write_image(noise, path, provenance="a record", quality=100) == (name != "a.bmp")
    assert path.stat().st_size > limited_file._SMALL_FILE
    picture = read_image(path)
    assert picture.size == noise.size and read_provenance(path) == "a record"
    if name not in ("a.jpg", "a.gif"):
        assert picture.convert("RGB").tobytes() == noise.tobytes()
