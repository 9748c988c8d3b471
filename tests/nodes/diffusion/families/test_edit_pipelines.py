"""The families that edit by an instruction make the bits of diffusers' own pipelines."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Lora, Node, Session, Store, run
from sdgraph.graph import Graph
from sdgraph.models import resolve_part
from sdgraph.models.loading.loader import load_part
from sdgraph.nodes import Edit, LoadImage, Variation
from sdgraph.nodes.diffusion.families import Task, family_of, picture_prompts, qwen_image_edit
from sdgraph.nodes.diffusion.families.picture_prompts import PicturePromptReader, size_of_area
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.pipelines.pipeline_io import resize_pixels, to_pixels
from sdgraph.store.keys import stage_key
from sdgraph.values import Image
from tests.support.failing_runs import problems_of
from tests.support.lora_files import write

from .test_pipelines import MASK, PHOTO, PROMPTS, SIZE, folders, node_for, noise

__all__ = ["folders"]

OTHER = Image(noise(72, 100, 3))

QWEN_PAIRS: list[tuple[str, Task]] = [
    ("qwen-image-edit", "edit"),
    ("qwen-image-edit", "inpaint"),
    ("qwen-image-edit-plus", "edit"),
]
QWEN_MODULES = ("edit", "edit_inpaint", "edit_plus")


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the pipelines of Qwen-Image-Edit read pictures in 1/64 of their usual area."""

    def shrink(function: Any) -> Any:
        return lambda area, *proportions: function(area // 64, *proportions)

    for name in QWEN_MODULES:
        module = import_module(f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{name}")
        monkeypatch.setattr(module, "calculate_dimensions", shrink(module.calculate_dimensions))
    for own in (picture_prompts, qwen_image_edit):
        monkeypatch.setattr(own, "size_of_area", shrink(size_of_area))


def by_diffusers(folder: Path, task: Task, pictures: list[Image]) -> Any:
    """The pixels of the pipeline of Qwen-Image-Edit that diffusers loads itself."""
    import diffusers
    import torch

    family = family_of(Checkpoint(folder))
    assert family is not None
    pipe = getattr(diffusers, family.pipelines[task]).from_pretrained(folder, dtype=torch.float32)
    pipe.processor = PicturePromptReader(pipe.tokenizer, pipe.processor)
    pipe.set_progress_bar_config(disable=True)
    images = [picture.rgb for picture in pictures]
    more = {"mask_image": MASK.pil, "strength": 0.9} if task == "inpaint" else {}
    made = pipe(
        image=images if len(images) > 1 else images[0],
        **{**PROMPTS, **SIZE, **more},
        true_cfg_scale=4.0,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images
    pixels = to_pixels(made[0])
    if task == "edit":
        return pixels
    return paste_masked(PHOTO, resize_pixels(pixels, PHOTO.size), MASK).numpy


@pytest.mark.parametrize(("name", "task"), QWEN_PAIRS)
@pytest.mark.usefixtures("small_pictures")
def test_it_makes_what_diffusers_makes(folders: Any, name: str, task: Task) -> None:
    node = node_for(task, Checkpoint(folders(name)))
    made = run(node, session=Session(device="cpu", store=None))
    assert made.numpy.std() > 10, "it shows something"
    assert (made.numpy == by_diffusers(folders(name), task, [PHOTO])).all()


@pytest.mark.usefixtures("small_pictures")
def test_several_pictures_are_read_as_diffusers_reads_them(folders: Any) -> None:
    folder = folders("qwen-image-edit-plus")
    node = node_for("edit", Checkpoint(folder), image=[PHOTO, OTHER])
    made = run(node, session=Session(device="cpu", store=None))
    assert (made.numpy == by_diffusers(folder, "edit", [PHOTO, OTHER])).all()
    single = node_for("edit", Checkpoint(folders("qwen-image-edit")), image=[PHOTO, OTHER])
    assert "2 pictures for Qwen-Image-Edit\n  wanted: at most 1" in problems_of(single)


@pytest.mark.usefixtures("small_pictures")
def test_a_prompt_with_its_picture_is_embedded_once(folders: Any, tmp_path: Path) -> None:
    checkpoint = Checkpoint(folders("qwen-image-edit"))
    session = Session(device="cpu", store=Store(folder=tmp_path / "store"))
    path = tmp_path / "photo.png"
    PHOTO.pil.save(path)
    node = node_for("edit", checkpoint, image=LoadImage(path=path))
    run(node, session=session)
    again = node.replace(seed=6)
    encoder = {"text_encoder", "tokenizer", "processor"}

    def components(node: Node[Any]) -> set[str]:
        return {use.name for use in session.plan(Graph.of(node)).steps[-1].uses}

    assert components(again) == {"vae", "transformer"}
    made = run(again, session=session)
    assert made == run(again, session=Session(device="cpu", store=None))
    assert encoder < components(node.replace(image=OTHER)), "another picture, other embeddings"
    OTHER.pil.save(path)
    assert encoder < components(again), "another picture in the file"


def test_the_size_of_a_picture_is_that_which_diffusers_takes() -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit

    for width, height in np.random.default_rng(0).integers(64, 4096, (200, 2)).tolist():
        for area in (1024 * 1024, 384 * 384):
            wanted = pipeline_qwenimage_edit.calculate_dimensions(area, width / height)
            assert size_of_area(area, width, height) == tuple(map(int, wanted[:2]))


def test_prompts_with_pictures_become_the_tokens_of_transformers(
    monkeypatch: pytest.MonkeyPatch, folders: Any
) -> None:
    import transformers

    checked = "check_argument_for_proper_class"
    monkeypatch.setattr(transformers.ProcessorMixin, checked, lambda *_: None)
    folder = folders("qwen-image-edit")
    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(folder / "tokenizer")
    reader = transformers.Qwen2VLImageProcessorPil.from_pretrained(folder / "processor")
    theirs = transformers.Qwen2_5_VLProcessor(reader, tokenizer, None)
    place = "<|vision_start|><|image_pad|><|vision_end|>"
    for pictures, text in (
        ([PHOTO], f"{place}a star"),
        ([PHOTO, OTHER], f"Picture 1: {place}Picture 2: {place}both"),
    ):
        options: dict[str, Any] = {"text": [text], "padding": True, "return_tensors": "pt"}
        images = [picture.rgb for picture in pictures]
        wanted = theirs(images=images, **options)
        made = PicturePromptReader(tokenizer, reader)(images=images, **options)
        for name in made:
            assert (made[name] == wanted[name]).all(), name


def published(folder: Path, target: Path, **classes: str) -> Path:
    """A checkpoint with other classes of transformers in its index."""
    target.mkdir()
    for path in folder.iterdir():
        if path.name != "model_index.json":
            (target / path.name).symlink_to(path)
    index = json.loads((folder / "model_index.json").read_text())
    index |= {name: ["transformers", class_name] for name, class_name in classes.items()}
    (target / "model_index.json").write_text(json.dumps(index))
    return target


def test_a_published_index_names_a_processor_of_text_and_pictures(
    folders: Any, tmp_path: Path
) -> None:
    folder = published(folders("qwen-image-edit"), tmp_path / "qwen", processor="Qwen2VLProcessor")
    node = node_for("edit", Checkpoint(folder))
    assert isinstance(node, Edit) and not problems_of(node)
    loaded = load_part(resolve_part(node.parts()["processor"]), "float32", "cpu")
    assert type(loaded).__name__ == "Qwen2VLImageProcessorPil"
    flux2 = Checkpoint(folders("flux2"))
    folder = published(folders("flux2"), tmp_path / "flux2", tokenizer="PixtralProcessor")
    session = Session(device="cpu", store=None)
    node = node_for("text-to-image", Checkpoint(folder))
    assert not problems_of(node)
    assert run(node, session=session) == run(node.replace(checkpoint=flux2), session=session)


def test_memory_counts_the_tokens_of_the_pictures_that_are_edited(folders: Any) -> None:
    for name, ratio in (("flux-kontext", 2.0), ("flux2-klein", 2.0), ("flux2-klein-base", 3.0)):
        checkpoint = Checkpoint(folders(name))
        large = Image(np.zeros((1024, 1024, 3), np.uint8))
        pictures = [large, large] if ratio == 3 else [large]
        node = node_for("edit", checkpoint, image=pictures)
        family = family_of(checkpoint)
        assert family is not None and isinstance(node, Edit)
        assert node.reference_area() == (ratio - 1) * 1024**2
        plain = family.denoiser.memory
        config = family.denoiser_config(checkpoint)
        expected = plain(config, 1, int(ratio * 128**2), "float16")
        assert node.working_memory({}, "float16") >= expected


def variation(folders: Any, **fields: Any) -> Variation:
    settings: dict[str, Any] = {"steps": 3, "seed": 5, **SIZE, **fields}
    return Variation(
        checkpoint=Checkpoint(folders("flux")), redux=Checkpoint(folders("flux-redux")), **settings
    )


@pytest.mark.parametrize(("name", "task", "prompt"), [("flux", "variation", "a red star")])
def test_a_variation_makes_what_diffusers_makes(
    folders: Any, name: str, task: Task, prompt: str
) -> None:
    import diffusers
    import torch

    pipe = diffusers.FluxPipeline.from_pretrained(folders(name), dtype=torch.float32)
    encoders = ("text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2")
    prior = diffusers.FluxPriorReduxPipeline.from_pretrained(
        folders("flux-redux"),
        dtype=torch.float32,
        **{each: getattr(pipe, each) for each in encoders},
    )
    pipe.set_progress_bar_config(disable=True)
    read = prior(PHOTO.rgb, prompt=prompt)
    made = pipe(
        prompt_embeds=read.prompt_embeds,
        pooled_prompt_embeds=read.pooled_prompt_embeds,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        guidance_scale=3.5,
        **SIZE,
    ).images
    node = variation(folders, image=PHOTO, prompt=prompt)
    assert node.task() == task and not problems_of(node)
    ours = run(node, session=Session(device="cpu", store=None))
    assert (ours.numpy == to_pixels(made[0])).all() and ours.numpy.std() > 10


_LAYER = "lora_te1_text_model_encoder_layers_0_self_attn_q_proj"
WORDS_LORA = {
    f"{_LAYER}.lora_down.weight": np.ones((2, 32), np.float32),
    f"{_LAYER}.lora_up.weight": np.ones((32, 2), np.float32),
}


def test_a_variation_without_a_prompt_loads_no_text_encoder(folders: Any, tmp_path: Path) -> None:
    node = variation(folders, image=[PHOTO, OTHER])
    assert not any("text" in name or "tokenizer" in name for name in node.parts())
    session = Session(device="cpu", store=None)
    made = run(node, session=session)
    assert made != run(node.replace(image=PHOTO), session=session)
    assert made != run(node.replace(prompt="a red star"), session=session)
    usual = node.replace(width=None, height=None).chosen_fields()
    assert usual == {"guidance": 3.5, "width": 1024, "height": 1024}
    for_words = Lora(write(tmp_path / "words.safetensors", WORDS_LORA))
    assert run(node.replace(loras=[for_words]), session=session) == made, "it changes no word"
    text = problems_of(node.replace(redux=Checkpoint(folders("flux"))))
    assert "a FluxPipeline checkpoint" in text and "FLUX.1 Redux" in text


def test_families_that_embed_in_another_way_do_not_share_what_is_remembered(
    folders: Any, tmp_path: Path
) -> None:
    plus = Path(shutil.copytree(folders("qwen-image-edit-plus"), tmp_path / "plus"))
    single = folders("qwen-image-edit")
    for name in ("text_encoder", "tokenizer", "processor"):
        shutil.copytree(single / name, plus / name, dirs_exist_ok=True)
    nodes = [
        Edit(prompt="a", image=PHOTO, checkpoint=Checkpoint(folder)) for folder in (single, plus)
    ]
    keys = [stage_key(node, next(iter(node.stages())), "cpu", "float32", {}) for node in nodes]
    parts = [
        {resolve_part(each.parts()[name]).fingerprint for name in ("text_encoder", "processor")}
        for each in nodes
    ]
    assert parts[0] == parts[1] and keys[0] != keys[1]
