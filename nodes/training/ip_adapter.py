"""IP-Adapter: a frozen base learns to take what a subject looks like from a picture of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.ip_adapter import image_encoder_problems
from sdgraph.values import Checkpoint, Lora

from .assembly import load_trained, save_model, whole
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_of, hash_of_state, refuse_changed
from .image_encoder import as_seen, at_side
from .inpaint import pipeline_of
from .kinds import channel_problems
from .latents import tokens_of
from .loop import Settings, generator_for
from .placement import to_device
from .procedure import Denoising
from .samples import rows

__all__ = ["TrainIPAdapter"]

TOKENS = 4
"""The tokens that a picture becomes, beside those of the words."""

FILE = "ip_adapter.safetensors"

_UNSEEN = 0.05
"""The share of references that are left out, so that guidance has something to compare with."""
_NAMED = 0.35
"""The share of captions that name the subject too; the others leave it to the reference."""


def add_adapter_layers(unet: Any, width: int, seed: int) -> tuple[Any, Any]:
    """A U-Net with untrained layers for a reference; returns the projection and those layers.

    `width` is that of the image encoder's embedding; the projection is drawn by `seed`. Each
    cross-attention begins with copies of its own keys and values, as in the paper, so that a token
    of a picture is heard as one of words.
    """
    import torch
    from diffusers.models.embeddings import ImageProjection

    text = unet.config.cross_attention_dim
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        projection = ImageProjection(width, text, num_image_text_embeds=TOKENS)
    state = {
        name.replace("image_embeds", "proj"): value
        for name, value in projection.state_dict().items()
    }
    heard, number = {}, 1
    for name in unet.attn_processors:
        if "attn2" in name:
            attention = unet.get_submodule(name.removesuffix(".processor"))
            for key in ("k", "v"):
                own = getattr(attention, f"to_{key}").weight
                heard[f"{number}.to_{key}_ip.weight"] = own.detach().clone()
            number += 2
    unet._load_ip_adapter_weights([{"image_proj": state, "ip_adapter": heard}])
    layers = [each for name, each in unet.attn_processors.items() if "attn2" in name]
    (made,) = unet.encoder_hid_proj.image_projection_layers
    return made, torch.nn.ModuleList(layers)


class IPAdapterTrainee(DiffusionTrainee):
    """Denoises from a caption without its subject and a picture of that (Ye et al. 2023)."""

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        encoder = parts["image_encoder"]
        self._own = tuple(parts["unet"].state_dict())
        base = {name: hash_of(parts[name]) for name in ("unet", "text_encoder", "vae")}
        self.identity = {"data": data.content, **base}
        projection, layers = add_adapter_layers(
            parts["unet"], encoder.config.projection_dim, settings.seed
        )
        # Dictionaries of modules, lest what is the base's be counted among what is trained.
        self.modules = {"image_encoder": encoder, "projection": projection, "attention": layers}
        for module in self.modules.values():
            module.requires_grad_(True).train()
        places = range(len(data))
        self._seen = at_side(data.references(places), encoder.config.image_size)
        self._surroundings = tokens_of(parts["tokenizer"], data.surroundings)

    def frozen(self) -> dict[str, str]:
        """The hashes of the base's parts, without the layers of the adapter."""
        state = self.parts["unet"].state_dict()
        unet = hash_of_state({name: state[name] for name in self._own})
        return {"unet": unet, **{n: hash_of(self.parts[n]) for n in ("text_encoder", "vae")}}

    def loss(self, step: int) -> Any:
        # The loop's batch draws words and noise; which captions name the subject is drawn apart.
        random = generator_for(self.settings.seed, step, stream=1)
        self._named = _shares(self.settings.batch, random) < _NAMED
        return super().loss(step)

    def words(self, places: Any) -> Any:
        import torch

        named = self._named[:, None]
        tokens = torch.where(named, self.tokens[places], self._surroundings[places])
        with torch.no_grad():
            encode = self.parts["text_encoder"]
            return encode(to_device(tokens, self.device)).last_hidden_state

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        seen = to_device(as_seen(self._seen[places]), self.device)
        embeds = self.modules["image_encoder"](seen).image_embeds
        unseen = _shares(len(places), random) < _UNSEEN
        embeds = embeds * to_device(~unseen, self.device)[:, None]
        told = {"image_embeds": [embeds[:, None]]}
        return self.parts["unet"](noised, times, words, added_cond_kwargs=told).sample

    def sample(self) -> Any:
        """Eight references, and what is made of each with the rest of its caption."""
        import numpy as np
        import torch
        from diffusers import StableDiffusionPipeline

        shown = self.data.examples(8)
        count, side = min(8, len(shown)), shown.side
        references = shown.references(range(count))
        encoder = self.modules["image_encoder"]
        with torch.no_grad():
            seen = as_seen(at_side(references, encoder.config.image_size))
            embeds = encoder(to_device(seen, self.device)).image_embeds[:, None]
        pipe = pipeline_of(
            StableDiffusionPipeline,
            self.parts,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        made = pipe(
            list(shown.surroundings[:count]),
            height=side,
            width=side,
            num_inference_steps=20,
            guidance_scale=3.0,
            output_type="np",
            ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeds), embeds])],
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        return rows(np.concatenate([references, (made * 255).round().astype(np.uint8)]), count)


def _shares(count: int, random: Any) -> Any:
    """Shares drawn evenly from 0..1: float32, one each."""
    import torch

    return torch.rand(count, generator=random)


def export_weights(modules: Mapping[str, Any]) -> dict[str, Any]:
    """The adapter's weights in half precision, under the names of its authors' files."""
    import torch

    found = {
        f"image_proj.{name.replace('image_embeds', 'proj')}": value
        for name, value in modules["projection"].state_dict().items()
    }
    for number, layer in enumerate(modules["attention"]):
        for key in ("k", "v"):
            weight = getattr(layer, f"to_{key}_ip")[0].weight
            found[f"ip_adapter.{2 * number + 1}.to_{key}_ip.weight"] = weight
    return {name: each.detach().to(torch.float16).contiguous() for name, each in found.items()}


class TrainIPAdapter(Denoising):
    """An IP-Adapter for a base that stays as it is, to the bit (Ye et al. 2023).

    Its image encoder is trained on along with it. `out`/checkpoint holds both, laid out as the
    authors' repository; `out`/training/frozen.json the hashes of the base's parts before and after.
    """

    data: In[Dataset] = Field(description="captioned pictures, and others of the same subjects")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint that it is for")
    encoder: In[Checkpoint] = Field(
        default=Checkpoint("tiny/ip-adapter", subfolder="image_encoder"),
        description="the image encoder, as TrainImageEncoder makes one; it is trained on",
    )

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4))
        yield from image_encoder_problems("encoder", self.encoder)

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, encoder: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = load_trained(base, ("unet", "text_encoder", "vae", "tokenizer", "scheduler"))
        (parts["image_encoder"],) = load_trained(encoder, ("",)).values()
        settings = self.settings()
        trainee = IPAdapterTrainee(parts, data, settings)
        before = trainee.frozen()
        self.fit(trainee, data, settings, progress)
        refuse_changed(before, trainee.frozen(), self.state_folder)
        return _save_adapter(trainee, encoder, self.folder / "checkpoint")


def _save_adapter(trainee: IPAdapterTrainee, encoder: Checkpoint, folder: Path) -> Checkpoint:
    from safetensors.torch import save_file

    with whole(folder) as beside:
        beside.mkdir(parents=True)
        save_model(trainee.modules["image_encoder"], encoder, beside / "image_encoder")
        save_file(export_weights(trainee.modules), beside / FILE, metadata={"format": "pt"})
    return Checkpoint(Lora(folder, file=FILE).source)
