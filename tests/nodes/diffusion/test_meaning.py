"""Pictures show what was asked for, as a judge that never sees the models reads them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Image2Image, Text2Image, Turbo
from sdgraph.nodes.tiny_world import (
    describe_scene,
    judge_picture,
    parse_caption,
    random_scene,
    render_scene,
)
from sdgraph.values import Image
from tests.scores import from_images, from_prompts, video
from tests.scores.generation import CheckpointRunner, GenerationSettings
from tests.scores.metrics import judge_against
from tests.scores.scenes import still_scenes
from tests.scores.table import Row

STEPS = 10
"""Of each picture and clip; the score table's take twenty, and twice as long."""

TEXT = Text2Image(
    checkpoint=Checkpoint("tiny/text-to-image"), prompt="…", steps=STEPS, guidance=3.0
)

FIRST = 7_000_000
"""Seeds of scenes that neither training nor the score table uses."""

SCENES = 24
"""Of each system; the score table has 500, and says what is reached there."""


@pytest.fixture(scope="module")
def session() -> Session:
    return Session(device="cpu", store=None)


@pytest.fixture(scope="module")
def runner() -> CheckpointRunner:
    return CheckpointRunner(options=GenerationSettings(steps=STEPS))


def draws_right(prompt: str, seed: int, session: Session) -> bool:
    result = run(TEXT.replace(prompt=prompt, seed=seed), session=session)
    return judge_picture(result.numpy, parse_caption(prompt)).all


def scores(rows: Iterator[Row]) -> dict[str, float]:
    return {row.what: row.value for row in rows}


def test_it_draws_a_yellow_star_on_a_navy_background(session: Session) -> None:
    right = sum(
        draws_right("a yellow star on a navy background", seed, session) for seed in range(5)
    )

    assert right >= 3


@pytest.mark.slow
def test_it_draws_combinations_that_it_was_never_shown(session: Session) -> None:
    prompts = [describe_scene(random_scene(FIRST + n, held_out=True, objects=1)) for n in range(30)]

    right = sum(draws_right(prompt, n, session) for n, prompt in enumerate(prompts))

    # Measured with twenty steps: 57 of 60. Room is left for another machine's rounding.
    assert right >= 24


def test_it_draws_something_else_for_another_prompt(session: Session) -> None:
    picture = run(TEXT.replace(prompt="a red ring on a teal background"), session=session).numpy

    assert not judge_picture(picture, parse_caption("a yellow star on a navy background")).all


# What is asked for below lies about a tenth under what the score table has of 500.


@pytest.mark.slow
def test_inpainting_paints_what_is_asked_and_nothing_outside_the_mask(
    runner: CheckpointRunner,
) -> None:
    score_of = scores(from_images.inpaint(runner, SCENES))

    assert score_of["asked object right"] >= 0.85
    assert score_of["equal outside the mask, bit for bit"] == 1


@pytest.mark.slow
def test_a_controlnet_follows_edges_in_the_colours_asked_for(runner: CheckpointRunner) -> None:
    score_of = scores(from_images.controlnet_edges(runner, SCENES))

    assert score_of["F1 of the edges, within 1 pixel"] >= 0.95
    assert score_of["asked colours right"] >= 0.9


@pytest.mark.slow
def test_a_controlnet_follows_depth(runner: CheckpointRunner) -> None:
    score_of = scores(from_images.controlnet_depth(runner, SCENES))

    assert score_of["estimated depth with the control, correlation"] >= 0.9


def test_depth_is_estimated_as_it_is(runner: CheckpointRunner) -> None:
    score_of = scores(from_images.depth_estimator(runner, SCENES))

    assert score_of["depth with the true one, correlation"] >= 0.97


@pytest.mark.slow
def test_depth_to_image_keeps_the_depth_and_changes_the_ground(runner: CheckpointRunner) -> None:
    score_of = scores(from_images.depth_to_image(runner, SCENES))

    assert score_of["estimated depth with the source's, correlation"] >= 0.9
    assert score_of["asked background right"] >= 0.85


@pytest.mark.slow
def test_two_text_encoders_draw_what_is_asked(runner: CheckpointRunner) -> None:
    score_of = scores(from_prompts.sdxl(runner, SCENES))

    # Measured with twenty steps: 0.81 of 500.
    assert score_of["all right"] >= 0.65


def test_turbo_draws_in_one_step(runner: CheckpointRunner) -> None:
    scenes = still_scenes(2 * SCENES)

    def node(prompt: str, seed: int) -> Turbo:
        checkpoint = runner.checkpoint("turbo")
        return Turbo(prompt=prompt, steps=1, seed=seed, checkpoint=checkpoint)

    right = sum(verdict.all for verdict in from_prompts.verdicts(runner, scenes, node))

    assert right >= 0.6 * len(scenes)


@pytest.mark.slow
def test_clips_show_the_object_and_it_moves_as_the_words_say(runner: CheckpointRunner) -> None:
    score_of = scores(video.text_to_video(runner, 6))

    assert score_of["frames with the object right"] >= 0.6
    assert score_of["motion right"] >= 0.6
    assert score_of["largest step at most 2 × the true one"] >= 0.8


@pytest.mark.slow
def test_image_to_image_keeps_the_place_and_takes_the_colour(runner: CheckpointRunner) -> None:
    right = 0
    for seed in range(SCENES):
        source = random_scene(FIRST + seed, held_out=True, objects=1)
        node = Image2Image(
            image=Image(render_scene(source, 64)),
            prompt=describe_scene(source),
            strength=0.5,
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            **runner.guided(),
        )
        right += judge_against(runner.run(node).numpy, source).all

    assert right >= 0.85 * SCENES
