"""The base: a text encoder and a U-Net, from nothing or from a checkpoint, wholly or as LoRA."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import fetch_checkpoint, quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .assembly import WEIGHTLESS, fresh_parts, load_trained, load_vae, save_pipeline, taken_from
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_of, refuse_changed
from .kinds import channel_problems
from .lora import add_lora_layers, fuse_lora_layers, hash_without, save_lora
from .procedure import Denoising
from .samples import sheet

__all__ = ["TrainText2Image"]


class TextToImageTrainee(DiffusionTrainee):
    """Captions to pictures; samples are of captions that training never sees."""

    def sample(self) -> Any:
        return sheet(self.parts, self.data.side)


class TrainFromText(Denoising):
    """What the nodes have in common that train a U-Net and its text encoders on captions."""

    learned: ClassVar[tuple[str, ...]]
    """The parts that are trained, in the order in which fresh ones draw their weights."""
    plain: ClassVar[str]
    """Whose architecture is taken where nothing is said."""
    pipeline: ClassVar[str]
    """diffusers' pipeline of that layout."""
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

    def check(self) -> Iterator[Problem]:
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
        yield from self.kind_problems()

    def kind_problems(self) -> Iterator[Problem]:
        """Why base and like are of another kind than is trained here."""
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
        source = base or like or Checkpoint(self.plain)
        parts = self._begun(base, source)
        if vae is not None:
            parts["vae"] = load_vae(vae)
        names = [name for name in (*self.learned, "vae") if base is not None]
        before = {name: hash_of(parts[name]) for name in names}
        if self.rank:
            add_lora_layers(parts["unet"], self.rank, self.seed)
        settings = self.settings()
        trainee = self.trainee(parts, data, settings)
        if base is not None:
            trainee.identity = {**trainee.identity, "base": before, "rank": self.rank}
        self.fit(trainee, data, settings, progress)
        own = {name: parts[name] for name in (*trainee.modules, *(["vae"] if vae else []))}
        if self.rank:
            after = {name: hash_without(parts[name]) for name in names}
            refuse_changed(before, after, self.state_folder)
            save_lora(parts["unet"], self.pipeline, self.folder / "lora")
            fuse_lora_layers(parts["unet"])
        kept = handed_on(base, own) if base is not None else {}
        return save_pipeline(own, source, self.folder / "checkpoint", taken=kept)

    def _begun(self, base: Checkpoint | None, source: Checkpoint) -> dict[str, Any]:
        """The parts to train and what they need, of the base or fresh."""
        if base is None:
            return fresh_parts(source, self.learned, self.seed)
        others = [name for name in resolve(base).components or () if name in WEIGHTLESS]
        parts = load_trained(base, (*self.learned, *others, "vae"))
        for name in self.learned if not self.rank else ():
            parts[name].requires_grad_(True)
        return parts


def handed_on(base: Checkpoint, own: Iterable[str]) -> dict[str, dict[str, Path]]:
    """The files of all of a base's parts that are here, but for `own`."""
    folder, trained = fetch_checkpoint(base), set(own)
    rest = [name for name in resolve(base).components or () if name not in trained]
    return taken_from(base, [name for name in rest if (folder / name).is_dir()])


class TrainText2Image(TrainFromText):
    """A text-to-image checkpoint trained from nothing or from another (Rombach et al. 2022).

    With a rank, only LoRA adapters of the U-Net are trained (Hu et al. 2021): `out`/lora holds
    them, and the checkpoint has them fused.
    """

    learned: ClassVar[tuple[str, ...]] = ("text_encoder", "unet")
    plain: ClassVar[str] = "tiny/text-to-image"
    pipeline: ClassVar[str] = "StableDiffusionPipeline"
    trainee: ClassVar[type[DiffusionTrainee]] = TextToImageTrainee

    def kind_problems(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4), like=(self.like, 4))
