"""The pool: who gets a lease on what, and how many there are of each."""

import threading
from dataclasses import replace

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Lease, Limits, Live, Pool
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX, INITECH
from tests.sites import (
    Factory,
    Site,
    begin,
    environ_of,
    eventually,
    leased,
    on_threads,
    site_of,
    warm,
)

factory, pool = fixtures.factory, fixtures.pool


# Leases


def test_a_lease_is_on_an_application_of_the_tenant(pool: Pool) -> None:
    with_lease = leased(pool, ACME)
    assert begin(with_lease.app, environ_of()).read() == "acme at 1"
    with_lease.close()


def test_a_tenant_has_a_live_application_for_each_mount(pool: Pool, factory: Factory) -> None:
    leases = [leased(pool, ACME), leased(pool, ACME, "/t/acme")]
    assert [site_of(lease).mount for lease in leases] == ["", "/t/acme"]
    for lease in leases:
        lease.close()


def test_a_second_lease_is_on_the_same_application(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, ACME, ACME)
    assert factory.calls == {"acme": 1}


def test_the_pool_tells_its_state(pool: Pool, factory: Factory) -> None:
    factory.errors["globex"] = ValueError("no")
    with pytest.raises(Unavailable):
        leased(pool, GLOBEX)
    lease = leased(pool, ACME)
    assert repr(pool) == "<Pool 1 live of 2, 0 building, 1 failing, 0 retired, 1 leases>"
    pool.retire(["acme"])
    assert repr(pool) == "<Pool 0 live of 2, 0 building, 1 failing, 1 retired, 1 leases>"
    lease.close()
    assert repr(pool) == "<Pool 0 live of 2, 0 building, 1 failing, 0 retired, 0 leases>"


def test_a_lease_ends_once_however_often_it_is_closed(pool: Pool) -> None:
    lease, other = leased(pool, ACME), leased(pool, ACME)
    lease.close()
    lease.close()
    pool.verify()
    assert repr(pool).endswith("1 leases>")
    other.close()


def test_a_lease_closed_by_many_threads_at_once_ends_once(pool: Pool) -> None:
    for _ in range(50):
        lease = leased(pool, ACME)
        barrier = threading.Barrier(4)

        def close(lease: object = lease, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            lease.close()  # type: ignore[attr-defined]

        on_threads(*[close] * 4)
        pool.verify()
        assert repr(pool).endswith("0 leases>")


# How many at a time


def test_what_is_beyond_the_limit_in_flight_is_refused_for_a_moment(pool: Pool) -> None:
    leases = [leased(pool, ACME), leased(pool, ACME)]
    with pytest.raises(Unavailable, match="busy") as refused:
        pool.lease(ACME)
    assert refused.value.awaits is None
    leases.pop().close()
    leases.append(pool.lease(ACME))
    for lease in leases:
        lease.close()


def test_the_limit_in_flight_counts_a_tenant_over_all_its_mounts(pool: Pool) -> None:
    warm(pool, ACME)
    leases = [leased(pool, ACME, "/t/acme"), leased(pool, ACME)]
    for mount in ("", "/t/acme"):
        with pytest.raises(Unavailable, match="busy"):
            pool.lease(ACME, mount)
    pool.verify()
    leases.pop().close()
    leases.append(pool.lease(ACME, "/t/acme"))
    for lease in leases:
        lease.close()


def test_a_busy_tenant_does_not_make_another_busy(pool: Pool) -> None:
    leases = [leased(pool, ACME), leased(pool, ACME), leased(pool, GLOBEX)]
    assert repr(pool).endswith("3 leases>")
    for lease in leases:
        lease.close()


# How many live


def test_the_least_recently_used_idle_application_makes_room(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX, ACME, INITECH)
    pool.verify()
    assert factory.left() == ["acme at 1", "initech at 1"]


def test_an_application_in_use_is_never_evicted(pool: Pool, factory: Factory) -> None:
    lease = leased(pool, ACME)
    warm(pool, GLOBEX, INITECH)
    assert not site_of(lease).disposed.is_set()
    lease.close()
    assert factory.calls["acme"] == 1


def test_an_application_that_is_leased_in_the_moment_of_its_eviction_is_left_as_it_was() -> None:
    live = Live("acme", "acme", 1, Site(ACME, ""), size=3)
    live.tokens.pop()
    assert not live.claim()
    assert (live.leases, live.idle, live.retired, len(live.tokens)) == (1, False, False, 2)
    Lease(live).close()
    assert live.claim()
    assert (live.leases, live.retired, len(live.tokens)) == (0, True, 0)


def test_when_all_are_in_use_a_newcomer_is_told_to_come_again(pool: Pool, factory: Factory) -> None:
    leases = [leased(pool, ACME), leased(pool, GLOBEX)]
    with pytest.raises(Unavailable, match="All places are taken") as refused:
        pool.lease(INITECH)
    assert refused.value.awaits is None
    assert not factory.calls["initech"]
    leases.pop().close()
    warm(pool, INITECH)
    leases.pop().close()


def test_a_build_that_fails_costs_nobody_a_place(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    factory.errors["initech"] = SystemExit()
    with pytest.raises(Unavailable):
        leased(pool, INITECH)
    pool.lease(ACME).close()
    pool.lease(GLOBEX).close()
    assert factory.calls == {"acme": 1, "globex": 1, "initech": 1}


def test_what_finds_no_place_once_it_is_built_is_disposed_of(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    gate = factory.shut("initech")
    with pytest.raises(Unavailable) as starting:
        pool.lease(INITECH)
    assert gate.reached.wait(5)
    leases = [pool.lease(ACME), pool.lease(GLOBEX)]
    factory.open("initech")
    assert starting.value.awaits is not None
    starting.value.awaits.result(5)
    pool.verify()
    with pytest.raises(Unavailable, match="All places are taken"):
        pool.lease(INITECH)
    eventually(lambda: factory.left() == ["acme at 1", "globex at 1"])
    for lease in leases:
        lease.close()


def test_a_replacement_needs_no_place_of_its_own(pool: Pool, factory: Factory) -> None:
    leases = [leased(pool, ACME), leased(pool, GLOBEX)]
    leased(pool, replace(ACME, revision=2)).close()
    eventually(lambda: factory.calls["acme"] == 2)
    eventually(lambda: "0 building" in repr(pool))
    pool.verify()
    for lease in leases:
        lease.close()


def test_what_is_idle_for_too_long_is_retired_and_what_is_in_use_is_not(factory: Factory) -> None:
    pool = Pool(factory, Limits(idle=0))
    warm(pool, ACME)
    lease = leased(pool, GLOBEX)
    pool.sweep()
    assert pool.live == 1
    eventually(lambda: factory.left() == ["globex at 1"])
    lease.close()
    pool.close()


def test_only_so_many_idle_applications_keep_their_connections_open(factory: Factory) -> None:
    pool = Pool(factory, Limits(awake=1))
    warm(pool, ACME, GLOBEX)
    busy = leased(pool, INITECH)
    pool.sweep()
    pool.sweep()
    eventually(lambda: [site.rests for site in factory.sites] == [1, 1, 0])
    pool.lease(ACME).close()
    busy.close()
    pool.lease(INITECH).close()
    pool.sweep()
    eventually(lambda: [site.rests for site in factory.sites] == [2, 1, 0])
    pool.close()


def test_what_cannot_rest_hurts_nobody_else(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(factory, Limits(awake=0))
    warm(pool, ACME, GLOBEX)

    def fail() -> None:
        raise SystemExit(3)

    factory.sites[0].rest = fail  # type: ignore[method-assign]
    pool.lease(ACME).close()
    pool.sweep()
    eventually(lambda: factory.sites[1].rests == 1 and "put to rest" in caplog.text)
    pool.close()
