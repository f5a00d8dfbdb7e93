"""Nothing of one tenant is seen at another; and if it were, it would be found."""

from pathlib import Path

import pytest

from tests.proofs import canaries
from tests.proofs.aviary import MEDIA
from tests.proofs.canaries import FULL, SMALL, Plan


def hold(folder: Path, plan: Plan) -> None:
    tally = canaries.run(folder, plan)
    assert not tally.foreign, "\n".join([str(tally), *tally.told[:10]])
    assert not tally.wrong, "\n".join([str(tally), *tally.wrong[:10]])
    assert not tally.unseen, f"no canary was seen at all in {tally.unseen}: {tally}"
    assert tally.requests == plan.requests
    assert all((tally.raised, tally.hung_up, tally.sockets)), str(tally)
    assert tally.builds > plan.tenants, "nothing was evicted"


def test_no_canary_is_seen_at_another_tenant(tmp_path: Path) -> None:
    hold(tmp_path, SMALL)


def test_a_canary_that_leaks_is_found_in_whichever_medium_it_does(tmp_path: Path) -> None:
    """Two tenants for each flaw of the application itself, from which no platform can keep it; more for the rarest."""
    leaks = (*MEDIA, *["error page"] * 3)
    tally = canaries.run(tmp_path, Plan(tenants=24, requests=2400, capacity=24, few=24, processes=1, leaks=leaks))
    assert set(MEDIA) <= set(tally.foreign), f"not found: {set(MEDIA) - set(tally.foreign)} in {tally}"


@pytest.mark.full
def test_no_canary_is_seen_at_another_tenant_in_a_million_requests(tmp_path: Path) -> None:
    hold(tmp_path, FULL)
