"""Fetches checkpoints from the hub before a workflow needs them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import expand_home
from sdgraph.formatting import format_bytes, format_count, shorten_path
from sdgraph.models import MODEL_INDEX, MODULAR_INDEX, is_random, read_config, resolve
from sdgraph.models.checkpoint.checkpoint_files import CONFIG_NAMES
from sdgraph.models.checkpoint.files_to_fetch import (
    files_of_component,
    named_file,
    needed_files,
)
from sdgraph.models.formats import pickles
from sdgraph.models.formats.config_files import read_index
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.sources import hub, hub_downloads
from sdgraph.models.sources.hub_listing import HubListing, cache_folder, list_hub_files
from sdgraph.models.sources.modular_index import ComponentPlace, components_elsewhere
from sdgraph.values import Checkpoint, Part

from .argument_error import ArgumentError


@dataclass(frozen=True)
class FetchRequest:
    """What is to be fetched.

    Args:
        source: The name of a repository on the hub.
        variant: The variant of the weights, such as "fp16".
        revision: A branch, tag or commit; None is the main branch.
        file: The path of the only file that is fetched; None for those that its checkpoint needs.
        allow_pickle: Whether weights may be pickles.
    """

    source: str
    variant: str | None = None
    revision: str | None = None
    file: str | None = None
    allow_pickle: bool = False

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint that it is."""
        return Checkpoint(self.source, variant=self.variant, revision=self.revision)


@dataclass(frozen=True)
class FetchPlan:
    """Which files are fetched, and how many bytes of them are not here yet.

    Args:
        request: What is to be fetched.
        listing: All files of the repository.
        names: The paths of those that are needed.
        others: The same for components of a modular pipeline that are in other repositories.
    """

    request: FetchRequest
    listing: HubListing
    names: tuple[str, ...]
    others: tuple[FetchPlan, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether it is one file, such as an adapter, and no checkpoint with configs."""
        return not {MODEL_INDEX, MODULAR_INDEX, CONFIG_NAMES[0]} & set(self.names)

    @property
    def needed_room(self) -> int:
        """The bytes that are not here yet, those in other repositories too."""
        return self.bytes_to_fetch + sum(other.needed_room for other in self.others)

    @property
    def all_bytes(self) -> int:
        """The bytes of the needed files."""
        return sum(self.listing.files[name].size for name in self.names)

    @property
    def bytes_to_fetch(self) -> int:
        """The bytes of them that are not here yet."""
        return self.listing.bytes_to_fetch(self.names)

    def __str__(self) -> str:
        return "\n".join([self._summary(), *map(str, self.others)])

    def _summary(self) -> str:
        count = format_count(len(self.names), "file")
        text = f"{self.request.source}: {count}, {format_bytes(self.all_bytes)}"
        missing = self.bytes_to_fetch
        if not missing:
            return f"{text}, all here"
        if format_bytes(missing) != format_bytes(self.all_bytes):
            text += f", of which {format_bytes(self.all_bytes - missing)} are here"
        where = f"to {shorten_path(cache_folder())}"
        free = format_bytes(hub_downloads.free_bytes())
        return f"{text}; {format_bytes(missing)} to download {where} ({free} free)"

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        request = {key: value for key, value in asdict(self.request).items() if value}
        request["checkpoint"] = request.pop("source")
        request.pop("allow_pickle", None)
        return {
            **request,
            "commit": self.listing.commit,
            "files": [
                {"name": name, "bytes": self.listing.files[name].size} for name in self.names
            ],
            "bytes": self.all_bytes,
            "bytes_to_fetch": self.bytes_to_fetch,
            "folder": str(self.listing.snapshot),
            **({"others": [other.as_data() for other in self.others]} if self.others else {}),
        }


def plan_fetch(request: FetchRequest) -> FetchPlan:
    """Asks the hub which files are needed, and how large they are.

    Raises:
        ArgumentError: The source is no name of a repository.
        CheckpointError: The hub does not have what is asked for, or cannot be reached.
    """
    _refuse_other_sources(request.source)
    listing = list_hub_files(request.source, request.revision)
    if request.file is not None:
        return FetchPlan(request, listing, named_file(request.source, listing.files, request.file))
    with ExitStack() as stack:
        if request.allow_pickle:
            stack.enter_context(pickles.allow())
        if MODULAR_INDEX in listing.files and MODEL_INDEX not in listing.files:
            return _plan_modular(request, listing)
        index = None
        if MODEL_INDEX in listing.files:
            folder = hub_downloads.download_files(listing, [MODEL_INDEX])
            index = read_index(folder / MODEL_INDEX)
        names = needed_files(request.source, listing.files, index, request.variant)
    return FetchPlan(request, listing, names)


def _plan_modular(request: FetchRequest, listing: HubListing) -> FetchPlan:
    """The files of a modular pipeline, and of its components in other repositories."""
    folder = hub_downloads.download_files(listing, [MODULAR_INDEX])
    index = read_config(folder / MODULAR_INDEX) or {}
    folders = {name.partition("/")[0] for name in listing.files if "/" in name}
    places = components_elsewhere(index, request.source, folders)
    own = {
        name: entry[:2]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 3 and name not in places and name in folders
    }
    names = needed_files(request.source, listing.files, own, request.variant, MODULAR_INDEX)
    return FetchPlan(request, listing, names, tuple(_plan_others(request, places.values())))


def _plan_others(request: FetchRequest, places: Iterable[ComponentPlace]) -> Iterator[FetchPlan]:
    """The files of components in other repositories, a plan for each repository and revision."""
    grouped: dict[tuple[str, str | None], list[ComponentPlace]] = {}
    for place in places:
        grouped.setdefault((place.source, place.revision), []).append(place)
    for (source, revision), group in grouped.items():
        if hub.is_path(source):
            continue
        listing, names = list_hub_files(source, revision), set[str]()
        for place in group:
            variant = place.variant or request.variant
            files = listing.files
            names |= {
                *files_of_component(source, files, place.subfolder or "", place.class_name, variant)
            }
        other = replace(request, source=source, revision=revision)
        yield FetchPlan(other, listing, tuple(sorted(names)))


def fetch_planned(plan: FetchPlan) -> str:
    """Fetches what was planned, checks it, and returns the path of it.

    Raises:
        CheckpointError: It cannot be fetched, or what was fetched cannot be used.
    """
    request = plan.request
    if plan.others:
        hub_downloads.refuse_full_disk(request.source, plan.needed_room)
        for other in plan.others:
            hub_downloads.download_files(other.listing, other.names)
    folder = hub_downloads.download_files(plan.listing, plan.names)
    if request.file is not None:
        return str(folder / request.file)
    if plan.is_file:
        weights = folder / plan.names[-1]
        if weights.suffix == ".safetensors":
            refuse_damaged(weights)
    else:
        with ExitStack() as stack:
            if request.allow_pickle:
                stack.enter_context(pickles.allow())
            resolved, checkpoint = resolve(request.checkpoint), request.checkpoint
            resolved = resolved if MODULAR_INDEX in plan.names else resolved.fetch()
            for name in resolved.components or ("",):
                if not name or (name in resolved.classes and (folder / name).is_dir()):
                    resolved.part(Part(checkpoint, name)).check()
    return str(folder)


def _refuse_other_sources(source: str) -> None:
    """Raises ArgumentError for a source that is on this disk, or can be no name on the hub."""
    fix = "write the id of a repository, such as stabilityai/sdxl-turbo"
    if source.startswith("tiny/") or is_random(source):
        found = "it ships with sdgraph" if source.startswith("tiny/") else "a run makes it"
        raise ArgumentError(Problem(source, found, "a checkpoint of the hub", fix))
    if hub.is_path(source):
        found = "a path" if expand_home(source).exists() else "a path, and nothing is there"
        raise ArgumentError(Problem(source, found, "a checkpoint of the hub", fix))
    try:
        hub.in_cache(source, None, (MODEL_INDEX,))
    except CheckpointError as error:
        found = error.problems[0].found
        raise ArgumentError(Problem(source, found, "a checkpoint of the hub", fix)) from None
