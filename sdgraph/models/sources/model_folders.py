"""The folders in which a user keeps model files, as ComfyUI, A1111 or nobody orders them.

They are named in `$SDGRAPH_MODELS`, or by `models = [...]` in `config.toml` in the folder for
settings of the user.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sdgraph.errors import CheckpointError, Mark, Problem, did_you_mean
from sdgraph.files import expand_home, is_folder, read_text

VARIABLE = "SDGRAPH_MODELS"
"""The environment variable with a list of folders; they replace those in `config.toml`."""

_MAX_CONFIG_BYTES = 2**20
_EXAMPLE = 'write models = ["~/ComfyUI/models"]'

_USES = {
    "checkpoint": "checkpoints stable-diffusion diffusers",
    "denoiser": "diffusion_models unet",
    "text encoder": "text_encoders text_encoder clip",
    "VAE": "vae vae-approx vae_approx",
    "LoRA": "loras lora lycoris",
    "embedding": "embeddings embedding",
    "ControlNet": "controlnet t2i_adapter",
    "image encoder": "clip_vision",
    "motion adapter": "animatediff_models animatediff_model",
    "IP-Adapter": "ipadapter ip-adapter ip_adapter",
    "upscaler": "upscale_models esrgan realesrgan swinir dat",
}
"""What files are for, with the folders that ComfyUI and A1111 keep them in, in lower case."""

_USE_OF_FOLDER = {name: use for use, names in _USES.items() for name in names.split()}


@dataclass(frozen=True)
class ModelFolder:
    """A folder with model files that the user has named.

    Args:
        path: The folder, which may be missing.
        named_in: Where the user named it: "$SDGRAPH_MODELS", or the path of `config.toml`.
    """

    path: Path
    named_in: str

    @property
    def problem(self) -> Problem | None:
        """The problem that the folder is missing; None if it is there."""
        if is_folder(self.path):
            return None
        found = "no such folder" if not self.path.exists() else "a file, no folder"
        fix = f"change it in {self.named_in}, or make it"
        return Problem(str(self.path), found, "a folder with models", fix)

    @property
    def roots(self) -> tuple[Path, ...]:
        """The folders below which files are looked for.

        The user may name the folder of ComfyUI or A1111 itself, whose models are in `models`.
        A1111 has its embeddings next to that folder.
        """
        inner = self.path / "models"
        if is_folder(inner):
            return tuple(filter(is_folder, (inner, self.path / "embeddings")))
        sibling = self.path.parent / "embeddings"
        if self.path.name == "models" and is_folder(self.path / "Stable-diffusion"):
            return tuple(filter(is_folder, (self.path, sibling)))
        return (self.path,) if is_folder(self.path) else ()


def use_of_folder(name: str) -> str:
    """What the files in a folder are for, by the folder's name; "" if the name does not say.

    Example:
        >>> use_of_folder("Stable-diffusion"), use_of_folder("loras"), use_of_folder("old")
        ('checkpoint', 'LoRA', '')
    """
    return _USE_OF_FOLDER.get(name.lower(), "")


def config_file() -> Path:
    """The path of the user's `config.toml`, which need not exist."""
    # Typer is there for the command line; it knows the folders of each system.
    from typer import get_app_dir

    return Path(get_app_dir("sdgraph")) / "config.toml"


def model_folders() -> tuple[ModelFolder, ...]:
    """The folders that the user has named, in order; they may be missing.

    Raises:
        CheckpointError: `config.toml` is damaged, or says something else than a list of folders.
    """
    listed = os.environ.get(VARIABLE)
    if listed is not None:
        names = [name for name in listed.split(os.pathsep) if name.strip()]
        return _folders(names, Path.cwd(), f"${VARIABLE}")
    path = config_file()
    try:
        text = read_text(path, _MAX_CONFIG_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        found = f"it cannot be read: {reason}"
        fix = "mend or remove it"
        raise CheckpointError(Problem(str(path), found, "settings in TOML", fix)) from error
    return _folders(_names(path, text), path.parent, str(path))


def _folders(names: list[str], base: Path, named_in: str) -> tuple[ModelFolder, ...]:
    paths = [Path(os.path.abspath(base / expand_home(name))) for name in names]  # noqa: PTH100
    return tuple(ModelFolder(path, named_in) for path in dict.fromkeys(paths))


def _names(path: Path, text: str) -> list[str]:
    """The folders in the text of `config.toml`; raises CheckpointError for other settings."""
    import tomllib  # imported here because few users have the file

    try:
        config = tomllib.loads(text)
    except ValueError as error:
        raise CheckpointError(_syntax_problem(path, str(error))) from None
    for key in config:
        if key != "models":
            fix = did_you_mean(key, ["models"]) or "remove it"
            _refuse(path, text, key, f"the unknown setting {key!r}", "models", fix)
    names: Any = config.get("models", [])
    if not isinstance(names, list):
        _refuse(path, text, "models", f"{names!r}", "a list of folders", _EXAMPLE)
    for name in names:
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            found = f"{name!r} in the list"
            _refuse(path, text, "models", found, "paths of folders", _EXAMPLE, str(name))
    return names


def _syntax_problem(path: Path, message: str) -> Problem:
    """The problem of a file that is no TOML, with its place as the parser says it."""
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return Problem(str(path), message, "settings in TOML", _EXAMPLE)
    found = message[: place.start()]
    line, column = (int(place[1]), int(place[2])) if place[1] else (_last_line(path), 1)
    at = Mark(str(path), line, column)
    return Problem("", found[:1].lower() + found[1:], "settings in TOML", _EXAMPLE, at)


def _last_line(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines()) or 1


def _refuse(
    path: Path, text: str, key: str, found: str, wanted: str, fix: str, item: str = ""
) -> NoReturn:
    """Raises CheckpointError for a setting, or for an item of its list, with the line of it."""
    lines = text.splitlines()
    of_key = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}\b""")
    key_line = next((number for number, line in enumerate(lines) if of_key.match(line)), 0)
    after = range(key_line, len(lines))
    line = next((number for number in after if item.strip() in lines[number]), key_line)
    raise CheckpointError(Problem(key, found, wanted, fix, Mark(str(path), line + 1, 1)))
