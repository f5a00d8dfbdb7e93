"""Change in the pool: what serves on when a tenant has changed, what is let go of, and when it is disposed of."""

import threading
from dataclasses import replace

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Pool
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX
from tests.sites import (
    Factory,
    begin,
    environ_of,
    eventually,
    leased,
    on_threads,
    site_of,
    warm,
)

factory, pool = fixtures.factory, fixtures.pool


# Change


def test_the_older_build_serves_until_the_new_one_is_ready(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    changed = replace(ACME, revision=2)
    gate = factory.shut("acme")
    pool.follow(changed)
    lease = pool.lease(changed)
    assert gate.reached.wait(5)
    assert site_of(lease).revision == 1
    factory.open("acme")
    eventually(lambda: "0 building" in repr(pool))
    newer = pool.lease(changed)
    assert site_of(newer).revision == 2
    assert not site_of(lease).disposed.is_set()
    newer.close()
    lease.close()
    eventually(lambda: factory.left() == ["acme at 2"])


def test_a_change_that_moved_the_data_lets_nothing_older_serve(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    gate = factory.shut("acme")
    moved = replace(ACME, revision=2, moved=2)
    with pytest.raises(Unavailable) as starting:
        pool.lease(moved)
    assert gate.reached.wait(5)
    assert starting.value.awaits is not None
    with pytest.raises(Unavailable):
        pool.lease(moved)
    factory.open("acme")
    lease = leased(pool, moved)
    assert site_of(lease).revision == 2
    lease.close()


def test_following_a_change_that_moved_the_data_lets_go_of_what_is_older(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    pool.follow(replace(ACME, revision=2, moved=2))
    eventually(lambda: factory.left() == ["globex at 1"])


def test_a_build_from_before_the_data_moved_is_given_up_and_never_published(pool: Pool, factory: Factory) -> None:
    gate = factory.shut("acme")
    with pytest.raises(Unavailable) as starting:
        pool.lease(ACME)
    assert gate.reached.wait(5)
    pool.follow(replace(ACME, revision=2, moved=2))
    assert starting.value.awaits is not None
    with pytest.raises(Unavailable, match="has changed"):
        starting.value.awaits.result(5)
    factory.open("acme")
    eventually(lambda: factory.sites and not factory.left())
    assert pool.live == 0


def test_following_a_change_that_moved_nothing_leaves_all_as_it_is(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    pool.follow(replace(ACME, revision=2))
    assert pool.live == 1
    assert factory.calls == {"acme": 1}


def test_who_knows_only_an_older_revision_is_served_by_the_newer_build(pool: Pool, factory: Factory) -> None:
    warm(pool, replace(ACME, revision=2))
    lease = pool.lease(ACME)
    assert site_of(lease).revision == 2
    lease.close()
    assert factory.calls == {"acme": 1}


def test_what_is_outdated_serves_until_its_successor_of_the_same_revision_is_ready(
    pool: Pool, factory: Factory
) -> None:
    warm(pool, ACME)
    pool.outdate("acme")
    gate = factory.shut("acme")
    pool.lease(ACME).close()
    assert gate.reached.wait(5)
    first = pool.lease(ACME)
    assert site_of(first) is factory.sites[0]
    factory.open("acme")
    eventually(lambda: "0 building" in repr(pool))
    second = pool.lease(ACME)
    assert site_of(second) is factory.sites[1]
    first.close()
    second.close()
    pool.lease(ACME).close()
    assert factory.calls == {"acme": 2}


def test_an_outdated_application_goes_on_serving_while_its_successor_fails(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    pool.outdate("acme")
    factory.errors["acme"] = ValueError("config.toml is broken")
    pool.lease(ACME).close()
    eventually(lambda: pool.failure("acme"))
    pool.lease(ACME).close()
    assert "config.toml is broken" in pool.failure("acme")
    assert factory.calls == {"acme": 2}


def test_what_is_outdated_again_is_tried_at_once_although_it_has_failed(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    for calls in (2, 3, 4):
        factory.errors["acme"] = ValueError(f"broken {calls}")
        pool.outdate("acme")
        pool.lease(ACME).close()
        eventually(lambda: f"broken {factory.calls['acme']}" in pool.failure("acme"))
        assert factory.calls == {"acme": calls}
    del factory.errors["acme"]
    pool.outdate("acme")
    pool.lease(ACME).close()
    eventually(lambda: pool.built() == [("acme", factory.sites[1])])
    assert not pool.failure("acme")


# Retiring


def test_a_retired_application_takes_no_new_lease(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    pool.retire(["acme", "nobody"])
    with pytest.raises(Unavailable) as starting:
        pool.lease(ACME)
    assert starting.value.awaits is not None
    starting.value.awaits.result(5)
    assert factory.calls["acme"] == 2


def test_a_retired_application_is_disposed_of_after_its_last_lease(pool: Pool, factory: Factory) -> None:
    leases = [leased(pool, ACME), leased(pool, ACME)]
    site = site_of(leases[0])
    pool.retire(["acme"])
    leases.pop().close()
    pool.verify()
    assert begin(leases[0].app, environ_of()).read() == "acme at 1"
    on_threads(leases.pop().close)
    assert site.disposed.wait(5)
    assert "0 retired" in repr(pool)


def test_both_mounts_of_a_tenant_retire_together(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    leased(pool, ACME, "/t/acme").close()
    pool.retire(["acme"])
    assert pool.live == 0
    eventually(lambda: not factory.left())


def test_one_that_cannot_be_disposed_of_does_not_keep_the_others(
    pool: Pool, factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    warm(pool, ACME, GLOBEX)
    close = factory.sites[0].close

    def fail() -> None:
        close()
        raise SystemExit(3)

    factory.sites[0].close = fail  # type: ignore[method-assign]
    pool.retire(["acme", "globex"])
    eventually(lambda: not factory.left())
    eventually(lambda: "disposed of" in caplog.text)


def test_what_the_system_had_no_thread_to_dispose_of_goes_with_the_next(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    usual = threading.stack_size(1 << 46)  # more than there is, so that no thread can start
    try:
        pool.retire(["acme"])
    finally:
        threading.stack_size(usual)
    assert factory.left() == ["acme at 1", "globex at 1"]
    pool.retire(["globex"])
    eventually(lambda: not factory.left())


def test_the_pool_lists_what_is_live_for_whoever_watches_over_it(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    assert pool.built() == [("acme", factory.sites[0]), ("globex", factory.sites[1])]
    assert pool.live == 2
