"""The list of what families can do: each task is compared with diffusers bit for bit, by a test."""

from __future__ import annotations

import pytest

from sdgraph.nodes.diffusion.families import FAMILIES
from tests.support.family_tasks import Pair, comparison, pairs, table


@pytest.mark.slow
def test_every_task_of_a_family_is_compared_with_diffusers() -> None:
    missing = [
        (family.label, task)
        for family in FAMILIES
        for task in family.pipelines
        if not comparison(family, task)
    ]
    assert not missing


@pytest.mark.slow
def test_every_pipeline_of_the_families_is_listed() -> None:
    listed = {pair.pipeline for pair in pairs()}
    ours = {name for family in FAMILIES for name in family.pipelines.values()}
    assert {"QwenImageEditPipeline", "FluxPriorReduxPipeline", "WanVACEPipeline"} < listed
    assert not {name for name in ours - listed if not name.startswith(("AuraFlow", "TextTo"))}


def test_the_table_counts_what_it_shows() -> None:
    found = [
        Pair("FLUX.1", "FluxPipeline", "text-to-image", "equal bits: test_pipelines.py"),
        Pair("FLUX.1", "FluxPriorReduxPipeline", "variation", "not: no family has it"),
    ]
    text = table(found)
    assert "| FLUX.1 | variation | FluxPriorReduxPipeline | not: no family has it |" in text
    assert text.endswith("equal bits: 1, runs: 0, not: 1")
