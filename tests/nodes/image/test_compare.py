"""Two pictures side by side keep their pixels; a difference is where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Session, run
from sdgraph.nodes import Compare
from sdgraph.nodes.tiny_world import Scene, SceneObject, render_masks, render_scene
from sdgraph.values import Image
from tests.support.arbitrary_images import assert_unchanged, images
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo


def test_both_pictures_stand_whole_on_black(session: Session) -> None:
    one, two = photo(20, 30), photo(40, 10, "cat")
    result = run(Compare(image=one, other=two), session=session).numpy
    assert result.shape == (30, 64, 3)
    assert (result[:, :20] == one.numpy).all() and (result[:10, 24:] == two.numpy).all()
    assert not result[:, 20:24].any() and not result[10:, 24:].any()


def test_a_difference_is_where_the_thing_is(session: Session) -> None:
    with_star, without = (
        Scene("teal", (SceneObject("star", "red", "left", 0.2),)),
        Scene("teal", ()),
    )
    result = run(
        Compare(
            image=Image(render_scene(with_star, 64)),
            other=Image(render_scene(without, 64)),
            mode="difference",
        ),
        session=session,
    ).numpy
    marked = render_masks(with_star, 64)[0] > 0
    assert (result[marked].max(axis=1) > 50).all()
    assert result[~marked].mean() < 1


def test_gain_multiplies_and_stops_at_white(session: Session) -> None:
    one, two = photo(20, 30), photo(20, 30, "cat")
    plain, strong = (
        run(Compare(image=one, other=two, mode="difference", gain=g), session=session).numpy
        for g in (1.0, 3.0)
    )
    assert (plain == np.abs(one.numpy.astype(int) - two.numpy)).all()
    assert (strong == np.minimum(3 * plain.astype(int), 255)).all()
    assert not run(Compare(image=one, other=one, mode="difference"), session=session).numpy.any()


def test_labels_stand_above_the_pictures(session: Session) -> None:
    one, two = photo(80, 30), photo(60, 30, "cat")
    result = run(Compare(image=one, other=two, labels=["before", "after"]), session=session).numpy
    assert result.shape == (30 + 24, 144, 3)
    assert (result[24:, :80] == one.numpy).all() and (result[24:, 84:] == two.numpy).all()
    assert result[:24, :80].max() > 200 and result[:24, 84:].max() > 200


def test_alpha_is_ignored(session: Session) -> None:
    clear = clear_photo(20, 20)
    opaque = Image(clear.numpy[..., :3].copy())
    results = [run(Compare(image=i, other=i), session=session) for i in (clear, opaque)]
    assert results[0] == results[1]


@settings(deadline=None, max_examples=60)
@given(images(), st.data())
def test_any_two_pictures_are_compared(one: Image, data: st.DataObject) -> None:
    words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
    mode: Any = data.draw(st.sampled_from(["side", "difference"]))
    two = data.draw(images(size=one.size if mode == "difference" else None))
    count = 2 if mode == "side" else 1
    labels = data.draw(st.just([]) | st.lists(words, min_size=count, max_size=count))
    size, gain = data.draw(st.floats(1, 40)), data.draw(st.floats(0.01, 255))
    with assert_unchanged(one, two):
        node = Compare(image=one, other=two, mode=mode, labels=labels, size=size, gain=gain)
        result = node.run(one, two)
    strip = round(1.5 * size) if labels else 0
    width = one.width + 4 + two.width if mode == "side" else one.width
    assert type(result) is Image
    assert result.numpy.shape == (max(one.height, two.height) + strip, width, 3)


def test_a_difference_of_two_sizes_is_refused_with_both() -> None:
    node = Compare(image=photo(20, 10), other=photo(8, 8), mode="difference")
    text = refused_before_load(node)
    assert "8×8" in text and "20×10" in text


@pytest.mark.parametrize(
    "fields",
    [
        {"labels": ["one"]},
        {"labels": ["a", "b"], "mode": "difference"},
        {"labels": ["a", "b", "c"]},
    ],
)
def test_labels_that_are_too_few_or_too_many_are_refused(fields: dict[str, Any]) -> None:
    text = refused_at_construction(Compare, image=photo(8, 8), other=photo(8, 8), **fields)
    assert "Compare.labels" in text
