"""Nodes between a video's frames and a video run once for each frame, and are checked before."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Graph, InvalidWorkflowError, Node, Session, load_workflow, run
from sdgraph.events import Event, NodeStarted, Reused, Stepped
from sdgraph.language import to_yaml, workflow_from_yaml
from sdgraph.media import write_video
from sdgraph.nodes import (
    Canny,
    Composite,
    Frame,
    Frames,
    Image2Image,
    LoadVideo,
    Mask,
    Resize,
    Save,
    SaveVideo,
    Text,
    Text2Video,
    VideoFromFrames,
)
from sdgraph.nodes.tiny_world import Scene, SceneObject, canny_edges, render_frames
from sdgraph.store import Store, admission
from sdgraph.values import Image, Series, Video
from tests.support.arbitrary_images import assert_unchanged, images, videos
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import noisy, photo

STAR = Scene("teal", (SceneObject("star", "red", "center", 0.2),), "moving right")
CLIP = Video(render_frames(STAR, 6, 64), 6)


def test_the_edges_of_a_clip_are_those_of_each_of_its_frames(session: Session) -> None:
    result = run(VideoFromFrames(frames=Canny(image=Frames(video=CLIP))), session=session)
    assert (len(result), result.fps, result.size) == (6, 6, (64, 64))
    for frame, edges_shown in zip(CLIP.frames, result.frames, strict=True):
        assert (edges_shown == canny_edges(frame)[..., None]).all()
    assert result.frames.any(axis=(1, 2, 3)).all()


@settings(deadline=None, max_examples=40)
@given(videos(), st.none() | st.floats(0.5, 100))
def test_any_video_comes_back_from_its_frames(video: Video, fps: float | None) -> None:
    with assert_unchanged(video):
        series = Frames(video=video).run(video)
        result = VideoFromFrames(frames=Frames(video=video), fps=fps).run(series)
    assert type(series) is Series and all(type(frame) is Image for frame in series)
    assert result == Video(video.frames, fps or video.fps)


@settings(deadline=None, max_examples=40)
@given(st.data(), st.integers(1, 4))
def test_any_pictures_of_one_size_make_a_video(data: st.DataObject, count: int) -> None:
    first = data.draw(images())
    others = [data.draw(images(size=first.size)) for _ in range(count)]
    with assert_unchanged(first, *others):
        result = VideoFromFrames(frames=[first, *others]).run((first, *others))
    assert type(result) is Video and result.size == first.size and result.fps == 8
    for image, frame in zip((first, *others), result.frames, strict=True):
        assert (image.numpy[..., :3] == frame).all()


@settings(deadline=None, max_examples=30)
@given(videos(), st.data())
def test_any_frame_is_taken_from_either_end(video: Video, data: st.DataObject) -> None:
    number = data.draw(st.integers(-len(video), len(video) - 1))
    result = Frame(video=video, number=number).run(video)
    assert type(result) is Image and (result.numpy == video.frames[number]).all()


@pytest.mark.parametrize("number", [6, -7, 1_000_000])
def test_a_frame_that_is_not_there_is_refused(session: Session, number: int) -> None:
    text = str(failure(Frame(video=CLIP, number=number), session))
    assert str(number) in text and "6 frames" in text and "-6..5" in text


def test_what_is_the_same_in_each_frame_is_made_once(session: Session) -> None:
    events: list[Event] = []
    logo = Resize(image=photo(40, 40), width=8, height=8)
    left_half = Mask(box=[0, 0, 4, 8], image=logo)
    lettered = Text(image=Frames(video=CLIP), text="video")
    joined = Composite(image=lettered, over=logo, mask=left_half, position=[50, 50])
    result = run(VideoFromFrames(frames=joined), session=session, on_event=events.append)
    assert [e.type for e in events if isinstance(e, NodeStarted)].count("Resize") == 1
    steps = [(e.node, e.step, e.total) for e in events if isinstance(e, Stepped)]
    assert steps == [(n, k, 6) for n in ("text", "composite") for k in range(1, 7)]
    assert (result.frames[:, 50:58, 50:54] == run(logo, session=session).numpy[:, :4]).all()
    assert (result.frames[:, 40:48, 50:58] == CLIP.frames[:, 40:48, 50:58]).all()


def test_several_clips_and_single_pictures_are_joined(session: Session) -> None:
    title = Text(image=Image(np.zeros((64, 64, 3), np.uint8)), text="video")
    joined = VideoFromFrames(frames=[title, Frames(video=CLIP), Canny(image=Frames(video=CLIP))])
    result = run(joined, session=session)
    assert len(result) == 13 and result.fps == 6
    assert (result.frames[1:7] == CLIP.frames).all()


def problems(node: Node[Any]) -> str:
    return "\n".join(map(str, Graph.of(node).check()))


def test_two_clips_of_two_lengths_do_not_meet_in_a_node(session: Session) -> None:
    short = Video(CLIP.frames[:4], 6)
    clips = [Frames(video=CLIP), Frames(video=short)]
    node = Composite(image=clips[0], over=Canny(image=clips[1]))
    text = refused_before_load(VideoFromFrames(frames=node))
    assert "6 frames in image" in text and "4 frames in over" in text
    assert problems(VideoFromFrames(frames=clips)) == ""


def test_clips_of_two_lengths_are_told_apart_by_headers_and_fields(
    tmp_path: Path,
) -> None:
    write_video(CLIP, tmp_path / "long.mp4")
    write_video(Video(CLIP.frames[:2], 6), tmp_path / "short.webm")
    long, short = (LoadVideo(path=tmp_path / name) for name in ("long.mp4", "short.webm"))

    def words(one: Node[Video], other: Node[Video]) -> str:
        both = Composite(image=Frames(video=one), over=Frames(video=other))
        return problems(VideoFromFrames(frames=both))

    assert "about 6 frames in image and about 2 frames in over" in words(long, short)
    assert words(long, long.replace(start=0.1)) == ""  # a frame more or less shows when it runs
    assert words(long.replace(seconds=0.3), short) == ""
    made = Text2Video(prompt="a star", frames=12)
    assert "about 6 frames in image and 12 frames in over" in words(long, made)
    assert words(made, made.replace(frames=None, seconds=1.375)) == ""
    assert "12 frames in image and 13" in words(made, made.replace(frames=13))


def test_lengths_that_only_the_run_tells_meet_in_the_run(session: Session) -> None:
    short = VideoFromFrames(frames=[photo(64, 64)] * 4, fps=6)
    node = Composite(image=Frames(video=CLIP), over=Frames(video=short))
    text = str(failure(VideoFromFrames(frames=node), session))
    assert "6 frames in image" in text and "4 frames in over" in text


def test_pictures_of_two_sizes_make_no_video() -> None:
    text = refused_before_load(VideoFromFrames(frames=[photo(8, 8), photo(9, 8)]))
    assert "the picture number 2 is 9×8, and the first frame is 8×8" in text


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "on disk"])
def test_only_what_changed_runs_again(on_disk: bool, tmp_path: Path) -> None:
    remembering = Session(device="cpu")

    def kinds_by_node(low: int, fps: float) -> dict[str, str]:
        nonlocal remembering
        if on_disk:
            store = Store(folder=tmp_path)
            assert store.on_disk is not None
            store.on_disk.speed.seconds_per_byte = -admission.HASH_SECONDS_PER_BYTE  # keep all
            remembering = Session(device="cpu", store=store)
        events: list[Event] = []
        edges = Canny(image=Frames(video=CLIP), low=low)
        run(VideoFromFrames(frames=edges, fps=fps), session=remembering, on_event=events.append)
        return {e.node: e.kind for e in events if isinstance(e, NodeStarted | Reused)}

    assert set(kinds_by_node(100, 5.0).values()) == {"node_started"}
    assert set(kinds_by_node(100, 5.0).values()) == {"reused"}
    assert kinds_by_node(100, 9.0) == {"canny": "reused", "video_from_frames": "node_started"}
    assert kinds_by_node(90, 9.0)["canny"] == "node_started"


@pytest.mark.torch
def test_a_model_works_on_each_frame_and_is_loaded_once() -> None:
    session = Session(device="cpu", store=None)
    events: list[Event] = []
    two = Video(CLIP.frames[:2], 6)
    fields: dict[str, Any] = {"prompt": "a red star", "steps": 4, "strength": 0.5, "seed": 3}
    node = Image2Image(image=Frames(video=two), **fields)
    result = run(VideoFromFrames(frames=node), session=session, on_event=events.append)
    singly = [run(Image2Image(image=frame, **fields), session=session) for frame in two]
    assert all(
        (frame == image.numpy).all() for frame, image in zip(result.frames, singly, strict=True)
    )
    loaded = [e for e in events if e.kind == "loaded"]
    assert len(loaded) == len({str(e.as_data()["component"]) for e in loaded}) > 0
    steps = [(e.step, e.total) for e in events if isinstance(e, Stepped)]
    assert steps[-1][0] == steps[-1][1] and [s for s, _ in steps] == sorted(s for s, _ in steps)


def test_a_workflow_is_run_for_each_frame(tmp_path: Path, session: Session) -> None:
    (tmp_path / "inner.yaml").write_text(
        "inputs: {photo: {type: Image}}\n"
        "nodes:\n"
        "  small: {type: Resize, image: $inputs.photo, width: 32, height: 32}\n"
        "  edges: {type: Canny, image: $small}\n"
    )
    run(SaveVideo(video=CLIP, path=tmp_path / "clip.mp4"), session=session)
    (path := tmp_path / "outer.yaml").write_text(
        "nodes:\n"
        "  clip: {type: LoadVideo, path: clip.mp4}\n"
        "  frame: {type: Frames, video: $clip}\n"
        "  drawn: {type: Workflow, path: inner.yaml, photo: $frame}\n"
        "  joined: {type: VideoFromFrames, frames: $drawn}\n"
    )
    graph = load_workflow(path).graph()
    (video,) = session.run(graph).values()
    assert (len(video), video.size) == (6, (32, 32))
    again = workflow_from_yaml(to_yaml(*graph.targets), folder=tmp_path).graph()
    assert again.targets == graph.targets


OPEN = """\
nodes:
  clip: {type: LoadVideo, path: clip.mp4}
  frame: {type: Frames, video: $clip}
  edges: {type: Canny, image: $frame}
  file: {type: Save, image: $edges, path: out.png}
"""


def test_frames_that_nobody_gathers_are_refused_where_they_stand(
    tmp_path: Path, session: Session
) -> None:
    run(SaveVideo(video=CLIP, path=tmp_path / "clip.mp4"), session=session)
    for text, place in ((OPEN, "<text>:5:9"), (OPEN.rpartition("  file")[0], "<text>:4:10")):
        (problem,) = workflow_from_yaml(text, folder=tmp_path).problems()
        assert str(problem.at) == place
        assert "for each frame" in problem.found and "VideoFromFrames" in problem.fix


def test_frames_in_place_of_a_video_are_refused_by_kind(tmp_path: Path) -> None:
    text = OPEN.replace("Save, image", "SaveVideo, video").replace("out.png", "out.mp4")
    with pytest.raises(InvalidWorkflowError) as caught:
        workflow_from_yaml(text, folder=tmp_path).graph()
    assert "<text>:5:34: file.video" in str(caught.value)
    assert "$edges, which makes an EdgeMap" in str(caught.value)


@pytest.mark.parametrize(
    "node",
    [
        Frames(video=CLIP),
        Canny(image=Frames(video=CLIP)),
        Save(image=Frames(video=CLIP), path="out.png"),
    ],
    ids=lambda node: type(node).__name__,
)
def test_frames_that_nobody_gathers_are_refused_in_python(node: Node[Any]) -> None:
    assert "a value for each frame" in refused_before_load(node)


def test_no_frames_are_refused_at_construction() -> None:
    assert "VideoFromFrames.frames" in refused_at_construction(VideoFromFrames, frames=[])


def test_a_long_chain_of_nodes_is_followed() -> None:
    node: Node[Image] = Frames(video=CLIP)
    for _ in range(3000):
        node = Canny(image=node)
    assert len(Graph.of(node).check()) == 1
    assert Graph.of(VideoFromFrames(frames=node)).check() == []


def test_memory_grows_by_a_few_videos_at_most() -> None:
    """The frames are views; each node in turn holds one video of results, and the last one more."""
    clip = Video(noisy((40, 128, 128, 3)), 8)
    joined = VideoFromFrames(frames=Canny(image=Canny(image=Canny(image=Frames(video=clip)))))
    session = Session(device="cpu", store=None)
    run(VideoFromFrames(frames=Canny(image=Frames(video=Video(CLIP.frames, 8)))), session=session)
    tracemalloc.start()
    run(joined, session=session)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * clip.nbytes


@pytest.mark.parametrize("content", [b"", b"no video", b"GIF89a" + b"\0" * 9])
def test_a_file_that_is_no_video_is_refused_before_anything_runs(
    tmp_path: Path, content: bytes
) -> None:
    (path := tmp_path / "video.mp4").write_bytes(content)
    text = refused_before_load(LoadVideo(path=path))
    assert "load_video.path" in text and str(path) in text


def test_a_part_of_a_video_is_loaded(session: Session, tmp_path: Path) -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8), 32 * 64 * 3).reshape(20, 32, 64, 3)
    run(SaveVideo(video=Video(ramp, 10), path=tmp_path / "a.mp4"), session=session)
    node = LoadVideo(path=tmp_path / "a.mp4", start=0.5, seconds=1.0, fps=5.0, longest=32)
    result = run(node, session=session)
    assert (len(result), result.fps, result.size) == (5, 5, (32, 16))
    assert np.abs(result.frames.mean(axis=(1, 2, 3)) - [50, 70, 90, 110, 130]).max() < 3
    late = LoadVideo(path=tmp_path / "a.mp4", start=3.0)
    assert "no frame 3 s from its start" in str(failure(late, session))
