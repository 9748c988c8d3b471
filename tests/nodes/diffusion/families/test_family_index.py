"""The index by which a family is found and imported says what the families themselves say."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from importlib import import_module

from sdgraph.language import shipped_workflows
from sdgraph.nodes.diffusion import families
from sdgraph.nodes.diffusion.families import FAMILIES, ModelFamily
from sdgraph.nodes.diffusion.families.family_index import (
    FAMILY_INDEX,
    family_by_class,
    import_family,
    names_by_hint,
)
from tests.support.processes import ROOT


def test_the_index_of_families_says_what_each_family_says() -> None:
    for name, entry in FAMILY_INDEX.items():
        family = import_family(name)
        assert (entry.class_names, entry.name_hint) == (family.class_names, family.name_hint), name


def test_every_family_is_in_the_index() -> None:
    defined = {
        id(value)
        for module in pkgutil.iter_modules(families.__path__)
        for value in vars(import_module(f"{families.__name__}.{module.name}")).values()
        if isinstance(value, ModelFamily)
    }
    assert defined == set(map(id, FAMILIES))


def test_the_index_finds_the_family_of_each_pipeline_and_name() -> None:
    for family in FAMILIES:
        for class_name in family.pipelines.values():
            expected = max(FAMILIES, key=lambda other: other.matches(class_name))
            assert family_by_class(class_name) is expected
    assert family_by_class("NoSuchPipeline") is None
    for source in ("someone/dreams", *filter(None, (family.name_hint for family in FAMILIES))):
        first = import_family(names_by_hint(source.split("|")[0])[0])
        assert first is max(FAMILIES, key=lambda other: other.hints_at(source.split("|")[0]))


def test_validating_a_workflow_imports_no_family_that_it_does_not_use() -> None:
    code = """
import sys
from sdgraph.cli import main
try:
    main(["validate", sys.argv[1]])
except SystemExit as ended:
    assert not ended.code
package = "sdgraph.nodes.diffusion.families."
families = {name.removeprefix(package) for name in sys.modules if name.startswith(package)}
print(*sorted(families & {*sys.argv[2].split()}), {"torch", "networkx"} & {*sys.modules})
"""
    modules = " ".join({entry.module.removeprefix(".") for entry in FAMILY_INDEX.values()})
    workflow = str(shipped_workflows()["families/wan"])
    done = subprocess.run(
        [sys.executable, "-c", code, workflow, modules],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.splitlines()[-1] == "wan set()", done.stderr
