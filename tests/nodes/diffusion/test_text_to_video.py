"""Text2Video: the script's frames, as many as were asked for."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph import Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Text2Video
from tests.nodes.diffusion.sampling.test_schedulers import CLASSES
from tests.support.bare_scripts import same, script
from tests.support.failing_runs import refused_at_construction, refused_before_load


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 2, "frames": 4},
        {"steps": 3, "frames": 1, "seed": 9, "guidance": 5.0, "negative_prompt": "rain"},
        {"steps": 2, "frames": 3, "width": 32, "height": 48, "guidance": 1.0},
        {"steps": 2, "frames": 2, "scheduler": "dpm++"},
        {"steps": 2, "frames": 2, "scheduler": "heun"},
    ],
)
def test_the_frames_equal_the_scripts(session: Session, fields: dict[str, Any]) -> None:
    result = run(Text2Video(prompt="a bear", **fields), session=session)
    expected = script(
        "TextToVideoSDPipeline",
        "tiny/text-to-video",
        prompt="a bear",
        steps=fields["steps"],
        num_frames=fields["frames"],
        seed=fields.get("seed", 0),
        guidance_scale=fields.get("guidance", 9.0),
        width=fields.get("width"),
        height=fields.get("height"),
        negative_prompt=fields.get("negative_prompt"),
        scheduler=CLASSES[fields["scheduler"]] if "scheduler" in fields else None,
    )
    assert same(result.frames, expected)


@pytest.mark.parametrize(
    ("seconds", "fps", "frames"), [(3, 25, 76), (0.5, 8, 5), (0.1, 1, 1), (1.5, 3.0, 5), (1, 2, 3)]
)
def test_seconds_times_fps_and_one_is_how_many(
    session: Session, seconds: float, fps: float, frames: int
) -> None:
    node = Text2Video(prompt="a", seconds=seconds, fps=fps, steps=1, width=16, height=16)
    result = run(node, session=session)
    assert len(result) == frames
    assert result.fps == fps


def test_without_a_length_there_are_sixteen(session: Session) -> None:
    result = run(Text2Video(prompt="a", steps=1, width=16, height=16), session=session)
    assert (len(result), result.fps, result.size) == (16, 8.0, (16, 16))


def test_both_lengths_are_refused_with_what_the_seconds_are() -> None:
    text = refused_at_construction(Text2Video, prompt="a", frames=16, seconds=3.0, fps=25.0)
    assert "both frames and seconds" in text
    assert "3 s are 76 frames" in text


def test_seconds_are_bounded_as_frames_are() -> None:
    Text2Video(prompt="a", seconds=400, fps=24.9)
    text = refused_at_construction(Text2Video, prompt="a", seconds=600.0, fps=240.0)
    assert "Text2Video.seconds" in text
    assert "144001 frames" in text
    assert "Text2Video.frames" in refused_at_construction(Text2Video, prompt="a", frames=10_001)


@pytest.mark.parametrize("fields", [{"frames": 0}, {"seconds": 0.0}, {"fps": 0.0}])
def test_no_length_at_all_is_refused(fields: dict[str, Any]) -> None:
    (name,) = fields
    assert f"Text2Video.{name}" in refused_at_construction(Text2Video, prompt="a", **fields)


def test_sides_that_the_network_cannot_take_are_refused_before_loading() -> None:
    text = refused_before_load(Text2Video(prompt="a", width=36, height=20))
    assert "text2video.width" in text or "text2_video.width" in text
    assert "36 pixels" in text
    assert "20 pixels" in text


@pytest.mark.parametrize("name", [None, "ddim", "pndm", "heun", "dpm2", "euler"])
def test_progress_rises_and_ends_at_the_total(session: Session, name: Any) -> None:
    reported: list[tuple[int, int]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            reported.append((event.step, event.total))

    node = Text2Video(prompt="a", frames=1, steps=3, width=16, height=16, scheduler=name)
    run(node, session=session, on_event=listen)
    steps = [step for step, _ in reported]
    totals = {total for _, total in reported}
    assert len(totals) == 1
    assert steps == sorted(set(steps))
    assert steps[-1] == totals.pop()


def test_frames_differ_by_seed_and_repeat_by_it(session: Session) -> None:
    node = Text2Video(prompt="a", frames=2, steps=1, width=16, height=16)
    assert run(node, session=session) == run(node, session=session)
    assert run(node, session=session) != run(node.replace(seed=1), session=session)
