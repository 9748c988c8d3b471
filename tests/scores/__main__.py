"""Scores the shipped checkpoints, prints the table and keeps it.

`OMP_NUM_THREADS=1 python -m tests.scores [--count N] [--only NAME …] [--family FOLDER] [--jobs N]`;
with `--cards` it writes the model cards from the kept rows instead, with `--pictures` the
rows of pictures.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sdgraph.errors import SdgraphError

from . import example_images, from_images, from_prompts, model_cards, video
from .generation import CheckpointRunner, GenerationSettings
from .table import Row, keep, kept, merged, table

System = Callable[[CheckpointRunner, int], Iterator[Row]]

SYSTEMS: dict[str, System] = {
    "vae": from_prompts.vae,
    "text-to-image": from_prompts.text_to_image,
    "inpaint": from_images.inpaint,
    "controlnet-edges": from_images.controlnet_edges,
    "controlnet-depth": from_images.controlnet_depth,
    "ip-adapter": from_images.ip_adapter,
    "sdxl": from_prompts.sdxl,
    "turbo": from_prompts.turbo,
    "depth-estimator": from_images.depth_estimator,
    "depth": from_images.depth_to_image,
    "text-to-video": video.text_to_video,
}

COUNTS = {"text-to-video": 100}
"""How many where 500 would take most of an hour: a clip takes as long as ten pictures."""

HERE = Path(__file__).parent


def main(
    arguments: Sequence[str] | None = None,
    *,
    folder: Path = HERE,
    options: GenerationSettings | None = None,
) -> None:
    """Runs the command; rows are kept in `folder` after each system."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.cards:
            model_cards.write(kept(folder))
            return
        if chosen.pictures:
            runner = CheckpointRunner(chosen.family, options)
            example_images.write(
                runner, chosen.only or list(example_images.EXAMPLES), folder / "pictures"
            )
            return
        rows = score(
            chosen.only or list(SYSTEMS),
            chosen.count,
            folder,
            CheckpointRunner(chosen.family, options, chosen.jobs),
        )
    except SdgraphError as error:
        raise SystemExit(str(error)) from None
    print(table(rows))


def score(
    names: Sequence[str], count: int | None, folder: Path, runner: CheckpointRunner
) -> list[Row]:
    """The rows of some systems, in the table's order; each system's are kept once it is done."""
    scored = []
    for name in (system for system in SYSTEMS if system in names):
        began, of = time.perf_counter(), count or COUNTS.get(name, 500)
        rows = list(SYSTEMS[name](runner, of))
        seconds = time.perf_counter() - began
        print(f"{name}: {seconds:.0f} s, {seconds / of:.2f} s each", file=sys.stderr, flush=True)
        keep(merged(kept(folder), rows, list(SYSTEMS)), folder)
        scored += rows
    return scored


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.scores", description=__doc__)
    parser.add_argument("--count", type=_positive, metavar="N", help="pictures or clips a system")
    parser.add_argument(
        "--only", nargs="+", choices=SYSTEMS, metavar="NAME", help=", ".join(SYSTEMS)
    )
    parser.add_argument(
        "--family",
        type=Path,
        metavar="FOLDER",
        help="checkpoints FOLDER/inpaint and so on, and what they build on; the shipped if unset",
    )
    parser.add_argument(
        "--jobs", type=_positive, default=1, metavar="N", help="processes that make clips"
    )
    parser.add_argument("--cards", action="store_true", help="write the model cards, score nothing")
    parser.add_argument("--pictures", action="store_true", help="draw the pictures in `pictures/`")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"found {number}, wanted at least 1")
    return number


if __name__ == "__main__":
    main()
