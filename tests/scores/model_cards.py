"""Model cards of the shipped checkpoints: what each is, how it was made, and its kept scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sdgraph import Checkpoint, Node, load_workflow
from sdgraph.errors import InvalidValueError, Problem
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes.training.data import TinyWorld
from sdgraph.nodes.training.procedure import Training

from .generation import digest
from .table import Row, table


@dataclass(frozen=True)
class Facts:
    """What no file says about a checkpoint: its purpose, and the training nodes that made it."""

    what: str
    layout: str
    nodes: tuple[str, ...]
    kept: str = ""
    """Which of its parts are another checkpoint's."""


_BASE_PARTS = "The autoencoder, text encoder and tokenizer are those of `tiny/text-to-image`."

FACTS: dict[str, Facts] = {
    "text-to-image": Facts(
        "Text to image (Rombach et al. 2022)",
        "diffusers' `StableDiffusionPipeline`",
        ("vae", "first", "second", "base"),
    ),
    "inpaint": Facts(
        "Inpainting by prompt, with a U-Net of 9 channels (Rombach et al. 2022)",
        "diffusers' `StableDiffusionInpaintPipeline`",
        ("inpaint",),
        _BASE_PARTS,
    ),
    "controlnet-edges": Facts(
        "A ControlNet for edges over `tiny/text-to-image` (Zhang et al. 2023)",
        "diffusers' `ControlNetModel`",
        ("edges",),
    ),
    "controlnet-depth": Facts(
        "A ControlNet for depth over `tiny/text-to-image` (Zhang et al. 2023)",
        "diffusers' `ControlNetModel`",
        ("relief",),
    ),
    "ip-adapter": Facts(
        "An IP-Adapter over `tiny/text-to-image` with its image encoder (Ye et al. 2023)",
        "`h94/IP-Adapter`",
        ("image_encoder", "ip_adapter"),
    ),
    "sdxl": Facts(
        "Text to image with two text encoders (Podell et al. 2023), the teacher of `tiny/turbo`",
        "diffusers' `StableDiffusionXLPipeline`",
        ("sdxl_first", "sdxl"),
        "The autoencoder is that of `tiny/text-to-image`.",
    ),
    "turbo": Facts(
        "Text to image in one to four steps without guidance (Sauer et al. 2023)",
        "diffusers' `StableDiffusionXLPipeline`",
        ("turbo",),
        "Everything but the U-Net is its teacher's.",
    ),
    "depth-estimator": Facts(
        "Monocular depth, larger is nearer (DPT, Ranftl et al. 2021)",
        "transformers' `DPTForDepthEstimation`",
        ("estimator",),
    ),
    "depth": Facts(
        "Pictures that keep the depth of another, with a U-Net of 5 channels",
        "diffusers' `StableDiffusionDepth2ImgPipeline`",
        ("depth",),
        f"{_BASE_PARTS} The depth estimator is `tiny/depth-estimator`.",
    ),
    "text-to-video": Facts(
        "Text to video by a 3-D U-Net (ModelScope, Wang et al. 2023)",
        "diffusers' `TextToVideoSDPipeline`",
        ("video_words", "video_short", "video_long", "video_longer", "video"),
        "The autoencoder and the tokenizer are those of `tiny/text-to-image`.",
    ),
}

_TOLD = ("out", "data", "steps", "batch", "learning_rate")
"""The fields that a line of training has words for; others are named as they are."""


@cache
def _family() -> dict[str, Training]:
    """The training nodes of the workflow that makes the family, by name."""
    graph = load_workflow("training/family").graph()
    return {name: node for node, name in graph.names.items() if isinstance(node, Training)}


def training(name: str) -> str:
    """How a node of the family trains, in a line."""
    node = _family()[name]
    names: dict[object, str] = {node: name for name, node in _family().items()}
    data = node.data
    assert isinstance(data, TinyWorld), "the family trains on the tiny world alone"
    scenes = f"{data.count:,} {'clips' if data.moving else 'scenes'}"
    share = "" if data.pairs is None else f", {data.pairs:.0%} of them with two objects"
    more = [
        f"{field} `{names[value] if isinstance(value, Node) else getattr(value, 'source', value)}`"
        for field, value in node.non_default_fields().items()
        if field not in _TOLD
    ]
    return (
        f"- `{type(node).__name__}` (`{name}`): {node.steps:,} steps of {node.batch}, AdamW with a "
        f"learning rate of {node.learning_rate:g}, averaged weights, {scenes}{share}"
        f"{'; ' if more else ''}{', '.join(more)}"
    )


_TEMPLATE = """\
# tiny/{name}

{what}, for pictures of 64×64 pixels of the tiny world
(`sdgraph.nodes.tiny_world`): one or two of six shapes in eight colours at named places on eight
grounds. The layout is that of {layout}:
{parameters:.2f} million parameters, {megabytes:.1f} MB of safetensors.

## How it was made

From nothing, by the nodes of `workflows/training/family.yaml` (`python -m
sdgraph.workflows.training` runs them all), on scenes of the tiny world:

{trained}
{kept}
Combinations of shape, colour and ground that `is_held_out` names were never shown.

## How it scores

`OMP_NUM_THREADS=1 python -m tests.scores`, on scenes of held-out combinations:

{rows}

## Limits

It knows the words of the tiny world (`sdgraph.nodes.tiny_world.vocabulary()`) and what they
name, and nothing else: no photo, no other object, no other word.

## Licence

Apache-2.0, as the LICENSE of sdgraph.
"""


def card(name: str, rows: Iterable[Row]) -> str:
    """The card of a shipped checkpoint, with those of the rows that are its own.

    Raises InvalidValueError where such a row is of other weights than those that ship.
    """
    own_rows = [row for row in rows if row.checkpoint == name]
    source = Checkpoint(f"tiny/{name}")
    shipping = digest(source)
    if strange := [row.weights for row in own_rows if row.weights != shipping]:
        problem = Problem(
            f"card of tiny/{name}",
            f"scores of the weights {strange[0]}",
            f"of those that ship, {shipping}",
            "score it again: python -m tests.scores",
        )
        raise InvalidValueError(problem)
    facts, folder = FACTS[name], shipped_folder(source.source)
    kept = f"\n{facts.kept}\n" if facts.kept else ""
    return _TEMPLATE.format(
        name=name,
        what=facts.what,
        layout=facts.layout,
        rows=table(own_rows),
        trained="\n".join(map(training, facts.nodes)),
        kept=kept,
        parameters=sum(_counts(folder)) / 1e6,
        megabytes=sum(path.stat().st_size for path in _files(folder)) / 1e6,
    )


def write(rows: Iterable[Row]) -> None:
    """Writes the card of every checkpoint that has rows."""
    every = list(rows)
    for name in FACTS:
        if any(row.checkpoint == name for row in every):
            path = shipped_folder(f"tiny/{name}") / "README.md"
            path.write_text(card(name, every), "utf-8")
            print(path)
        else:
            print(f"tiny/{name}: no card: no scores")


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
