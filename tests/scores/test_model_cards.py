"""The model cards: of the weights that ship, with their kept scores to the letter."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdgraph import Checkpoint, load_workflow
from sdgraph.errors import InvalidValueError
from sdgraph.models.sources import shipped
from sdgraph.models.sources.shipped import shipped_folder, shipped_names
from sdgraph.nodes.training.procedure import Training

from .__main__ import HERE, main
from .generation import digest
from .model_cards import FACTS, card, write
from .table import Row, keep, kept

pytestmark = pytest.mark.quick

NAME = "text-to-image"


@pytest.fixture
def rows() -> list[Row]:
    """A row of text-to-image, and one of another checkpoint."""
    row = Row(
        NAME,
        "all right",
        0.981,
        "≥ 0.98",
        500,
        "20 DDIM steps",
        NAME,
        digest(Checkpoint(f"tiny/{NAME}")),
    )
    return [row, replace(row, system="turbo", checkpoint="turbo", value=0.5)]


def test_every_shipped_checkpoint_has_its_facts() -> None:
    assert {f"tiny/{name}" for name in FACTS} == set(shipped_names())


def test_every_training_node_of_the_family_is_on_one_card() -> None:
    names = [name for facts in FACTS.values() for name in facts.nodes]
    graph = load_workflow("training/family").graph()
    assert sorted(names) == sorted(
        n for node, n in graph.names.items() if isinstance(node, Training)
    )


def test_a_card_says_what_it_is_how_it_was_made_and_how_it_scores(rows: list[Row]) -> None:
    text = card(NAME, rows)
    assert text.startswith(f"# tiny/{NAME}\n")
    assert str(rows[0]) in text and str(rows[1]) not in text
    assert "`TrainVae` (`vae`): 14,000 steps of 8" in text
    assert "Apache-2.0" in text and "None" not in text and "{" not in text
    size = sum(
        path.stat().st_size for path in shipped_folder(f"tiny/{NAME}").rglob("*.safetensors")
    )
    assert f"{size / 1e6:.1f} MB" in text


@pytest.mark.parametrize("name", FACTS)
def test_every_card_can_be_filled(name: str) -> None:
    assert card(name, []).count("## ") == 4


def test_scores_of_other_weights_are_refused(rows: list[Row]) -> None:
    with pytest.raises(InvalidValueError, match=r"found: .*0123(.|\n)*score it again"):
        card(NAME, [replace(rows[0], weights="0123")])


def test_cards_are_written_for_what_has_scores(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tiny"
    shutil.copytree(shipped_folder(f"tiny/{NAME}").parent, package)
    for old in package.rglob("README.md"):
        old.unlink()
    expected = card(NAME, rows)
    monkeypatch.setattr(shipped, "_FOLDER", package)
    write(rows[:1])
    cards = {path.parent.name: path.read_text("utf-8") for path in package.rglob("README.md")}
    assert cards == {NAME: expected}


def test_the_command_writes_cards_from_the_kept_rows(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(rows, tmp_path)
    written: list[Row] = []
    monkeypatch.setattr("tests.scores.model_cards.write", written.extend)
    main(["--cards"], folder=tmp_path)
    assert written == rows


@pytest.mark.parametrize("name", FACTS)
def test_a_shipped_card_has_the_kept_scores_of_the_shipped_weights(name: str) -> None:
    own_rows = [row for row in kept(HERE) if row.checkpoint == name]
    text = (shipped_folder(f"tiny/{name}") / "README.md").read_text("utf-8")
    assert [row for row in own_rows if str(row) not in text] == []
    assert {row.weights for row in own_rows} == {digest(Checkpoint(f"tiny/{name}"))}
