"""What two readers could read differently is refused, nothing behind it is answered, and what is legal is."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.proofs import raw


def hold(folder: Path, ways: Iterable[str]) -> None:
    verdicts = raw.run(folder, ways)
    wrong = verdicts.let_through + verdicts.second + verdicts.turned_away
    if wrong:
        pytest.fail("\n".join(wrong[:10]), pytrace=False)
    # So that the proof proves something: all that was thought of was sent, and not only refused.
    assert verdicts.refused > 1000
    assert verdicts.answered > 40


def test_malformed_requests_are_refused_and_legal_ones_answered(tmp_path: Path) -> None:
    hold(tmp_path, ["alone"])


@pytest.mark.full
def test_malformed_requests_are_refused_in_whatever_way_they_come(tmp_path: Path) -> None:
    hold(tmp_path, raw.WAYS)
