"""Checkpoints put together and taken apart: fresh parts, trained parts, and folders of both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, InvalidValueError, MediaError, Problem
from sdgraph.models import MODEL_INDEX, fetch_checkpoint, pickles, resolve, resolve_part
from sdgraph.values import Checkpoint
from sdgraph.values import Part as PartOf

WEIGHTLESS = ("tokenizer", "tokenizer_2", "scheduler")

_NOISE = (
    "prediction_type",
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "rescale_betas_zero_snr",
)
"""What a scheduler's config says of the noise that a U-Net was trained on."""


def fresh_parts(like: Checkpoint, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Untrained modules with a checkpoint's architecture, and its tokenizers and scheduler."""
    import torch

    there = resolve(like).index or {}
    parts: dict[str, Any] = {n: _weightless(like, n) for n in WEIGHTLESS if n in there}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        for name in names:
            parts[name] = _fresh(like, name)
    return parts


def fresh_model(like: Checkpoint, seed: int) -> Any:
    """An untrained module with the architecture of a single model's checkpoint."""
    return fresh_parts(like, ("",), seed)[""]


def _fresh(like: Checkpoint, name: str) -> Any:
    import diffusers
    import transformers

    library, class_name = resolve_part(PartOf(like, name)).library_and_class
    settings = dict(resolve(like).config(name) or {})
    if library == "diffusers":
        return getattr(diffusers, class_name).from_config(settings)
    cls = getattr(transformers, class_name)
    return cls(cls.config_class.from_dict(settings))


def _weightless(like: Checkpoint, name: str) -> Any:
    import diffusers
    import transformers

    folder = resolve(like).root
    if folder is None:
        raise CheckpointError(Problem(like.source, "it is not here", f"its {name}"))
    library, class_name = resolve_part(PartOf(like, name)).library_and_class
    module = diffusers if library == "diffusers" else transformers
    return getattr(module, class_name).from_pretrained(folder / name, local_files_only=True)


def load_vae(checkpoint: Checkpoint) -> Any:
    """The autoencoder of a checkpoint (a pipeline's, or one alone), frozen, in float32."""
    import torch
    from diffusers import AutoencoderKL

    folder = fetch_checkpoint(checkpoint)
    folder = folder / "vae" if (folder / MODEL_INDEX).is_file() else folder
    vae = AutoencoderKL.from_pretrained(
        folder,
        dtype=torch.float32,
        variant=checkpoint.variant,
        use_safetensors=_no_pickles(),
        local_files_only=True,
    )
    return vae.eval().requires_grad_(False)


def _no_pickles() -> bool | None:
    """What the libraries take for safetensors alone, or for those or pickles where allowed."""
    return None if pickles.are_allowed() else True


def load_trained(checkpoint: Checkpoint, names: Sequence[str]) -> dict[str, Any]:
    """Parts of a trained checkpoint: modules frozen and in float32; "" is a single model."""
    import diffusers
    import torch
    import transformers

    folder = fetch_checkpoint(checkpoint)
    parts = {}
    for name in names:
        if name in WEIGHTLESS:
            parts[name] = _weightless(checkpoint, name)
            continue
        library, class_name = resolve_part(PartOf(checkpoint, name)).library_and_class
        cls = getattr(diffusers if library == "diffusers" else transformers, class_name)
        module = cls.from_pretrained(
            folder / name,
            dtype=torch.float32,
            variant=checkpoint.variant,
            use_safetensors=_no_pickles(),
            local_files_only=True,
        )
        parts[name] = module.eval().requires_grad_(False)
    return parts


def widened_parts(base: Checkpoint, like: Checkpoint, seed: int) -> dict[str, Any]:
    """A base's parts with its U-Net in `like`'s architecture, whose input has more channels.

    The U-Net's weights are the base's; those that read the further channels are zero, so at first
    it predicts what the base predicts. Raises InvalidValueError where the two do not fit.
    """
    parts = load_trained(base, ("vae", "text_encoder", "tokenizer", "unet"))
    fresh = fresh_parts(like, ("unet",), seed)
    check_noise(base, like)
    widen(fresh["unet"], parts["unet"].state_dict(), f"{base.source} in {like.source}")
    return {**parts, "unet": fresh["unet"], "scheduler": fresh["scheduler"]}


def widen(unet: Any, state: Mapping[str, Any], subject: str) -> None:
    """Puts a U-Net's weights into one whose first convolution reads more channels, from zero."""
    import torch

    first = "conv_in.weight"
    wide = torch.zeros_like(unet.state_dict()[first])
    narrow = state[first]
    if narrow.shape[0] == wide.shape[0] and narrow.shape[1] <= wide.shape[1]:
        wide[:, : narrow.shape[1]] = narrow
        state = {**state, first: wide}
    adopt(unet, state, subject)


def adopt(module: Any, state: Mapping[str, Any], subject: str) -> None:
    """Loads weights, all of them.

    Raises InvalidValueError that names the first that does not fit.
    """
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    for name in [*own, *given]:
        if own.get(name) != given.get(name):
            found = f"{name} of shape {given.get(name, 'none')}"
            fix = "set `like` to a checkpoint of the base's architecture"
            raise InvalidValueError(Problem(subject, found, str(own.get(name, "none")), fix))
    module.load_state_dict(state)


def check_noise(base: Checkpoint, like: Checkpoint) -> None:
    """Raises InvalidValueError where two checkpoints' schedulers noise, or ask, differently."""
    import diffusers

    class_name = resolve_part(PartOf(like, "scheduler")).library_and_class[1]
    told = [_weightless(each, "scheduler").config for each in (base, like)]
    default = getattr(diffusers, class_name)().config
    for name in _NOISE:
        before, now = (each.get(name, default.get(name)) for each in told)
        if before != now:
            found = f"a scheduler with {name} {now!r}"
            wanted = f"the base's {before!r} ({base.source})"
            fix = "the U-Net goes on from what it has learned: take a `like` that fits the base"
            raise InvalidValueError(Problem(like.source, found, wanted, fix))


def save_pipeline(
    parts: Mapping[str, Any],
    like: Checkpoint,
    folder: Path,
    *,
    taken: Mapping[str, Mapping[str, Path]] | None = None,
) -> Checkpoint:
    """A checkpoint folder laid out as `like`'s, with these parts' weights in half precision.

    Configs that did not change are copied to the letter; parts whose files are `taken` from other
    checkpoints hold those files and no others, so that equal parts stay equal. The folder appears
    whole or not at all.
    """
    taken = taken or {}
    with whole(folder) as beside:
        # What somebody wrote of `like` is not true of what is made here.
        shutil.copytree(_source(like), beside, ignore=shutil.ignore_patterns("*.md"))
        for name, module in parts.items():
            if name in taken or not hasattr(module, "parameters"):
                continue
            _forget_weights(beside / name)
            write_weights(module, beside / name)
        for name, files in taken.items():
            shutil.rmtree(beside / name, ignore_errors=True)
            (beside / name).mkdir()
            for file, path in files.items():
                shutil.copy(path, beside / name / file)
    return Checkpoint(folder)


def taken_from(checkpoint: Checkpoint, names: Sequence[str]) -> dict[str, dict[str, Path]]:
    """The files of a checkpoint's parts, weights and all, by the parts' and the files' names.

    Weights of the checkpoint's variant take the name of those without one.
    """
    folder = fetch_checkpoint(checkpoint)
    variant = f".{checkpoint.variant}" if checkpoint.variant else ""
    taken = {}
    for name in names:
        files = sorted(path for path in (folder / name).iterdir() if path.is_file())
        plain = [path for path in files if not variant or variant not in path.name]
        chosen = [path for path in files if path not in plain]
        taken[name] = {path.name: path for path in plain}
        taken[name] |= {path.name.replace(variant, ""): path for path in chosen}
    return taken


def save_model(module: Any, like: Checkpoint, folder: Path) -> Checkpoint:
    """The folder of a single model: `like`'s configs to the letter, and the module's weights."""
    with whole(folder) as beside:
        beside.mkdir(parents=True)
        for path in _source(like).glob("*.json"):
            if not path.name.endswith(".index.json"):
                shutil.copy(path, beside)
        write_weights(module, beside)
    return Checkpoint(folder)


def _source(like: Checkpoint) -> Path:
    found = resolve(like).root
    assert found is not None, "fresh_parts has read it"
    return found


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder beside, to be filled, that takes the place of `folder` when all went well."""
    from safetensors import SafetensorError

    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        yield beside
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    except (OSError, SafetensorError) as error:
        found = f"the checkpoint cannot be written ({error})"
        fix = "the training's state is kept: make room and run again"
        raise MediaError(Problem(str(folder), found, "a disk with room for it", fix)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _forget_weights(folder: Path) -> None:
    """Removes the weights that were copied with a part's config."""
    if folder.is_dir():
        for path in list(folder.iterdir()):
            if path.suffix in (".safetensors", *pickles.SUFFIXES) or path.name.endswith(
                ".index.json"
            ):
                path.unlink()


def write_weights(module: Any, folder: Path) -> None:
    """A module's weights beside its config, as half-precision safetensors."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    of_diffusers = type(module).__module__.startswith("diffusers")
    name = "diffusion_pytorch_model" if of_diffusers else "model"
    state = {
        key: value.detach().to(torch.float16 if value.is_floating_point() else value.dtype)
        for key, value in module.state_dict().items()
    }
    state = {key: value.contiguous().clone() for key, value in state.items()}
    save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    if of_diffusers and path.is_file() and hasattr(module.config, "scaling_factor"):
        settings = json.loads(path.read_text("utf-8"))
        settings["scaling_factor"] = module.config.scaling_factor
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
