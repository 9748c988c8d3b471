"""How values are written in a workflow file: the same by each of PyYAML's two emitters."""

from __future__ import annotations

from typing import Any

import yaml
import yamlcore
from hypothesis import example, given
from hypothesis import strategies as st

from sdgraph.language import writer

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.text()
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | PLAIN,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(PLAIN, children, max_size=4),
    max_leaves=12,
)


@given(DATA)
@example({"": 0})
@example({"a\rb": 0})
@example(["🆔", "é"])
@example({"x" * 200: "y, z: '"})
def test_what_is_written_is_what_the_slower_emitter_writes(value: Any) -> None:
    slow = yaml.dump(
        value,
        Dumper=writer._Dumper,
        default_flow_style=True,
        sort_keys=False,
        width=float("inf"),
        allow_unicode=True,
    )
    assert writer._flow(value) == slow.removesuffix("\n").removesuffix("\n...")


@given(st.text("0123456789abcdefinoxyNAE.+-_:~ ", max_size=8) | DATA)
@example("1e3")
@example("0o17")
def test_yaml_1_1_and_1_2_read_the_same(value: Any) -> None:
    text = writer._flow({"value": value})
    assert repr(yaml.safe_load(text)) == repr(yaml.load(text, Loader=yamlcore.CoreLoader))


def test_a_text_of_several_lines_stands_on_one() -> None:
    assert writer._flow({"text": "one\ntwo"}) == '{text: "one\\ntwo"}'
