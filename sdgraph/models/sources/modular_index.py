"""Where the components of a modular pipeline come from, by its index.

Each entry of the index is `[library, class, {pretrained_model_name_or_path, subfolder, variant,
revision, type_hint}]`. A component in a folder of its own name next to the index is that one;
others are in the repositories that their entries name.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple


class ComponentPlace(NamedTuple):
    """Where one component is.

    Args:
        component: Its name.
        class_name: Its class.
        source: The repository, or a folder on this disk.
        subfolder: Its folder there; None for the top.
        variant: The variant of its weights; None for the plain ones.
        revision: A branch, tag or commit; None for the main branch.
    """

    component: str
    class_name: str
    source: str
    subfolder: str | None = None
    variant: str | None = None
    revision: str | None = None


def components_elsewhere(
    index: Mapping[str, Any], own_source: str, folders: Collection[str]
) -> dict[str, ComponentPlace]:
    """The components of a modular pipeline that are in other repositories, by their names.

    Args:
        index: The content of its `modular_model_index.json`.
        own_source: The repository that the index is in.
        folders: The names of the folders next to the index.

    Example:
        >>> entry = ["diffusers", "AutoencoderKL", {"pretrained_model_name_or_path": "a/b"}]
        >>> components_elsewhere({"vae": entry}, "c/d", [])["vae"].source
        'a/b'
    """
    places: dict[str, ComponentPlace] = {}
    for name, entry in index.items():
        if name in folders or not isinstance(entry, list) or len(entry) != 3:
            continue
        spec = entry[2] if isinstance(entry[2], Mapping) else {}
        source = spec.get("pretrained_model_name_or_path")
        is_here = source == own_source and (spec.get("subfolder") or name) == name
        if entry[1] is None or not isinstance(source, str) or not source or is_here:
            continue
        texts = (spec.get(key) for key in ("subfolder", "variant", "revision"))
        places[name] = ComponentPlace(
            name, str(entry[1]), source, *(str(text) if text else None for text in texts)
        )
    return places
