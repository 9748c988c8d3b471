"""Captions: written from a scene, and parsed into what a picture has to show."""

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
    # Longer words first, because "at the top left" starts with "at the top".
    return "|".join(sorted(words, key=len, reverse=True))


_OBJECT = re.compile(
    rf"an? ({_either(tuple(COLOURS))}) ({_either(SHAPES)})"
    rf"(?: ({_either(MOTIONS)}))?(?: ({_either(tuple(_PHRASES))}))?"
)
_BACKGROUND = re.compile(rf"(.+) on an? ({_either(BACKGROUNDS)}) background")


@dataclass(frozen=True)
class CaptionObject:
    """An object as a caption describes it; place is None if the caption names none."""

    shape: str
    colour: str
    place: str | None = None


@dataclass(frozen=True)
class CaptionContent:
    """What a caption describes; background and motion are None if it names none."""

    objects: tuple[CaptionObject, ...]
    background: str | None = None
    motion: str | None = None


def describe_scene(scene: Scene) -> str:
    """The caption of a scene, such as "a red star moving right on a gray background"."""
    objects = " and ".join(_describe_object(obj, scene) for obj in scene.objects)
    return f"{objects} on {_article(scene.background)} background"


def describe_surroundings(scene: Scene) -> str:
    """The caption of a scene without its objects, such as "on the left on a gray background"."""
    places = " and ".join(_phrase(obj.place) for obj in scene.objects)
    background = f"on {_article(scene.background)} background"
    return f"{places} {background}" if scene.tells_place else background


def parse_caption(text: str) -> CaptionContent:
    """Parses a caption: one or two objects, and an optional background.

    Case, commas, a full stop at the end and repeated spaces are ignored.

    Args:
        text: The caption.

    Raises:
        InvalidValueError: It has unknown words, or does not have the form of a caption.

    Example:
        >>> parse_caption("a red star on the left").objects
        (CaptionObject(shape='star', colour='red', place='left'),)
    """
    words = text.lower().replace(",", " ").strip().removesuffix(".").split()
    if unknown := [word for word in words if word not in vocabulary()]:
        listed = "unknown words: " + ", ".join(map(repr, dict.fromkeys(unknown)))
        refuse("caption", listed, "words of the tiny world", did_you_mean(unknown[0], vocabulary()))
    plain = " ".join(words)
    background = _BACKGROUND.fullmatch(plain)
    parts = (background[1] if background else plain).split(" and ")
    matches = [match for part in parts if (match := _OBJECT.fullmatch(part))]
    objects = tuple(CaptionObject(match[2], match[1], _PHRASES.get(match[4])) for match in matches)
    motions = [match[3] for match in matches if match[3]]
    if len(objects) != len(parts) or len(objects) > 2 or len(motions) > (len(objects) == 1):
        refuse("caption", repr(text), f"one or two objects on a background, as in {_EXAMPLE}")
    return CaptionContent(
        objects, background[2] if background else None, motions[0] if motions else None
    )


@cache
def vocabulary() -> tuple[str, ...]:
    """All words that captions can have, sorted."""
    phrases = (*SHAPES, *COLOURS, *BACKGROUNDS, *MOTIONS, *_PHRASES, "a an and on background")
    return tuple(sorted({word for phrase in phrases for word in phrase.split()}))


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _describe_object(obj: SceneObject, scene: Scene) -> str:
    words = [_article(obj.colour), obj.shape]
    if scene.motion:
        words.append(scene.motion)
    if scene.tells_place:
        words.append(_phrase(obj.place))
    return " ".join(words)
