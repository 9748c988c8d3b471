"""ControlNet: a trained copy of a frozen base's down blocks that reads a control map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import CONTROLNET
from sdgraph.values import Checkpoint, DepthMap

from . import samples
from .checkpoint_problems import purpose_problems
from .data import Dataset
from .data_problems import Need
from .diffusion import DROPPED, DiffusionTrainee
from .frozen import hash_module, refuse_changed
from .loading import load_parts, untrained_model
from .loop import Settings
from .pipeline_parts import PipelineParts, make_pipeline
from .placement import to_device
from .procedure import Denoising
from .samples import arrange_in_rows, to_uint8
from .saving import save_model
from .starting_weights import load_weights
from .unet import CONTROLNET_BLOCKS, CONTROLNET_CLASS

__all__ = ["TrainControlNet"]

Kind = Literal["edges", "depth"]


def make_control_maps(data: Dataset, kind: Kind) -> Any:
    """The true control map of every picture: uint8, count × side × side, as the nodes make them.

    Edges are those of the Canny node's defaults; depth goes from farthest 0 to nearest 255.
    """
    import numpy as np

    from sdgraph.nodes.tiny_world import canny_edges

    if kind == "edges":
        return np.stack([canny_edges(picture) for picture in data.pictures])
    depths = (data.depths([index])[0] for index in range(len(data)))
    return np.stack([DepthMap(depth).numpy[..., 0] for depth in depths])


def untrained_controlnet(like: Checkpoint, base: PipelineParts, subject: str, seed: int) -> Any:
    """An untrained ControlNet that at first changes nothing.

    Its blocks are copies of the base's, its conditioning embedding is drawn, and its zero
    convolutions are zero.

    Args:
        like: The ControlNet whose architecture is taken.
        base: The parts that it is for.
        subject: What an error is about.
        seed: What its other weights are drawn by.

    Raises:
        InvalidValueError: The blocks of the two do not fit together.
    """
    network = untrained_model(like, seed)
    init_conditioning_embedding(network, seed)
    for name in CONTROLNET_BLOCKS:
        block = getattr(base.denoiser, name)
        load_weights(getattr(network, name), block.state_dict(), f"{subject}, {name}")
    return network


def init_conditioning_embedding(network: Any, seed: int) -> None:
    """Draws the weights of a ControlNet's conditioning embedding so that it carries the map.

    By He et al. 2015 with no bias. As torch initialises convolutions, each layer keeps a third of
    the differences between maps; five layers leave little, and short trainings never learn from
    the map. The last layer stays zero.
    """
    import torch

    random = torch.Generator("cpu").manual_seed(seed)
    embedding = network.controlnet_cond_embedding
    for layer in (embedding.conv_in, *embedding.blocks):
        torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
        torch.nn.init.zeros_(layer.bias)


class ControlNetTrainee(DiffusionTrainee):
    """Adds the ControlNet's residuals to the frozen denoiser's.

    Captions are often left out, so that it learns to read the control map (Zhang et al. 2023).

    Args:
        parts: The base's parts and the ControlNet.
        data: The captioned pictures.
        settings: The loop's settings.
        kind: What the control maps show.
        dropped: The share of captions left out, at least that of all trainings.
    """

    def __init__(
        self,
        parts: PipelineParts,
        data: Dataset,
        settings: Settings,
        *,
        kind: Kind = "edges",
        dropped: float = 0.5,
    ) -> None:
        import torch

        super().__init__(parts, data, settings)
        self.kind = kind
        self.modules = {CONTROLNET: parts[CONTROLNET]}
        base = base_hashes(parts)
        self.identity = {"data": data.content, "kind": kind, "dropped": dropped, **base}
        self._control_maps = torch.from_numpy(make_control_maps(data, kind))
        # `DiffusionTrainee.loss` has left out a share already.
        self._further_dropped = max(0.0, 1 - (1 - dropped) / (1 - DROPPED))
        self._empty_caption = self.read_captions(torch.tensor([len(self.tokens) - 1]))

    def read_captions(self, indices: Any) -> Any:
        import torch

        with torch.no_grad():
            return super().read_captions(indices)

    def predict(self, noised: Any, times: Any, words: Any, indices: Any, random: Any) -> Any:
        import torch

        dropped = torch.rand(len(indices), generator=random) < self._further_dropped
        dropped = to_device(dropped[:, None, None], self.device)
        words = torch.where(dropped, self._empty_caption, words)
        condition = to_device(_to_condition(self._control_maps[indices]), self.device)
        down, middle = self.parts[CONTROLNET](
            noised, times, words, controlnet_cond=condition, return_dict=False
        )
        return self.parts.denoiser(
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

        examples = self.data.examples(8)
        count, side = min(8, len(examples)), examples.side
        maps = make_control_maps(examples, self.kind)[:count]
        pipe = make_pipeline(self.parts, "controlnet", **self.modules)
        output = pipe(
            list(examples.captions[:count]),
            image=_to_condition(torch.from_numpy(maps)),
            height=side,
            width=side,
            num_inference_steps=samples.SAMPLE_STEPS,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        )
        maps = np.repeat(maps[..., None], 3, axis=3)
        return arrange_in_rows(np.concatenate([maps, to_uint8(output.images)]), count)


def base_hashes(parts: PipelineParts) -> dict[str, str]:
    """The hashes of the base's networks, by name."""
    return {name: hash_module(parts[name]) for name in parts.family.networks}


def _to_condition(maps: Any) -> Any:
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

    def data_needs(self) -> tuple[Need, ...]:
        return ("depth",) if self.kind == "depth" else ()

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image")
        if isinstance(self.like, Checkpoint):
            config = resolve(self.like).config()
            if config is not None and config.get("_class_name") != CONTROLNET_CLASS:
                class_name = config.get("_class_name", "model of another kind")
                found = f"{self.like.source}, a {class_name}"
                yield Problem("like", found, "a ControlNet's checkpoint")

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        if self.kind == "depth":
            data.depths([0])  # refuses data without true depth before anything is made
        parts = load_parts(base)
        subject = f"{base.source} in {like.source}"
        network = untrained_controlnet(like, parts, subject, self.seed)
        settings = self.settings()
        before = base_hashes(parts)
        trainee = ControlNetTrainee(
            parts | {CONTROLNET: network}, data, settings, kind=self.kind, dropped=self.dropped
        )
        self.fit(trainee, data, settings, progress)
        refuse_changed(before, base_hashes(parts), self.state_folder)
        return save_model(network, like, self.folder / "checkpoint")
