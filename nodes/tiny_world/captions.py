"""Captions of scenes: written for a scene, and parsed to what a picture must show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from sdgraph.errors import did_you_mean

from .scenes import Scene, SceneObject
from .words import BACKGROUNDS, COLOURS, MOTIONS, PLACES, SHAPES, refuse

_EXAMPLE = "'a yellow star at the top left on a navy background'"


def _phrase(place: str) -> str:
    preposition = {"center": "in", "left": "on", "right": "on"}.get(place, "at")
    return f"{preposition} the {place}"


_PHRASES = {_phrase(place): place for place in PLACES}


def _either(words: tuple[str, ...]) -> str:
    # Longer ones first: "at the top left" begins as "at the top" does.
    return "|".join(sorted(words, key=len, reverse=True))


_THING = re.compile(
    rf"an? ({_either(tuple(COLOURS))}) ({_either(SHAPES)})"
    rf"(?: ({_either(MOTIONS)}))?(?: ({_either(tuple(_PHRASES))}))?"
)
_GROUND = re.compile(rf"(.+) on an? ({_either(BACKGROUNDS)}) background")


@dataclass(frozen=True)
class CaptionObject:
    """An object that a caption describes; without a place it may be anywhere."""

    shape: str
    colour: str
    place: str | None = None


@dataclass(frozen=True)
class CaptionContent:
    """What a caption describes; without a background it may be any."""

    objects: tuple[CaptionObject, ...]
    background: str | None = None
    motion: str | None = None


def describe_scene(scene: Scene) -> str:
    """The caption of a scene, such as "a red star moving right on a gray background"."""
    objects = " and ".join(_described(obj, scene) for obj in scene.objects)
    return f"{objects} on {_article(scene.background)} background"


def describe_surroundings(scene: Scene) -> str:
    """The caption of a scene without its objects, such as "on the left on a gray background"."""
    places = " and ".join(_phrase(obj.place) for obj in scene.objects)
    ground = f"on {_article(scene.background)} background"
    return f"{places} {ground}" if scene.tells_place else ground


def parse_caption(text: str) -> CaptionContent:
    """Parses a caption: one or two objects, and a background unless it is left out.

    Case, commas, a full stop and wide spaces make no difference.

    Args:
        text: The caption.

    Raises:
        InvalidValueError: It has unknown words, or its words are no caption in this order.

    Example:
        >>> parse_caption("a red star on the left").objects
        (CaptionObject(shape='star', colour='red', place='left'),)
    """
    words = text.lower().replace(",", " ").strip().removesuffix(".").split()
    if unknown := [word for word in words if word not in vocabulary()]:
        listed = "unknown words: " + ", ".join(map(repr, dict.fromkeys(unknown)))
        refuse("caption", listed, "words of the tiny world", did_you_mean(unknown[0], vocabulary()))
    plain = " ".join(words)
    ground = _GROUND.fullmatch(plain)
    parts = (ground[1] if ground else plain).split(" and ")
    found = [_THING.fullmatch(part) for part in parts]
    objects = tuple(CaptionObject(m[2], m[1], _PHRASES.get(m[4])) for m in found if m)
    motions = [m[3] for m in found if m and m[3]]
    if len(objects) != len(parts) or len(objects) > 2 or len(motions) > (len(objects) == 1):
        refuse("caption", repr(text), f"one or two objects on a ground, as in {_EXAMPLE}")
    return CaptionContent(objects, ground[2] if ground else None, motions[0] if motions else None)


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word that captions use, sorted."""
    phrases = (*SHAPES, *COLOURS, *BACKGROUNDS, *MOTIONS, *_PHRASES, "a an and on background")
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _described(obj: SceneObject, scene: Scene) -> str:
    words = [_article(obj.colour), obj.shape]
    if scene.motion:
        words.append(scene.motion)
    if scene.tells_place:
        words.append(_phrase(obj.place))
    return " ".join(words)
