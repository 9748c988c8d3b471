"""Captions: written from scenes, and parsed."""

from __future__ import annotations

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.nodes.tiny_world import (
    CaptionContent,
    CaptionObject,
    Scene,
    SceneObject,
    describe_scene,
    parse_caption,
    random_scene,
    vocabulary,
)


def content_of_caption(example: Scene) -> CaptionContent:
    objects = tuple(
        CaptionObject(obj.shape, obj.colour, obj.place if example.tells_place else None)
        for obj in example.objects
    )
    return CaptionContent(objects, example.background, example.motion)


def test_a_parsed_caption_has_the_content_of_its_scene() -> None:
    words = set()
    for seed in range(1_000):
        for example in (random_scene(seed), random_scene(seed, held_out=True, moving=True)):
            text = describe_scene(example)
            words |= set(text.split())
            assert parse_caption(text) == content_of_caption(example)
    assert tuple(sorted(words)) == vocabulary()


def test_captions_read_as_english() -> None:
    star = SceneObject("star", "yellow", "top left", 0.2)
    ring = SceneObject("ring", "orange", "right", 0.15)
    assert (
        describe_scene(Scene("navy", (star,)))
        == "a yellow star at the top left on a navy background"
    )
    plain = Scene("navy", (star,), tells_place=False)
    assert describe_scene(plain) == "a yellow star on a navy background"
    both = describe_scene(Scene("checkered", (star, ring)))
    assert both == (
        "a yellow star at the top left and an orange ring on the right on a checkered background"
    )
    moving = Scene("gray", (ring,), "moving right", tells_place=False)
    assert describe_scene(moving) == "an orange ring moving right on a gray background"


def test_a_background_may_be_left_out_and_case_and_spaces_do_not_matter() -> None:
    assert parse_caption("a red star").background is None
    assert parse_caption(" A red  STAR on a navy background. ") == parse_caption(
        "a red star on a navy background"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a crimson star on a navy background", "'crimson'"),
        ("a red stra on a golden background", "'stra', 'golden'"),
        ("a red stra on a navy background", "did you mean 'star'"),
        ("a star red on a navy background", "one or two objects on a background"),
        ("a red star and a blue ring and a green cross", "one or two objects on a background"),
        ("a red star growing and a blue ring", "one or two objects on a background"),
        ("", "one or two objects on a background"),
    ],
)
def test_a_caption_with_unknown_words_or_in_another_form_is_refused(
    text: str, message: str
) -> None:
    with pytest.raises(InvalidValueError, match=message):
        parse_caption(text)
