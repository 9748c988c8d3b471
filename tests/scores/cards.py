"""Model cards of the shipped checkpoints: what each is, how it was made, and its kept scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sdgraph import Checkpoint, shipped
from sdgraph.errors import Problem, ValueRefused

from .studio import digest
from .table import Row, table


@dataclass(frozen=True)
class Training:
    """One training run: the node, what it began from, and its settings."""

    node: str
    start: str
    scenes: int
    steps: int
    batch: int
    learning_rate: float
    more: str = ""

    def __str__(self) -> str:
        told = (
            f"`{self.node}`, {self.start}: {self.steps:,} steps of {self.batch}, AdamW with a "
            f"learning rate of {self.learning_rate:g}, averaged weights, {self.scenes:,} scenes"
        )
        return f"- {told}{f'; {self.more}' if self.more else ''}"


@dataclass(frozen=True)
class Facts:
    """What no file says of a checkpoint: what it is for, and how it was made."""

    what: str
    layout: str
    trained: tuple[Training, ...]
    kept: str = ""
    """Which of its parts are another checkpoint's."""


_VAE = Training("TrainVae", "from nothing", 6_000, 14_000, 8, 3e-3, "L1 + 2 MSE + a little KL")
_BASE_PARTS = "The autoencoder, text encoder and tokenizer are those of `tiny/text-to-image`."

FACTS: dict[str, Facts] = {
    "text-to-image": Facts(
        "Text to image",
        "diffusers' `StableDiffusionPipeline`",
        (
            _VAE,
            Training("TrainText2Image", "text encoder and U-Net from nothing",
                     20_000, 11_000, 32, 1.5e-3, "v-prediction, one caption in ten left out"),
        ),
    ),
    "inpaint": Facts(
        "Inpainting by prompt, with a U-Net of 9 channels (Rombach et al. 2022)",
        "diffusers' `StableDiffusionInpaintPipeline`",
        (Training("TrainInpaint", "from `tiny/text-to-image`", 20_000, 6_000, 32, 1e-3,
                  "masks of objects, boxes, strokes, and everything"),),
        _BASE_PARTS,
    ),
    "controlnet-edges": Facts(
        "A ControlNet for edges over `tiny/text-to-image` (Zhang et al. 2023)",
        "diffusers' `ControlNetModel`",
        (Training("TrainControlNet", "from the down blocks of `tiny/text-to-image`",
                  20_000, 6_000, 32, 1e-3, "half the captions left out"),),
    ),
    "controlnet-depth": Facts(
        "A ControlNet for depth over `tiny/text-to-image` (Zhang et al. 2023)",
        "diffusers' `ControlNetModel`",
        (Training("TrainControlNet(kind=\"depth\")", "from the down blocks of `tiny/text-to-image`",
                  20_000, 6_000, 32, 1e-3, "half the captions left out"),),
    ),
    "sdxl": Facts(
        "Text to image with two text encoders (Podell et al. 2023), the teacher of `tiny/turbo`",
        "diffusers' `StableDiffusionXLPipeline`",
        (Training("TrainSdxl", "text encoders and U-Net from nothing", 20_000, 15_000, 32, 1.5e-3,
                  "v-prediction, one caption in ten left out"),),
        "The autoencoder is that of `tiny/text-to-image`.",
    ),
    "turbo": Facts(
        "Text to image in one to four steps without guidance (Sauer et al. 2023)",
        "diffusers' `StableDiffusionXLPipeline`",
        (Training("TrainTurbo", "distilled from `tiny/sdxl`", 20_000, 5_000, 32, 3e-4,
                  "adversarial diffusion distillation, the teacher's guidance 3"),),
        "Everything but the U-Net is its teacher's.",
    ),
    "depth-estimator": Facts(
        "Monocular depth, larger is nearer (DPT, Ranftl et al. 2021)",
        "transformers' `DPTForDepthEstimation`",
        (Training("TrainDepth", "from nothing", 20_000, 6_000, 32, 1e-3),),
    ),
    "depth": Facts(
        "Pictures that keep the depth of another, with a U-Net of 5 channels",
        "diffusers' `StableDiffusionDepth2ImgPipeline`",
        (Training("TrainDepthToImage", "from `tiny/text-to-image`", 20_000, 6_000, 32, 1e-3,
                  "the true depth as the fifth channel"),),
        f"{_BASE_PARTS} The depth estimator is `tiny/depth-estimator`.",
    ),
    "text-to-video": Facts(
        "Text to video by a 3-D U-Net (ModelScope, Wang et al. 2023)",
        "diffusers' `TextToVideoSDPipeline`",
        (Training("TrainText2Video", "from `tiny/text-to-image`", 8_000, 6_000, 4, 1e-3,
                  "clips of 16 frames; temporal layers alone for the first 0.3 of the steps"),),
        "The autoencoder and the tokenizer are those of `tiny/text-to-image`.",
    ),
}  # fmt: skip

_TEMPLATE = """\
# tiny/{name}

{what}, for pictures of 64×64 pixels of the tiny world of `sdgraph.nodes.world`: one or two of six
shapes in eight colours at named places on eight grounds. The layout is that of {layout}:
{parameters:.2f} million parameters, {megabytes:.1f} MB of safetensors.

## How it was made

On scenes of the tiny world, by sdgraph's own training nodes:

{trained}
{kept}
Combinations of shape, colour and ground that `is_held_out` names were never shown.

## How it scores

`OMP_NUM_THREADS=1 python -m tests.scores`, on scenes of held-out combinations:

{rows}

## Limits

It knows the words of the tiny world (`sdgraph.nodes.world.vocabulary()`) and what they name, and
nothing else: no photo, no other object, no other word.

## Licence

Apache-2.0, as the LICENSE of sdgraph.
"""


def card(name: str, rows: Iterable[Row]) -> str:
    """The card of a shipped checkpoint, with those of the rows that are its own.

    Raises ValueRefused where such a row is of other weights than those that ship.
    """
    own = [row for row in rows if row.checkpoint == name]
    source = Checkpoint(f"tiny/{name}")
    shipping = digest(source)
    if strange := [row.weights for row in own if row.weights != shipping]:
        problem = Problem(
            f"card of tiny/{name}",
            f"scores of the weights {strange[0]}",
            f"of those that ship, {shipping}",
            "score it again: python -m tests.scores",
        )
        raise ValueRefused(str(problem))
    facts, folder = FACTS[name], shipped.folder(source.source)
    return _TEMPLATE.format(
        name=name, what=facts.what, layout=facts.layout, rows=table(own),
        trained="\n".join(map(str, facts.trained)), kept=f"\n{facts.kept}\n" if facts.kept else "",
        parameters=sum(_counts(folder)) / 1e6,
        megabytes=sum(path.stat().st_size for path in _files(folder)) / 1e6,
    )  # fmt: skip


def write(rows: Iterable[Row]) -> None:
    """Writes the card of every checkpoint whose weights ship and that has rows."""
    every = list(rows)
    for name in FACTS:
        folder = shipped.configs(f"tiny/{name}")
        scored = any(row.checkpoint == name for row in every)
        if scored and shipped.made(f"tiny/{name}") == folder:
            (folder / "README.md").write_text(card(name, every), "utf-8")
            print(folder / "README.md")
        else:
            print(f"tiny/{name}: no card: {'its weights do not ship' if scored else 'no scores'}")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def _counts(folder: Path) -> Iterator[int]:
    """How many numbers each tensor has."""
    from math import prod

    from safetensors import safe_open

    for path in _files(folder):
        with safe_open(path, "np") as held:
            for name in held.keys():  # noqa: SIM118  a file of tensors is no mapping
                yield prod(held.get_slice(name).get_shape())
