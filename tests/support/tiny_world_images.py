"""Scenes of the tiny world, degraded pictures of them, and scenes with one change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from sdgraph.nodes.tiny_world import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    Pixels,
    Scene,
    SceneObject,
    random_scene,
)


def some_scenes(count: int, *, first: int = 0) -> list[Scene]:
    """Scenes for training and held-out ones, of one and two objects in turn."""
    seeds = range(first, first + count)
    return [random_scene(seed, held_out=seed % 2 == 1, objects=1 + seed // 2 % 2) for seed in seeds]


def degrade(picture: Pixels, seed: int) -> Pixels:
    """The picture with blur, noise and a colour shift like an autoencoder's: 24 to 30 dB."""
    draw = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(picture, (0, 0), 1.0).astype(np.float64)
    blurred = soft + draw.normal(0, 9, picture.shape) + draw.uniform(-6, 6, 3)
    return np.asarray(np.clip(np.rint(blurred), 0, 255), np.uint8)


def decibels(one: Pixels, other: Pixels) -> float:
    """The peak signal-to-noise ratio of two pictures."""
    error = float(((one.astype(np.float64) - other) ** 2).mean())
    return float(10 * np.log10(255**2 / error))


def changed_scenes(origin: Scene, seed: int) -> Iterator[tuple[str, Scene]]:
    """For each attribute: its name, and the scene with that attribute changed.

    Of two objects the first one changes, never to the shape or colour of the other.
    """
    draw = np.random.default_rng(seed)
    obj, *rest = origin.objects
    backgrounds = [background for background in BACKGROUNDS if background != origin.background]
    yield "background", replace(origin, background=str(draw.choice(backgrounds)))
    looks: dict[str, tuple[str, ...]] = {"shape": SHAPES, "colour": tuple(COLOURS)}
    if not rest:
        looks["place"] = tuple(PLACES)
    taken = {"shape": {other.shape for other in rest}, "colour": {other.colour for other in rest}}
    for attribute, choices in looks.items():
        taken_words = {getattr(obj, attribute)} | taken.get(attribute, set())
        word = str(draw.choice([choice for choice in choices if choice not in taken_words]))
        words = {name: getattr(obj, name) for name in ("shape", "colour", "place")}
        words[attribute] = word
        other = SceneObject(**words, size=obj.size, angle=obj.angle, shift=obj.shift)
        yield attribute, replace(origin, objects=(other, *rest))
