"""The kept rows: merged system by system, written and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from .table import RESULTS, SHOWN, Row, keep, kept, merged, table

pytestmark = pytest.mark.quick

ROW = Row("inpaint", "all right", 0.96, "≥ 0.95", 500, "20 DDIM steps", "inpaint", "abc")
ORDER = ("vae", "inpaint", "turbo")


def test_a_row_shows_all_that_it_says() -> None:
    assert str(ROW) == "| inpaint | all right | 0.96 | ≥ 0.95 | 500 | 20 DDIM steps | abc |"
    lines = table([ROW, replace(ROW, value=1.0)]).splitlines()
    assert lines[2] == str(ROW) and "| 1 |" in lines[3]
    assert {line.count("|") for line in lines} == {8}


def test_a_run_replaces_all_rows_of_its_systems_and_no_other() -> None:
    vae, turbo = replace(ROW, system="vae"), replace(ROW, system="turbo")
    old = [vae, ROW, replace(ROW, what="of an older kind"), turbo]
    new = [replace(ROW, value=0.5)]
    assert merged(old, new, ORDER) == [vae, *new, turbo]


def test_systems_stand_in_their_order_and_what_is_no_system_goes() -> None:
    turbo, gone = replace(ROW, system="turbo"), replace(ROW, system="gone")
    second = replace(ROW, what="asked object right")
    assert merged([turbo, gone], [ROW, second], ORDER) == [ROW, second, turbo]


def test_rows_are_read_as_they_were_kept(tmp_path: Path) -> None:
    assert kept(tmp_path) == []
    rows = [ROW, replace(ROW, value=0.123457, what="F1")]
    keep(rows, tmp_path)
    assert kept(tmp_path) == rows
    assert all(str(row) in (tmp_path / SHOWN).read_text("utf-8") for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == [SHOWN, RESULTS]
