"""An image encoder trained to match pictures with their captions (CLIP, Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.adapters.ip_adapter import image_encoder_problems, image_processor
from sdgraph.values import Checkpoint

from .checkpoint_problems import purpose_problems
from .data import Dataset
from .frozen import hash_module
from .latents import tokenize
from .loading import load_text_parts, untrained_model
from .loop import Settings, generator_for
from .pipeline_parts import PipelineParts
from .placement import move_modules, to_device
from .procedure import Training
from .saving import save_model

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TrainImageEncoder"]

_SHARPNESS = 1 / 0.07
"""What similarities are multiplied by at first, as in the paper."""


def resize_for_clip(pictures: npt.NDArray[np.uint8], side: int) -> Any:
    """Pictures resized as CLIP's image processor does it.

    Args:
        pictures: uint8, count × height × width × 3.
        side: The sides of the encoder's pictures in pixels.

    Returns:
        uint8, count × 3 × side × side.
    """
    import numpy as np
    import torch

    process = image_processor(side, do_rescale=False, do_normalize=False)
    resized = [process(each, return_tensors="np")["pixel_values"][0] for each in pictures]
    return torch.from_numpy(np.stack(resized).astype(np.uint8))


def normalize_for_clip(pictures: Any) -> Any:
    """uint8, count × 3 × side × side, as float32 with CLIP's mean and deviation taken out."""
    import torch
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    mean = torch.tensor(OPENAI_CLIP_MEAN)[:, None, None]
    return (pictures.float() / 255 - mean) / torch.tensor(OPENAI_CLIP_STD)[:, None, None]


class ImageEncoderTrainee:
    """Finds the caption of each picture of a batch among those of the others, and the reverse.

    The text encoder is a base's and stays as it is; its output is taken where the caption ends.

    Args:
        encoder: The image encoder to train.
        parts: The text encoder and its tokenizer.
        data: The captioned pictures.
        settings: The loop's settings.
    """

    def __init__(
        self, encoder: Any, parts: PipelineParts, data: Dataset, settings: Settings
    ) -> None:
        import torch

        move_modules([encoder, *parts.values()])
        self.settings = settings
        self.encoder = encoder.requires_grad_(True).train()
        tokens = tokenize(parts.tokenizers[0], data.captions)[:-1]
        self._caption_features = _features_at_ends(parts.text_encoders[0], tokens)
        self._pictures = resize_for_clip(data.pictures, encoder.config.image_size)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(settings.seed)
            words = torch.nn.Linear(
                self._caption_features.shape[1], encoder.config.projection_dim, bias=False
            )
        sharpness = torch.nn.Module()
        sharpness.logarithm = torch.nn.Parameter(torch.tensor(_SHARPNESS).log())
        self.modules = {"image_encoder": encoder, "words": words, "sharpness": sharpness}
        move_modules(self.modules.values())
        name = parts.family.text_encoders[0].name
        self.identity = {"data": data.content, name: hash_module(parts[name])}

    def loss(self, step: int) -> Any:
        """The cross-entropy of the right pairs, both ways; equal captions are all right."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        random = generator_for(self.settings.seed, step)
        indices = torch.randint(len(self._pictures), (self.settings.batch,), generator=random)
        device, features = self.encoder.device, self._caption_features[indices]
        pictures = to_device(normalize_for_clip(self._pictures[indices]), device)
        image_embeds = self.encoder(pictures).image_embeds
        text_embeds = self.modules["words"](to_device(features, device))
        sharpness = self.modules["sharpness"].logarithm.exp().clamp_max(100)
        similarity = sharpness * normalize(image_embeds, dim=-1) @ normalize(text_embeds, dim=-1).T
        same = (features[:, None] == features[None]).all(-1).float()
        target = to_device(same / same.sum(1, keepdim=True), device)
        return (cross_entropy(similarity, target) + cross_entropy(similarity.T, target)) / 2

    def sample(self) -> Any:
        """None: it makes no pictures."""
        return None


def _features_at_ends(text_encoder: Any, tokens: Any, batch: int = 256) -> Any:
    """A text encoder's output at the end of each text: float32, count × width."""
    import torch

    batches = []
    with torch.no_grad():
        for start in range(0, len(tokens), batch):
            output = text_encoder(to_device(tokens[start : start + batch], text_encoder.device))
            batches.append(output.pooler_output.float().cpu())
    return torch.cat(batches)


class TrainImageEncoder(Training):
    """An image encoder from nothing, by the captions of pictures (CLIP, Radford et al. 2021)."""

    base: In[Checkpoint] = Field(description="whose text encoder reads the captions")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/ip-adapter", subfolder="image_encoder"),
        description="whose architecture is taken",
    )
    batch: int = Field(default=128, ge=2, description="pictures a step")

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image")
        yield from image_encoder_problems("like", self.like)

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = load_text_parts(base)
        encoder, settings = untrained_model(like, self.seed), self.settings()
        trainee = ImageEncoderTrainee(encoder, parts, data, settings)
        self.fit(trainee, data, settings, progress)
        return save_model(encoder, like, self.folder / "checkpoint")
