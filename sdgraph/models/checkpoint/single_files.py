"""Checkpoints that are one file with all weights: what the file holds, and whose configs it has.

Such a file has no configs and no tokenizers. Its header tells which base it is of; the configs of
the common bases ship in `bases/`. For another base the user names a folder with `config:`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp, is_file, names_in
from sdgraph.models.formats import pickles
from sdgraph.models.formats.config_files import read_config, read_index
from sdgraph.models.formats.gguf_headers import MAGIC
from sdgraph.models.formats.other_weights import CONTROL_NETWORK, DENOISERS, MAP_ADAPTER
from sdgraph.models.formats.safetensors_files import (
    SafetensorsHeader,
    refuse_damaged,
    tensor_shapes,
)
from sdgraph.models.formats.scaled_weights import scale_problem
from sdgraph.models.formats.single_file_kinds import BASES, FileKind, kind_of
from sdgraph.models.sources import hub
from sdgraph.models.sources.model_files import CHECKPOINT_USES, weights_path
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.values import Checkpoint, Lora

from .control_files import control_configs, control_prefix

_BASES = Path(__file__).parent / "bases"
"""The folder with the configs of each base, in diffusers' layout."""

WANTED = "one file with a denoiser, its text encoders and its VAE"

_SUFFIXES = (".safetensors", ".sft", "", *pickles.SUFFIXES)

_FAMILIES = "sdgraph.nodes.diffusion.families"
"""The module that knows what nodes take; it is imported by name: models know no nodes."""

_OF_FOLDERS = ("revision", "variant", "subfolder")
"""The fields of a checkpoint that one file cannot have."""

MOTION_SCHEDULER: Mapping[str, Any] = {
    "_class_name": "DDIMScheduler",
    "beta_schedule": "linear",
    "clip_sample": False,
    "steps_offset": 1,
    "timestep_spacing": "linspace",
}
"""The scheduler with which motion adapters were trained, whatever that of the checkpoint is."""

_NAMES = {"unet": "U-Net", "vae": "VAE", "text_encoder": "text encoder"}


@dataclass(frozen=True)
class SingleFile:
    """A checkpoint that is one file with all weights.

    Args:
        path: The file.
        kind: What it holds.
        configs: The folder with its configs, in diffusers' layout.
        has_own_configs: Whether the user named that folder.
    """

    path: Path
    kind: FileKind
    configs: Path
    has_own_configs: bool = False

    def prefix_of(self, component: str) -> str | None:
        """What the names of a component's tensors begin with; None if the file has none of it."""
        return self.kind.prefixes.get(component)

    @property
    def scheduler_settings(self) -> Mapping[str, Any]:
        """What the marks in the file say about its scheduler."""
        settings: dict[str, Any] = {}
        if self.kind.prediction is not None:
            settings["prediction_type"] = self.kind.prediction
        if self.kind.zero_snr:
            settings |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        return settings


def with_settings(config: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a scheduler with what a checkpoint itself says about it.

    Args:
        config: The scheduler's config.
        settings: The settings that replace those of the config.
    """
    changed = {**config, **settings}
    if settings.get("rescale_betas_zero_snr") and config.get("_class_name") == "PNDMScheduler":
        changed["_class_name"] = "DDIMScheduler"  # PNDM cannot begin at noise alone
    return changed


def find_single_file(checkpoint: Checkpoint) -> SingleFile | None:
    """The one file that a checkpoint is; None for a folder, a name on the hub or a LoRA.

    Raises:
        CheckpointError: The file is damaged, no checkpoint, or of an unknown base.
    """
    source = checkpoint.source
    if isinstance(checkpoint, Lora) or source.startswith("tiny/"):
        _refuse_config(checkpoint)
        return None
    path = weights_path(source, CHECKPOINT_USES)
    if not is_file(path) or (checkpoint.revision is not None and not hub.is_path(source)):
        _refuse_config(checkpoint)
        return None
    for name in _OF_FOLDERS:
        if (word := getattr(checkpoint, name)) is not None:
            problem = Problem(source, f"{name} {word!r} of one file", "none", f"leave {name} out")
            raise CheckpointError(problem)
    refuse_other_format(source, path)
    kind = file_kind(path)
    if kind.label in (CONTROL_NETWORK, MAP_ADAPTER):
        kind = replace(kind, prefixes={"": control_prefix(path)})
        return SingleFile(path, kind, control_configs(checkpoint, path), has_own_configs=True)
    configs = _configs(checkpoint, kind)
    single_file = SingleFile(path, kind, configs, checkpoint.config is not None)
    _refuse_incomplete(checkpoint, single_file)
    return single_file


def _refuse_config(checkpoint: Checkpoint) -> None:
    """Raises CheckpointError if a checkpoint that is no single file has the field `config`."""
    if checkpoint.config is not None:
        source = checkpoint.source
        found = f"config {checkpoint.config!r} for what is no file"
        fix = "leave config out: a folder and a checkpoint on the hub have configs of their own"
        raise CheckpointError(Problem(source, found, WANTED, fix))


def file_kind(path: Path) -> FileKind:
    """What a safetensors file holds; raises CheckpointError if it is damaged."""
    return _file_kind(path, FileStamp.of(path))


@lru_cache(maxsize=256)
def _file_kind(path: Path, stamp: FileStamp) -> FileKind:
    header: SafetensorsHeader = refuse_damaged(path, stamp)
    metadata = header.metadata if isinstance(header.metadata, dict) else {}
    return kind_of(tensor_shapes(path), metadata)


def refuse_other_format(source: str, path: Path) -> None:
    """Raises CheckpointError for a file whose format is not read, or that is not allowed.

    Args:
        source: Its name in messages.
        path: The file.
    """
    wanted = "a safetensors file"
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return  # reading the header reports it
    name = path.name.lower()
    if start.startswith(MAGIC) or name.endswith(".gguf"):
        if find_spec("gguf") is None:
            found = "a GGUF file, and no package gguf here"
            fix = "pip install gguf, or take the safetensors of the same model"
            raise CheckpointError(Problem(source, found, "the package gguf", fix))
        return
    if pickles.is_pickle(start):
        if not pickles.are_allowed():
            raise CheckpointError(_pickle_problem(source, wanted))
        return
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        fix = "the download was answered by a page, often one to log in: download it again"
        raise CheckpointError(Problem(source, "a web page in place of the file", wanted, fix))
    if path.suffix.lower() not in _SUFFIXES:
        wanted = "a checkpoint: a folder, or one safetensors file"
        raise CheckpointError(Problem(source, f"a {path.suffix} file", wanted))


def _pickle_problem(source: str, wanted: str) -> Problem:
    fix = (
        "take its safetensors; or, if you trust it, use --allow-pickle: only tensors are read, "
        "and a file with anything else is refused"
    )
    return Problem(source, "a pickle, which can run code", wanted, fix)


def _configs(checkpoint: Checkpoint, kind: FileKind) -> Path:
    """The folder with the configs of a file; raises CheckpointError if there is none."""
    source = checkpoint.source
    if not kind.is_checkpoint:
        fix = _denoiser_advice(source, kind.label) or kind.advice
        raise CheckpointError(Problem(source, kind.label, WANTED, fix))
    base = kind.base
    if base is not None and not base.name:
        raise CheckpointError(
            Problem(source, kind.label, "a checkpoint of a known base", base.advice)
        )
    if checkpoint.config is not None:
        return _own_configs(checkpoint, checkpoint.config)
    if base is None:
        known = ", ".join(each.label for each in BASES if each.name)
        found = (
            f"{kind.label}: its U-Net has {kind.tensors} tensors, takes {kind.channels} channels "
            f"and text features of {kind.text_width}, and begins with a width of {kind.width}"
        )
        fix = "name a folder with its configs and tokenizers, in diffusers' layout, with `config:`"
        raise CheckpointError(Problem(source, found, f"one of {known}", fix))
    prediction = checkpoint.prediction_type or kind.prediction or "v_prediction"
    return _BASES / (base.v_name if base.v_name and prediction == "v_prediction" else base.name)


def _denoiser_advice(source: str, label: str) -> str:
    """What to do with the denoiser of a family without its text encoders; "" for other files."""
    denoiser = DENOISERS.get(label)
    if denoiser is None:
        return ""
    families: Any = import_module(_FAMILIES)
    if not any(family.matches(denoiser.pipeline) for family in families.FAMILIES):
        return f"no node takes {label.removeprefix('a model of ')} yet: choose another checkpoint"
    component = f"{{source: {denoiser.example}, transformer: {source}}}"
    return (
        f"it has no text encoders: name a whole checkpoint, and it as its transformer, {component}"
    )


def _own_configs(checkpoint: Checkpoint, config: str) -> Path:
    """The folder that the user named; raises CheckpointError unless it has a model index."""
    folder: Path | None = shipped_folder(config) if config.startswith("tiny/") else None
    if folder is None:
        folder = hub.local_folder(config, None, ("model_index.json",))
    if folder is None and not hub.is_path(config):
        folder = hub.in_cache(config, None, ("model_index.json",))
    if folder is None or read_index(folder / "model_index.json") is None:
        found = f"config {config!r}, " + ("no such folder" if folder is None else "no model index")
        wanted = "a folder with a model_index.json, and the configs and tokenizers that it names"
        raise CheckpointError(Problem(checkpoint.source, found, wanted))
    return folder


def _refuse_incomplete(checkpoint: Checkpoint, single_file: SingleFile) -> None:
    """Raises CheckpointError if a part is neither in the file nor in the folder of its configs.

    Its U-Net must also have the widths that the config says, and no scales of fp8 weights.
    """
    source, kind = checkpoint.source, single_file.kind
    index = read_index(single_file.configs / "model_index.json") or {}
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        entry = index.get(name)
        if name in checkpoint.parts:
            continue
        if isinstance(entry, list) and entry[-1] is not None and name not in kind.prefixes:
            if _has_weights(single_file.configs / name):
                continue
            what = _NAMES.get(name, "second text encoder")
            fix = f"take a file that has it; or name one next to the source, `{name}: …`"
            raise CheckpointError(Problem(source, f"{kind.label} without a {what}", WANTED, fix))
    if problem := scale_problem(refuse_damaged(single_file.path).tensors):
        raise CheckpointError(Problem(source, problem.found, problem.wanted, problem.fix))
    _refuse_other_widths(checkpoint, single_file)


def _has_weights(folder: Path) -> bool:
    return any(name.endswith(".safetensors") for name in names_in(folder))


def _refuse_other_widths(checkpoint: Checkpoint, single_file: SingleFile) -> None:
    """Raises CheckpointError if the config of the U-Net is that of another U-Net."""
    if "unet" in checkpoint.parts:
        return
    config = read_config(single_file.configs / "unet" / "config.json") or {}
    kind = single_file.kind
    widths = config.get("block_out_channels") or [kind.width]
    compared = {
        "channels": (kind.channels, config.get("in_channels", kind.channels)),
        "text features": (kind.text_width, config.get("cross_attention_dim") or kind.text_width),
        "wide in its first layer": (kind.width, widths[0]),
    }
    for what, (own, wanted) in compared.items():
        if own != wanted and isinstance(wanted, int):
            where = checkpoint.config or single_file.configs.name
            fix = "name the configs of its own base with `config:`"
            found = f"a U-Net of {own} {what}"
            raise CheckpointError(
                Problem(checkpoint.source, found, f"{wanted}, by the configs in {where}", fix)
            )


def single_file_warnings(checkpoint: Checkpoint, single_file: SingleFile) -> list[Problem]:
    """What a file does not say about itself, so that a default is used.

    Args:
        checkpoint: The checkpoint.
        single_file: Its file.
    """
    kind, set_by_user = single_file.kind, checkpoint.prediction_type
    if set_by_user is not None or single_file.has_own_configs:
        return []
    if kind.is_prediction_unknown:
        found = "a checkpoint whose file does not say if it predicts epsilon or v"
        fix = (
            "v_prediction is used, as for 768 pixels; if pictures are noise, set "
            "`prediction_type: epsilon`, as for 512 pixels"
        )
        return [Problem(checkpoint.source, found, fix=fix)]
    name = single_file.path.stem.lower().replace("-", "").replace("_", "")
    if "vpred" in name and kind.prediction is None:
        found = "a file named v-pred, which does not say what it predicts"
        fix = "epsilon is used; if pictures are noise, set `prediction_type: v_prediction`"
        return [Problem(checkpoint.source, found, fix=fix)]
    return []
