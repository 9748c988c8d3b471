"""Long and weighted prompts, and words of textual inversions: what the text encoder receives."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Node, Session, Store, plan, run
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.families import SDXL, STABLE_DIFFUSION
from sdgraph.nodes.diffusion.prompts.long_prompts import encode_prompts, split_at_words
from sdgraph.nodes.diffusion.prompts.prompt_weights import parse_weights
from sdgraph.values import Lora
from tests.nodes.diffusion.adapters.test_lora import fresh, network_states
from tests.nodes.diffusion.test_node import SYSTEMS
from tests.support.bare_scripts import pipeline
from tests.support.failing_runs import refused_before_load
from tests.support.ip_adapter_files import write
from tests.support.lora_files import lora

BASES = {"sd": "tiny/text-to-image", "xl": "tiny/sdxl"}
FAMILIES = {"sd": STABLE_DIFFUSION, "xl": SDXL}
CLASSES = {"sd": "StableDiffusionPipeline", "xl": "StableDiffusionXLPipeline"}
STAR = "a red star on a navy background"
every_family = pytest.mark.parametrize("family", BASES)


def text(prompt: str, family: str = "sd", **more: Any) -> Text2Image:
    fields = {"steps": 2, "width": 64, "height": 64, **more}
    return Text2Image(prompt=prompt, checkpoint=Checkpoint(BASES[family]), **fields)


def embeddings_of(family: str, prompt: str, negative: str = "", **vectors: Any) -> tuple[Any, ...]:
    """The embeddings for the U-Net, by the code for prompts that the pipeline cannot handle."""
    import torch

    pipe = pipeline(CLASSES[family], BASES[family])
    with torch.no_grad():
        weighted = [parse_weights(prompt), parse_weights(negative)]
        return encode_prompts(pipe, FAMILIES[family], "cpu", weighted, vectors, guided=True)


@every_family
def test_a_plain_prompt_would_be_asked_as_the_pipeline_asks(family: str) -> None:
    import torch

    pipe = pipeline(CLASSES[family], BASES[family])
    for negative in ("", "a blue ring"):
        with torch.no_grad():
            expected = pipe.encode_prompt(
                STAR,
                device="cpu",
                num_images_per_prompt=1,
                do_classifier_free_guidance=True,
                negative_prompt=negative or None,
            )
        for one, other in zip(embeddings_of(family, STAR, negative), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@every_family
def test_a_weight_moves_a_tokens_embedding_from_that_of_nothing(family: str) -> None:
    import torch

    plain, heavy = (
        embeddings_of(family, STAR)[0],
        embeddings_of(family, "a (red:1.5) star on a navy background")[0],
    )
    nothing = embeddings_of(family, "")[0]
    place = 2  # a beginning, "a", "red"
    expected = nothing[:, place] + 1.5 * (plain[:, place] - nothing[:, place])
    torch.testing.assert_close(heavy[:, place], expected, rtol=0, atol=1e-5)
    others = [n for n in range(plain.shape[1]) if n != place]
    torch.testing.assert_close(heavy[:, others], plain[:, others], rtol=0, atol=1e-6)


@every_family
def test_a_long_prompt_is_read_in_windows_to_its_end(family: str) -> None:
    import torch

    long = " ".join(["a red star"] * 30)  # 90 tokens: 75 and 15
    embedded = embeddings_of(family, long, "a blue ring")
    assert embedded[0].shape == embedded[1].shape and embedded[0].shape[1] == 2 * 77
    first, second = (
        embeddings_of(family, " ".join(["a red star"] * 25)),
        embeddings_of(family, "a red star " * 5),
    )
    torch.testing.assert_close(embedded[0][:, :77], first[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(embedded[0][:, 77:], second[0], rtol=0, atol=1e-6)
    if family == "xl":
        torch.testing.assert_close(embedded[2], first[2], rtol=0, atol=1e-6)
    session = fresh()
    tails = [f"{long} on a {ground} background" for ground in ("navy", "teal")]
    assert run(text(tails[0], family), session=session) != run(
        text(tails[1], family), session=session
    )


def test_parentheses_that_weigh_nothing_change_no_bit() -> None:
    session = fresh()
    plain = run(text(STAR), session=session)
    for prompt in (STAR.replace("red", "(red:1)"), STAR.replace("red", "(red:1.0)")):
        assert run(text(prompt), session=session) == plain
    assert run(text(STAR.replace("red", "(red:0.2)")), session=session) != plain


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_takes_long_and_weighted_prompts(name: str) -> None:
    node: Node[Any] = SYSTEMS[name].replace(guidance=2.0, negative_prompt="(blue:1.2) ring")
    long = node.replace(prompt="a (red:1.3) star " * 40)
    session = fresh()
    assert run(long, session=session) != run(node.replace(prompt="a red star"), session=session)


def test_a_weighted_prompt_is_remembered_too(tmp_path: Path) -> None:
    node = text("a (red:1.3) star")
    first = run(node.replace(seed=1), session=Session(device="cpu", store=None))
    run(node, session=Session(device="cpu", store=Store(folder=tmp_path)))
    again = Session(device="cpu", store=Store(folder=tmp_path))
    assert run(node.replace(seed=1), session=again) == first
    assert not [
        component for component in again.models.loaded() if "text_encoder" in component.name
    ]


def embedding(path: Path, name: str = "emb_params", *, count: int = 2, width: int = 64) -> Lora:
    draw = np.random.default_rng(5)
    write(path, {name: draw.normal(0, 1, (count, width)).astype(np.float32)})
    return Lora(path)


@pytest.mark.parametrize(("stem", "name"), [("style", "emb_params"), ("learned", "<style>")])
def test_a_word_of_an_embedding_is_what_the_library_makes_of_it(
    stem: str, name: str, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    file = embedding(tmp_path / f"{stem}.safetensors", name)
    word = stem if name == "emb_params" else name
    pipe = pipeline(CLASSES["sd"], BASES["sd"])
    vectors = next(iter(load_file(file.source).values()))
    # The pipeline's own loader changes tokenizer and text encoder for good.
    pipe.load_textual_inversion(
        {name: vectors} if name != "emb_params" else {"emb_params": vectors}, token=word
    )
    expected = pipe(
        f"a {word} star",
        num_inference_steps=2,
        width=64,
        height=64,
        generator=torch.Generator("cpu").manual_seed(0),
    ).images[0]
    node = text(f"a {word} star", embeddings=[file])
    result = run(node, session=fresh())
    assert np.abs(result.numpy.astype(int) - np.asarray(expected)).max() <= 1
    assert result != run(text("a star"), session=fresh())


def test_sdxl_takes_one_with_vectors_for_both_encoders(tmp_path: Path) -> None:
    draw = np.random.default_rng(5)
    path = tmp_path / "style.safetensors"
    vectors = {n: draw.normal(0, 1, (3, 64)).astype(np.float32) for n in ("clip_l", "clip_g")}
    write(path, vectors)
    node = text("a Style star", "xl", embeddings=[Lora(path)])
    assert run(node, session=fresh()) != run(text("a star", "xl"), session=fresh())
    assert "two text encoders" in refused_before_load(text("a style", embeddings=[Lora(path)]))
    one = embedding(tmp_path / "one.safetensors")
    assert "here there are two" in refused_before_load(text("one", "xl", embeddings=[one]))


def test_nothing_of_it_is_left_and_the_plan_says_what_runs(tmp_path: Path) -> None:
    file, session = embedding(tmp_path / "style.safetensors"), fresh()
    before = run(text("a style star"), session=session)
    held = network_states(session)
    node = text("a style star", embeddings=[file], loras=[lora(tmp_path / "l", BASES["sd"])])
    assert run(node, session=session) != before
    assert network_states(session) == held
    assert run(text("a style star"), session=session) == before
    (step,) = plan(node).steps
    assert "embedding_0" in {use.name for use in step.uses} and not step.stages


def test_its_content_is_part_of_what_is_remembered(tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    embedding(path)
    store = Store(folder=tmp_path / "results")
    node = text("a style star", embeddings=[Lora(path)])
    first = run(node, session=Session(device="cpu", store=store))
    embedding(path, count=3)
    assert run(node, session=Session(device="cpu", store=store)) != first


def test_what_does_not_fit_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    def refused(file: Lora, prompt: str = "a style star", **more: Any) -> str:
        return refused_before_load(text(prompt, embeddings=[file], **more))

    fits = embedding(tmp_path / "style.safetensors")
    assert "in no prompt" in refused(fits, "a red star") and "style" in refused(fits, "styles")
    run(text("a red star", embeddings=[fits], negative_prompt="STYLE"), session=fresh())
    wide = embedding(tmp_path / "wide" / "style.safetensors", width=1024)
    message = refused(wide)
    assert "Stable Diffusion 2.x" in message and "here they are 64" in message
    assert "holds no embedding" in refused(lora(tmp_path / "lora", BASES["sd"]))
    strange: list[dict[str, Any]] = [
        {"a.alpha": np.zeros((), np.float32), "b": np.zeros((2, 3), np.float32)},
        {"a": np.zeros((), np.float32)},
        {"clip_g": np.zeros((2, 64), np.float32)},
    ]
    for held in strange:
        write(tmp_path / "strange.safetensors", held)
        assert "holds no embedding" in refused(Lora(tmp_path / "strange.safetensors"))
    shutil.copy(fits.source, tmp_path / "style.pt")
    assert "convert it to safetensors" in refused(Lora(tmp_path / "style.pt"))
    twice = embedding(tmp_path / "more" / "style.safetensors")
    assert "both called style" in refused_before_load(text("style", embeddings=[fits, twice]))


def test_words_are_found_whole_and_in_any_case() -> None:
    parts = split_at_words("a Style, styles <cat> <cat-toy>", ["style", "<cat>", "<cat-toy>"])
    assert parts == ["a ", "Style", ", styles ", "<cat>", " ", "<cat-toy>"]
    assert split_at_words("a", []) == ["a"]


@every_family
def test_clip_skip_leaves_out_the_last_layers_for_the_prompt(family: str) -> None:
    import torch

    pipe, prompts = (
        pipeline(CLASSES[family], BASES[family]),
        [parse_weights(STAR), parse_weights("")],
    )
    encode: Any = (pipe, FAMILIES[family], "cpu", prompts, {})
    with torch.no_grad():
        own = encode_prompts(*encode, guided=True, clip_skip=1)
        plain = encode_prompts(*encode, guided=True)
        if family == "xl":  # diffusers' code for Stable Diffusion does not run with transformers 5
            options: dict[str, Any] = {"num_images_per_prompt": 1, "device": "cpu", "clip_skip": 1}
            expected = pipe.encode_prompt(STAR, do_classifier_free_guidance=True, **options)[0]
        else:
            tokens = pipe.tokenizer(STAR, padding="max_length", return_tensors="pt").input_ids
            states = pipe.text_encoder(tokens, output_hidden_states=True).hidden_states
            expected = pipe.text_encoder.final_layer_norm(states[-2])
    torch.testing.assert_close(own[0], expected, rtol=0, atol=1e-6)
    assert not torch.equal(own[0], plain[0])
    assert all(torch.equal(one, other) for one, other in zip(own[1:], plain[1:], strict=True))


def test_clip_skip_is_a_field_of_a_checkpoint_and_has_its_own_results(session: Session) -> None:
    skipping = text(STAR).replace(checkpoint=Checkpoint(BASES["sd"], clip_skip=1))
    run(text(STAR), session=session)
    assert run(skipping, session=session) != run(text(STAR), session=session)
    absent = refused_before_load(
        text(STAR).replace(checkpoint=Checkpoint(BASES["sd"], clip_skip=2))
    )
    assert "clip_skip 2" in absent and "at most 1, of 2 layers" in absent
