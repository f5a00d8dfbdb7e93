"""A server is replaced while people are on it, and nobody's request fails."""

from pathlib import Path

import pytest

from tests.proofs import restarts
from tests.proofs.restarts import Restarted


def see(restarted: Restarted, times: int, requests: int) -> None:
    assert not restarted.failed, f"{restarted}\n{restarted.failed[:10]}"
    assert not restarted.faults, f"{restarted}\n{restarted.faults[:10]}"
    assert restarted.restarts == times
    assert restarted.requests >= requests


def test_a_hand_over_drops_nothing(tmp_path: Path) -> None:
    """SIGHUP: the next process has the sockets before the one before lets go of them."""
    see(restarts.hand_over(tmp_path, 2, 300), 2, 300)


def test_a_stop_and_a_start_on_a_socket_that_stays_drop_nothing(tmp_path: Path) -> None:
    """Whoever knocks in between waits in the socket's queue."""
    see(restarts.activate(tmp_path, 1, 200), 1, 200)


@pytest.mark.full
def test_twenty_hand_overs_among_ten_thousand_requests_drop_nothing(tmp_path: Path) -> None:
    see(restarts.hand_over(tmp_path, 20, 10_000), 20, 10_000)


@pytest.mark.full
def test_five_stops_and_starts_on_a_socket_that_stays_drop_nothing(tmp_path: Path) -> None:
    see(restarts.activate(tmp_path, 5, 5_000), 5, 5_000)
