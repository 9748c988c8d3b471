"""The judge against ground truth: right on right pictures, not fooled by wrong ones."""

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
    Thing,
    caption,
    depth,
    depth_correlation,
    edge_f1,
    edges,
    inside,
    judge,
    masks,
    parse_caption,
    read_picture,
    render,
    scene,
)
from tests.support.effort import scaled
from tests.support.tiny_world_images import changed_scenes, decibels, degrade, some_scenes


def right(example: Scene, side: int, *, spoil: int | None = None) -> bool:
    picture = render(example, side)
    picture = picture if spoil is None else degrade(picture, spoil)
    return judge(picture, parse_caption(caption(replace(example, tells_place=True)))).all


@pytest.mark.parametrize("side", [64, 128])
def test_rendered_scenes_are_judged_right(side: int) -> None:
    count = scaled(1_000)
    assert sum(right(scene, side) for scene in some_scenes(count)) >= 0.995 * count


@pytest.mark.parametrize("side", [64, 128])
def test_blur_noise_and_a_colour_shift_hardly_matter(side: int) -> None:
    examples = some_scenes(scaled(1_000), first=5_000)
    assert sum(right(one, side, spoil=seed) for seed, one in enumerate(examples)) >= 0.98 * len(
        examples
    )


def test_the_spoiling_is_that_of_an_autoencoder() -> None:
    pictures = [render(scene, side) for scene in some_scenes(40) for side in (64, 128)]
    levels = [decibels(one, degrade(one, seed)) for seed, one in enumerate(pictures)]
    assert min(levels) > 23 and 25 < np.mean(levels) < 29 and max(levels) < 31


@pytest.mark.parametrize("side", [64, 128])
@pytest.mark.parametrize("spoil", [False, True])
def test_a_scene_that_differs_in_one_thing_is_found_wrong_in_that(spoil: bool, side: int) -> None:
    tried, fooled, exact = Counter[str](), Counter[str](), Counter[str]()
    for seed, example in enumerate(some_scenes(scaled(250), first=9_000)):
        content = parse_caption(caption(replace(example, tells_place=True)))
        for attribute, other in changed_scenes(example, seed):
            picture = render(other, side)
            verdict = judge(degrade(picture, seed) if spoil else picture, content)
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
@pytest.mark.parametrize("side", [64, 128])
def test_an_empty_ground_shows_no_object(name: str, side: int) -> None:
    for picture in (render(Scene(name, ()), side), degrade(render(Scene(name, ()), side), 1)):
        reading = read_picture(picture)
        assert reading.background == name and reading.things == ()
        verdict = judge(picture, parse_caption(f"a red star on a {name} background"))
        assert verdict.background and not (verdict.shape or verdict.colour or verdict.place)


def test_noise_is_never_right() -> None:
    for seed in range(scaled(80)):
        draw, content = np.random.default_rng(seed), parse_caption(caption(scene(seed)))
        flat = draw.integers(0, 256, (128, 128, 3), dtype=np.uint8)
        large = np.kron(draw.integers(0, 256, (16, 16, 3), dtype=np.uint8), np.ones((8, 8, 1)))
        for picture in (flat, large.astype(np.uint8)):
            assert not judge(picture, content).all
            assert read_picture(picture).background is None


def test_too_many_objects_are_wrong_though_the_asked_one_is_there() -> None:
    star, ring = Thing("star", "red", "left", 0.15), Thing("ring", "blue", "right", 0.15)
    verdict = judge(
        render(Scene("teal", (star, ring))), parse_caption("a red star on a teal background")
    )
    assert verdict.shape and verdict.colour and not verdict.count and not verdict.all


@pytest.mark.parametrize("places", ["", " on the left", " on the right"])
def test_the_colours_of_two_objects_are_not_exchangeable(places: str) -> None:
    star, ring = Thing("star", "red", "left", 0.15), Thing("ring", "blue", "right", 0.15)
    picture = render(Scene("teal", (star, ring)))
    assert judge(picture, parse_caption("a blue ring and a red star on a teal background")).all
    verdict = judge(
        picture, parse_caption(f"a blue star{places} and a red ring on a teal background")
    )
    assert verdict.count and not (verdict.shape and verdict.colour) and not verdict.all
    assert verdict.shape or places  # of two ways to pair them, the one by shape


def test_an_object_of_two_colours_has_none() -> None:
    scenes = [
        Scene("gray", (Thing("square", colour, "center", 0.2),)) for colour in ("red", "blue")
    ]
    picture = render(scenes[0])
    picture[64:] = render(scenes[1])[64:]
    (thing,) = read_picture(picture).things
    assert thing.shape == "square" and thing.colour is None


def test_a_half_moon_and_a_bar_are_no_known_shape() -> None:
    picture = render(Scene("gray", ()))
    picture[60:68, 30:98] = (220, 30, 40)
    assert [thing.shape for thing in read_picture(picture).things] == [None]
    picture_ = render(Scene("gray", (Thing("circle", "red", "center", 0.2),)))
    picture_[:, :64] = render(Scene("gray", ()))[:, :64]
    assert [thing.shape for thing in read_picture(picture_).things] == [None]


def test_what_is_read_agrees_with_the_ground_truth() -> None:
    for example in some_scenes(80):
        truth = dict(zip((thing.place for thing in example.things), masks(example), strict=True))
        for thing in read_picture(render(example)).things:
            mask = truth[thing.place] > 0
            pixels = thing.mask > 0
            assert (mask & pixels).sum() / (mask | pixels).sum() > 0.93
            rows, columns = np.nonzero(mask)
            assert np.hypot(columns.mean() - thing.middle[0], rows.mean() - thing.middle[1]) < 0.5
            box = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            assert np.abs(np.subtract(thing.box, box)).max() <= 2  # sharp tips are blurred away


@pytest.mark.parametrize("side", [64, 128])
def test_only_the_object_inside_the_mask_is_looked_at(side: int) -> None:
    for seed in range(60):
        example = scene(seed, things=2)
        for thing, mask in zip(example.things, masks(example, side), strict=True):
            rows, columns = np.nonzero(mask)
            box = np.zeros((side, side), np.uint8)
            box[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3] = 255
            looked_at = inside(degrade(render(example, side), seed), box)
            assert looked_at is not None
            assert (looked_at.shape, looked_at.colour) == (thing.shape, thing.colour)
    assert inside(render(Scene("navy", ()), side), np.full((side, side), 255, np.uint8)) is None


def test_a_picture_that_cannot_be_judged_is_refused() -> None:
    for picture in (np.zeros((64, 32, 3), np.uint8), np.zeros((64, 64, 4), np.uint8)):
        with pytest.raises(InvalidValueError, match="side, side, 3"):
            read_picture(picture)
    with pytest.raises(InvalidValueError, match="float64"):
        read_picture(np.zeros((64, 64, 3)))  # type: ignore[arg-type]


def test_edges_agree_with_their_own_scene_and_no_other() -> None:
    for seed, example in enumerate(some_scenes(40)):
        control = edges(example)
        assert edge_f1(control, control) == 1
        assert edge_f1(render(example), control) == 1
        moved = np.roll(control, 1, axis=1)
        assert edge_f1(moved, control) > 0.97
        far = np.roll(control, 6, axis=(0, 1))
        assert edge_f1(far, control) < 0.85
        assert edge_f1(degrade(render(example), seed), control) > 0.5
    empty = np.zeros((128, 128), np.uint8)
    assert edge_f1(empty, empty) == 1 and edge_f1(empty, control) == 0


def test_depth_correlation_is_pearsons() -> None:
    one, other = depth(scene(1)), depth(scene(2))
    assert depth_correlation(one, one * 3 - 1) == pytest.approx(1)
    assert depth_correlation(one, -one) == pytest.approx(-1)
    truth = np.corrcoef(one.ravel(), other.ravel())[0, 1]
    assert depth_correlation(one, other) == pytest.approx(truth, abs=1e-5)
    assert depth_correlation(one, np.zeros_like(one)) == 0


def test_every_shape_is_known_at_every_angle() -> None:
    for shape in SHAPES:
        for angle in range(0, 360, 7):
            example = Scene("brown", (Thing(shape, "cyan", "center", 0.16, angle),))
            assert [thing.shape for thing in read_picture(render(example, 64)).things] == [shape]
