"""IP-Adapter: layers by which a frozen base shows the subject of a reference picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.adapters.ip_adapter import image_encoder_problems
from sdgraph.values import Checkpoint, Lora

from . import samples
from .checkpoint_problems import model_problems, purpose_problems
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_module, hash_tensors, refuse_changed
from .image_encoder import normalize_for_clip, resize_for_clip
from .latents import tokenize
from .loading import load_model, load_parts
from .loop import Settings, generator_for
from .pipeline_parts import PipelineParts, make_pipeline
from .placement import to_device
from .procedure import Denoising
from .samples import arrange_in_rows, to_uint8
from .saving import write_model
from .training_folders import replace_folder
from .unet import add_ip_adapter_layers, ip_adapter_weights

__all__ = ["TrainIPAdapter"]

FILE = "ip_adapter.safetensors"
"""The adapter's file in its checkpoint."""

ENCODER = "image_encoder"
"""The image encoder's folder next to it, as in the authors' repository."""

_REFERENCES_DROPPED = 0.05
"""The share of references that are left out, so that classifier-free guidance works."""
_SUBJECTS_NAMED = 0.35
"""The share of captions that name the subject too; the others leave it to the reference."""


class IPAdapterTrainee(DiffusionTrainee):
    """Denoises from a caption without its subject and a picture of the subject (Ye et al. 2023).

    Args:
        parts: The base's parts and the image encoder; the denoiser gets the adapter's layers.
        data: Captioned pictures, and others of the same subjects.
        settings: The loop's settings.
    """

    def __init__(self, parts: PipelineParts, data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        self._encoder = parts[ENCODER]
        self._base_weights = tuple(parts.denoiser.state_dict())
        self.identity = {"data": data.content, **self.base_hashes()}
        self._projection, layers = add_ip_adapter_layers(
            parts.denoiser, self._encoder.config.projection_dim, settings.seed
        )
        self.modules = {ENCODER: self._encoder, "projection": self._projection, "attention": layers}
        for module in self.modules.values():
            module.requires_grad_(True).train()
        self._references = resize_for_clip(
            data.references(range(len(data))), self._encoder.config.image_size
        )
        self._subjectless = tokenize(parts.tokenizers[0], data.surroundings)

    def base_hashes(self) -> dict[str, str]:
        """The hashes of the base's networks by name, without the layers of the adapter."""
        family, state = self.parts.family, self.parts.denoiser.state_dict()
        denoiser = hash_tensors({name: state[name] for name in self._base_weights})
        others = [name for name in family.networks if name != family.denoiser.name]
        return {
            family.denoiser.name: denoiser,
            **{name: hash_module(self.parts[name]) for name in others},
        }

    def loss(self, step: int) -> Any:
        # `DiffusionTrainee.loss` draws the batch from its own stream of random numbers; which
        # captions name the subject is drawn from another.
        random = generator_for(self.settings.seed, step, stream=1)
        self._named = _draw_uniform(self.settings.batch, random) < _SUBJECTS_NAMED
        return super().loss(step)

    def read_captions(self, indices: Any) -> Any:
        import torch

        named = self._named[:, None]
        tokens = torch.where(named, self.tokens[indices], self._subjectless[indices])
        with torch.no_grad():
            encoder = self.parts.text_encoders[0]
            return encoder(to_device(tokens, self.device)).last_hidden_state

    def predict(self, noised: Any, times: Any, words: Any, indices: Any, random: Any) -> Any:
        embeds = self._embed(self._references[indices])
        dropped = _draw_uniform(len(indices), random) < _REFERENCES_DROPPED
        embeds = embeds * to_device(~dropped, self.device)[:, None]
        conditions = {"image_embeds": [embeds[:, None]]}
        return self.parts.denoiser(noised, times, words, added_cond_kwargs=conditions).sample

    def _embed(self, references: Any) -> Any:
        """The embeddings of resized references: count × width."""
        pixels = to_device(normalize_for_clip(references), self.device)
        return self._encoder(pixels).image_embeds

    def sample(self) -> Any:
        """Eight references, and what is made of each with the rest of its caption."""
        import numpy as np
        import torch

        examples = self.data.examples(8)
        count, side = min(8, len(examples)), examples.side
        references = examples.references(range(count))
        with torch.no_grad():
            resized = resize_for_clip(references, self._encoder.config.image_size)
            embeds = self._embed(resized)[:, None]
        output = make_pipeline(self.parts, "text-to-image")(
            list(examples.surroundings[:count]),
            height=side,
            width=side,
            num_inference_steps=samples.SAMPLE_STEPS,
            guidance_scale=3.0,
            output_type="np",
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeds), embeds])],
            generator=torch.Generator("cpu").manual_seed(0),
        )
        return arrange_in_rows(np.concatenate([references, to_uint8(output.images)]), count)

    def save(self, like: Checkpoint, folder: Path) -> Checkpoint:
        """Writes the adapter and its image encoder, laid out as in the authors' repository.

        Raises:
            MediaError: The disk does not take it.
        """
        from safetensors.torch import save_file

        weights = ip_adapter_weights(self._projection, self.modules["attention"])
        with replace_folder(folder) as new:
            write_model(self._encoder, like, new / ENCODER)
            save_file(weights, new / FILE, metadata={"format": "pt"})
        return Checkpoint(Lora(folder, file=FILE).source)


def _draw_uniform(count: int, random: Any) -> Any:
    """Numbers drawn evenly from 0..1: float32, count."""
    import torch

    return torch.rand(count, generator=random)


class TrainIPAdapter(Denoising):
    """An IP-Adapter for a base that stays as it is, to the bit (Ye et al. 2023).

    Its image encoder is trained on along with it. `out`/checkpoint holds both, laid out as the
    authors' repository; `out`/training/frozen.json the hashes of the base's parts before and after.
    """

    data: In[Dataset] = Field(description="captioned pictures, and others of the same subjects")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint that it is for")
    encoder: In[Checkpoint] = Field(
        default=Checkpoint("tiny/ip-adapter", subfolder=ENCODER),
        description="the image encoder, as TrainImageEncoder makes one; it is trained on",
    )

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image")
        problems = list(image_encoder_problems("encoder", self.encoder))
        yield from problems or model_problems("encoder", self.encoder)

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, encoder: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = load_parts(base) | {ENCODER: load_model(encoder)}
        settings = self.settings()
        trainee = IPAdapterTrainee(parts, data, settings)
        before = trainee.base_hashes()
        self.fit(trainee, data, settings, progress)
        refuse_changed(before, trainee.base_hashes(), self.state_folder)
        return trainee.save(encoder, self.folder / "checkpoint")
