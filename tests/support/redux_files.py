"""A checkpoint with the files of FLUX.1 Redux and no weights to speak of, for checks and keys."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from .lora_files import write

_COMPONENTS = {
    "image_encoder": ("transformers", "SiglipVisionModel", "model.safetensors"),
    "feature_extractor": ("transformers", "SiglipImageProcessor", ""),
    "image_embedder": ("diffusers", "ReduxImageEncoder", "diffusion_pytorch_model.safetensors"),
}


def redux(folder: Path, value: float = 0.0) -> Path:
    """Writes the checkpoint; another value makes other weights."""
    folder.mkdir(parents=True, exist_ok=True)
    components = {name: [library, cls] for name, (library, cls, _) in _COMPONENTS.items()}
    index = {"_class_name": "FluxPriorReduxPipeline", **components}
    (folder / "model_index.json").write_text(json.dumps(index))
    for name, (_, cls, weights) in _COMPONENTS.items():
        (folder / name).mkdir(exist_ok=True)
        config = {"_class_name": cls, "image_processor_type": cls}
        file = "config.json" if weights else "preprocessor_config.json"
        (folder / name / file).write_text(json.dumps(config))
        if weights:
            write(folder / name / weights, {"weight": np.full((2, 2), value, np.float32)})
    return folder
