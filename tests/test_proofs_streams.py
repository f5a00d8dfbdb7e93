"""Streams that are being read come to their end whole, however many applications come and go meanwhile."""

from pathlib import Path

import pytest

from tests.proofs import streams

STREAMS, EVICTIONS = 24, 120
FULL_STREAMS, FULL_EVICTIONS = 200, 10_000


def hold(folder: Path, count: int, evictions: int) -> None:
    seen = streams.run(folder, count, evictions)
    assert not seen.broken, f"{seen}\n{seen.broken[:10]}"
    assert not seen.wrong, f"{seen}\n{seen.wrong[:10]}"
    assert not seen.left, f"{seen}\n{seen.left[:10]}"
    assert seen.evictions >= evictions
    assert seen.whole >= count


def test_streams_are_whole_during_evictions(tmp_path: Path) -> None:
    hold(tmp_path, STREAMS, EVICTIONS)


@pytest.mark.full
def test_two_hundred_streams_are_whole_during_ten_thousand_evictions(tmp_path: Path) -> None:
    hold(tmp_path, FULL_STREAMS, FULL_EVICTIONS)
