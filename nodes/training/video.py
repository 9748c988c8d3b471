"""Text to video: a U-Net that makes all frames at once, grown from one that makes pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .assembly import adopt, check_noise, fresh_parts, load_trained, save_pipeline, taken_from
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_of
from .kinds import channel_problems
from .latents import encode, tokens_of
from .loop import Settings
from .placement import move_modules
from .procedure import Denoising
from .samples import rows

__all__ = ["TrainText2Video"]

KEPT = ("vae", "tokenizer")
"""What is handed on from the base, to the bit."""


def shared_weights(base_unet: Any, video_unet: Any) -> dict[str, Any]:
    """The weights of a 2-D U-Net that a 3-D one has by name, in the 3-D one's shapes.

    Shapes are equal but for a 1 × 1 convolution, which in the 3-D one may be a linear layer: the
    same numbers without the two sides of 1.
    """
    own = {name: tuple(value.shape) for name, value in video_unet.state_dict().items()}
    taken = {}
    for name, value in base_unet.state_dict().items():
        shape = tuple(value.shape)
        if own.get(name) in (shape, shape[:-2] if shape[2:] == (1, 1) else shape):
            taken[name] = value.reshape(own[name])
    return taken


def load_base_weights(video_unet: Any, base_unet: Any) -> set[str]:
    """Puts a base's weights into a 3-D U-Net; returns the names of those of its layers.

    What temporal layers add is made zero, so at first each frame is what the base would make of it:
    temporal convolutions begin so (Wang et al. 2023), temporal attention is made to.
    """
    import torch

    taken = shared_weights(base_unet, video_unet)
    missing = sorted(set(base_unet.state_dict()) - set(taken))
    if missing:
        found = f"{missing[0]} and {len(missing) - 1} more that the 3-D U-Net does not have"
        fix = "set `like` to a checkpoint that fits"
        wanted = "the same widths and blocks"
        raise InvalidValueError(Problem("the base's U-Net", found, wanted, fix))
    video_unet.load_state_dict(taken, strict=False)
    with torch.no_grad():
        for name, value in video_unet.named_parameters():
            if "proj_out" in name and name not in taken:
                value.zero_()
    return set(taken)


def lengthen(words: Any, tokens: Any) -> None:
    """Makes the embeddings of words that a text encoder never learned as long as the others'.

    Those lie near zero, where they were drawn, so that "up" and "down" are one to the network, and
    thousands of steps go by until they have grown.
    """
    import torch

    table = words.get_input_embeddings().weight
    used = tokens.unique()
    with torch.no_grad():
        lengths = table[used].norm(dim=1, keepdim=True)
        usual = lengths.median()
        table[used] *= torch.where(lengths < usual / 2, usual / lengths.clamp_min(1e-6), 1.0)


def encode_clips(vae: Any, data: Dataset, count: int) -> Any:
    """The clips of scenes that move, as latents: float32, clips × 4 × count × height × width."""
    import torch

    from sdgraph.nodes.tiny_world import frames

    scenes = getattr(data, "scenes", ())
    if not scenes or any(scene.motion is None for scene in scenes):
        found, wanted = "pictures that stand still", "scenes with a motion"
        raise InvalidValueError(Problem("data", found, wanted, "use TinyWorld(moving=True)"))
    clips = [encode(vae, frames(scene, count, data.side)) for scene in scenes]
    return torch.stack(clips).permute(0, 2, 1, 3, 4).contiguous()


class VideoTrainee(DiffusionTrainee):
    """Clips from captions of motion; what is the base's is frozen until `thaw_at` of the steps.

    The text encoder is trained from the start: the base has never read the words of motion.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        data: Dataset,
        settings: Settings,
        *,
        base_unet: Any | None,
        frames: int = 16,
        thaw_at: float = 0.3,
    ) -> None:
        from diffusers import DDPMScheduler

        # Without a U-Net to grow from, one that makes clips already is trained on, as a whole.
        base = hash_of(parts["unet"] if base_unet is None else base_unet)
        self.spatial = set() if base_unet is None else load_base_weights(parts["unet"], base_unet)
        move_modules(parts.values())
        self.parts = parts
        self.settings = settings
        self.data = data
        self.frames = frames
        self.thaw_at = thaw_at
        self.noise_schedule = DDPMScheduler.from_config(parts["scheduler"].config)
        self.tokens = tokens_of(parts["tokenizer"], data.captions)
        lengthen(parts["text_encoder"], self.tokens)
        self.latents = encode_clips(parts["vae"], data, frames)
        self.modules = {"unet": parts["unet"], "text_encoder": parts["text_encoder"]}

        own = {"frames": frames, "thaw_at": thaw_at, "data": data.content}
        self.identity = {**own, "base": base, "vae": hash_of(parts["vae"])}

    def loss(self, step: int) -> Any:
        """The mean squared error of the prediction on a batch of clips."""
        thawed = step >= self.thaw_at * self.settings.steps
        for name, value in self.parts["unet"].named_parameters():
            value.requires_grad_(thawed or name not in self.spatial)
        return super().loss(step)

    def sample(self) -> Any:
        """Two held-out captions as clips, eight of each one's frames in a row."""
        import numpy as np
        import torch
        from diffusers import TextToVideoSDPipeline

        scheduler = type(self.parts["scheduler"]).from_config(self.parts["scheduler"].config)
        names = ("vae", "text_encoder", "tokenizer", "unet")
        pipe = TextToVideoSDPipeline(**{n: self.parts[n] for n in names}, scheduler=scheduler)
        pipe.set_progress_bar_config(disable=True)
        shown = self.data.examples(2)
        made = pipe(
            list(shown.captions[:2]),
            height=shown.side,
            width=shown.side,
            num_frames=self.frames,
            num_inference_steps=20,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        ).frames
        chosen = np.linspace(0, self.frames - 1, min(8, self.frames)).round().astype(int)
        pixels = (np.asarray(made)[:, chosen] * 255).round().astype(np.uint8)
        return rows(pixels.reshape(-1, *pixels.shape[2:]), len(chosen))


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

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4))
        if isinstance(self.like, Checkpoint):
            kind = (resolve(self.like).index or {}).get("_class_name", "TextToVideoSDPipeline")
            if kind != "TextToVideoSDPipeline":
                yield Problem("like", f"{self.like.source} ({kind})", "a text-to-video checkpoint")

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        check_noise(base, like)
        trained = load_trained(base, (*KEPT, "text_encoder", "unet"))
        if _makes_clips(base):
            like, base_unet = base, None
            parts = {**fresh_parts(base, (), self.seed), **trained}
            for name in ("unet", "text_encoder"):
                parts[name].requires_grad_(True).train()
        else:
            base_unet = trained["unet"]
            fresh = fresh_parts(like, ("unet", "text_encoder"), self.seed)
            words = trained["text_encoder"].state_dict()
            adopt(fresh["text_encoder"], words, f"{base.source} in {like.source}")
            parts = {**trained, **{n: fresh[n] for n in ("unet", "text_encoder", "scheduler")}}
        settings = self.settings()
        trainee = VideoTrainee(
            parts, data, settings, base_unet=base_unet, frames=self.frames, thaw_at=self.thaw_at
        )
        self.fit(trainee, data, settings, progress)
        own = {name: parts[name] for name in ("unet", "text_encoder")}
        kept = taken_from(base, KEPT)
        return save_pipeline(own, like, self.folder / "checkpoint", taken=kept)


def _makes_clips(checkpoint: Checkpoint) -> bool:
    return (resolve(checkpoint).index or {}).get("_class_name") == "TextToVideoSDPipeline"
