"""What other programs read as instructions is warned of; what is read here is not."""

from __future__ import annotations

import pytest

from sdgraph import Graph
from sdgraph.nodes import Text2Image, Turbo
from sdgraph.nodes.diffusion.prompts.prompt_syntax import syntax_warnings

pytestmark = pytest.mark.quick


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a star <lora:x:0.8> in red", "<lora:x:0.8>"),
        ("<lyco:y:1>", "<lyco:y:1>"),
        ("a {red|blue} star", "{red|blue}"),
        ("a __color__ star", "__color__"),
        ("__styles/oil__", "__styles/oil__"),
        ("a star BREAK a ring", "BREAK"),
        ("a star AND a ring", "AND"),
        ("a [star:ring:0.5]", "[star:ring:0.5]"),
        ("[:ring:10]", "[:ring:10]"),
        ("a [ring:10]", "[ring:10]"),
        ("a [red|blue] star", "[red|blue]"),
        ("embedding:easynegative, a star", "embedding:easynegative"),
        ('("a star", "a ring").blend(0.5, 0.5)', ".blend("),
    ],
)
def test_an_instruction_is_warned_of(prompt: str, read: str) -> None:
    (warning,) = syntax_warnings({"prompt": prompt})
    assert warning.subject == "prompt" and warning.found == f"{read!r}, read as plain words"
    assert warning.fix and warning.wanted


@pytest.mark.parametrize(
    "prompt",
    [
        "a (red:1.3) star, [small]",
        "a star and a ring, 3 < 4 > 2",
        "{red}",
        "snake__case and __",
        "BREAKFAST",
        "note: this, and that: 0.5",
        "12:30 [noon]",
        "",
    ],
)
def test_other_words_are_not(prompt: str) -> None:
    assert list(syntax_warnings({"prompt": prompt})) == []


def test_a_negative_prompt_without_effect_is_a_warning_and_no_error() -> None:
    graph = Graph.of(Turbo(prompt="a star", negative_prompt="bad"))
    assert graph.check() == []
    (warning,) = graph.warnings()
    assert warning.subject == "turbo.negative_prompt" and "guidance 0" in warning.found
    assert Graph.of(Turbo(prompt="a star")).warnings() == []
    guided = Text2Image(prompt="a", negative_prompt="bad", guidance=3.0)
    assert Graph.of(guided).warnings() == []
    unguided = Text2Image(prompt="a", negative_prompt="bad", guidance=1.0)
    assert len(Graph.of(unguided).warnings()) == 1
