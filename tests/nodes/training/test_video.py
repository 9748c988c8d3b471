"""Text to video: at first frames are the base's pictures; then the temporal layers learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError, InvalidValueError
from sdgraph.models import fetch_checkpoint, resolve_part
from sdgraph.nodes import Text2Video
from sdgraph.nodes.tiny_world import MOTIONS, render_frames
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.loading import load_parts, untrained_parts
from sdgraph.nodes.training.loop import Settings, train
from sdgraph.nodes.training.unet import load_base_weights, shared_weights
from sdgraph.nodes.training.video import (
    TrainText2Video,
    VideoTrainee,
    encode_clips,
    lengthen_short_embeddings,
)
from sdgraph.values import Part

from .test_inpaint import contents, descend

SIDE, FRAMES = 32, 4
SETTINGS = Settings(4, 2, 3e-3, warmup=0, save_every=1)
WIDTHS: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "cross_attention_dim": 32,
    "sample_size": 8,
}


def unets() -> tuple[Any, Any]:
    """A 2-D U-Net, and a 3-D one of its widths with as many attention heads."""
    import torch
    from diffusers import UNet2DConditionModel, UNet3DConditionModel

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        flat = UNet2DConditionModel(
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4,
            **WIDTHS,
        )
        deep = UNet3DConditionModel(
            down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
            up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
            attention_head_dim=8,
            **WIDTHS,
        )
    return flat.eval(), deep.eval()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A base whose U-Net and scheduler fit the shipped video checkpoint's."""
    import torch
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    like = Checkpoint("tiny/text-to-video")
    parts = load_parts(like, ("vae", "text_encoder", "tokenizer", "scheduler"))
    settings = dict(untrained_parts(like, ("unet",), 0)["unet"].config)
    heads = settings["block_out_channels"][-1] // settings["attention_head_dim"]
    torch.manual_seed(1)
    unet = UNet2DConditionModel(
        **{name: settings[name] for name in WIDTHS},
        down_block_types=[name.replace("3D", "2D") for name in settings["down_block_types"]],
        up_block_types=[name.replace("3D", "2D") for name in settings["up_block_types"]],
        attention_head_dim=heads,
    )
    pipe = StableDiffusionPipeline(
        **parts,
        unet=unet,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    folder = tmp_path_factory.mktemp("base") / "checkpoint"
    pipe.save_pretrained(folder)
    return Checkpoint(folder)


def make_trainee(base: Checkpoint, settings: Settings = SETTINGS, **more: Any) -> VideoTrainee:
    fresh = untrained_parts(Checkpoint("tiny/text-to-video"), ("unet",), 0)
    trained = load_parts(base)
    trained["text_encoder"].requires_grad_(True)
    data = WorldDataset(4, 0, SIDE, moving=True)
    trainee = VideoTrainee(
        fresh | trained.select("text_encoder", "vae"),
        data,
        settings,
        base_unet=trained.denoiser,
        frames=FRAMES,
        **more,
    )
    trainee.sample = lambda: None  # type: ignore[method-assign]
    return trainee


def node(base: Checkpoint, out: Path, **more: Any) -> TrainText2Video:
    data = TinyWorld(count=4, side=SIDE, moving=True)
    return TrainText2Video(
        data=data, base=base, out=str(out), frames=FRAMES, steps=2, batch=1, **more
    )


@pytest.fixture(scope="module")
def trained(
    base: Checkpoint, tmp_path_factory: pytest.TempPathFactory, session: Session
) -> Checkpoint:
    return run(node(base, tmp_path_factory.mktemp("video")), session=session)


def test_all_of_the_bases_weights_are_taken() -> None:
    flat, deep = unets()
    taken = shared_weights(flat, deep)
    assert set(taken) == set(flat.state_dict())
    weights = deep.state_dict()
    reshaped = [name for name in taken if taken[name].shape != flat.state_dict()[name].shape]
    assert all(taken[name].shape == weights[name].shape for name in taken)
    assert all("proj_in" in name or "proj_out" in name for name in reshaped)
    assert len(weights) > 2 * len(taken)


def test_at_first_each_frame_is_what_the_base_would_make() -> None:
    import torch

    flat, deep = unets()
    assert load_base_weights(deep, flat) == set(flat.state_dict())
    random = torch.Generator("cpu").manual_seed(0)
    noised = torch.randn(2, 4, 3, 8, 8, generator=random)
    words, times = torch.randn(2, 5, 32, generator=random), torch.tensor([7, 900])
    with torch.no_grad():
        clips = deep(noised, times, words).sample
        pictures = [flat(noised[:, :, n], times, words).sample for n in range(3)]
    assert torch.allclose(clips, torch.stack(pictures, dim=2), atol=1e-5)


def test_a_base_that_does_not_fit_is_refused() -> None:
    from diffusers import UNet2DConditionModel

    _, deep = unets()
    wider = UNet2DConditionModel(
        **{**WIDTHS, "block_out_channels": (16, 64)},
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=4,
    )
    with pytest.raises(InvalidValueError, match="set `like` to a checkpoint that fits"):
        load_base_weights(deep, wider)


def test_words_that_were_never_learned_become_as_long_as_the_others() -> None:
    import torch

    words = torch.nn.Module()
    table = torch.nn.Embedding(6, 8)
    words.get_input_embeddings = lambda: table
    with torch.no_grad():
        table.weight[:] = torch.nn.functional.normalize(table.weight, dim=1)
        table.weight[4:] *= 0.1
    before = table.weight.detach().clone()
    lengthen_short_embeddings(words, torch.tensor([[0, 1, 2, 4], [3, 4, 4, 0]]))
    assert torch.allclose(table.weight[4], before[4] * 10, rtol=1e-4)
    others = [0, 1, 2, 3, 5]
    assert torch.equal(table.weight[others], before[others]), "5 is no word of the captions"


def test_clips_are_the_frames_of_scenes_in_latents(base: Checkpoint) -> None:
    import torch

    from sdgraph.nodes.training.latents import encode_pictures

    vae = load_parts(base, ("vae",))["vae"]
    data = WorldDataset(3, 0, SIDE, moving=True)
    clips = encode_clips(vae, data, FRAMES)
    assert clips.shape[:3] == (3, 4, FRAMES)
    one = encode_pictures(vae, render_frames(data.scenes[1], FRAMES, SIDE))
    assert torch.equal(clips[1], one.permute(1, 0, 2, 3))
    assert all(any(motion in text for motion in MOTIONS) for text in data.captions)


def test_pictures_that_stand_still_are_refused(base: Checkpoint) -> None:
    vae = load_parts(base, ("vae",))["vae"]
    with pytest.raises(InvalidValueError, match=r"use TinyWorld\(moving=True\)"):
        encode_clips(vae, WorldDataset(2, 0, SIDE), FRAMES)


def test_the_bases_layers_stay_until_they_thaw(base: Checkpoint, tmp_path: Path) -> None:
    import torch

    trainee = make_trainee(base, thaw_at=0.5)
    unet = trainee.parts["unet"]
    before = {name: value.detach().clone() for name, value in unet.named_parameters()}
    changed: list[int] = []

    def progress(step: int, _: int, **__: Any) -> None:
        moved = {
            name
            for name, value in unet.named_parameters()
            if not torch.equal(value.detach(), before[name])
        }
        assert moved - trainee.spatial
        changed.append(len(moved & trainee.spatial))

    train(trainee, SETTINGS, tmp_path, progress)
    assert changed[:2] == [0, 0]
    assert min(changed[2:]) > 0.9 * len(trainee.spatial)


def test_the_loss_falls_on_one_batch(base: Checkpoint) -> None:
    losses = descend(make_trainee(base, thaw_at=0.0), 12)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("stop", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_stopped_before_or_after_the_thaw_makes_the_same_weights(
    stop: int, base: Checkpoint, tmp_path: Path
) -> None:
    import torch

    class StoppedError(Exception):
        pass

    def progress(step: int, _: int, **__: Any) -> None:
        if step == stop:
            raise StoppedError

    uninterrupted = train(make_trainee(base, thaw_at=0.5), SETTINGS, tmp_path / "whole")
    with pytest.raises(StoppedError):
        train(make_trainee(base, thaw_at=0.5), SETTINGS, tmp_path / "cut", progress)
    torch.manual_seed(99)
    resumed = train(make_trainee(base, thaw_at=0.5), SETTINGS, tmp_path / "cut")
    for module, state in uninterrupted.items():
        assert all(torch.equal(state[name], resumed[module][name]) for name in state)


def test_plain_diffusers_loads_it(trained: Checkpoint, base: Checkpoint) -> None:
    import torch
    from diffusers import TextToVideoSDPipeline
    from safetensors.torch import load_file

    pipe = TextToVideoSDPipeline.from_pretrained(trained.source)
    assert type(pipe.unet).__name__ == "UNet3DConditionModel"
    file = Path(trained.source) / "unet" / "diffusion_pytorch_model.safetensors"
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    for name in ("vae", "tokenizer"):
        assert (
            resolve_part(Part(trained, name)).fingerprint
            == resolve_part(Part(base, name)).fingerprint
        )
    assert fetch_checkpoint(trained) == Path(trained.source)


def test_a_sheet_of_frames_is_next_to_it(trained: Checkpoint) -> None:
    from PIL import Image

    with Image.open(Path(trained.source).parent / "training/samples/000002.png") as sheet:
        assert sheet.size == (FRAMES * SIDE, 2 * SIDE)


@pytest.mark.slow
def test_from_a_checkpoint_of_its_own_it_goes_on_with_longer_clips(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    import torch

    slow = node(trained, tmp_path / "a", learning_rate=1e-12).replace(frames=2 * FRAMES)
    still = run(slow, session=session)
    before, after = (
        load_parts(checkpoint, ("unet", "text_encoder")) for checkpoint in (trained, still)
    )
    for part, modules in before.items():
        for name, value in modules.state_dict().items():
            torch.testing.assert_close(value, after[part].state_dict()[name], msg=name)
    moved = run(node(trained, tmp_path / "b").replace(frames=2 * FRAMES), session=session)
    changed = load_parts(moved, ("unet",))["unet"].state_dict()
    kept = [n for n, v in before["unet"].state_dict().items() if torch.equal(v, changed[n])]
    assert len(kept) < 0.2 * len(changed), "all of it is trained, also what was the first base's"
    assert (
        resolve_part(Part(moved, "vae")).fingerprint
        == resolve_part(Part(trained, "vae")).fingerprint
    )


def test_the_video_node_uses_it(trained: Checkpoint, session: Session) -> None:
    clip = run(
        Text2Video(
            prompt="a red star moving right",
            checkpoint=trained,
            frames=3,
            steps=1,
            width=SIDE,
            height=SIDE,
        ),
        session=session,
    )
    assert (len(clip), clip.size) == (3, (SIDE, SIDE))


def test_one_seed_makes_one_checkpoint(
    trained: Checkpoint,
    base: Checkpoint,
    tmp_path: Path,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VideoTrainee, "sample", lambda _: None)
    again = run(node(base, tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))


def test_a_layout_that_makes_no_video_is_refused_before_loading(
    base: Checkpoint, tmp_path: Path
) -> None:
    wrong = node(base, tmp_path, like=Checkpoint("tiny/text-to-image"))
    with pytest.raises(InvalidError, match="wanted: a text-to-video checkpoint"):
        run(wrong)
