"""A session or a remember-me cookie of one tenant is worth nothing at another, whatever their keys are."""

from pathlib import Path

import pytest

from tests.proofs import replays

FEW, MANY = 6, 200


def hold(folder: Path, tenants: int, *, equal_keys: bool) -> None:
    replayed = replays.run(folder, tenants, equal_keys=equal_keys)
    assert not replayed.accepted, f"{replayed}: {replayed.accepted[:5]}"
    assert not replayed.refused, f"refused at home: {replayed.refused[:5]}"
    assert (replayed.pairs, replayed.replays) == (tenants * (tenants - 1), 2 * tenants * (tenants - 1))


@pytest.mark.parametrize("equal_keys", [False, True])
def test_no_cookie_of_one_tenant_is_accepted_at_another(tmp_path: Path, equal_keys: bool) -> None:
    hold(tmp_path, FEW, equal_keys=equal_keys)


def test_cookies_that_are_accepted_elsewhere_are_counted(tmp_path: Path) -> None:
    """An application that signs with a key of its own is beyond what the platform can keep apart."""
    replayed = replays.run(tmp_path, FEW, equal_keys=False, careless=True)
    assert len(replayed.accepted) == replayed.replays == 2 * FEW * (FEW - 1)


@pytest.mark.full
@pytest.mark.parametrize("equal_keys", [False, True])
def test_no_cookie_among_two_hundred_tenants_is_accepted_at_another(tmp_path: Path, equal_keys: bool) -> None:
    hold(tmp_path, MANY, equal_keys=equal_keys)
