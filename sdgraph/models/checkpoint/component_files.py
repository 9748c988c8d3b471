"""Single files with the weights of one component, which a checkpoint takes from elsewhere.

Such a file has no config: it is that of the same component of the whole checkpoint. The header
tells what the file holds before anything is loaded. Its tensors are compared with the component,
and converted if they have the names of another program, by `single_file_loader`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import expand_home, is_file
from sdgraph.formatting import with_article
from sdgraph.models.formats.config_files import read_config, read_index
from sdgraph.models.formats.motion_adapter_configs import MODULE_PREFIX
from sdgraph.models.formats.other_weights import DENOISERS, MOTION_ADAPTER, label_of_denoiser
from sdgraph.models.formats.safetensors_files import TensorShapes, refuse_damaged, tensor_shapes
from sdgraph.models.formats.scaled_weights import scale_problem
from sdgraph.models.formats.single_file_kinds import UNET_PREFIX, FileKind
from sdgraph.models.sources import hub
from sdgraph.models.sources.model_files import USE_OF_FIELD, weights_path
from sdgraph.values import MOTION, ComponentSource

from .component_classes import role_of
from .control_files import motion_configs
from .single_files import SingleFile, file_kind, refuse_other_format

_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "denoiser": (UNET_PREFIX, "diffusion_model."),
    "autoencoder": ("first_stage_model.", "vae."),
    "text encoder": ("cond_stage_model.", "text_encoder."),
    "motion adapter": (MODULE_PREFIX,),
}
"""What the names of a component's tensors may begin with in a file of its own, by its role."""

_LABELS: Mapping[str, tuple[str, ...]] = {
    "unet": ("a U-Net", "a video model", "weights"),
    "transformer": ("a model of", "weights"),
    "vae": ("a VAE", "weights"),
    "text_encoder": ("a text encoder", "text encoders", "a language model", "weights"),
    "image_encoder": ("an image encoder", "weights"),
    MOTION: (MOTION_ADAPTER,),
}
"""How the labels of files begin that may be a component, by its name without a number."""


_CHANNELS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "vae": (("decoder.conv_in.weight",), "latent_channels", "latent channels"),
    "unet": (("conv_in.weight", "input_blocks.0.0.weight"), "in_channels", "channels"),
}
"""The first layer of a component in each layout, and the key of its config for its channels."""


def find_component_file(checkpoint: ComponentSource, configs: Path) -> SingleFile | None:
    """The file that a component from elsewhere is; None for a folder or a name on the hub.

    Args:
        checkpoint: Where the component comes from.
        configs: The folder of the whole checkpoint, with a folder for each component's config.

    Raises:
        CheckpointError: The file is damaged, or holds no such component.
    """
    path = component_path(checkpoint)
    if path is None:
        return None
    kind, shapes, prefix = _check_file(checkpoint, path)
    folder = _config_folder(checkpoint, configs)
    _refuse_other_family(checkpoint, kind, configs)
    _refuse_other_channels(checkpoint, shapes, prefix, folder)
    return SingleFile(path, replace(kind, prefixes={"": prefix}), folder, has_own_configs=True)


def refuse_other_file(checkpoint: ComponentSource) -> None:
    """Raises CheckpointError for a file that can be no such component, whatever its configs say.

    Args:
        checkpoint: Where the component comes from, which may be no file.
    """
    path = component_path(checkpoint)
    if path is not None:
        _check_file(checkpoint, path)


def _check_file(checkpoint: ComponentSource, path: Path) -> tuple[FileKind, TensorShapes, str]:
    """What a file holds, its shapes, and what the names of the component's tensors begin with."""
    source, component = checkpoint.source, checkpoint.component
    for name in ("revision", "variant", "subfolder"):
        if (word := getattr(checkpoint, name)) is not None:
            found = f"{name} {word!r} of one file"
            raise CheckpointError(Problem(source, found, "none", f"leave {name} out"))
    refuse_other_format(source, path)
    if path.suffix.lower() == ".gguf" and role_of(component) != "denoiser":
        fix = "take its safetensors"
        found = f"a GGUF file as {component}"
        raise CheckpointError(Problem(source, found, "GGUF for a denoiser alone", fix))
    kind, shapes = file_kind(path), tensor_shapes(path)
    prefix = _prefix_of(checkpoint, kind, shapes)
    if (problem := scale_problem(refuse_damaged(path).tensors)) is not None:
        raise CheckpointError(Problem(source, problem.found, problem.wanted, problem.fix))
    return kind, shapes, prefix


def _refuse_other_family(checkpoint: ComponentSource, kind: FileKind, configs: Path) -> None:
    """Raises CheckpointError for a transformer of another family than that of the checkpoint."""
    index = read_index(configs / "model_index.json") or {}
    entry = index.get(checkpoint.component)
    class_name = str(entry[1]) if isinstance(entry, list) and len(entry) == 2 else ""
    label = label_of_denoiser(class_name)
    if label and kind.label in DENOISERS and kind.label != label:
        wanted = f"{label}, as {checkpoint.base.source} has ({class_name})"
        fix = "take a transformer of the same family, or another checkpoint"
        raise CheckpointError(Problem(checkpoint.source, kind.label, wanted, fix))


def component_path(checkpoint: ComponentSource) -> Path | None:
    """The path of the file that a component from elsewhere is; None if it is no file."""
    path = weights_path(checkpoint.source, (USE_OF_FIELD.get(checkpoint.component, ""),))
    if not is_file(path) or (checkpoint.revision and not hub.is_path(checkpoint.source)):
        return None
    return path


def _prefix_of(checkpoint: ComponentSource, kind: FileKind, shapes: TensorShapes) -> str:
    """What the names of the component's tensors begin with in the file.

    Raises CheckpointError for a file without the component.
    """
    component = checkpoint.component
    if kind.is_checkpoint:
        if component in kind.prefixes:
            return kind.prefixes[component]
        _refuse_kind(checkpoint, f"{kind.label} without a {component}")
    if not kind.label.startswith(_LABELS[component.rstrip("_23")]):
        _refuse_kind(checkpoint, kind.label)
    prefixes = _PREFIXES.get(role_of(component), ())
    return next((prefix for prefix in prefixes if _begins(shapes, prefix)), "")


def _begins(names: Iterable[str], prefix: str) -> bool:
    return any(name.startswith(prefix) for name in names)


def _refuse_kind(checkpoint: ComponentSource, label: str) -> None:
    component = checkpoint.component
    fix = "name a file, a folder or a hub id of that component alone"
    for begin, field in (("a LoRA", "loras"), ("an embedding", "embeddings")):
        if label.startswith(begin):
            fix = f"put it under `{field}` of the node"
    raise CheckpointError(
        Problem(f"{checkpoint.source}, as {component}", label, with_article(component), fix)
    )


def _config_folder(checkpoint: ComponentSource, configs: Path) -> Path:
    """The folder with the config of the component: the one that was named, or the base's."""
    named = checkpoint.config
    if checkpoint.component == MOTION and named is None:
        path = component_path(checkpoint)
        assert path is not None, "a folder and a name on the hub have configs of their own"
        return motion_configs(checkpoint.source, path)
    folder = configs / checkpoint.component if named is None else expand_home(named)
    if named is not None and not (folder / "config.json").is_file():
        folder = folder / checkpoint.component
    if not (folder / "config.json").is_file():
        where = checkpoint.base.source if named is None else named
        found = f"no config of a {checkpoint.component} in {where}"
        fix = "name a folder with its config.json: {source: …, config: ./folder}"
        raise CheckpointError(Problem(checkpoint.source, found, "a config for this file", fix))
    return folder


def _refuse_other_channels(
    checkpoint: ComponentSource, shapes: TensorShapes, prefix: str, folder: Path
) -> None:
    """Raises CheckpointError for a network that takes other channels than its config says."""
    names, key, what = _CHANNELS.get(checkpoint.component, ((), "", ""))
    wanted = (read_config(folder / "config.json") or {}).get(key)
    for name in names:
        shape = shapes.get(f"{prefix}{name}", ())
        if wanted and len(shape) > 1 and shape[1] != wanted:
            component = checkpoint.component
            found = f"a {component} of {shape[1]} {what}"
            wish = f"{wanted}, as the {component} of {checkpoint.base.source} has"
            fix = f"take a {component} that was made for the same base"
            raise CheckpointError(Problem(checkpoint.source, found, wish, fix))


def refuse_pipeline(checkpoint: ComponentSource, folders: Iterable[str]) -> None:
    """Raises CheckpointError for a whole pipeline in the place of one component.

    Args:
        checkpoint: Where the component comes from.
        folders: The components of the pipeline.
    """
    component = checkpoint.component
    found = f"a whole pipeline, named as the {component} of {checkpoint.base.source}"
    fix = f"{component}: {{source: {checkpoint.source}, subfolder: {component}}}"
    if component not in folders:
        fix = f"it has no {component}: choose another source"
    raise CheckpointError(Problem(checkpoint.source, found, f"one {component}", fix))


def replaced_class(
    component: str, own: tuple[str, object], base: tuple[object, object] | None
) -> tuple[str, object]:
    """The library and the class of a component from elsewhere.

    A config of diffusers names its class. One of transformers names the class that was trained,
    of which a text encoder of a pipeline is a part: so its class is that of the base's.

    Args:
        component: The component's name.
        own: The library and the class that its own config names.
        base: Those that the index of the whole checkpoint names, if it names any.
    """
    is_part = own[0] == "transformers" and role_of(component) in ("text encoder", "image encoder")
    return (str(base[0]), base[1]) if is_part and base is not None else own
