"""What is written beside weights: base, licence and trigger words; no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdgraph.models.formats.training_metadata import (
    base_in_metadata,
    licence_in_card,
    licence_in_metadata,
    trigger_words,
)


@pytest.mark.parametrize(
    ("key", "written", "base"),
    [
        ("modelspec.architecture", "stable-diffusion-v1/lora", "Stable Diffusion 1.x"),
        ("modelspec.architecture", "stable-diffusion-v2-768-v/lora", "Stable Diffusion 2.x"),
        ("modelspec.architecture", "stable-diffusion-xl-v1-base/lora", "SDXL"),
        ("modelspec.architecture", "Flux-1-dev/lora", "Flux"),
        ("modelspec.architecture", "flux-2-dev/lora", "Flux.2"),
        ("ss_base_model_version", "sd_v1", "Stable Diffusion 1.x"),
        ("ss_base_model_version", "sdxl_base_v1-0", "SDXL"),
        ("ss_base_model_version", "sd3", "Stable Diffusion 3"),
        ("ss_base_model_version", "something new", ""),
        ("ss_base_model_version", None, ""),
    ],
)
def test_the_base_is_told_by_what_programs_write(key: str, written: Any, base: str) -> None:
    assert base_in_metadata({key: written}) == base


def test_a_licence_is_one_line_of_text() -> None:
    assert licence_in_metadata({"modelspec.license": "a\n b"}) == "a b"
    assert len(licence_in_metadata({"modelspec.license": "x" * 500})) == 120
    assert licence_in_metadata({"modelspec.license": 3}) == licence_in_metadata({}) == ""


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: openrail++\ntags: [a]\n---\nlicense: mit\n", "openrail++"),
        ("---\nlicense: other\nlicense_name: 'flux-1-dev'\n---\n", "flux-1-dev"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: [a]\n---\nlicense: mit\n", ""),
        ("license: mit\n", ""),
        ("", ""),
    ],
)
def test_the_card_of_a_folder_says_its_licence(tmp_path: Path, card: str, licence: str) -> None:
    assert licence_in_card(tmp_path) == ""
    (tmp_path / "README.md").write_text(card)
    assert licence_in_card(tmp_path) == licence


@pytest.mark.parametrize(
    "tags", ["{", "[]", '{"a": 3}', "[" * 10_000, 3, '{"a": {"b": NaN}}', None]
)
def test_tags_that_are_not_readable_are_no_words(tags: Any) -> None:
    assert set(trigger_words({"ss_tag_frequency": tags})) <= {"b"}


def test_only_the_first_words_are_told_and_long_ones_are_cut() -> None:
    tags = {f"tag {number}": 100 - number for number in range(50)}
    words = trigger_words({"ss_tag_frequency": json.dumps({"1_x": {"y" * 500: 200, **tags}})})
    assert len(words) == 8 and len(words[0]) == 80 and words[1] == "tag 0"
