"""A client that claims to have been forwarded is answered as if it had not."""

import logging
from pathlib import Path

import pytest

from tests.proofs import forwarding

# Each kind alone, all of them, none, and some of the others.
FEW = [0, forwarding.COMBINATIONS - 1, *(1 << kind for kind in range(len(forwarding.KINDS))), *range(5, 1024, 73)]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the platform's own logging end with the test."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])


def hold(folder: Path, combinations: list[int]) -> None:
    found = forwarding.run(folder, combinations)
    assert found.answers == 3 * len(forwarding.PLACES) * len(combinations)
    assert not found.differ, found.differ[0]


def test_forwarding_headers_decide_nothing_but_the_client(tmp_path: Path) -> None:
    hold(tmp_path, FEW)


@pytest.mark.full
def test_no_combination_of_forwarding_headers_decides_anything_but_the_client(tmp_path: Path) -> None:
    hold(tmp_path, list(range(forwarding.COMBINATIONS)))
