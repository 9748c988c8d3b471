"""Films through a graph: frames are made when they are saved, and remembered by chunks."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Graph, In, Node, NodeFailedError, Session, events
from sdgraph.media import load_video, read_video, video_loader, write_video
from sdgraph.nodes import Canny, Frame, Frames, LoadVideo, SaveVideo, VideoFromFrames
from sdgraph.store import Store
from sdgraph.values import Image, Video
from tests.support.small_videos import damage, noisy_film, tone

COUNT = 60
"""The frames of the film: four chunks."""

Calls = list[int]
calls: Calls = []
_seconds = 0.0


class Tinted(Node[Image]):
    """A picture with another tint; it counts its calls, and takes as long as a test says."""

    image: In[Image]
    tint: int = 5
    fails_at: int = -1

    def run(self, image: Image) -> Image:
        """The picture."""
        calls.append(threading.get_ident())
        if _seconds:
            threading.Event().wait(_seconds)
        if len(calls) == self.fails_at:
            raise ValueError("this one cannot be tinted")
        return Image(image.numpy // 2 + np.uint8(self.tint))


@pytest.fixture(autouse=True)
def _every_video_is_a_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdgraph.media.video_loader.IN_MEMORY_BYTES", 0)
    calls.clear()


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    write_video(noisy_film(COUNT, sound=tone(COUNT / 25)), path, quality=100)
    return path


@pytest.fixture
def expensive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk is worth keeping."""
    monkeypatch.setattr("sdgraph.execution.frame_chunks.is_worth_keeping", lambda *_: True)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdgraph.execution.frame_chunks.is_worth_keeping", lambda *_: False)


def tinted(path: Path, **fields: Any) -> Tinted:
    return Tinted(image=Frames(video=LoadVideo(path=path)), **fields)


def saved(frames: Node[Any], path: Path) -> SaveVideo:
    return SaveVideo(video=VideoFromFrames(frames=frames), path=path, existing="replace")


def run(node: Node[Any], session: Session, **options: Any) -> Any:
    (value,) = session.run(Graph.of(node), **options).values()
    return value


def test_it_gives_what_the_frames_give_in_memory(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(saved(tinted(film), tmp_path / "a.mp4"), Session(store=None))
    monkeypatch.undo()
    assert load_video(film).stream is None
    run(saved(tinted(film), tmp_path / "b.mp4"), Session(store=None))
    one, other = read_video(tmp_path / "a.mp4"), read_video(tmp_path / "b.mp4")
    assert np.array_equal(one.frames, other.frames) and len(one) == COUNT
    sounds = [load_video(tmp_path / f"{name}.mp4").sound for name in "ab"]
    assert sounds[0] is not None and sounds[1] is not None
    assert np.array_equal(sounds[0], sounds[1])


def test_frames_are_made_while_the_film_is_saved_and_once(film: Path, tmp_path: Path) -> None:
    happened: list[Any] = []
    node = saved(tinted(film), tmp_path / "a.mp4")
    run(node, Session(store=None), on_event=happened.append)
    assert len(calls) == COUNT
    names = [event.node for event in happened if isinstance(event, events.NodeStarted)]
    finished = [event.node for event in happened if isinstance(event, events.NodeFinished)]
    assert names == finished and len(names) == 5
    for name in ("tinted", "save_video"):  # the one that makes frames, the one that waits for them
        told = [e for e in happened if isinstance(e, events.Stepped) and e.node == name]
        assert [(event.step, event.total) for event in told] == [
            (number, COUNT) for number in range(1, COUNT + 1)
        ]


def test_a_changed_part_of_a_film_makes_only_the_chunks_of_that_part_again(
    film: Path, tmp_path: Path, expensive: None
) -> None:
    session = Session(store=Store(folder=tmp_path / "store"))
    frames = noisy_film(COUNT).frames
    path = tmp_path / "film.avi"
    for number, changed in enumerate((None, 20, None)):
        pixels = frames.copy()
        if changed is not None:
            pixels[changed] = 255 - pixels[changed]
        _write_lossless(pixels, path)
        calls.clear()
        run(saved(tinted(path), tmp_path / "a.mp4"), session)
        assert len(calls) == (COUNT, 16, 0)[number]
    other = Session(store=Store(folder=tmp_path / "store"))
    run(saved(tinted(path), tmp_path / "a.mp4"), other)
    assert not calls
    run(saved(tinted(path, tint=6), tmp_path / "a.mp4"), other)
    assert len(calls) == COUNT


def test_an_unchanged_film_is_not_decoded_again_where_all_that_is_made_of_it_is_remembered(
    film: Path, tmp_path: Path, expensive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    read = video_loader._next_frame

    def count(*arguments: Any) -> Any:
        decoded.append(arguments[1])
        return read(*arguments)

    monkeypatch.setattr(video_loader, "_next_frame", count)
    for number in range(3):
        decoded.clear()
        calls.clear()
        if number == 2:
            write_video(noisy_film(COUNT + 1), film, quality=90)
        node = saved(Canny(image=tinted(film)), tmp_path / "a.mp4")
        run(node, Session(store=Store(folder=tmp_path / "store")))
        assert len(calls) == (COUNT, 0, COUNT + 1)[number]
        # The first frame is decoded once more, for the size.
        assert len(decoded) == (COUNT + 1, 1, COUNT + 2)[number]


def _write_lossless(frames: Any, path: Path) -> None:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
        for pixels in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))


def test_frames_that_take_little_time_are_not_kept(film: Path, tmp_path: Path, cheap: None) -> None:
    store = Store(folder=tmp_path / "store")
    for _ in range(2):
        calls.clear()
        run(saved(tinted(film), tmp_path / "a.mp4"), Session(store=store))
        assert len(calls) == COUNT
    assert store.on_disk is not None and not [*store.on_disk.entries()] and not len(store)


def test_what_was_done_before_a_failure_is_remembered_and_the_error_names_node_and_frame(
    film: Path, tmp_path: Path, expensive: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdgraph.values.streams.worker_count", lambda: 0)
    session = Session(store=Store(folder=tmp_path / "store"))
    node = saved(tinted(film, fails_at=40), tmp_path / "a.mp4")
    with pytest.raises(NodeFailedError, match="this one cannot be tinted") as caught:
        run(node, session)
    assert caught.value.node == "tinted" and not (tmp_path / "a.mp4").exists()
    run(node, session)
    assert len(calls) == 40 + COUNT - 32
    assert len(read_video(tmp_path / "a.mp4")) == COUNT


def test_an_invalid_frame_is_named(film: Path, tmp_path: Path) -> None:
    class Refusing(Node[Image]):
        image: In[Image]

        def run(self, image: Image) -> Image:
            return Image(image.numpy[:0])

    node = saved(Refusing(image=Frames(video=LoadVideo(path=film))), tmp_path / "a.mp4")
    with pytest.raises(NodeFailedError, match=r"refusing: in frame 0: Image") as caught:
        run(node, Session(store=None))
    assert caught.value.node == "refusing"


def test_a_value_of_a_wrong_kind_is_told_of_the_node_that_made_it(
    film: Path, tmp_path: Path
) -> None:
    class Wrong(Node[Image]):
        image: In[Image]

        def run(self, image: Image) -> Any:
            return 5

    node = saved(Wrong(image=Frames(video=LoadVideo(path=film))), tmp_path / "a.mp4")
    with pytest.raises(NodeFailedError, match=r"Wrong is a Node\[Image\]") as caught:
        run(node, Session(store=None))
    assert caught.value.node == "wrong"


def test_a_damaged_frame_in_the_middle_is_told_of_the_node_that_loads_the_film(
    tmp_path: Path, expensive: None
) -> None:
    path, store = tmp_path / "film.mp4", Store(folder=tmp_path / "store")
    write_video(noisy_film(120), path)
    damage(path, 0.5)
    for _ in range(2):
        calls.clear()
        with pytest.raises(NodeFailedError, match=r"a damaged file \(frame \d+") as error:
            run(saved(tinted(path), tmp_path / "a.mp4"), Session(store=store))
        assert error.value.node == "load_video" and not (tmp_path / "a.mp4").exists()
    assert not calls  # what was done is remembered


def test_with_keep_going_other_films_are_saved_and_the_reader_is_skipped(
    film: Path, tmp_path: Path
) -> None:
    happened: list[Any] = []
    nodes = (
        saved(tinted(film, fails_at=1), tmp_path / "a.mp4"),
        saved(Canny(image=Frames(video=LoadVideo(path=film))), tmp_path / "b.mp4"),
    )
    with pytest.raises(NodeFailedError):
        Session(store=None).run(Graph.of(*nodes), happened.append, keep_going=True)
    assert not (tmp_path / "a.mp4").exists() and len(read_video(tmp_path / "b.mp4")) == COUNT
    assert [event.node for event in happened if isinstance(event, events.NodeFailed)] == ["tinted"]
    skipped = [event.node for event in happened if isinstance(event, events.Skipped)]
    assert skipped == ["video_from_frames", "save_video"]


def test_a_film_that_a_run_returns_stays_when_its_source_is_gone(
    film: Path, tmp_path: Path
) -> None:
    session = Session(store=Store(folder=tmp_path / "store"))
    video = run(VideoFromFrames(frames=tinted(film)), session)
    assert isinstance(video, Video) and video.stream is not None and len(calls) == COUNT
    film.unlink()
    assert len(list(video.pixels())) == COUNT and len(calls) == COUNT
    assert video[59].size == (48, 32) and video.has_sound
    assert not list((tmp_path / "store").glob("tmp*"))  # the temporary file has no name


def test_a_film_that_is_returned_and_does_not_fit_on_the_disk_is_refused_at_once(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=200_000)
    monkeypatch.setattr("sdgraph.store.spool.shutil.disk_usage", lambda _: usage)
    with pytest.raises(NodeFailedError, match=r"60 frames of .* are free in") as caught:
        run(VideoFromFrames(frames=tinted(film)), Session(store=None))
    assert caught.value.node == "video_from_frames" and len(calls) <= 32


def test_a_node_of_other_results_each_time_makes_the_frames_once_for_two_readers(
    film: Path, tmp_path: Path
) -> None:
    class Numbered(Node[Image]):
        image: In[Image]

        def run(self, image: Image) -> Image:
            calls.append(0)
            return Image(np.full_like(image.numpy, len(calls)))

    frames = Numbered(image=Frames(video=LoadVideo(path=film)))
    nodes = [saved(frames, tmp_path / f"{name}.mp4") for name in "ab"]
    Session().run(Graph.of(*nodes, uncached=[frames]))
    assert len(calls) == COUNT


def test_one_frame_of_a_film_is_remembered_as_a_picture(film: Path, tmp_path: Path) -> None:
    node = Frame(video=VideoFromFrames(frames=tinted(film)), number=40)
    session = Session(store=Store(folder=tmp_path / "store"))
    picture = run(node, session)
    calls.clear()
    assert run(node, session) == picture and not calls


def test_two_films_side_by_side_are_read_frame_by_frame(film: Path, tmp_path: Path) -> None:
    class Mean(Node[Image]):
        one: In[Image]
        other: In[Image]

        def run(self, one: Image, other: Image) -> Image:
            return Image(one.numpy // 2 + other.numpy // 2)

    frames = Frames(video=LoadVideo(path=film))
    node = saved(Mean(one=frames, other=tinted(film)), tmp_path / "a.mp4")
    run(node, Session(store=None))
    assert len(calls) == COUNT and len(read_video(tmp_path / "a.mp4")) == COUNT


@pytest.mark.torch
def test_a_model_works_on_the_frames_of_a_film_and_they_are_remembered_by_chunks(
    tmp_path: Path,
) -> None:
    from sdgraph.nodes import Image2Image

    path = tmp_path / "film.mp4"
    still = np.zeros((18, 64, 64, 3), np.uint8) + np.arange(18, dtype=np.uint8)[:, None, None, None]
    write_video(Video(still, 25), path, quality=100)
    fields: dict[str, Any] = {"prompt": "a red star", "steps": 2, "strength": 0.5, "seed": 3}
    frames = Image2Image(image=Frames(video=LoadVideo(path=path)), **fields)
    store = Store(folder=tmp_path / "store")
    happened: list[Any] = []
    first = Session(device="cpu", store=store)
    run(saved(frames, tmp_path / "a.gif"), first, on_event=happened.append)
    assert _stepped(happened) == {"image2_image", "save_video"}
    picture = load_video(path)[17]
    alone = run(Image2Image(image=picture, **fields), Session(device="cpu", store=None))
    happened.clear()
    again = Session(device="cpu", store=Store(folder=tmp_path / "store"))
    film = run(VideoFromFrames(frames=frames), again, on_event=happened.append)
    assert film[17] == alone and len(film) == 18
    assert not _stepped(happened)


def _stepped(happened: list[Any]) -> set[str]:
    """The nodes that reported steps."""
    return {event.node for event in happened if isinstance(event, events.Stepped)}
