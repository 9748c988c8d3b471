"""Reads base model, licence and trigger words from the metadata in a safetensors header.

Programs that train models write it into the headers of files: kohya's scripts as `ss_…`, others as
`modelspec.…`, a standard of Stability AI. Folders from the hub have a card.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdgraph.files import open_regular_file

_MOST_WORDS = 8
_LONGEST_WORD = 80
_LONGEST_LICENCE = 120
_CARD_BYTES = 2**14
_LICENCE_LINE = re.compile(r"^(license|license_name):[ \t]*(.*)$", re.MULTILINE)
_LONGEST_TAGS = 2**22

_BASE_WORDS = {
    "stable-diffusion-xl": "SDXL",
    "sdxl": "SDXL",
    "stable-diffusion-v1": "Stable Diffusion 1.x",
    "sd_v1": "Stable Diffusion 1.x",
    "sd_1": "Stable Diffusion 1.x",
    "stable-diffusion-v2": "Stable Diffusion 2.x",
    "sd_v2": "Stable Diffusion 2.x",
    "sd_2": "Stable Diffusion 2.x",
    "stable-diffusion-v3": "Stable Diffusion 3",
    "stable-diffusion-3": "Stable Diffusion 3",
    "sd3": "Stable Diffusion 3",
    "flux-2": "Flux.2",
    "flux2": "Flux.2",
    "flux": "Flux",
    "chroma": "Chroma",
    "qwen-image": "Qwen-Image",
    "qwen_image": "Qwen-Image",
    "hunyuan-video": "HunyuanVideo",
    "hunyuan_video": "HunyuanVideo",
    "lumina": "Lumina 2",
    "wan": "Wan",
    "zimage": "Z-Image",
    "z-image": "Z-Image",
}
"""What `modelspec.architecture` and `ss_base_model_version` begin with, by base."""


def base_in_metadata(metadata: Mapping[str, Any]) -> str:
    """The base that the program which trained a file has written into it; "" if none.

    Args:
        metadata: The metadata in the header.
    """
    for key in ("modelspec.architecture", "ss_base_model_version"):
        written = str(metadata.get(key, "")).lower()
        for begin, base in _BASE_WORDS.items():
            if written.startswith(begin):
                return base
    return ""


def licence_in_metadata(metadata: Mapping[str, Any]) -> str:
    """The licence of a file, as it is written there; "" if it is not.

    Args:
        metadata: The metadata in the header.
    """
    return shorten(metadata.get("modelspec.license", ""), _LONGEST_LICENCE)


def licence_in_card(folder: Path) -> str:
    """The licence in the card of a checkpoint, as the hub keeps it; "" if there is none.

    Args:
        folder: The folder with the card, which is `README.md` and begins with lines of YAML.
    """
    try:
        with open_regular_file(folder / "README.md") as file:
            text = file.read(_CARD_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    named = {name: value.strip(" \t'\"") for name, value in _LICENCE_LINE.findall(head)}
    licence = named.get("license_name") if named.get("license") == "other" else None
    return shorten(licence or named.get("license", ""), _LONGEST_LICENCE)


def trigger_words(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that a prompt should have for a file to show, as its header says them.

    Args:
        metadata: The metadata in the header. `modelspec.trigger_phrase` comes first,
            then the most frequent tags of the pictures that it was trained with.

    Example:
        >>> trigger_words({"ss_tag_frequency": '{"10_cat": {"sks cat": 9, "sofa": 2}}'})
        ('sks cat', 'sofa')
    """
    phrases = re.split(r"[,;\n]", str(metadata.get("modelspec.trigger_phrase") or ""))
    tags = _tags(metadata.get("ss_tag_frequency"))
    ordered = sorted(tags, key=lambda tag: -tags[tag])
    words = filter(None, map(shorten, [*phrases, *ordered]))
    return tuple(dict.fromkeys(words))[:_MOST_WORDS]


def _tags(written: Any) -> dict[str, float]:
    """How often each tag occurs in all folders of a training; {} if that is not readable."""
    counts: dict[str, float] = {}
    if not isinstance(written, str) or len(written) > _LONGEST_TAGS:
        return counts
    try:
        folders = json.loads(written)
    except (ValueError, RecursionError):
        return counts
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int | float):
                counts[tag] = counts.get(tag, 0) + count
    return counts


def shorten(text: Any, longest: int = _LONGEST_WORD) -> str:
    """A text in one line, cut if it is too long; "" for anything else.

    Args:
        text: Anything that was read from a header.
        longest: How many letters it may have.
    """
    words = " ".join(text.split()) if isinstance(text, str) else ""
    return words if len(words) <= longest else f"{words[: longest - 1]}…"
