"""A model family that is known while a test runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from sdgraph.nodes.diffusion.families import ModelFamily, family_index, stable_diffusion


@contextmanager
def known_family(family: ModelFamily) -> Iterator[None]:
    """Lists a family after all others in the index of families."""
    entry = family_index.FamilyEntry(".stable_diffusion", family.class_names, family.name_hint)
    listed = patch.dict(family_index.FAMILY_INDEX, {"TOY": entry})
    defined = patch.object(stable_diffusion, "TOY", family, create=True)
    _forget_families()
    with listed, defined:
        yield
    _forget_families()


def _forget_families() -> None:
    family_index.all_families.cache_clear()
    family_index.family_by_class.cache_clear()
