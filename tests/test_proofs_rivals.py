"""Of sixteen processes with two verbs at one tenant one wins, the others are told so, and nobody waits for ever."""

from pathlib import Path

import pytest

from tests.proofs import rivals
from tests.proofs.rivals import PAIRS

ROUNDS, FULL_ROUNDS = 3, 100


def hold(folder: Path, rounds: int) -> None:
    scores = rivals.run(folder, rounds)
    assert [score.pair for score in scores] == [pair.name for pair in PAIRS]
    wrong = [score for score in scores if score.faults or score.stuck or score.slowest > rivals.DEADLINE]
    if wrong:
        pytest.fail("\n".join(line for score in wrong for line in (str(score), *score.faults[:3])), pytrace=False)


def test_rivals_at_one_tenant_leave_one_winner_and_a_whole_tenant(tmp_path: Path) -> None:
    hold(tmp_path, ROUNDS)


@pytest.mark.full
def test_a_hundred_rounds_of_rivals_leave_one_winner_each(tmp_path: Path) -> None:
    hold(tmp_path, FULL_ROUNDS)
