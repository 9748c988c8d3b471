"""Pictures and videos are loaded from files of every mode, and saved with their workflow."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from sdgraph import Graph, Node, Session, run
from sdgraph.media import read_provenance
from sdgraph.nodes import Canny, DepthEstimate, LoadImage, LoadVideo, Mask, Save, SaveVideo
from sdgraph.values import Image, Video
from tests.support.failing_runs import failure, refused_before_load
from tests.support.photos import clear_photo, convert_mode, noisy, photo, picture, save_in_mode


def load_pixels(session: Session, path: Path) -> Any:
    return run(LoadImage(path=path), session=session).numpy


def test_every_mode_becomes_8_bit_rgb_or_rgba(
    session: Session, photo_file: Path, mode: str
) -> None:
    pixels = load_pixels(session, photo_file)
    upright = picture(75, 53, "cat")
    assert pixels.dtype == np.uint8
    if mode == "EXIF":
        assert pixels.shape == (53, 75, 3)
        assert np.abs(pixels.astype(int) - np.asarray(upright)).mean() < 6
        return
    if mode == "I;16":
        expected = upright.convert("L").convert("RGB")
    else:
        stored = convert_mode(upright, mode)
        expected = stored.convert("RGBA" if mode in ("RGBA", "LA") else "RGB")
    assert pixels.shape == (53, 75, len(expected.getbands()))
    assert (pixels == np.asarray(expected)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(
    session: Session, tmp_path: Path, orientation: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = picture(40, 30)
    stored.save(path := tmp_path / "turned.png", exif=exif)
    with PIL.Image.open(path) as opened:
        expected = np.asarray(PIL.ImageOps.exif_transpose(opened))
    pixels = load_pixels(session, path)
    assert pixels.shape == ((30, 40, 3) if orientation <= 4 else (40, 30, 3))
    assert (pixels == expected).all()


def test_a_palette_with_a_transparent_colour_keeps_it_transparent(
    session: Session, tmp_path: Path
) -> None:
    palette = picture(16, 16).quantize(4)
    palette.save(path := tmp_path / "clear.png", transparency=0)
    pixels = load_pixels(session, path)
    assert pixels.shape == (16, 16, 4)
    assert ((pixels[..., 3] == 0) == (np.asarray(palette) == 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp", ".gif", ".jpg"])
def test_the_content_decides_and_not_the_name(
    session: Session, tmp_path: Path, suffix: str
) -> None:
    picture(20, 20).save(path := tmp_path / f"misnamed{suffix}", format="PNG")
    assert (load_pixels(session, path) == photo(20, 20).numpy).all()


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp"])
def test_what_is_saved_without_loss_comes_back(
    session: Session, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"out{suffix}"
    image = photo(75, 53)
    assert run(Save(image=image, path=path, quality=100), session=session) == path
    assert (load_pixels(session, path) == image.numpy).all()


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_a_jpeg_is_near_and_alpha_is_laid_over_white(
    session: Session, tmp_path: Path, suffix: str
) -> None:
    image = clear_photo(64, 64)
    run(Save(image=image, path=tmp_path / f"out{suffix}"), session=session)
    pixels = load_pixels(session, tmp_path / f"out{suffix}").astype(int)
    share = image.numpy[..., 3:] / 255
    expected = image.numpy[..., :3] * share + 255 * (1 - share)
    assert np.abs(pixels - expected).mean() < 4


def test_quality_makes_smaller_files(session: Session, tmp_path: Path) -> None:
    sizes = []
    for quality in (10, 95):
        path = tmp_path / f"{quality}.jpg"
        run(Save(image=photo(128, 128), path=path, quality=quality), session=session)
        sizes.append(path.stat().st_size)
    assert sizes[0] < sizes[1] / 2


@pytest.mark.torch
def test_masks_and_maps_can_be_saved(session: Session, tmp_path: Path) -> None:
    image = photo(40, 30)
    nodes: dict[str, Node[Any]] = {
        "mask": Mask(box=[1, 2, 9, 9], width=40, height=30),
        "edges": Canny(image=image),
        "depth": DepthEstimate(image=image),
    }
    for name, node in nodes.items():
        run(Save(image=node, path=tmp_path / f"{name}.png"), session=session)
        value: Any = run(node, session=session)
        pixels = load_pixels(session, tmp_path / f"{name}.png")
        assert (pixels[..., 0] == np.asarray(value.pil.convert("RGB"))[..., 0]).all()


def test_a_saved_picture_carries_its_workflow_unless_switched_off(
    session: Session, tmp_path: Path
) -> None:
    node = Canny(image=LoadImage(path=save_in_mode(picture(32, 32), "RGB", tmp_path)), low=17)
    run(Save(image=node, path=tmp_path / "with.png"), session=session)
    run(Save(image=node, path=tmp_path / "without.png", metadata=False), session=session)
    assert "low: 17" in (read_provenance(tmp_path / "with.png") or "")
    assert read_provenance(tmp_path / "without.png") is None


def test_saving_makes_folders_and_replaces_files(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "out.png"
    for image in (photo(8, 8), photo(9, 9)):
        run(Save(image=image, path=path, existing="replace"), session=session)
    assert load_pixels(session, path).shape == (9, 9, 3)
    assert [file.name for file in path.parent.iterdir()] == ["out.png"]


def test_a_full_disk_is_one_clear_error_and_the_old_file_stays(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.png"
    run(Save(image=photo(8, 8), path=path), session=session)
    before = path.read_bytes()

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        text = str(failure(Save(image=photo(9, 9), path=path), session))
    assert str(path) in text
    assert "disk" in text.lower() or "space" in text.lower()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.png"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.xyz", ["whose suffix is .xyz", ".png"]),
        ("out", ["whose suffix is missing"]),
        ("out.mp4", ["whose suffix is .mp4"]),
        ("file.txt/out.png", ["file.txt is a file"]),
        ("folder.png", ["which is a folder"]),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_anything_runs(
    tmp_path: Path, name: str, words: list[str]
) -> None:
    (tmp_path / "file.txt").write_text("a file")
    (tmp_path / "folder.png").mkdir()
    text = refused_before_load(Save(image=DepthEstimate(image=photo(8, 8)), path=tmp_path / name))
    assert "save.path" in text
    for word in words:
        assert word in text


def test_a_folder_that_may_not_be_written_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so what the system would say is put in its mouth.
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)
    text = refused_before_load(Save(image=photo(8, 8), path=tmp_path / "new" / "out.png"))
    assert f"{tmp_path} may not be written" in text
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_one_clear_error(session: Session) -> None:
    path = Path("/proc/no-such/out.png")
    node = Save(image=photo(8, 8), path=path)
    text = refused_before_load(node) if list(node.check()) else str(failure(node, session))
    assert str(path) in text


@pytest.mark.parametrize("node", [LoadImage, LoadVideo])
def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path, node: Any) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    text = refused_before_load(node(path=tmp_path / "phot.png"))
    assert "no such file" in text
    assert "photo.png" in text


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_picture_is_refused_before_anything_runs(
    tmp_path: Path, content: bytes
) -> None:
    (path := tmp_path / "photo.png").write_bytes(content)
    text = refused_before_load(LoadImage(path=path))
    assert "load_image.path" in text
    assert str(path) in text
    assert "a picture" in text


def test_a_picture_cut_short_fails_clearly(session: Session, tmp_path: Path) -> None:
    picture(200, 200).save(path := tmp_path / "photo.png")
    path.write_bytes(path.read_bytes()[:-5000])
    text = str(failure(LoadImage(path=path), session))
    assert str(path) in text
    assert "damaged" in text or "truncated" in text or "cut" in text


def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(40, 40).save(path := tmp_path / "bomb.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 1000)
    for node in (LoadImage(path=path), Mask(path=path)):
        text = refused_before_load(node)
        assert "40×40 pixels" in text


@pytest.mark.parametrize(("suffix", "loss"), [(".mp4", 6), (".webm", 6), (".gif", 20)])
def test_videos_come_back_from_files(
    session: Session, tmp_path: Path, suffix: str, loss: float
) -> None:
    still = np.asarray(picture(64, 48), int) // 2
    video = Video(np.stack([still + 20 * n for n in range(4)]).astype(np.uint8), 10)
    path = tmp_path / f"video{suffix}"
    assert run(SaveVideo(video=video, path=path), session=session) == path
    result = run(LoadVideo(path=path), session=session)
    assert (len(result), result.size, result.fps) == (4, (64, 48), 10)
    assert np.abs(result.frames.astype(int) - video.frames).mean() < loss
    assert "save_video" in (read_provenance(path) or "")


@pytest.mark.parametrize("suffix", [".png", ".avi", ""])
def test_a_video_file_of_another_kind_is_refused_before_anything_runs(
    tmp_path: Path, suffix: str
) -> None:
    video = Video(noisy((2, 16, 16, 3)), 8)
    text = refused_before_load(SaveVideo(video=video, path=tmp_path / f"video{suffix}"))
    assert "save_video.path" in text
    assert ".mp4, .webm, .gif" in text


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    picture(32, 32).save(path := tmp_path / "photo.png")
    text = refused_before_load(LoadVideo(path=path))
    assert str(path) in text
    assert "a video" in text


def test_a_changed_file_is_loaded_again(tmp_path: Path) -> None:
    remembering = Session(device="cpu")
    path = tmp_path / "photo.png"
    images = []
    for size in ((8, 8), (9, 9), (8, 8)):
        picture(*size).save(path)
        images.append(run(LoadImage(path=path), session=remembering))
    assert [image.size for image in images] == [(8, 8), (9, 9), (8, 8)]
    assert images[0] == images[2] == Image(np.asarray(picture(8, 8)))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_an_animation_as_a_picture_is_a_warning(tmp_path: Path, suffix: str) -> None:
    first, *others = (PIL.Image.new("RGB", (8, 8), (60 * n, 0, 0)) for n in range(3))
    first.save(path := tmp_path / f"a{suffix}", save_all=True, append_images=others)
    (warning,) = Graph.of(LoadImage(path=path)).warnings()
    assert "of which only the first is loaded" in warning.found and "LoadVideo" in warning.fix
    first.save(path := tmp_path / f"b{suffix}")
    assert Graph.of(LoadImage(path=path)).warnings() == []
