"""Components of a checkpoint that do not belong together are refused by their configs alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph.nodes import Text2Image
from sdgraph.values import Checkpoint


@pytest.mark.parametrize(
    ("base", "component", "setting", "words"),
    [
        ("tiny/text-to-image", "vae", ("latent_channels", 16), "16 latent channels"),
        ("tiny/sdxl", "vae", ("latent_channels", 16), "16 latent channels"),
        ("tiny/text-to-image", "text_encoder", ("hidden_size", 768), "text features are 768 wide"),
        ("tiny/sdxl", "text_encoder_2", ("hidden_size", 1280), "text features are 1344 wide"),
    ],
)
def test_a_component_of_another_family_is_refused(
    copied: Callable[[str], Path],
    base: str,
    component: str,
    setting: tuple[str, int],
    words: str,
) -> None:
    folder = copied(base)
    node = Text2Image(prompt="a", checkpoint=Checkpoint(folder))
    assert list(node.check()) == []
    path = folder / component / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **dict([setting])}))
    (problem,) = node.check()
    assert problem.subject == "checkpoint" and words in problem.found
