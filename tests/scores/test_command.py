"""The real command: every system makes its pictures, and every score is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.models.sources.shipped import shipped_folder, shipped_names

from .__main__ import SYSTEMS, main
from .generation import GenerationSettings
from .table import SHOWN, Row, kept

LITTLE = GenerationSettings(steps=2, teacher_steps=3, frames=3, rounds=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of all systems on two pictures each kept its rows."""
    path = tmp_path_factory.mktemp("scores")
    main(["--count", "2"], folder=path, options=LITTLE)
    return path


@pytest.fixture
def rows(folder: Path) -> list[Row]:
    return kept(folder)


def row_of(rows: list[Row], system: str, measure: str) -> Row:
    (row,) = [row for row in rows if (row.system, row.what) == (system, measure)]
    return row


def test_every_system_has_rows_in_the_order_of_the_table(rows: list[Row], folder: Path) -> None:
    assert list(dict.fromkeys(row.system for row in rows)) == list(SYSTEMS)
    assert all(str(row) in (folder / SHOWN).read_text("utf-8") for row in rows)


def test_every_shipped_checkpoint_is_scored(rows: list[Row]) -> None:
    assert {f"tiny/{row.checkpoint}" for row in rows} == set(shipped_names())


def test_a_row_says_of_how_many_and_how(rows: list[Row]) -> None:
    fewer = (
        "CPU time of the teacher's node over its own",
        "largest step over the true one, mean of clips with an object",
    )
    assert {row.count for row in rows if row.what not in fewer} == {2}
    assert row_of(rows, "inpaint", "all right").settings == "2 DDIM steps, guidance 3"
    settings = row_of(rows, "turbo", "all right").settings
    assert settings == "1 EulerAncestralDiscrete step, guidance 0"
    assert row_of(rows, "turbo", "teacher, all right").checkpoint == "sdxl"
    assert row_of(rows, "text-to-video", "motion right").settings.endswith("3 frames")


def test_what_needs_no_training_holds_at_once(rows: list[Row]) -> None:
    assert row_of(rows, "inpaint", "equal outside the mask, bit for bit").value == 1
    assert row_of(rows, "vae", "PSNR, dB").value > 30
    for row in rows:
        share = row.what.endswith("right")
        assert not share or 0 <= row.value <= 1
        assert "correlation" not in row.what or -1 <= row.value <= 1


def test_a_run_of_one_system_leaves_the_others_rows(
    folder: Path, rows: list[Row], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--count", "1", "--only", "vae"], folder=folder)
    printed = capsys.readouterr()
    after = kept(folder)
    assert after[0].count == 1 and after[1:] == rows[1:]
    assert str(after[0]) in printed.out and "inpaint" not in printed.out
    assert printed.err.startswith("vae: ")


@pytest.mark.slow
def test_clips_made_by_several_processes_score_the_same(
    folder: Path, rows: list[Row], tmp_path: Path
) -> None:
    main(
        ["--count", "2", "--only", "text-to-video", "--jobs", "2"], folder=tmp_path, options=LITTLE
    )
    assert kept(tmp_path) == [row for row in kept(folder) if row.system == "text-to-video"]


def test_a_family_in_a_folder_is_scored_instead_of_the_shipped_one(tmp_path: Path) -> None:
    family = tmp_path / "family"
    family.mkdir()
    (family / "text-to-image").symlink_to(shipped_folder("tiny/sdxl"))
    main(["--count", "1", "--only", "vae", "--family", str(family)], folder=tmp_path)
    main(["--count", "1", "--only", "sdxl"], folder=tmp_path, options=LITTLE)
    assert len({row.weights for row in kept(tmp_path)}) == 1


def test_a_family_that_lacks_the_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such folder"):
        main(["--only", "depth-estimator", "--family", str(tmp_path)], folder=tmp_path)
    assert not kept(tmp_path)


@pytest.mark.parametrize("wrong", [["--only", "inpant"], ["--count", "0"], ["--count", "few"]])
def test_a_wrong_argument_is_refused(wrong: list[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(wrong, folder=tmp_path)
    assert caught.value.code == 2
