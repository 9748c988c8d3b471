"""Turbo: one to four steps without guidance, as the scripts give them."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Turbo
from tests.support.bare_scripts import same, script
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import photo, picture


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [0, 42])
def test_from_words_it_equals_the_script(session: Session, steps: int, seed: int) -> None:
    result = run(Turbo(prompt="a red star", steps=steps, seed=seed), session=session)
    expected = script(
        "StableDiffusionXLPipeline",
        "tiny/turbo",
        prompt="a red star",
        steps=steps,
        seed=seed,
        guidance_scale=0.0,
    )
    assert result.size == (64, 64)
    assert same(result.numpy, expected)


@pytest.mark.parametrize(
    ("steps", "strength"), [(1, 1.0), (2, 0.5), (2, 1.0), (3, 0.34), (4, 0.25), (4, 0.8)]
)
def test_from_a_picture_it_equals_the_script(session: Session, steps: int, strength: float) -> None:
    node = Turbo(prompt="a", image=photo(96, 72), steps=steps, strength=strength, seed=5)
    expected = script(
        "StableDiffusionXLImg2ImgPipeline",
        "tiny/turbo",
        prompt="a",
        seed=5,
        image=picture(96, 72),
        steps=steps,
        strength=strength,
        guidance_scale=0.0,
    )
    assert same(run(node, session=session).numpy, expected)


def test_a_size_guidance_and_a_negative_prompt_equal_the_script(session: Session) -> None:
    node = Turbo(prompt="a", negative_prompt="b", guidance=2.0, width=64, height=72, steps=2)
    expected = script(
        "StableDiffusionXLPipeline",
        "tiny/turbo",
        prompt="a",
        negative_prompt="b",
        guidance_scale=2.0,
        width=64,
        height=72,
        steps=2,
        seed=0,
    )
    assert same(run(node, session=session).numpy, expected)


@pytest.mark.parametrize("image", [None, photo(72, 64)])
def test_a_plain_stable_diffusion_checkpoint_equals_its_script(
    session: Session, image: Any
) -> None:
    node = Turbo(prompt="a", steps=2, image=image, checkpoint=Checkpoint("tiny/text-to-image"))
    name = "StableDiffusionImg2ImgPipeline" if image else "StableDiffusionPipeline"
    start = {"image": image.pil, "strength": 0.5} if image else {}
    expected = script(
        name, "tiny/text-to-image", prompt="a", steps=2, seed=0, guidance_scale=0.0, **start
    )
    assert same(run(node, session=session).numpy, expected)


@pytest.mark.parametrize("size", [(1, 1), (75, 53), (90, 3)])
def test_the_result_has_the_pictures_size(session: Session, size: tuple[int, int]) -> None:
    assert run(Turbo(prompt="a", image=photo(*size), steps=2), session=session).size == size


@pytest.mark.parametrize(("steps", "strength"), [(1, 0.5), (1, 0.999), (3, 0.3), (4, 0.2)])
def test_strength_that_leaves_no_step_is_refused_with_a_picture_only(
    steps: int, strength: float
) -> None:
    Turbo(prompt="a", steps=steps, strength=strength)
    text = refused_at_construction(
        Turbo, prompt="a", steps=steps, strength=strength, image=photo(64, 64)
    )
    assert "Turbo.strength" in text
    assert "strength × steps of at least 1" in text


def test_by_default_it_takes_one_step_without_guidance() -> None:
    node = Turbo(prompt="a")
    size = {"width": 64, "height": 64}
    assert node.chosen_fields() == {"steps": 1, "guidance": 0.0, **size}
    assert node.replace(width=128).chosen_fields() == {"steps": 1, "guidance": 0.0}
    started = node.replace(image=photo(64, 64), strength=1.0)
    assert started.chosen_fields() == {"steps": 1, "guidance": 0.0}


@pytest.mark.parametrize(("strength", "steps"), [(None, 2), (1.0, 1), (0.4, 3), (0.25, 4)])
def test_with_a_picture_it_takes_by_default_the_steps_that_its_strength_needs(
    strength: float | None, steps: int
) -> None:
    fields: dict[str, Any] = {} if strength is None else {"strength": strength}
    node = Turbo(prompt="a", image=photo(64, 64), **fields)
    assert node.chosen_steps == steps and not list(node.check())


def test_a_strength_that_sixteen_steps_are_too_few_for_is_refused() -> None:
    text = refused_at_construction(Turbo, prompt="a", image=photo(64, 64), strength=0.05)
    assert "raise strength to 0.07 or more" in text and "steps to" not in text
    text = refused_at_construction(Turbo, prompt="a", image=photo(64, 64), strength=0.5, steps=1)
    assert "raise strength to 1 or more, or steps to 2" in text


@pytest.mark.parametrize("steps", [0, 17])
def test_more_than_sixteen_steps_or_none_are_refused(steps: int) -> None:
    assert "Turbo.steps" in refused_at_construction(Turbo, prompt="a", steps=steps)


def test_a_size_together_with_a_picture_is_refused() -> None:
    for side in ("width", "height"):
        fields: dict[str, Any] = {side: 64}
        text = refused_at_construction(Turbo, prompt="a", image=photo(64, 64), steps=2, **fields)
        assert f"Turbo.{side}" in text
        assert "Resize" in text


def test_sides_that_the_network_cannot_take_are_refused_before_loading() -> None:
    text = refused_before_load(Turbo(prompt="a", width=100, height=64))
    assert "turbo.width" in text
    assert "a multiple of 8" in text
    assert "turbo.height" not in text
