"""A file that is written never costs another one: it gets a number, or replaces its own earlier."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import PIL.Image
import pytest
from PIL.PngImagePlugin import PngInfo

from sdgraph.errors import MediaError
from sdgraph.files import Existing, FileStamp, temporary_name
from sdgraph.media import (
    read_provenance,
    sidecar_path,
    write_image,
    write_sidecar,
    write_video,
)
from sdgraph.provenance import open_output
from sdgraph.values import Image
from tests.support.small_images import small_video


def record(seed: int, **more: Any) -> str:
    return json.dumps({"sdgraph_record": 2, "node": "save", "seeds": {"a": seed}, **more})


def save(path: Path, seed: int, existing: Existing = "number", **more: Any) -> str:
    """Writes a picture whose record names a seed; returns the name of the file."""
    with open_output(path, existing) as output:
        pixels = np.full((4, 4, 3), seed, np.uint8)
        write_image(Image(pixels).pil, output.temporary, provenance=record(seed, **more))
    return output.path.name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_each_origin_has_a_file_of_its_own(path: Path) -> None:
    first, second, third = path.name, f"a_0002{path.suffix}", f"a_0003{path.suffix}"
    assert [save(path, seed) for seed in (1, 2, 3)] == [first, second, third]
    assert [save(path, seed) for seed in (3, 1, 2)] == [third, first, second]
    assert [name for name in names(path.parent) if not name.endswith(".json")] == [
        first,
        second,
        third,
    ]
    assert json.loads(read_provenance(path.with_name(second)) or "")["seeds"] == {"a": 2}


def test_other_versions_and_another_device_of_the_kind_are_the_same_origin(path: Path) -> None:
    save(path, 1, versions={"torch": "2.0"}, device="cuda:0", altered={})
    assert save(path, 1, versions={"torch": "2.1"}, device="cuda:1", altered={"a": []}) == path.name
    assert save(path, 1, device="cpu") == f"a_0002{path.suffix}"


def test_a_file_that_is_gone_leaves_its_name_free(path: Path) -> None:
    for seed in (1, 2, 3):
        save(path, seed)
    path.unlink()
    assert save(path, 4) == path.name
    path.with_name(f"a_0002{path.suffix}").unlink()
    assert save(path, 3) == f"a_0003{path.suffix}"
    assert save(path, 5) == f"a_0002{path.suffix}"


def test_a_file_that_was_edited_is_kept(path: Path) -> None:
    save(path, 1)
    Image(np.zeros((9, 9, 3), np.uint8)).pil.save(path)
    edited = path.read_bytes()
    assert save(path, 1) == f"a_0002{path.suffix}"
    assert path.read_bytes() == edited


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_that_was_edited_by_a_program_that_keeps_its_record_is_kept(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    save(path, 1)
    again = save(path, 1, versions={"torch": "2.1"})
    with PIL.Image.open(path) as picture:
        kept = {"pnginfo": PngInfo()} if name == "a.png" else {"exif": picture.info["exif"]}
        if name == "a.png":
            kept["pnginfo"].add_itxt("sdgraph", picture.info["sdgraph"])
        if name == "a.png":  # saved by another program, and not changed
            picture.rotate(0).save(path, compress_level=1, **kept)
        assert save(path, 1) == again == name
        picture.point(lambda grey: grey + 100).save(path, quality=95, subsampling=0, **kept)
    edited = path.read_bytes()
    assert save(path, 1) == f"a_0002{path.suffix}" and path.read_bytes() == edited


@pytest.mark.parametrize("name", ["a.webp", "a.tif", "a.gif", "a.mp4", "a.webm", "b.gif"])
def test_any_file_that_was_edited_by_a_program_that_keeps_its_record_is_kept(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name

    def save_again(**more: Any) -> str:
        if name in ("a.webp", "a.tif", "a.gif"):
            return save(path, 1, **more)
        with open_output(path) as output:
            write_video(small_video(), output.temporary, provenance=record(1, **more))
        return output.path.name

    assert save_again() == save_again(versions={"torch": "2.1"}) == save_again() == name
    written = read_provenance(path)
    data = bytearray(path.read_bytes())
    data[60 if name == "a.webp" else -12] ^= 1  # of the pixels, or of a program's metadata
    path.write_bytes(data)
    assert read_provenance(path) == written
    assert save_again() == f"{path.stem}_0002{path.suffix}" and path.read_bytes() == data
    assert save_again() == f"{path.stem}_0002{path.suffix}"


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from sdgraph.provenance import open_output\n"
        "from sdgraph.files import atomic_write\n"
        "with open_output(Path(sys.argv[1])) as output, atomic_write(output.path) as other:\n"
        "    output.temporary.write_text('half'), other.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "a.png"
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert len(names(tmp_path)) == 2 and all(".sdgraph-" in name for name in names(tmp_path))
    with open_output(tmp_path / "new" / "b.png"):  # a process looks into each folder once
        assert save(path, 1) == "a.png"
    assert names(tmp_path) == ["a.png", "new"]


def test_what_others_are_writing_is_left_alone(tmp_path: Path) -> None:
    own = tmp_path / temporary_name(".png")
    own.write_text("of this process")
    prefix, process = own.name[:9], own.name[17:25]
    others = [f"{prefix}0123abcd{process}{'0' * 16}.png", f"{prefix}{'0' * 16}.png", f"{prefix}x"]
    for name in others:
        (tmp_path / name).write_text("of another machine, or of another program")
    assert save(tmp_path / "a.png", 1) == "a.png"
    assert names(tmp_path) == sorted([own.name, *others, "a.png"])


def test_what_another_machine_left_long_ago_is_removed(tmp_path: Path) -> None:
    old = tmp_path / f".sdgraph-0123abcd{'0' * 24}.png"
    old.write_text("half")
    os.utime(old, (0, 0))
    assert save(tmp_path / "a.png", 1) == "a.png"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.parametrize("content", [b"", b"mine", b"\x89PNG\r\n\x1a\n damaged"])
def test_a_file_of_another_program_is_kept(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert save(path, 1) == save(path, 1) == f"a_0002{path.suffix}"
    assert path.read_bytes() == content


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_and_a_link_to_nothing_are_never_opened_or_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "nothing")
    assert save(tmp_path / "a.png", 1) == "a_0002.png"
    assert save(tmp_path / "b.png", 1) == "b_0002.png"
    assert (tmp_path / "b.png").is_symlink() and (tmp_path / "a.png").is_fifo()


def test_replace_replaces_and_refuse_refuses(path: Path) -> None:
    assert save(path, 1, "refuse") == path.name
    with pytest.raises(MediaError, match=r"exists already\n.*\n  fix:.*--overwrite"):
        save(path, 1, "refuse")
    assert save(path, 2, "replace") == path.name
    assert json.loads(read_provenance(path) or "")["seeds"] == {"a": 2}
    assert [name for name in names(path.parent) if not name.endswith(".json")] == [path.name]


def write_text(path: Path, text: str, existing: Existing = "number") -> str:
    with open_output(path, existing) as output:
        output.temporary.write_text(text)
    return output.path.name


def test_files_without_records_are_the_same_if_their_bytes_are(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    assert [write_text(path, text) for text in ("one", "two", "two", "one")] == [
        "a.txt",
        "a_0002.txt",
        "a_0002.txt",
        "a.txt",
    ]


def test_a_file_without_its_record_replaces_one_with_the_same_record(path: Path) -> None:
    save(path, 1)

    def save_bare(seed: int) -> str:
        with open_output(path, record=lambda: record(seed)) as output:
            write_image(Image(np.full((4, 4, 3), seed, np.uint8)).pil, output.temporary)
        return output.path.name

    assert save_bare(2) == f"a_0002{path.suffix}"
    assert save_bare(1) == save_bare(1) == path.name
    assert not sidecar_path(path).exists() and read_provenance(path) is None
    assert save(path, 1) == f"a_0003{path.suffix}"  # nothing says how the bare file was made


def test_the_sidecar_follows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bmp"
    save(path, 1)
    assert save(path, 2) == "a_0002.bmp"
    data = json.loads(sidecar_path(tmp_path / "a_0002.bmp").read_text())
    assert data["file"] == "a_0002.bmp" and data["record"]["seeds"] == {"a": 2}
    assert write_text(path, "no record", "replace") == "a.bmp"
    assert not sidecar_path(path).exists()


def test_a_sidecar_of_another_program_takes_the_name(tmp_path: Path) -> None:
    foreign = sidecar_path(tmp_path / "a.bmp")
    foreign.write_text("mine")
    assert save(tmp_path / "a.bmp", 1) == save(tmp_path / "a.bmp", 1) == "a_0002.bmp"
    for existing in get_args(Existing)[1:]:
        with pytest.raises(MediaError, match=r"a.bmp.sdgraph.json\n.*sdgraph did not write"):
            save(tmp_path / "a.bmp", 1, existing)
    assert foreign.read_text() == "mine" and not (tmp_path / "a.bmp").exists()
    assert save(tmp_path / "a.png", 1) == "a.png"  # a PNG needs no sidecar


def test_a_number_that_another_node_is_to_write_is_left_out(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "one")
    with open_output(tmp_path / "a.txt", reserved=[tmp_path / "a_0002.txt"]) as output:
        output.temporary.write_text("two")
    assert output.path == tmp_path / "a_0003.txt"


def test_what_is_written_next_to_a_file_follows_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with open_output(tmp_path / "a.txt") as output:
            output.temporary.write_text(text)
            output.temporary.with_suffix(".log").write_text(text)
            output.temporary.with_name("other").mkdir()
    assert names(tmp_path) == ["a.log", "a.txt", "a_0002.log", "a_0002.txt", "other", "other_0002"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_an_exception_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(error), open_output(tmp_path / "a.txt", "replace") as output:
        output.temporary.write_text("half")
        raise error
    assert names(tmp_path) == ["a.txt"] and (tmp_path / "a.txt").read_text() == "old"


@pytest.mark.parametrize("existing", ["number", "replace", "refuse"])
@pytest.mark.parametrize("name", ["fsync", "write"])
def test_a_full_disk_leaves_the_old_file_whole_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: Existing, name: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if name == "fsync":
            patched.setattr(os, "fsync", fail)
        with (
            pytest.raises(MediaError, match=r"a.txt\n  found:  a full disk.*\n.*\n  fix: +free"),
            open_output(path, existing) as output,
        ):
            output.temporary.write_text("half")
            if name == "write":
                fail()
    assert names(tmp_path) == ["a.txt"] and path.read_text() == "old"


def test_errors_name_the_file_and_not_its_temporary_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(MediaError, match=r"b.txt\n.*cannot be written to"):
        write_text(tmp_path / "file" / "b.txt", "x")
    with pytest.raises(MediaError, match=r"folder.txt\n  found:  a folder"):
        write_text(tmp_path / "folder.txt", "x")
    with pytest.raises(MediaError, match=r"a name of 304 bytes, which is too long") as caught:
        write_text(tmp_path / f"{'n' * 300}.txt", "x")
    assert ".sdgraph-" not in str(caught.value)
    assert names(tmp_path) == ["file", "folder.txt"]


def test_a_name_that_just_fits_is_cut_for_its_number(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 125}.png"
    assert [save(path, seed) for seed in (1, 2, 2, 1)] == [
        path.name,
        f"{'ä' * 122}_0002.png",
        f"{'ä' * 122}_0002.png",
        path.name,
    ]


def test_an_error_about_another_file_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"), open_output(tmp_path / "a.txt"):
        (tmp_path / "missing").read_text()
    assert names(tmp_path) == []


def test_what_is_on_the_disk_is_flushed_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[list[str]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.append([name for name in names(tmp_path) if not name.startswith(".")])
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write_text(tmp_path / "a.txt", "x")
    write_sidecar(tmp_path / "a.txt", "how")
    assert flushed == [[], ["a.txt"]]


def test_many_numbers_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sdgraph.provenance import origin

    for seed in range(5):
        save(tmp_path / "a.png", seed)
    for path in tmp_path.iterdir():
        os.utime(path, ns=(0, 0))
    read: list[Path] = []
    read_origin: Callable[[Path], str | None] = origin._read_origin
    monkeypatch.setattr(origin, "_read_origin", lambda path: read.append(path) or read_origin(path))  # type: ignore[func-returns-value]
    monkeypatch.setattr(FileStamp, "is_settled", lambda stamp: stamp.modified == 0)
    for seed in (9, 10):
        read.clear()
        save(tmp_path / "a.png", seed)
    assert len([path for path in read if path.parent == tmp_path]) == 1  # the one of seed 9
