"""The embedding of a prompt is remembered: the same pictures, and no text encoder loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Checkpoint, Session, Store, events
from sdgraph.cli.report import plan_rows
from sdgraph.execution import Plan
from sdgraph.graph import Graph, Node, parts_of
from sdgraph.models import resolve, resolve_part
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.prompts import prompt_embeddings
from sdgraph.nodes.diffusion.prompts.prompt_embeddings import PromptInputs
from tests.nodes.diffusion.test_node import SYSTEMS
from tests.support import toys
from tests.support.effort import each_nth

BASE = Checkpoint("tiny/text-to-image")


def run_and_plan(node: Node[Any], store: Store | None) -> tuple[Any, Plan, list[str]]:
    """The result of a node in a new session, the plan before, and what was loaded."""
    session = Session(device="cpu", store=store)
    loaded: list[str] = []

    def note_load(event: events.Event) -> None:
        if isinstance(event, events.Loaded):
            loaded.append(event.component)

    graph = Graph.of(node)
    plan = session.plan(graph)
    (value,) = session.run(graph, note_load).values()
    return value, plan, loaded


def encoders(names: list[str]) -> list[str]:
    return [name for name in names if "text_encoder" in name or "tokenizer" in name]


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("guidance", each_nth([5.0, 1.0], 2))
def test_a_new_seed_loads_no_text_encoder_and_gives_the_bits_of_a_run_without(
    tmp_path: Path, name: str, guidance: float
) -> None:
    node = SYSTEMS[name].replace(guidance=guidance)
    changed = node.replace(seed=7)
    bare, _, all_loaded = run_and_plan(changed, None)
    run_and_plan(node, Store(folder=tmp_path))
    value, plan, loaded = run_and_plan(changed, Store(folder=tmp_path))
    assert value == bare
    assert encoders(all_loaded) and not encoders(loaded)
    assert loaded == [load.name for load in plan.loads]
    assert set(all_loaded) - set(loaded) == set(encoders(all_loaded))
    assert any("prompt remembered" in cell for row in plan_rows(plan) for cell in row)


@pytest.mark.parametrize(
    "change", [{"prompt": "b"}, {"negative_prompt": "b"}, {"guidance": 1.0}, {"checkpoint": BASE}]
)
def test_what_changes_the_embedding_has_it_computed_again(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    node = SYSTEMS["Inpaint"].replace(guidance=5.0)
    run_and_plan(node, Store(folder=tmp_path))
    changed = node.replace(**change)
    value, _, loaded = run_and_plan(changed, Store(folder=tmp_path))
    same = change == {"checkpoint": BASE}  # whose text encoder it shares
    assert bool(encoders(loaded)) is not same
    assert value == run_and_plan(changed, None)[0]


def test_nodes_of_different_types_share_an_embedding(tmp_path: Path) -> None:
    first, second = SYSTEMS["Inpaint"], SYSTEMS["DepthToImage"].replace(prompt="a")
    run_and_plan(first.replace(guidance=5.0), Store(folder=tmp_path))
    _, _, loaded = run_and_plan(second.replace(guidance=5.0), Store(folder=tmp_path))
    alike = parts_of(first)["text_encoder"], parts_of(second)["text_encoder"]
    assert bool(encoders(loaded)) is (
        resolve_part(alike[0]).fingerprint != resolve_part(alike[1]).fingerprint
    )


def test_without_guidance_the_negative_prompt_counts_for_nothing(tmp_path: Path) -> None:
    node = SYSTEMS["Text2Image"].replace(guidance=1.0)
    run_and_plan(node, Store(folder=tmp_path))
    _, _, loaded = run_and_plan(node.replace(negative_prompt="b"), Store(folder=tmp_path))
    assert not encoders(loaded)


def test_variants_of_a_run_that_remembers_nothing_encode_a_prompt_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[str] = []
    real = prompt_embeddings._embeddings

    def counting_embeddings(pipe: Any, family: Any, device: Any, inputs: PromptInputs) -> Any:
        encoded.append(inputs.prompt)
        return real(pipe, family, device, inputs)

    monkeypatch.setattr(prompt_embeddings, "_embeddings", counting_embeddings)
    node = SYSTEMS["Text2Image"]
    several = [node, node.replace(seed=1), node.replace(seed=2), node.replace(prompt="b")]
    values = Session(device="cpu", store=None).run(Graph.of(*several))
    assert len(set(values.values())) == 4
    assert sorted(encoded) == ["a", "b"]


def test_a_prompt_that_a_node_makes_is_embedded_once_as_long_as_the_node_is_the_same() -> None:
    node, store = Text2Image(prompt=toys.Text(text="a red star"), steps=2), Store()
    value, _, loaded = run_and_plan(node, store)
    assert encoders(loaded)
    assert value == run_and_plan(Text2Image(prompt="a red star", steps=2), None)[0]
    changed = node.replace(seed=1)
    value, plan, loaded = run_and_plan(changed, store)
    assert plan.steps[-1].stages[0].remembered is not None and not encoders(loaded)
    assert value == run_and_plan(changed, None)[0]
    other = node.replace(prompt=toys.Text(text="a blue ring"))
    assert encoders(run_and_plan(other, store)[2])


def test_a_damaged_embedding_is_computed_again(tmp_path: Path) -> None:
    node = SYSTEMS["Text2Image"]
    run_and_plan(node, Store(folder=tmp_path))
    changed = node.replace(seed=3)
    for path in tmp_path.rglob("*"):
        if path.is_file() and b'"node": "prompt"' in path.read_bytes().replace(b"\\", b""):
            data = bytearray(path.read_bytes())
            data[-9] ^= 1
            path.write_bytes(data)
    value, _, loaded = run_and_plan(changed, Store(folder=tmp_path))
    assert value == run_and_plan(changed, None)[0]
    assert encoders(loaded)


def test_an_uncached_node_keeps_no_embedding(tmp_path: Path) -> None:
    node = SYSTEMS["Text2Image"]
    graph = Graph.of(node, uncached=[node])
    Session(device="cpu", store=Store(folder=tmp_path)).run(graph)
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".safetensors"]


@pytest.mark.torch
@given(text=st.text(st.characters(max_codepoint=200), max_size=90))
def test_no_tokenizer_makes_more_tokens_than_most_tokens_says(text: str) -> None:
    tokenizer = clip_tokenizer()
    assert len(tokenizer(text).input_ids) <= prompt_embeddings.most_tokens(text)


@cache
def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    folder = resolve(Checkpoint("tiny/turbo")).root
    return CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer")
