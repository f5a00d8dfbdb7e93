"""What anybody can send without end, or at any length, leaves next to nothing behind."""

import tracemalloc
from collections.abc import Iterator

import pytest

from tests.doors import Street, tenant
from tests.gateways import DOMAIN, Gate
from tests.sites import warm

# The server remembers by key what each has cost: so many keys, and each of a length that anybody chooses.
LONG = "a" * 30_000
NO_NAMES = ["", LONG, "Acme", "a_b", "a--b", "123", "..", "favicon.ico", "%61cme%20", "acme%00"]


@pytest.fixture
def gate() -> Iterator[Gate]:
    street = Street(tenant("acme"))
    warm(street.pool, tenant("acme"))  # type: ignore[arg-type]
    yield Gate(street)
    street.pool.close()


@pytest.mark.parametrize("segment", NO_NAMES, ids=lambda segment: segment[:12] or "nothing")
def test_a_segment_that_can_be_nobodys_has_no_lane_of_its_own(gate: Gate, segment: str) -> None:
    """Nor is its body read any further than that of others who are not there."""
    for target in (f"/t/{segment}", f"/t/{segment}/x", f"/t/{segment}?a=b"):
        assert gate.gateway.lane({"HOST": DOMAIN}, target) == ""
        assert gate.gateway.admit({"HOST": DOMAIN}, target) is None


def test_who_may_be_there_has_a_lane_before_anybody_knows(gate: Gate) -> None:
    lane, admit = gate.gateway.lane, gate.gateway.admit
    assert lane({"HOST": DOMAIN}, "/t/acme/x") == lane({"HOST": f"acme.{DOMAIN}"}, "/") == "acme"
    assert lane({"HOST": DOMAIN}, "/t/%61cme/x") == "acme"
    assert admit({"HOST": DOMAIN}, "/t/acme/x") == admit({"HOST": f"acme.{DOMAIN}"}, "/") == 1 << 20
    assert lane({"HOST": DOMAIN}, "/t/nobody/x") == ("path", "nobody")
    assert admit({"HOST": DOMAIN}, "/t/nobody/x") is None
    assert (lane({"HOST": DOMAIN}, "/"), admit({"HOST": DOMAIN}, "/")) == ("", 1 << 16)


@pytest.mark.parametrize("host", [f"{'a' * 300}.{DOMAIN}", ".".join(["a" * 60] * 5), f"elsewhere.org:{'8' * 300}"])
def test_a_host_that_is_too_long_is_none(gate: Gate, host: str) -> None:
    assert gate.gateway.lane({"HOST": host}, "/") == ""


def test_the_keys_of_lanes_are_short_whatever_is_asked_for(gate: Gate) -> None:
    """As many as the server keeps keys, at a length that is kept of none."""
    tracemalloc.start()
    try:
        keys = {gate.gateway.lane({"HOST": DOMAIN}, f"/t/{number}{LONG}/") for number in range(400)}
        keys |= {gate.gateway.lane({"HOST": f"{number}{'a.' * 120}org"}, "/") for number in range(400)}
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(keys) == 401
    assert kept < 1 << 20
