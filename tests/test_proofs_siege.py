"""Slow clients, as many as there may be, are cut in time, and a visitor of another tenant notices nothing."""

from pathlib import Path

import pytest

from tests.benchmarks.front_in import SHORT
from tests.proofs import siege
from tests.proofs.siege import Siege


def hold(folder: Path, planned: Siege, slowest: float, after: float) -> None:
    seen = siege.run(folder, planned)
    assert seen.failed == []
    assert seen.overdue == []
    # Everybody was there, and was cut.
    assert len(seen.cut["headers"]) >= planned.headers
    assert len(seen.cut["bodies"]) >= planned.bodies
    assert len(seen.cut["takers"]) >= planned.takers
    assert seen.slowest() < slowest
    assert seen.slowest(since=planned.deadline) < after


def test_slow_clients_are_cut_and_a_visitor_is_served_meanwhile(tmp_path: Path) -> None:
    hold(tmp_path, SHORT, slowest=10.0, after=10.0)  # beside other tests, far below the patience of a visitor


@pytest.mark.full
def test_a_whole_siege_with_default_settings_is_noticed_by_nobody(tmp_path: Path) -> None:
    hold(tmp_path, Siege(), slowest=3.0, after=1.0)
