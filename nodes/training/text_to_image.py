"""The base: text encoders and a denoiser, trained from nothing or on, as a whole or as LoRA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import fetch_checkpoint, quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.values import Checkpoint

from .checkpoint_problems import purpose_problems
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_module, refuse_changed
from .loading import load_autoencoder, load_parts, pipeline_family, untrained_parts
from .lora import add_lora_layers, fuse_lora_layers, hash_without_adapters, save_lora
from .pipeline_parts import PipelineParts
from .procedure import Denoising
from .samples import make_sheet
from .saving import component_files, save_pipeline
from .training_folders import foreign_file_problems

__all__ = ["TrainText2Image"]


class TextToImageTrainee(DiffusionTrainee):
    """Captions to pictures; samples are made from captions that training never reads."""

    def sample(self) -> Any:
        return make_sheet(self.parts, self.data.side)


class TrainFromText(Denoising):
    """What the nodes have in common that train a denoiser and its text encoders on captions."""

    default_like: ClassVar[str]
    """The checkpoint whose architecture is taken where neither `base` nor `like` names one."""
    trainee: ClassVar[type[DiffusionTrainee]]

    base: In[Checkpoint] | None = Field(
        default=None, description="start from this checkpoint's weights; else from nothing"
    )
    vae: In[Checkpoint] | None = Field(
        default=None, description="the autoencoder, trained before; else the base's"
    )
    like: In[Checkpoint] | None = Field(
        default=None,
        description="without a base: whose architecture is taken; else that of the tiny one",
    )
    rank: int = Field(
        default=0, ge=0, le=1024, description="of LoRA adapters on the base; 0 trains all weights"
    )
    steps: int = Field(default=15_000, ge=1, description="optimizer steps")
    learning_rate: float = Field(
        default=1.5e-3,
        gt=0,
        description="AdamW, decayed linearly; on a large base 1e-5 is usual, 1e-4 with a rank",
    )

    def text_source(self) -> object:
        return self.base or self.like or Checkpoint(self.default_like)

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.rank:
            yield from foreign_file_problems("out", self.folder / "lora")
        if self.base is None and self.vae is None:
            yield Problem(
                "vae",
                "neither a base nor a vae",
                "one of them",
                "set base to go on from a checkpoint, or vae to train from nothing over it",
            )
        if self.base is not None and self.like is not None:
            yield Problem(
                "like",
                "a base and a like",
                "one of them: the base has its own architecture",
                "leave like out",
            )
        if self.rank and self.base is None:
            yield Problem(
                "rank",
                f"rank {self.rank} without a base",
                "a base for the adapters to change",
                "set base, or rank to 0",
            )
        yield from self.architecture_problems()

    def architecture_problems(self) -> Iterator[Problem]:
        """Why `base` and `like` have not the architecture that is trained here."""
        yield from ()

    @quiet_libraries()
    def run(
        self,
        data: Dataset,
        base: Checkpoint | None,
        vae: Checkpoint | None,
        like: Checkpoint | None,
        progress: Progress,
    ) -> Checkpoint:
        if base is None:
            source = like or Checkpoint(self.default_like)
            parts = untrained_parts(source, _trained_names(pipeline_family(source)), self.seed)
        else:
            source, parts = base, self._load_base(base)
        own_autoencoder = (parts.family.decoder.name,) if vae else ()
        if vae is not None:
            parts |= dict.fromkeys(own_autoencoder, load_autoencoder(vae))
        names = (*_trained_names(parts.family), parts.family.decoder.name) if base else ()
        before = {name: hash_module(parts[name]) for name in names}
        if self.rank:
            add_lora_layers(parts, self.rank, self.seed)
        settings = self.settings()
        trainee = self.trainee(parts, data, settings)
        if base is not None:
            trainee.identity = {**trainee.identity, "base": before, "rank": self.rank}
        self.fit(trainee, data, settings, progress)
        if self.rank:
            self._save_adapters(parts, before)
        own = parts.select(*trainee.modules, *own_autoencoder)
        copied = _other_files(base, own) if base is not None else {}
        return save_pipeline(own, source, self.folder / "checkpoint", copied=copied)

    def _load_base(self, base: Checkpoint) -> PipelineParts:
        """The base's parts; what is trained requires a gradient, unless adapters are."""
        parts = load_parts(base)
        for name in _trained_names(parts.family) if not self.rank else ():
            parts[name].requires_grad_(True)
        return parts

    def _save_adapters(self, parts: PipelineParts, before: dict[str, str]) -> None:
        """Writes the trained adapters, then adds them to the denoiser's weights."""
        after = {name: hash_without_adapters(parts[name]) for name in before}
        refuse_changed(before, after, self.state_folder)
        save_lora(parts, self.folder / "lora")
        fuse_lora_layers(parts)


def _trained_names(family: ModelFamily) -> tuple[str, ...]:
    """The components that are trained, in the order in which fresh ones draw their weights."""
    return (*(each.name for each in family.text_encoders), family.denoiser.name)


def _other_files(base: Checkpoint, own: Iterable[str]) -> dict[str, dict[str, Path]]:
    """The files of those of a base's components that are on this disk, without some of them."""
    folder, names = fetch_checkpoint(base), resolve(base).components or ()
    others = [name for name in names if name not in own and (folder / name).is_dir()]
    return component_files(base, others)


class TrainText2Image(TrainFromText):
    """A text-to-image checkpoint trained from nothing or from another (Rombach et al. 2022).

    With a rank, only LoRA adapters of the U-Net are trained (Hu et al. 2021): `out`/lora holds
    them, and the checkpoint has them fused.
    """

    default_like: ClassVar[str] = "tiny/text-to-image"
    trainee: ClassVar[type[DiffusionTrainee]] = TextToImageTrainee

    def architecture_problems(self) -> Iterator[Problem]:
        yield from purpose_problems("base", self.base, "text-to-image")
        yield from purpose_problems("like", self.like, "text-to-image")
