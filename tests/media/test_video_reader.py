"""Videos are read by the time stamps of their frames, in the containers that are meant."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import probe_video, read_provenance, read_video, video_reader, write_video
from sdgraph.media.limited_file import MAX_METADATA_BYTES
from tests.support.small_images import small_video

STEP = 8
"""The difference in brightness between a frame and the next one."""

TIMES = [*(n * 0.05 for n in range(6)), *(0.3 + n * 0.5 for n in range(5)), 2.75]
"""Six short frames, five long ones, and a last one that ends at about 2.8 s."""


def write_film(path: Path, times: Sequence[float], *, offset: float = 0.0) -> Path:
    """A film with a frame at each of these times, each brighter than the one before."""
    import av

    with av.open(str(path), "w") as file:
        codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
        stream: Any = file.add_stream(codec, rate=20)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, begin in enumerate(times):
            pixels = np.full((32, 32, 3), 16 + STEP * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(1000 * (begin + offset)), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_steady(path: Path, count: int, options: dict[str, str] | None = None) -> Path:
    """A film of 10 frames per second, with B-frames where the format has them."""
    import av

    with av.open(str(path), "w") as file:
        codec = "mpeg2video" if path.suffix == ".mpg" else "libx264"
        stream: Any = file.add_stream(codec, rate=10, options=options or {})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            pixels = np.full((64, 64, 3), 16 + STEP * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def set_edit_list(path: Path, edits: Sequence[tuple[int, int]]) -> None:
    """Replaces the edit list of an MP4 whose only track has 10 frames per second.

    Args:
        path: A file whose boxes of frames come before those of the track.
        edits: How long each part is shown in ms, and its first frame; -1 shows nothing.
    """
    data = bytearray(path.read_bytes())

    def find(name: bytes, begin: int) -> tuple[int, int]:
        while data[begin + 4 : begin + 8] != name:
            begin += int.from_bytes(data[begin : begin + 4])
        return begin, int.from_bytes(data[begin : begin + 4])

    moov, _ = find(b"moov", 0)
    track, _ = find(b"trak", moov + 8)
    edts, size = find(b"edts", track + 8)
    entries = b"".join(
        struct.pack(">IiI", ms, first * 1024 if first >= 0 else -1, 0x10000) for ms, first in edits
    )
    box = struct.pack(
        ">I4sI4sII", 24 + len(entries), b"edts", 16 + len(entries), b"elst", 0, len(edits)
    )
    data[edts : edts + size] = box + entries
    for place in (moov, track):
        grown = int.from_bytes(data[place : place + 4]) + len(box) + len(entries) - size
        data[place : place + 4] = grown.to_bytes(4)
    path.write_bytes(data)


def numbers(path: Path, **part: float) -> list[int]:
    """The numbers of the frames that are read, by their brightness."""
    means = read_video(path, **part).frames.mean(axis=(1, 2, 3))  # type: ignore[arg-type]
    return [round((float(mean) - 16) / STEP) for mean in means]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm", ".ts"])
def test_a_film_of_uneven_frames_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a{suffix}", TIMES)
    assert read_video(path).seconds == pytest.approx(2.8, abs=0.25)  # a frame at the mean rate
    assert read_video(path, fps=20).seconds == pytest.approx(2.8, abs=0.06)
    assert numbers(path, start=1.0)[0] == 7  # begins at 0.8 s
    assert numbers(path, start=0.1)[0] == 2
    assert numbers(path, start=1.0, seconds=1.0, fps=4) == [7, 7, 8, 8]
    assert numbers(path, fps=2) == [0, 6, 7, 8, 9, 10]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_time_counts_from_the_first_frame(tmp_path: Path, suffix: str) -> None:
    later = write_film(tmp_path / f"later{suffix}", TIMES, offset=0.7)
    plain = write_film(tmp_path / f"plain{suffix}", TIMES)
    assert numbers(later, start=1.0, fps=4) == numbers(plain, start=1.0, fps=4)


@pytest.mark.parametrize("suffix", [".ts", ".mpg"])
def test_films_joined_end_to_end_follow_each_other(tmp_path: Path, suffix: str) -> None:
    """The time stamps of the second one go back to the beginning."""
    write_steady(one := tmp_path / f"one{suffix}", 12)
    (joined := tmp_path / f"joined{suffix}").write_bytes(one.read_bytes() * 2)
    assert numbers(joined, fps=10) == [*range(12), *range(12)]
    assert numbers(joined, fps=10, start=1.4)[0] == 2


@pytest.mark.parametrize("suffix", [".avi", ".h264", ".mp4", ".mkv", ".mpg", ".flv"])
def test_frames_are_shown_in_order_also_without_presentation_times(
    tmp_path: Path, suffix: str
) -> None:
    """An AVI has only the times of decoding, which B-frames change; a raw stream has none."""
    path = write_steady(tmp_path / f"a{suffix}", 14)
    assert numbers(path) == [*range(14)]
    assert read_video(path).fps == pytest.approx(10)
    assert numbers(path, start=0.5)[0] == 5


def test_a_film_that_begins_within_an_open_group_of_frames_loses_only_those(tmp_path: Path) -> None:
    options = "open-gop=1:bframes=2:keyint=8:min-keyint=8:scenecut=0"
    path = write_steady(tmp_path / "a.ts", 28, {"x264-params": options})
    data = path.read_bytes()
    half = data[len(data) // 188 // 2 * 188 :]
    path.write_bytes(half)
    found = numbers(path)
    assert found == [*range(found[0], 28)] and 14 <= found[0] <= 20


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        ([(1000, -1), (1200, 0)], range(12)),  # shown one second late
        ([(700, 5)], range(5, 12)),  # the beginning is cut away
        ([(500, 6)], range(6, 11)),  # both ends, between two key frames
        ([(300, 0), (300, 8)], [0, 1, 2, 8, 9, 10]),
        ([(300, 0), (300, 0)], [0, 1, 2, 0, 1, 2]),
    ],
)
def test_the_edit_list_of_an_mp4_holds(
    tmp_path: Path, edits: list[tuple[int, int]], expected: Sequence[int]
) -> None:
    path = write_steady(tmp_path / "a.mp4", 12, {"bf": "0", "g": "4"})
    set_edit_list(path, edits)
    assert numbers(path) == [*expected]


def test_an_uneven_film_keeps_its_times_when_it_is_written_again(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", TIMES)
    write_video(read_video(path, fps=20), tmp_path / "b.mp4")
    assert numbers(tmp_path / "b.mp4", start=1.0)[0] == 7
    assert read_video(tmp_path / "b.mp4").seconds == pytest.approx(2.8, abs=0.06)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animated_picture_keeps_the_time_of_each_frame(tmp_path: Path, suffix: str) -> None:
    frames = [PIL.Image.new("RGB", (16, 16), (40 * n, 0, 0)) for n in range(5)]
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(
        path := tmp_path / f"a{suffix}",
        save_all=True,
        append_images=frames[1:],
        duration=[100, 100, 400, 100, 100],
        **options,
    )
    video = read_video(path)
    assert (video.fps, [int(image[0, 0, 0]) // 40 for image in video.frames]) == (
        10,
        [0, 1, 2, 2, 2, 2, 3, 4],
    )
    assert int(read_video(path, start=0.35).frames[0, 0, 0, 0]) == 80
    assert probe_video(path) == (16, 16)


def test_a_long_pause_between_two_frames_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_film(tmp_path / "a.mkv", [0, 0.05, 90.0])
    monkeypatch.setattr(video_reader, "memory_bytes", lambda: 2 * 500 * 32 * 32 * 3)
    with pytest.raises(MediaError, match=r"more than 1,5\d\d,\d\d\d bytes of frames"):
        read_video(path)
    assert len(read_video(path, seconds=10)) <= 200


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile secret.mp4\n"),
        ("list.mkv", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"),
        ("list.webm", "a text\n"),
        ("film.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_a_file_that_names_other_files_is_no_video(tmp_path: Path, name: str, text: str) -> None:
    write_video(small_video(), tmp_path / "secret.mp4")
    (tmp_path / name).write_text(text)
    for read in (probe_video, read_video):
        with pytest.raises(MediaError, match="a file that is not a video"):
            read(tmp_path / name)


def test_the_content_of_a_video_counts_and_not_its_name(tmp_path: Path) -> None:
    write_video(small_video(), tmp_path / "a.mp4")
    (tmp_path / "a.mp4").rename(tmp_path / "concat:film.txt")
    assert probe_video(tmp_path / "concat:film.txt") == small_video().size


@pytest.mark.parametrize("read", [probe_video, read_video])
def test_a_file_that_never_ends_is_no_video(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="a named pipe, not a plain file"):
        read(tmp_path / "pipe.mp4")
    with pytest.raises(MediaError, match="a device, not a plain file"):
        read("/dev/zero")


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".png", "a PNG"), (".jpg", "a JPEG"), (".webp", "a WebP")]
)
def test_a_still_picture_is_no_video(tmp_path: Path, suffix: str, kind: str) -> None:
    PIL.Image.new("RGB", (8, 8)).save(path := (tmp_path / "a").with_suffix(suffix))
    path.rename(path := tmp_path / "a.mp4")
    with pytest.raises(MediaError, match=f"{kind} picture, not a video") as caught:
        read_video(path)
    assert caught.value.problems[0].fix == "load it with LoadImage"


def element(number: int, size: int) -> bytes:
    """The head of an element of Matroska."""
    return number.to_bytes((number.bit_length() + 7) // 8) + (1 << 56 | size).to_bytes(8)


def ogg_page(size: int, position: int) -> bytes:
    """A page of an Ogg file."""
    rows = size // 255
    head = b"OggS" + bytes(2) + struct.pack("<q", position) + bytes(12)
    return head + bytes([rows]) + b"\xff" * rows + bytes(rows * 255)


MANY = MAX_METADATA_BYTES + 100
_SEGMENT = element(0x1A45DFA3, 0) + b"\x18\x53\x80\x67\x01" + b"\xff" * 7
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_AVI = b"RIFF" + struct.pack("<I", MANY) + b"AVI "


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (_SEGMENT + element(0x1254C367, MANY), "bytes of tags"),
        (_SEGMENT + element(0x1F43B675, 9) + bytes(9) + element(0x1254C367, MANY), "bytes of tags"),
        (_SEGMENT + element(0x1941A469, 5 * MANY), "bytes of attachments"),
        (_AVI + b"LIST" + struct.pack("<I", MANY) + b"INFO", "bytes of tags"),
        (
            _AVI + b"LIST" + struct.pack("<I", 4) + b"movi" + b"ISFT" + struct.pack("<I", MANY),
            "tags",
        ),
        (_ASF + struct.pack("<Q", MANY), "bytes of tags"),
        (ogg_page(60_000, 0) * (MANY // 59_000), "bytes of tags"),
    ],
)
def test_the_metadata_of_every_container_is_limited(
    tmp_path: Path, head: bytes, words: str
) -> None:
    with (path := tmp_path / "a.mkv").open("wb") as file:
        file.write(head)
        file.truncate(6 * MANY)  # a hole in the file
    for read in (probe_video, read_video, read_provenance):
        with pytest.raises(MediaError, match=words):
            read(path)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi"])
def test_a_large_video_with_little_metadata_is_read(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a{suffix}", [0, 0.05, 0.1])
    frames = read_video(path)
    if suffix in (".mkv", ".webm"):
        tail = element(0xEC, 2 * MANY)
    else:
        tail = b"JUNK" + struct.pack("<I", 2 * MANY)
    with path.open("ab") as file:
        file.write(tail)
        file.truncate(3 * MANY)
    assert read_video(path) == frames


def test_the_tags_of_a_video_are_limited(tmp_path: Path) -> None:
    import av

    with av.open(str(path := tmp_path / "a.mp4"), "w") as file:
        file.metadata["comment"] = "x" * (MAX_METADATA_BYTES + 100)
        stream: Any = file.add_stream("libx264", rate=8)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    for read in (probe_video, read_video, read_provenance):
        with pytest.raises(MediaError, match="bytes of tags"):
            read(path)
