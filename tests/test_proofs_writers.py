"""Whoever was told that a write is in finds it, whatever an operator did to the tenant meanwhile."""

from pathlib import Path

import pytest

from tests.proofs import writers

TURNS, FULL_TURNS = 2, 50


def hold(folder: Path, turns: int) -> None:
    written = writers.run(folder, turns)
    assert not written.lost, f"{written}\n{written.lost[:10]}"
    assert not written.faults, f"{written}\n{written.faults[:10]}"
    assert written.acknowledged >= turns * 4
    assert set(written.verbs.values()) == {turns}


def test_writes_during_removing_renaming_and_cloning_are_kept(tmp_path: Path) -> None:
    hold(tmp_path, TURNS)


@pytest.mark.full
def test_writes_during_fifty_turns_of_verbs_are_kept(tmp_path: Path) -> None:
    hold(tmp_path, FULL_TURNS)
