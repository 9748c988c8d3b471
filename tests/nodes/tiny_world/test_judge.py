"""The judge accepts rendered scenes and rejects pictures that differ in one property."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.nodes.tiny_world import (
    BACKGROUNDS,
    SHAPES,
    Scene,
    SceneObject,
    depth_correlation,
    describe_scene,
    edge_f1,
    find_largest_object,
    judge_picture,
    parse_caption,
    random_scene,
    read_picture,
    render_depth,
    render_edges,
    render_masks,
    render_scene,
)
from tests.support.effort import scaled
from tests.support.tiny_world_images import changed_scenes, decibels, degrade, some_scenes

SIDES = (64, pytest.param(128, marks=pytest.mark.slow))


def is_judged_right(example: Scene, side: int, *, noise_seed: int | None = None) -> bool:
    picture = render_scene(example, side)
    picture = picture if noise_seed is None else degrade(picture, noise_seed)
    return judge_picture(
        picture, parse_caption(describe_scene(replace(example, tells_place=True)))
    ).all


@pytest.mark.parametrize("side", SIDES)
def test_rendered_scenes_are_judged_right(side: int) -> None:
    count = scaled(400)
    assert sum(is_judged_right(scene, side) for scene in some_scenes(count)) >= 0.995 * count


@pytest.mark.parametrize("side", SIDES)
def test_blur_noise_and_a_colour_shift_hardly_matter(side: int) -> None:
    examples = some_scenes(scaled(400), first=5_000)
    assert sum(
        is_judged_right(one, side, noise_seed=seed) for seed, one in enumerate(examples)
    ) >= 0.98 * len(examples)


def test_degraded_pictures_are_as_noisy_as_those_of_an_autoencoder() -> None:
    pictures = [
        render_scene(scene, side)
        for scene in some_scenes(scaled(40, least=8))
        for side in (64, 128)
    ]
    levels = [decibels(one, degrade(one, seed)) for seed, one in enumerate(pictures)]
    assert min(levels) > 23 and 25 < np.mean(levels) < 29 and max(levels) < 31


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("degraded", [False, True])
def test_a_scene_that_differs_in_one_property_is_judged_wrong_in_that(
    degraded: bool, side: int
) -> None:
    tried, fooled, exact = Counter[str](), Counter[str](), Counter[str]()
    for seed, example in enumerate(some_scenes(scaled(100), first=9_000)):
        content = parse_caption(describe_scene(replace(example, tells_place=True)))
        for attribute, other in changed_scenes(example, seed):
            picture = render_scene(other, side)
            verdict = judge_picture(degrade(picture, seed) if degraded else picture, content)
            tried[attribute] += 1
            fooled[attribute] += verdict.all
            wrong = [
                n for n in ("shape", "colour", "place", "background") if not getattr(verdict, n)
            ]
            exact[attribute] += wrong == [attribute]
    assert set(tried) == {"shape", "colour", "place", "background"}
    assert fooled.total() <= 0.01 * tried.total()
    assert exact.total() >= 0.98 * tried.total(), (exact, tried)


@pytest.mark.parametrize("name", BACKGROUNDS)
@pytest.mark.parametrize("side", SIDES)
def test_an_empty_background_shows_no_object(name: str, side: int) -> None:
    for picture in (
        render_scene(Scene(name, ()), side),
        degrade(render_scene(Scene(name, ()), side), 1),
    ):
        reading = read_picture(picture)
        assert reading.background == name and reading.objects == ()
        verdict = judge_picture(picture, parse_caption(f"a red star on a {name} background"))
        assert verdict.background and not (verdict.shape or verdict.colour or verdict.place)


def test_noise_is_never_right() -> None:
    for seed in range(scaled(80)):
        draw, content = (
            np.random.default_rng(seed),
            parse_caption(describe_scene(random_scene(seed))),
        )
        flat = draw.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        large = np.kron(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((8, 8, 1)))
        for picture in (flat, large.astype(np.uint8)):
            assert not judge_picture(picture, content).all
            assert read_picture(picture).background is None


def test_too_many_objects_are_wrong_even_if_the_expected_one_is_there() -> None:
    star, ring = (
        SceneObject("star", "red", "left", 0.15),
        SceneObject("ring", "blue", "right", 0.15),
    )
    verdict = judge_picture(
        render_scene(Scene("teal", (star, ring))), parse_caption("a red star on a teal background")
    )
    assert verdict.shape and verdict.colour and not verdict.count and not verdict.all


@pytest.mark.parametrize("places", ["", " on the left", " on the right"])
def test_the_colours_of_two_objects_are_not_exchangeable(places: str) -> None:
    star, ring = (
        SceneObject("star", "red", "left", 0.15),
        SceneObject("ring", "blue", "right", 0.15),
    )
    picture = render_scene(Scene("teal", (star, ring)))
    assert judge_picture(
        picture, parse_caption("a blue ring and a red star on a teal background")
    ).all
    verdict = judge_picture(
        picture, parse_caption(f"a blue star{places} and a red ring on a teal background")
    )
    assert verdict.count and not (verdict.shape and verdict.colour) and not verdict.all
    assert verdict.shape or places  # of two ways to pair them, the one by shape


def test_an_object_of_two_colours_has_none() -> None:
    scenes = [
        Scene("gray", (SceneObject("square", colour, "center", 0.2),)) for colour in ("red", "blue")
    ]
    picture = render_scene(scenes[0])
    picture[64:] = render_scene(scenes[1])[64:]
    (obj,) = read_picture(picture).objects
    assert obj.shape == "square" and obj.colour is None


def test_a_half_circle_and_a_bar_have_no_known_shape() -> None:
    picture = render_scene(Scene("gray", ()))
    picture[60:68, 30:98] = (220, 30, 40)
    assert [obj.shape for obj in read_picture(picture).objects] == [None]
    half = render_scene(Scene("gray", (SceneObject("circle", "red", "center", 0.2),)))
    half[:, :64] = render_scene(Scene("gray", ()))[:, :64]
    assert [obj.shape for obj in read_picture(half).objects] == [None]


def test_what_is_read_agrees_with_the_ground_truth() -> None:
    for example in some_scenes(scaled(80, least=8)):
        truth = dict(
            zip((obj.place for obj in example.objects), render_masks(example), strict=True)
        )
        for obj in read_picture(render_scene(example)).objects:
            mask = truth[obj.place] > 0
            pixels = obj.mask > 0
            assert (mask & pixels).sum() / (mask | pixels).sum() > 0.93
            rows, columns = np.nonzero(mask)
            assert np.hypot(columns.mean() - obj.middle[0], rows.mean() - obj.middle[1]) < 0.5
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(np.subtract(obj.box, box)).max() <= 2  # sharp tips are blurred away


@pytest.mark.parametrize("side", SIDES)
def test_only_objects_inside_the_mask_are_read(side: int) -> None:
    for seed in range(scaled(60, least=12)):
        example = random_scene(seed, objects=2)
        for obj, mask in zip(example.objects, render_masks(example, side), strict=True):
            rows, columns = np.nonzero(mask)
            box = np.zeros((side, side), np.uint8)
            box[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3] = 255
            largest = find_largest_object(degrade(render_scene(example, side), seed), box)
            assert largest is not None
            assert (largest.shape, largest.colour) == (obj.shape, obj.colour)
    assert (
        find_largest_object(
            render_scene(Scene("navy", ()), side), np.full((side, side), 255, np.uint8)
        )
        is None
    )


def test_a_picture_that_cannot_be_judged_is_refused() -> None:
    for picture in (np.zeros((64, 32, 3), np.uint8), np.zeros((64, 64, 4), np.uint8)):
        with pytest.raises(InvalidValueError, match="side, side, 3"):
            read_picture(picture)
    with pytest.raises(InvalidValueError, match="float64"):
        read_picture(np.zeros((64, 64, 3)))  # type: ignore[arg-type]


def test_edges_agree_with_their_own_scene_and_no_other() -> None:
    for seed, example in enumerate(some_scenes(scaled(40, least=8))):
        control = render_edges(example)
        assert edge_f1(control, control) == 1
        assert edge_f1(render_scene(example), control) == 1
        moved = np.roll(control, 1, axis=1)
        assert edge_f1(moved, control) > 0.97
        far = np.roll(control, 6, axis=(0, 1))
        assert edge_f1(far, control) < 0.85
        assert edge_f1(degrade(render_scene(example), seed), control) > 0.5
    empty = np.zeros((128, 128), np.uint8)
    assert edge_f1(empty, empty) == 1 and edge_f1(empty, control) == 0


def test_depth_correlation_is_pearsons() -> None:
    one, other = render_depth(random_scene(1)), render_depth(random_scene(2))
    assert depth_correlation(one, one * 3 - 1) == pytest.approx(1)
    assert depth_correlation(one, -one) == pytest.approx(-1)
    truth = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert depth_correlation(one, other) == pytest.approx(truth, abs=1e-5)
    assert depth_correlation(one, np.zeros_like(one)) == 0


def test_every_shape_is_classified_at_every_angle() -> None:
    angles = range(0, 360, 7)
    for shape in SHAPES:
        for angle in angles[:: len(angles) // scaled(len(angles), least=8)]:
            example = Scene("brown", (SceneObject(shape, "cyan", "center", 0.16, angle),))
            assert [obj.shape for obj in read_picture(render_scene(example, 64)).objects] == [shape]
