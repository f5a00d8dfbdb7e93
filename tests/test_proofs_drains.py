"""A server that is told to stop with all hands full finishes what was begun, to the last byte, and ends with 0."""

from pathlib import Path

import pytest

from tests.proofs import drains
from tests.proofs.drains import Load

SMALL, FULL_ROUNDS = Load(running=8, waiting=8, large=2, uploads=2, streams=2), 5


def hold(folder: Path, load: Load, rounds: int) -> None:
    drained = drains.run(folder, load, rounds)
    assert not drained.faults, f"{drained}\n{drained.faults[:10]}"
    assert drained.complete == {
        kind: number * rounds
        for kind, number in {
            "first answers": 2,
            "running": load.running,
            "waiting": load.waiting,
            "large answers": load.large,
            "files": load.large,
            "streams": load.streams,
            "uploads": load.uploads,
        }.items()
    }


def test_what_was_begun_at_sigterm_is_finished(tmp_path: Path) -> None:
    """Running, waiting, sent in part, received in part: all is whole."""
    hold(tmp_path, SMALL, 1)


@pytest.mark.full
def test_what_was_begun_at_sigterm_is_finished_with_all_hands_full(tmp_path: Path) -> None:
    """As many of each as is promised, and several times."""
    hold(tmp_path, Load(), FULL_ROUNDS)
