"""Compares the tensors of weight files with those of the module that they are loaded into.

1. The module is built without memory for its weights (torch's "meta" device).
2. The names and shapes in the files come from their headers; no tensor is read.
3. The names are changed as the library does when it loads: diffusers renames the attention of old
   VAEs, transformers the `gamma` and `beta` of old files, and adds or removes a prefix.
4. What the library ignores is left out, such as `position_ids` in old text encoders.
5. Weights that are missing, unexpected or of another shape are refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp
from sdgraph.formatting import with_article

from .safetensors_files import (
    SafetensorsHeader,
    TensorShapes,
    refuse_damaged,
    tensor_shapes,
)

_Shapes = Mapping[str, tuple[int, ...] | None]
"""The shapes of tensors by name; None for one that is stored in another shape."""

_FIX = "fetch or copy the checkpoint again; config and weights may be of different models"


@dataclass(frozen=True)
class KeyComparison:
    """How the tensors of weight files differ from those of a module.

    Args:
        missing: The tensors of the module that the files lack.
        unexpected: The tensors in the files that the module does not have.
        mismatched: The tensors of another shape: name, shape in the files, shape in the module.
        integers: The tensors of integers that the module has as real numbers, with their dtypes.
        same_names: Whether the names are the same before any is changed.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    integers: tuple[tuple[str, str], ...] = ()
    same_names: bool = False


def refuse_difference(
    part: str, class_name: str, found: KeyComparison, *, partial: bool = False, fix: str = _FIX
) -> None:
    """Raises CheckpointError if the tensors in weight files are not those of a module.

    Args:
        part: The component's name in messages.
        class_name: The class of the module.
        found: How they differ.
        partial: Whether other tensors may be missing or unused, as in some recognisers.
        fix: What to do about a difference.
    """
    problem = None
    if found.mismatched:
        name, shape, wanted = found.mismatched[0]
        more = _and_more(found.mismatched)
        problem = Problem(part, f"{name} of shape {shape}{more}", f"shape {wanted}, by its config")
    elif found.integers:
        (name, dtype), more = found.integers[0], _and_more(found.integers)
        problem = Problem(part, f"{name} of dtype {dtype}{more}", "real numbers, not quantized")
    elif found.missing and not partial:
        text = f"weights without {found.missing[0]}{_and_more(found.missing)}"
        problem = Problem(part, text, f"all tensors of {with_article(class_name)}")
    elif found.unexpected and not partial:
        text = f"weights with {found.unexpected[0]}{_and_more(found.unexpected)}"
        problem = Problem(part, text, f"only tensors that {with_article(class_name)} has")
    if problem is not None:
        raise CheckpointError(Problem(part, problem.found, problem.wanted, fix))


def _and_more(names: Sequence[Any]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def empty_module(cls: Any, folder: Path) -> Any:
    """The module that a config describes, without memory for its weights.

    Args:
        cls: A class of diffusers, or a text encoder of transformers.
        folder: The folder with the config.
    """
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    if hasattr(cls, "load_config"):
        build = cls.from_config
        config = cls.load_config(folder, local_files_only=True, trust_remote_code=False)
    else:
        build = cls
        config = _transformers_config(cls, folder)
    with init_empty_weights(), no_init_weights():
        return build(config)


def _transformers_config(cls: Any, folder: Path) -> Any:
    return cls.config_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def stays_precise(module: Any, name: str, dtype: str) -> bool:
    """Whether a tensor stays in float32, though its module computes in another dtype.

    Args:
        module: A module of diffusers, or of transformers, where that is for float16 alone.
        name: The name of the tensor.
        dtype: The dtype that the module computes in.
    """
    kept = set(getattr(module, "_keep_in_fp32_modules_strict", None) or ())
    if dtype == "float16" or hasattr(module, "load_config"):
        kept |= set(getattr(module, "_keep_in_fp32_modules", None) or ())
    return not kept.isdisjoint(name.split("."))


def keeps_any_precise(module: Any) -> bool:
    """Whether some tensors of a module may stay in float32, whatever dtype it computes in."""
    names = ("_keep_in_fp32_modules_strict", "_keep_in_fp32_modules")
    return any(getattr(module, name, None) for name in names)


def compare_tensors(module: Any, tensors: Mapping[str, Any]) -> KeyComparison:
    """Compares tensors, which may be without data, with those of a module.

    Args:
        module: The module, without memory for its weights.
        tensors: The tensors under the names that the module has for them.
    """
    state = module.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    compared = _compare(shapes, _shapes_of(state), ())
    integers = tuple(
        (name, str(tensor.dtype).removeprefix("torch."))
        for name, tensor in tensors.items()
        if name in state and state[name].is_floating_point() and not tensor.is_floating_point()
    )
    return replace(compared, integers=integers)


_PACKED = re.compile(
    r"(?P<weight>.+)\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.\w+)"
    r"|(?P<layer>.+)\.(SCB|weight_format)"
)
"""The tensors that bitsandbytes adds to a weight that it has packed in 4 or 8 bits."""


def without_packing(shapes: _Shapes) -> dict[str, tuple[int, ...] | None]:
    """The shapes of tensors as a plain module has them; None for a weight that is packed.

    Args:
        shapes: Those of weights that bitsandbytes has quantized, or of plain ones.

    Example:
        >>> without_packing({"a.weight": (8, 1), "a.weight.absmax": (1,), "a.bias": (4,)})
        {'a.weight': None, 'a.bias': (4,)}
    """
    packed: set[str] = set()
    plain: dict[str, tuple[int, ...] | None] = {}
    for name, shape in shapes.items():
        if match := _PACKED.fullmatch(name):
            packed.add(match["weight"] or f"{match['layer']}.weight")
        else:
            plain[name] = shape
    return {name: None if name in packed else shape for name, shape in plain.items()}


def compare_diffusers(module: Any, files: Sequence[Path], *, packed: bool = False) -> KeyComparison:
    """Compares weight files with a module of diffusers.

    Args:
        module: The module, without memory for its weights.
        files: The safetensors files.
        packed: Whether bitsandbytes has quantized them.
    """
    headers = {path: refuse_damaged(path) for path in files}
    shapes: dict[str, tuple[int, ...] | None] = {**_shapes_in(headers)}
    if packed:
        shapes = without_packing(shapes)
    state = module.state_dict()
    wanted = _shapes_of(state)
    same_names = shapes.keys() == wanted.keys()
    if not same_names and len(files) == 1:
        module._fix_state_dict_keys_on_load(shapes)
    ignored = module._keys_to_ignore_on_load_unexpected or ()
    compared = _compare(shapes, wanted, ignored)
    integers = () if packed else _integers(headers, state)
    return replace(compared, integers=integers, same_names=same_names)


def _shapes_in(headers: Mapping[Path, SafetensorsHeader]) -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors in some files together, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path, header in headers.items():
        shapes.update(tensor_shapes(path, header))
    return shapes


@lru_cache(maxsize=256)
def compare_transformers(
    cls: Any, folder: Path, stamps: tuple[FileStamp, ...], *, packed: bool = False
) -> KeyComparison | None:
    """Compares weight files with a module of transformers; None for a version that is not known.

    Args:
        cls: The class of the module.
        folder: The folder with its config.
        stamps: The stamps of the config and of the safetensors files, by which the result is
            remembered.
        packed: Whether bitsandbytes has quantized them.
    """
    module = _empty_transformers_module(cls, folder)
    files = [Path(stamp.path) for stamp in stamps if stamp.path.endswith("safetensors")]
    headers, state = {path: refuse_damaged(path) for path in files}, module.state_dict()
    try:
        shapes = _shapes_in(headers)
        compared = _compare_renamed(module, without_packing(shapes) if packed else shapes, state)
        integers = () if packed else _integers(headers, state, f"{module.base_model_prefix}.")
        return replace(compared, integers=integers)
    except (ImportError, AttributeError, TypeError):
        return None  # the same is checked after loading


def _empty_transformers_module(cls: Any, folder: Path) -> Any:
    import torch
    from transformers.initialization import no_init_weights

    with torch.device("meta"), no_init_weights():
        return cls(_transformers_config(cls, folder))


def _compare_renamed(module: Any, shapes: _Shapes, state: Mapping[str, Any]) -> KeyComparison:
    """Compares shapes with a module of transformers, after its rules of renaming and ignoring.

    Args:
        module: The module, without memory for its weights.
        shapes: The shapes of the tensors in the files.
        state: The tensors of the module.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key
    from transformers.utils.loading_report import LoadStateDictInfo

    transforms = get_model_conversion_mapping(module)
    renamings = [each for each in transforms if isinstance(each, WeightRenaming)]
    converters = [each for each in transforms if isinstance(each, WeightConverter)]
    by_pattern = {pattern: each for each in converters for pattern in each.source_patterns}
    prefix = module.base_model_prefix
    found: dict[str, tuple[int, ...] | None] = {}
    for name, shape in shapes.items():
        renamed, pattern = rename_source_key(name, renamings, converters, prefix, state)
        if renamed not in state and name in state:
            renamed, pattern = rename_source_key(name, [], [], prefix, state)
        if pattern is None:
            found[renamed] = shape
        else:  # several tensors become one, or one several, of other shapes
            targets = by_pattern[pattern].target_patterns
            found |= {renamed.replace(targets[0], target): None for target in targets}
    info = LoadStateDictInfo(
        missing_keys=set(state) - set(found),
        unexpected_keys=set(found) - set(state),
        mismatched_keys=set(),
        error_msgs=[],
        conversion_errors={},
        skipped_pp_keys=set(),
    )
    module._adjust_missing_and_unexpected_keys(info)
    tied = module.all_tied_weights_keys
    missing = {key for key in info.missing_keys if tied.get(key) not in found}
    missing -= {source for target, source in tied.items() if target in found}
    return KeyComparison(
        tuple(sorted(missing)),
        tuple(sorted(info.unexpected_keys)),
        _mismatched(found, _shapes_of(state)),
    )


def compare_after_loading(info: Mapping[str, Any]) -> KeyComparison:
    """How weights differed from a module, as diffusers and transformers report it."""
    return KeyComparison(
        tuple(sorted(info.get("missing_keys") or ())),
        tuple(sorted(info.get("unexpected_keys") or ())),
        tuple(
            (name, tuple(found), tuple(wanted))
            for name, found, wanted in info.get("mismatched_keys") or ()
        ),
    )


def _integers(
    headers: Mapping[Path, SafetensorsHeader], state: Mapping[str, Any], prefix: str = "."
) -> tuple[tuple[str, str], ...]:
    """The tensors of integers in files that a module has as real numbers, by the same name."""
    found = []
    for header in headers.values():
        for name, tensor in header.tensors.items():
            if tensor["dtype"][0] in "IUB" and tensor["dtype"] != "BF16":
                own = state.get(name, state.get(name.removeprefix(prefix)))
                if own is not None and own.is_floating_point():
                    found.append((name, tensor["dtype"]))
    return tuple(found)


def _shapes_of(state: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _compare(shapes: _Shapes, wanted: TensorShapes, ignored: Sequence[str]) -> KeyComparison:
    unexpected = (name for name in shapes if name not in wanted)
    return KeyComparison(
        tuple(sorted(name for name in wanted if name not in shapes)),
        tuple(sorted(n for n in unexpected if not any(re.search(each, n) for each in ignored))),
        _mismatched(shapes, wanted),
    )


def _mismatched(
    shapes: _Shapes, wanted: TensorShapes
) -> tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]:
    return tuple(
        (name, shape, wanted[name])
        for name, shape in sorted(shapes.items())
        if shape is not None and name in wanted and shape != wanted[name]
    )
