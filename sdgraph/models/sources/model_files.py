"""Finds the files in the user's model folders, and the one that a bare name means.

A name such as `dreamshaper_8.safetensors` in a workflow is looked for next to the workflow first.
If it is not there:

1. All files below the model folders are listed; those of a folder in diffusers' layout are parts of
   one checkpoint and have no names of their own.
2. A name matches a file whose path ends with it: `x.safetensors` and `SDXL/x.safetensors` both
   match `checkpoints/SDXL/x.safetensors`.
3. Of the files that match, those in folders for what is wanted come before all others. If several
   are left, the name is ambiguous.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import SETTLING_NS, expand_home, is_file, names_in

from . import hub
from .model_folders import ModelFolder, model_folders, use_of_folder

CHECKPOINT_USES = ("checkpoint",)
ADAPTER_USES = ("LoRA", "embedding", "IP-Adapter")

USE_OF_FIELD = {
    "controlnet": "ControlNet",
    "embeddings": "embedding",
    "image_encoder": "image encoder",
    "ip_adapter": "IP-Adapter",
    "loras": "LoRA",
    "motion": "motion adapter",
    "text_encoder": "text encoder",
    "text_encoder_2": "text encoder",
    "text_encoder_3": "text encoder",
    "transformer": "denoiser",
    "transformer_2": "denoiser",
    "unet": "denoiser",
    "vae": "VAE",
}
"""What the files are for that a node's field or a checkpoint's component names.

Other fields name whole checkpoints.
"""

_INDEXES = {"model_index.json", "modular_model_index.json"}


class ModelFile(NamedTuple):
    """A file in a model folder, or a folder in diffusers' layout.

    Args:
        path: Its absolute path.
        root: The folder that it was found below.
        use: What files in its folder are for; "" if the folder does not say.
        target: Its path without links.
        is_pipeline: Whether it is a folder in diffusers' layout.
    """

    path: Path
    root: Path
    use: str
    target: str
    is_pipeline: bool = False

    @property
    def name(self) -> str:
        """Its path below its model folder, with slashes, such as `loras/style.safetensors`."""
        is_kind = bool(use_of_folder(self.root.name))
        return self.path.relative_to(self.root.parent if is_kind else self.root).as_posix()


def list_model_files(folders: Iterable[ModelFolder]) -> list[ModelFile]:
    """The files with weights below some folders, in the order of their paths.

    Args:
        folders: The folders; one that is missing has none.
    """
    return _list_files(_roots(folders), {})


def _roots(folders: Iterable[ModelFolder]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(root for folder in folders for root in folder.roots))


def _list_files(roots: Iterable[Path], visited: dict[str, int]) -> list[ModelFile]:
    """The files below some folders; `visited` gets all folders, with the times of their changes."""
    files: dict[Path, ModelFile] = {}
    for root in roots:
        own: dict[str, int] = {}
        files |= {file.path: file for file in _files_below(root, own)}
        visited |= own
    return [files[path] for path in sorted(files)]


def without_links(files: Iterable[ModelFile]) -> list[ModelFile]:
    """Some files, each once: of those that are links to one file the first, or the file itself.

    Args:
        files: The files.
    """
    unique: dict[str, ModelFile] = {}
    for file in files:
        if file.target not in unique or str(file.path) == file.target:
            unique[file.target] = file
    return list(unique.values())


def _files_below(root: Path, visited: dict[str, int]) -> Iterator[ModelFile]:
    """The files below a folder, not those in hidden folders; links are followed."""
    for text, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(text)
        if real in visited:  # a link to a folder above
            folders.clear()
            continue
        visited[real] = _changed(real)
        folder = Path(text)
        use = _use_of(folder, root)
        if not _INDEXES.isdisjoint(names) and folder != root:
            folders.clear()
            yield ModelFile(folder, root, use, real, is_pipeline=True)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in names:
            if name.lower().endswith(hub.FILE_SUFFIXES) and not name.startswith("."):
                path = folder / name
                target = os.path.realpath(path) if path.is_symlink() else f"{real}{os.sep}{name}"
                yield ModelFile(path, root, use, target)


def _use_of(folder: Path, root: Path) -> str:
    """What the files in a folder are for, by the names of it and of the folders above it."""
    uses = map(use_of_folder, (root.name, *folder.relative_to(root).parts))
    return next(filter(None, uses), "")


def weights_path(source: str, uses: Collection[str]) -> Path:
    """The path of the file that a source names: as written, or else in the model folders.

    Args:
        source: The source of a checkpoint or LoRA.
        uses: What the file may be for, as in `ModelFile.use`.

    Returns:
        The path as written if there is no such file in the model folders either.

    Raises:
        CheckpointError: Several files have that name, or `config.toml` is damaged.
    """
    path = expand_home(source)
    if not is_bare_name(source) or is_file(path):
        return path
    matches = _matches(source, uses)
    if len(matches) > 1:
        raise CheckpointError(_ambiguous_problem(source, matches))
    return matches[0].path if matches else path


def is_bare_name(source: str) -> bool:
    """Whether a source is the name of a file with weights, without saying where it is.

    Example:
        >>> [is_bare_name(source) for source in ("x.safetensors", "./x.safetensors", "org/name")]
        [True, False, False]
    """
    if not hub.is_weights(source) or source.startswith((".", "~")) or "\0" in source:
        return False
    return not Path(source).is_absolute() and ".." not in _parts(source)


def source_for_field(source: str, field: str, folder: Path) -> str:
    """A bare name in a node's field, with as many folders as make clear which file it means.

    Args:
        source: What the workflow names.
        field: The node's field, which tells what the file is for.
        folder: The folder of the workflow.

    Returns:
        The name as written, unless it would mean another file for a field of another kind or in
        the current folder: `controlnet/x.safetensors` for one of several `x.safetensors`.
    """
    if not is_bare_name(source) or is_file(folder / source):
        return source
    use = USE_OF_FIELD.get(field, "checkpoint")
    uses = ADAPTER_USES if use in ADAPTER_USES else CHECKPOINT_USES
    try:
        (file,) = _matches(source, (use,))
        is_clear = [file] == _matches(source, uses) and not is_file(source)
    except (CheckpointError, ValueError):  # none or several: what resolves the source says so
        return source
    if is_clear:
        return source
    return file.name if "/" in file.name else str(file.path)


def _matches(source: str, uses: Collection[str]) -> list[ModelFile]:
    """The files that a bare name matches, of the first kind of folder that has any."""
    parts = _parts(source)
    names = _files_by_name().get(parts[-1], ())
    matching = without_links(file for file in names if file.path.parts[-len(parts) :] == parts)
    return [file for file in matching if file.use in ("", *uses)] or matching


def _parts(source: str) -> tuple[str, ...]:
    return Path(source.replace("\\", "/")).parts


def _files_by_name() -> dict[str, list[ModelFile]]:
    """The files in the model folders by their names; listed again if a folder has changed."""
    roots, began = _roots(model_folders()), time.time_ns()
    known = _listed.get(roots)
    if known is not None and all(_changed(path) == changed for path, changed in known[0].items()):
        return known[1]
    folders: dict[str, int] = {}
    files: dict[str, list[ModelFile]] = {}
    for file in _list_files(roots, folders):
        if not file.is_pipeline:
            files.setdefault(file.path.name, []).append(file)
    _listed.clear()
    if max(folders.values(), default=0) < began - SETTLING_NS:  # else a change may not show
        _listed[roots] = folders, files
    return files


_listed: dict[tuple[Path, ...], tuple[dict[str, int], dict[str, list[ModelFile]]]] = {}
"""The last result of `_files_by_name` by the folders that it was for, with all below them.

A sweep asks for each of its variants. Looking at the times of a few folders takes a hundredth of
the time of listing their thousands of files.
"""


def _changed(folder: str) -> int:
    """When names in a folder were last added or removed, in nanoseconds; 0 if it is gone."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  a Path takes three times as long
    except OSError:
        return 0


def _ambiguous_problem(source: str, files: list[ModelFile]) -> Problem:
    paths = " and ".join(str(file.path) for file in files)
    longer = next((file.name for file in files if _is_unique(file, files)), files[0].path)
    fix = f"write more of the path of the one that is meant, such as {longer}"
    return Problem(source, f"several files of that name: {paths}", "one file of a name", fix)


def _is_unique(file: ModelFile, files: list[ModelFile]) -> bool:
    return file.name != file.path.name and [other.name for other in files].count(file.name) == 1


def absence(source: str) -> tuple[str, str]:
    """What to say of a bare name that names no file: where it was looked for, and a near name.

    Args:
        source: What the workflow names.

    Returns:
        Words that follow "no such file", and a fix; "" and "" for a path, or if the user has no
        model folders.
    """
    folders = model_folders() if is_bare_name(source) or _is_stem(source) else ()
    if not folders:
        return "", ""
    listed = ", ".join(
        f"{each.path}{' (which is missing)' if each.problem else ''}" for each in folders
    )
    names = [*names_in("."), *_files_by_name()]
    whole = name_with_suffix(source)
    near = f"write {whole}" if whole else did_you_mean(Path(source).name, names)
    return f", and none below {listed}", near


def name_with_suffix(source: str) -> str:
    """The name of a file in the model folders that a source is without its suffix; "" if none.

    Args:
        source: What the workflow names, such as `dreamshaper_8`.
    """
    if not _is_stem(source):
        return ""
    return next((name for name in _files_by_name() if Path(name).stem == source), "")


def _is_stem(source: str) -> bool:
    """Whether a source may be the name of a file without its suffix: no path, no hub id."""
    return not hub.is_path(source) and "/" not in source and "\\" not in source
