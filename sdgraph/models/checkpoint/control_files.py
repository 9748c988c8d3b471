"""Control networks and motion adapters that are one file: their config, which the header tells.

A config that follows from the shapes of the tensors is written once below the home folder, from
where it is read like any other. For a file whose header does not tell all, the user names a folder
with `config:`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from sdgraph.errors import CheckpointError, MediaError, Problem
from sdgraph.files import atomic_write, expand_home, is_file, sdgraph_home, write_only_in
from sdgraph.models.formats.control_network_configs import LDM_PREFIX, control_network_config
from sdgraph.models.formats.map_adapter_configs import map_adapter_config
from sdgraph.models.formats.motion_adapter_configs import motion_adapter_config
from sdgraph.models.formats.safetensors_files import tensor_shapes
from sdgraph.values import Checkpoint

_CONFIG = "config.json"


def control_prefix(path: Path) -> str:
    """What the names of the tensors of a ControlNet's file begin with."""
    return LDM_PREFIX if any(name.startswith(LDM_PREFIX) for name in tensor_shapes(path)) else ""


def control_configs(checkpoint: Checkpoint, path: Path) -> Path:
    """The folder with the config of a ControlNet or a T2I-Adapter that is one file.

    Args:
        checkpoint: The network.
        path: Its file.

    Raises:
        CheckpointError: The folder that the user named has no config, or the header does not tell
            the config.
    """
    fix = "name a folder with its config.json: {source: …, config: ./folder}"
    if checkpoint.config is not None:
        folder = expand_home(checkpoint.config)
        if not is_file(folder / _CONFIG):
            found = f"config {checkpoint.config!r}, which has no {_CONFIG}"
            raise CheckpointError(Problem(checkpoint.source, found, "the ControlNet's folder", fix))
        return folder
    shapes = tensor_shapes(path)
    config = control_network_config(shapes) or map_adapter_config(shapes)
    if config is None:
        found = "a ControlNet or T2I-Adapter whose config its tensors do not tell"
        wanted = "one of Stable Diffusion, SDXL, FLUX.1, Qwen-Image or Z-Image, as published"
        raise CheckpointError(Problem(checkpoint.source, found, wanted, fix))
    return _write_config(json.dumps(config, indent=1, sort_keys=True))


def motion_configs(source: str, path: Path) -> Path:
    """The folder with the config of a motion adapter that is one file.

    Args:
        source: Its name in messages.
        path: Its file.

    Raises:
        CheckpointError: The header does not tell the config.
    """
    config = motion_adapter_config(tensor_shapes(path))
    if config is None:
        found = "a motion adapter without the modules of some levels"
        fix = "copy it again, or name a folder with its config.json: {source: …, config: ./folder}"
        wanted = "one as published for Stable Diffusion 1.x or SDXL"
        raise CheckpointError(Problem(source, found, wanted, fix))
    return _write_config(json.dumps(config, indent=1, sort_keys=True))


def _write_config(text: str) -> Path:
    """The folder with a config, which is written if it is not there; raises CheckpointError."""
    folder = sdgraph_home() / "configs" / hashlib.sha256(text.encode()).hexdigest()[:32]
    if not is_file(folder / _CONFIG):
        try:
            with write_only_in(None), atomic_write(folder / _CONFIG, durable=False) as temporary:
                temporary.write_text(text, "utf-8")
        except MediaError as error:
            raise CheckpointError(error.problems) from error
    return folder
