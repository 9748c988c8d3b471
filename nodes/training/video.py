"""Text to video: a 3-D U-Net that makes all frames at once, grown from one that makes pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.values import Checkpoint

from . import samples
from .checkpoint_problems import pipeline_problems, purpose_problems
from .data import Dataset
from .data_problems import Need
from .diffusion import DiffusionTrainee
from .frozen import hash_module
from .latents import encode_pictures
from .loading import load_parts, pipeline_family, untrained_parts
from .loop import Settings
from .pipeline_parts import PipelineParts, make_pipeline
from .procedure import Denoising
from .samples import arrange_in_rows, to_uint8
from .saving import component_files, save_pipeline
from .starting_weights import check_noise, load_weights
from .unet import load_base_weights

__all__ = ["TrainText2Video"]


def lengthen_short_embeddings(text_encoder: Any, tokens: Any) -> None:
    """Makes the embeddings of words that a text encoder never learned as long as the others.

    They are near zero, where they were drawn, so that "up" and "down" are the same to the network,
    and it takes thousands of steps until they have grown.

    Args:
        text_encoder: The text encoder, whose embeddings are changed.
        tokens: The tokens of all captions.
    """
    import torch

    table = text_encoder.get_input_embeddings().weight
    used = tokens.unique()
    with torch.no_grad():
        lengths = table[used].norm(dim=1, keepdim=True)
        usual = lengths.median()
        table[used] *= torch.where(lengths < usual / 2, usual / lengths.clamp_min(1e-6), 1.0)


def encode_clips(vae: Any, data: Dataset, count: int) -> Any:
    """Scenes that move as latents: float32, clips × 4 × count × height × width.

    Raises:
        InvalidValueError: The data set has no scenes, or they stand still.
    """
    import torch

    from sdgraph.nodes.tiny_world import render_frames

    scenes = getattr(data, "scenes", ())
    if not scenes or any(scene.motion is None for scene in scenes):
        found, wanted = "pictures that stand still", "scenes with a motion"
        raise InvalidValueError(Problem("data", found, wanted, "use TinyWorld(moving=True)"))
    clips = [encode_pictures(vae, render_frames(scene, count, data.side)) for scene in scenes]
    return torch.stack(clips).permute(0, 2, 1, 3, 4).contiguous()


class VideoTrainee(DiffusionTrainee):
    """Clips from captions of motion.

    What the base's U-Net had is frozen at first. The text encoder is trained from the start: the
    base has never read the words of motion.

    Args:
        parts: The pipeline's parts, with a 3-D U-Net.
        data: Scenes that move.
        settings: The loop's settings.
        base_unet: The 2-D U-Net to grow from; None to go on with the 3-D one as a whole.
        frames: How many frames a clip has.
        thaw_at: The share of the steps after which the base's layers are trained too.
    """

    def __init__(
        self,
        parts: PipelineParts,
        data: Dataset,
        settings: Settings,
        *,
        base_unet: Any | None,
        frames: int = 16,
        thaw_at: float = 0.3,
    ) -> None:
        base = hash_module(parts.denoiser if base_unet is None else base_unet)
        self.spatial = set() if base_unet is None else load_base_weights(parts.denoiser, base_unet)
        self.frames = frames
        self.thaw_at = thaw_at
        super().__init__(parts, data, settings)
        lengthen_short_embeddings(parts.text_encoders[0], self.tokens)
        self.modules = parts.select(*_trained_names(parts))
        decoder = parts.family.decoder.name
        self.identity = {
            "frames": frames,
            "thaw_at": thaw_at,
            "data": data.content,
            "base": base,
            decoder: hash_module(parts.decoder),
        }

    def encode_data(self) -> Any:
        """The latents of all clips: clips × channels × frames × height × width."""
        return encode_clips(self.parts.decoder, self.data, self.frames)

    def loss(self, step: int) -> Any:
        """The mean squared error of the prediction on a batch of clips."""
        thawed = step >= self.thaw_at * self.settings.steps
        for name, value in self.parts.denoiser.named_parameters():
            value.requires_grad_(thawed or name not in self.spatial)
        return super().loss(step)

    def sample(self) -> Any:
        """Two held-out captions as clips, eight frames of each in a row."""
        import numpy as np
        import torch

        examples = self.data.examples(2)
        output = make_pipeline(self.parts, "text-to-video")(
            list(examples.captions[:2]),
            height=examples.side,
            width=examples.side,
            num_frames=self.frames,
            num_inference_steps=samples.SAMPLE_STEPS,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        )
        chosen = np.linspace(0, self.frames - 1, min(8, self.frames)).round().astype(int)
        pixels = to_uint8(np.asarray(output.frames)[:, chosen])
        return arrange_in_rows(pixels.reshape(-1, *pixels.shape[2:]), len(chosen))


def _trained_names(parts: PipelineParts) -> tuple[str, ...]:
    family = parts.family
    return (family.denoiser.name, *(each.name for each in family.text_encoders))


class TrainText2Video(Denoising):
    """A text-to-video checkpoint grown from a text-to-image one (ModelScope, Wang et al. 2023).

    Temporal convolutions and temporal attention are trained first, then all of the U-Net. With a
    text-to-video checkpoint as its base it goes on from there: with longer clips, say, for what
    moves is learnt sooner from short ones.
    """

    data: In[Dataset] = Field(description="scenes that move")
    base: In[Checkpoint] = Field(
        description="what to grow from: a text-to-image checkpoint, or a text-to-video one"
    )
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-video"), description="whose architecture is taken"
    )
    frames: int = Field(default=16, ge=2, le=256, description="of each clip")
    thaw_at: float = Field(
        default=0.3, ge=0, le=1, description="the share of the steps that leave the base's layers"
    )
    batch: int = Field(default=4, ge=1, description="clips a step")

    def data_needs(self) -> tuple[Need, ...]:
        return ("motion",)

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image", "text-to-video")
        yield from pipeline_problems("text-to-video", "a text-to-video checkpoint", like=self.like)

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        check_noise(base, like)
        trained = load_parts(base)
        base_unet = None
        if "text-to-video" in trained.family.pipelines:
            like, parts = base, trained
            for name in _trained_names(parts):
                parts[name].requires_grad_(True).train()
        else:
            base_unet = trained.denoiser
            parts = _grown_parts(trained, like, f"{base.source} in {like.source}", self.seed)
        settings = self.settings()
        trainee = VideoTrainee(
            parts, data, settings, base_unet=base_unet, frames=self.frames, thaw_at=self.thaw_at
        )
        self.fit(trainee, data, settings, progress)
        copied = component_files(base, parts.family.components_without(*trainee.modules))
        return save_pipeline(trainee.modules, like, self.folder / "checkpoint", copied=copied)


def _grown_parts(base: PipelineParts, like: Checkpoint, subject: str, seed: int) -> PipelineParts:
    """A text-to-image base's parts with an untrained video denoiser, ready to be trained.

    Raises:
        InvalidValueError: The text encoders of the two do not fit together.
    """
    family = pipeline_family(like)
    names = (family.denoiser.name, *(each.name for each in family.text_encoders))
    parts = untrained_parts(like, names, seed)
    for own, trained in zip(parts.text_encoders, base.text_encoders, strict=True):
        load_weights(own, trained.state_dict(), subject)
    return parts | base.select(*family.components_without(*names))
