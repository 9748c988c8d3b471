"""An image encoder that learns what captions tell (CLIP, Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.ip_adapter import image_encoder_problems, image_processor
from sdgraph.values import Checkpoint

from .assembly import fresh_model, load_trained, save_model
from .data import Dataset
from .frozen import hash_of
from .kinds import channel_problems
from .latents import tokens_of
from .loop import Settings, generator_for
from .placement import move_modules, to_device
from .procedure import Training

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["TrainImageEncoder"]

_SHARPNESS = 1 / 0.07
"""What similarities are multiplied by at first, as in the paper."""


def at_side(pictures: npt.NDArray[np.uint8], side: int) -> Any:
    """Pictures at an encoder's size, as CLIP's image processor brings them there.

    uint8, count × height × width × 3, as uint8, count × 3 × side × side.
    """
    import numpy as np
    import torch

    sized = image_processor(side, do_rescale=False, do_normalize=False)
    made = [sized(each, return_tensors="np")["pixel_values"][0] for each in pictures]
    return torch.from_numpy(np.stack(made).astype(np.uint8))


def as_seen(pictures: Any) -> Any:
    """uint8, count × 3 × side × side, as CLIP's encoders are given them: normalised float32."""
    import torch
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    mean = torch.tensor(OPENAI_CLIP_MEAN)[:, None, None]
    return (pictures.float() / 255 - mean) / torch.tensor(OPENAI_CLIP_STD)[:, None, None]


class ImageEncoderTrainee:
    """Tells the caption of each picture of a batch from those of the others, and the reverse.

    The text encoder is a base's, and stays as it is; what it says of a caption is taken where the
    caption ends.
    """

    def __init__(
        self, encoder: Any, parts: Mapping[str, Any], data: Dataset, settings: Settings
    ) -> None:
        import torch

        move_modules([encoder, *parts.values()])
        self.settings = settings
        self.encoder = encoder.requires_grad_(True).train()
        tokens = tokens_of(parts["tokenizer"], data.captions)[:-1]
        self._said = _ends(parts["text_encoder"], tokens)
        self._seen = at_side(data.pictures, encoder.config.image_size)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(settings.seed)
            words = torch.nn.Linear(self._said.shape[1], encoder.config.projection_dim, bias=False)
        sharpness = torch.nn.Module()
        sharpness.logarithm = torch.nn.Parameter(torch.tensor(_SHARPNESS).log())
        self.modules = {"image_encoder": encoder, "words": words, "sharpness": sharpness}
        move_modules(self.modules.values())
        self.identity = {"data": data.content, "text_encoder": hash_of(parts["text_encoder"])}

    def loss(self, step: int) -> Any:
        """The cross-entropy of the right pairs, both ways; equal captions are all right."""
        import torch
        from torch.nn.functional import cross_entropy, normalize

        random = generator_for(self.settings.seed, step)
        places = torch.randint(len(self._seen), (self.settings.batch,), generator=random)
        device = self.encoder.device
        seen = self.encoder(to_device(as_seen(self._seen[places]), device)).image_embeds
        said = self.modules["words"](to_device(self._said[places], device))
        sharpness = self.modules["sharpness"].logarithm.exp().clamp_max(100)
        alike = sharpness * normalize(seen, dim=-1) @ normalize(said, dim=-1).T
        same = (self._said[places][:, None] == self._said[places][None]).all(-1).float()
        wanted = to_device(same / same.sum(1, keepdim=True), device)
        return (cross_entropy(alike, wanted) + cross_entropy(alike.T, wanted)) / 2

    def sample(self) -> Any:
        """Nothing: it makes no pictures."""
        return None


def _ends(text_encoder: Any, tokens: Any, batch: int = 256) -> Any:
    """What a text encoder says at the end of each text: float32, count × width."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(tokens), batch):
            said = text_encoder(to_device(tokens[start : start + batch], text_encoder.device))
            found.append(said.pooler_output.float().cpu())
    return torch.cat(found)


class TrainImageEncoder(Training):
    """An image encoder from nothing, by the captions of pictures (CLIP, Radford et al. 2021)."""

    base: In[Checkpoint] = Field(description="whose text encoder reads the captions")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/ip-adapter", subfolder="image_encoder"),
        description="whose architecture is taken",
    )
    batch: int = Field(default=128, ge=2, description="pictures a step")

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4))
        yield from image_encoder_problems("like", self.like)

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = load_trained(base, ("text_encoder", "tokenizer"))
        encoder, settings = fresh_model(like, self.seed), self.settings()
        trainee = ImageEncoderTrainee(encoder, parts, data, settings)
        self.fit(trainee, data, settings, progress)
        return save_model(encoder, like, self.folder / "checkpoint")
