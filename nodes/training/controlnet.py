"""ControlNet: a trained copy of a frozen base's down blocks that reads a control map."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.values import Checkpoint, DepthMap

from .assembly import adopt, fresh_model, load_trained, save_model
from .data import Dataset
from .diffusion import DROPPED, DiffusionTrainee
from .frozen import hash_of, refuse_changed
from .inpaint import pipeline_of
from .kinds import channel_problems
from .loop import Settings
from .placement import to_device
from .procedure import Denoising
from .samples import rows

__all__ = ["TrainControlNet"]

Kind = Literal["edges", "depth"]

COPIED = ("conv_in", "time_embedding", "down_blocks", "mid_block")
"""The parts of a U-Net that a ControlNet starts from."""

FROZEN = ("unet", "text_encoder", "vae")


def controls(data: Dataset, kind: Kind) -> Any:
    """The true control map of every picture: uint8, count × side × side, as the nodes make them.

    Edges are those of the Canny node's defaults; depth goes from farthest 0 to nearest 255.
    """
    import numpy as np

    from sdgraph.nodes.tiny_world import canny_edges

    if kind == "edges":
        return np.stack([canny_edges(picture) for picture in data.pictures])
    places = range(len(data))
    return np.stack([DepthMap(data.depths([n])[0]).numpy[..., 0] for n in places])


def copy_unet_weights(network: Any, unet: Any, subject: str) -> Any:
    """The ControlNet with the U-Net's weights in its copy; its zero convolutions stay zero."""
    for name in COPIED:
        adopt(getattr(network, name), getattr(unet, name).state_dict(), f"{subject}, {name}")
    return network


def init_conditioning_embedding(network: Any, seed: int) -> Any:
    """The ControlNet with its conditioning embedding drawn anew, so that it carries the map.

    By He et al. 2015 with no bias. As torch draws convolutions, each layer keeps a third of what
    tells one map from another; of five little is left, and short trainings never hear the map. The
    last layer stays zero.
    """
    import torch

    random = torch.Generator("cpu").manual_seed(seed)
    embedding = network.controlnet_cond_embedding
    for layer in (embedding.conv_in, *embedding.blocks):
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
        torch.nn.init.zeros_(layer.bias)
    return network


class ControlNetTrainee(DiffusionTrainee):
    """Adds the network's residuals to the frozen U-Net's.

    Captions are often left out, so that it learns to read the control map (Zhang et al. 2023).
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        data: Dataset,
        settings: Settings,
        *,
        kind: Kind = "edges",
        dropped: float = 0.5,
    ) -> None:
        import torch

        super().__init__(parts, data, settings)
        self.kind = kind
        self.modules = {"controlnet": parts["controlnet"]}
        base = {name: hash_of(parts[name]) for name in FROZEN}
        self.identity = {"data": data.content, "kind": kind, "dropped": dropped, **base}
        self._controls = torch.from_numpy(controls(data, kind))
        # The loop's batch has left out a share already.
        self._more_dropped = max(0.0, 1 - (1 - dropped) / (1 - DROPPED))
        self._silence = self.words(torch.tensor([len(self.tokens) - 1]))

    def words(self, places: Any) -> Any:
        import torch

        with torch.no_grad():
            return super().words(places)

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        import torch

        silent = torch.rand(len(places), generator=random) < self._more_dropped
        silent = to_device(silent[:, None, None], self.device)
        words = torch.where(silent, self._silence, words)
        shown = to_device(_as_condition(self._controls[places]), self.device)
        down, middle = self.parts["controlnet"](
            noised, times, words, controlnet_cond=shown, return_dict=False
        )
        return self.parts["unet"](
            noised,
            times,
            words,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample

    def sample(self) -> Any:
        """The control maps of eight pictures, and what is made of them."""
        import numpy as np
        import torch
        from diffusers import StableDiffusionControlNetPipeline

        shown = self.data.examples(8)
        count, side = min(8, len(shown)), shown.side
        maps = controls(shown, self.kind)[:count]
        pipe = pipeline_of(
            StableDiffusionControlNetPipeline,
            self.parts,
            controlnet=self.parts["controlnet"],
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        made = pipe(
            list(shown.captions[:count]),
            image=_as_condition(torch.from_numpy(maps)),
            height=side,
            width=side,
            num_inference_steps=20,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        white = np.repeat(maps[..., None], 3, axis=3)
        return rows(np.concatenate([white, (made * 255).round().astype(np.uint8)]), count)


def _as_condition(maps: Any) -> Any:
    """uint8 count × side × side as float32 count × 3 × side × side in 0..1."""
    return (maps.float() / 255)[:, None].repeat(1, 3, 1, 1)


class TrainControlNet(Denoising):
    """A ControlNet for a base that stays as it is, to the bit (Zhang et al. 2023).

    `out`/training/frozen.json holds the hashes of the base's parts before and after.
    """

    data: In[Dataset] = Field(description="captioned pictures; for depth, with true depth")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint to be controlled")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/controlnet-edges"), description="whose architecture is taken"
    )
    kind: Kind = Field(default="edges", description="what the control maps show")
    dropped: float = Field(
        default=0.5, ge=0.1, lt=1, description="the share of captions left out; half in the paper"
    )

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4))
        if isinstance(self.like, Checkpoint):
            own = resolve(self.like).config()
            if own is not None and own.get("_class_name") != "ControlNetModel":
                found = f"{self.like.source}, a {own.get('_class_name', 'model of another kind')}"
                yield Problem("like", found, "a ControlNet's checkpoint")

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        if self.kind == "depth":
            data.depths([0])  # refuses data without truth before anything is made
        parts = load_trained(base, (*FROZEN, "tokenizer", "scheduler"))
        network = init_conditioning_embedding(fresh_model(like, self.seed), self.seed)
        parts["controlnet"] = copy_unet_weights(
            network, parts["unet"], f"{base.source} in {like.source}"
        )
        settings = self.settings()
        before = {name: hash_of(parts[name]) for name in FROZEN}
        trainee = ControlNetTrainee(parts, data, settings, kind=self.kind, dropped=self.dropped)
        self.fit(trainee, data, settings, progress)
        refuse_changed(before, {name: hash_of(parts[name]) for name in FROZEN}, self.state_folder)
        return save_model(network, like, self.folder / "checkpoint")
