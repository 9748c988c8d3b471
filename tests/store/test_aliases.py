"""An alias leads to a key, in one piece or not at all, and goes when nothing is kept there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sdgraph.store import DiskStore
from sdgraph.store.aliases import Aliases

ALIAS, KEY, OTHER = (bytes([n]) * 16 for n in (1, 2, 3))
HEX = "a" * 32
OLD = bytes.fromhex(HEX)


def links(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.alias"))


def test_an_alias_leads_to_the_key_it_was_given_last(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path / "results")
    assert aliases.get(ALIAS) is None
    aliases.put(ALIAS, KEY)
    aliases.put(ALIAS, KEY)
    assert Aliases(tmp_path / "results").get(ALIAS) == KEY
    aliases.put(ALIAS, OTHER)
    assert aliases.get(ALIAS) == OTHER and len(links(tmp_path)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "/etc/passwd",
        HEX,
        f"../aa/{HEX}",
        f"../../aa/{HEX}.safetensors",
        f"../aa/{HEX}.safetensors",
        f"../aa/{HEX}.safetensors#{'0' * 16}",
    ],
)
def test_a_link_that_names_no_key_counts_for_nothing(tmp_path: Path, text: str) -> None:
    aliases = Aliases(tmp_path)
    aliases.put(ALIAS, KEY)
    (link,) = links(tmp_path)
    link.unlink()
    link.symlink_to(text)
    assert aliases.get(ALIAS) is None
    link.unlink()
    link.write_text(KEY.hex())  # a file in its place
    assert aliases.get(ALIAS) is None


def test_a_link_that_is_copied_to_another_name_counts_for_nothing(tmp_path: Path) -> None:
    aliases = Aliases(tmp_path)
    aliases.put(ALIAS, KEY)
    text = links(tmp_path)[0].readlink()
    aliases.put(OTHER, OTHER)
    link = next(link for link in links(tmp_path) if link.stem == OTHER.hex())
    link.unlink()
    link.symlink_to(text)
    assert aliases.get(OTHER) is None and aliases.get(ALIAS) == KEY


def test_where_a_folder_takes_no_links_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    aliases = Aliases(tmp_path / "file")
    aliases.put(ALIAS, KEY)
    assert aliases.get(ALIAS) is None


@pytest.mark.usefixtures("one_file_each")
def test_aliases_go_with_what_they_lead_to_and_when_they_are_old(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    store.put(KEY, 1, "int:1", node="Number", seconds=0.0, files={})
    for alias, key in ((ALIAS, KEY), (OTHER, OTHER), (KEY, KEY)):
        store.aliases.put(alias, key)
    foreign = tmp_path / "ab" / "mine.alias"
    foreign.parent.mkdir()
    foreign.symlink_to("nowhere")
    old = next(link for link in links(tmp_path) if link.stem == KEY.hex())
    long_ago = time.time() - 100 * 86400
    os.utime(old, (long_ago, long_ago), follow_symlinks=False)
    store.put(OLD, 2, "int:2", node="Number", seconds=0.0, files={})
    os.utime(store.path_of(OLD), (long_ago, long_ago))
    store.prune(older=3600.0)
    assert links(tmp_path) == sorted([foreign, tmp_path / "01" / f"{ALIAS.hex()}.alias"])
    assert store.aliases.get(ALIAS) == KEY
    assert store.clear()[0] == 1 and links(tmp_path) == [foreign]
