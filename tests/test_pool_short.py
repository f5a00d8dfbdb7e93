"""The pool when something runs short: descriptors, memory, threads that hang, and the time to end."""

import errno
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from tenantry import rations
from tenantry.errors import Unavailable
from tenantry.pool import Decline, Limits, Pool, scarce
from tenantry.pool.short import starved
from tenantry.pool.slots import LEAST
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX
from tests.sites import Factory, Site, Wanted, eventually, fail_build, leased, warm

factory, pools = fixtures.factory, fixtures.pools

MANY = [Wanted(f"tenant{number}") for number in range(10)]
Pools = Callable[..., Pool]


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Leave this process so many descriptors, for the time of a `with`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = rations.opened()
    assert used is not None
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# Telling


def test_the_newest_application_of_a_uid_is_told(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    assert pool.newest("acme") is None
    warm(pool, ACME)
    first = pool.newest("acme")
    leased(pool, ACME, "/t/acme").close()
    second = pool.newest("acme")
    assert (first.mount, second.mount) == ("", "/t/acme")
    leased(pool, replace(ACME, revision=2)).close()
    eventually(lambda: pool.newest("acme").revision == 2)
    pool.verify()
    pool.retire(["acme"])
    assert pool.newest("acme") is None


# Shedding


def test_idle_applications_first_rest_and_then_go_the_least_recently_used_first(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, *MANY)
    assert pool.shed(6) == 6
    eventually(lambda: [site.rests for site in factory.sites] == [1, 1, *[0] * 8])
    assert pool.live == 10
    assert pool.shed(1000) == 8 * 3 + 6
    eventually(lambda: len(factory.left()) == LEAST)
    assert [site.uid for site in factory.sites if not site.disposed.is_set()] == [
        "tenant6",
        "tenant7",
        "tenant8",
        "tenant9",
    ]
    assert pool.shed(1000) == 0
    assert pool.live == LEAST


def test_who_is_in_use_or_about_to_be_replaced_is_not_shed(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, *MANY)
    leases = [leased(pool, wanted) for wanted in MANY[:8]]
    gate = factory.shut("tenant8")
    leased(pool, replace(MANY[8], revision=2)).close()
    assert gate.reached.wait(5)
    assert pool.evict(99) == 1
    assert pool.live == 9
    factory.open("tenant8")
    for lease in leases:
        lease.close()
    eventually(lambda: "0 building" in repr(pool))


def test_what_keeps_more_connections_open_weighs_more(pools: Pools, factory: Factory) -> None:
    class Heavy(Site):
        weight = 5

    factory.make = Heavy  # type: ignore[method-assign]
    pool = pools(factory, Limits(awake=12))
    warm(pool, *MANY[:4])
    pool.sweep()
    eventually(lambda: [site.rests for site in factory.sites] == [1, 1, 0, 0])
    assert pool.shed(1) == 11
    eventually(lambda: [site.rests for site in factory.sites] == [1, 1, 1, 0])


def test_who_keeps_more_than_one_open_for_nothing_rests_after_a_while(
    pools: Pools, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle application costs one connection, however many requests it answered at a time before."""

    class Changing(Site):
        weight = 1

    factory.make = Changing  # type: ignore[method-assign]
    pool = pools(factory)
    warm(pool, *MANY[:3])
    factory.sites[0].weight = factory.sites[1].weight = 4  # type: ignore[attr-defined]
    pool.sweep()
    monkeypatch.setattr("tenantry.pool.slots.WHILE", 0.0)
    busy = leased(pool, MANY[1])
    pool.sweep()
    eventually(lambda: [site.rests for site in factory.sites] == [1, 0, 0])
    busy.close()


def test_what_keeps_none_open_need_not_rest(pools: Pools, factory: Factory) -> None:
    class Light(Site):
        weight = 0

    factory.make = Light  # type: ignore[method-assign]
    pool = pools(factory, Limits(awake=0))
    warm(pool, *MANY)
    pool.sweep()
    assert pool.shed(2) == 2
    eventually(lambda: len(factory.left()) == 8)
    assert not any(site.rests for site in factory.sites)


# Room for fewer


def test_there_is_room_for_fewer_and_then_for_more_again(
    pools: Pools, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pools(factory, Limits(capacity=10))
    warm(pool, *MANY)
    assert pool.room == 10
    assert [pool.shrink(), pool.shrink()] == [7, 7]  # what was let go of must have had the time to end
    assert pool.live == 7
    warm(pool, ACME)
    assert pool.live == 7
    monkeypatch.setattr("tenantry.pool.pool._SHRINKING", 0.0)
    assert [pool.shrink() for _ in range(4)] == [5, LEAST, LEAST, LEAST]
    assert pool.live == LEAST
    assert [pool.grow() for _ in range(7)] == [5, 6, 7, 8, 9, 10, 10]
    warm(pool, *MANY)
    assert pool.live == 10


def test_who_is_in_use_stays_although_there_is_no_room(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    leases = [leased(pool, wanted) for wanted in MANY]
    assert pool.shrink() == 7
    assert pool.live == 10
    with pytest.raises(Unavailable, match="All places"):
        pool.lease(ACME)
    for lease in leases:
        lease.close()
    warm(pool, ACME)
    assert factory.calls["acme"] == 1


# Builds that meet too few descriptors


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        OSError(errno.ENFILE, "Too many open files in system"),
        RuntimeError("as a library words it"),
    ],
    ids=["EMFILE", "ENFILE", "caused"],
)
def test_a_build_that_met_too_few_descriptors_is_tried_again_with_more(
    pools: Pools, factory: Factory, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(error, RuntimeError):
        error.__cause__ = ValueError()
        error.__cause__.__context__ = OSError(errno.EMFILE, "Too many open files")
    pool = pools(factory)
    warm(pool, *MANY)
    tries: list[int] = []

    def make(wanted: Wanted, mount: str) -> Site:
        tries.append(sum(site.disposed.is_set() for site in factory.sites))
        if len(tries) == 1:
            raise error
        return Site(wanted, mount)

    factory.make = make  # type: ignore[method-assign]
    leased(pool, ACME).close()
    assert tries == [0, 6]
    assert pool.room == LEAST
    assert "too few open files" in caplog.text
    assert not pool.failure("acme")


def test_a_build_that_finds_none_twice_fails(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = OSError(errno.EMFILE, "Too many open files")
    fail_build(pool, ACME)
    assert factory.calls["acme"] == 2
    assert "Too many open files" in pool.failure("acme")


def test_a_build_that_fails_for_another_reason_is_not_tried_again(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    for error in (OSError(errno.ENOENT, "No such file"), SystemExit(1)):
        factory.errors["acme"] = error
        assert not starved(error)
    fail_build(pool, ACME)
    factory.errors["globex"] = Decline(None)
    with suppress(Unavailable, Decline):
        leased(pool, GLOBEX)
    assert factory.calls == {"acme": 1, "globex": 1}


def test_an_error_without_a_word_of_it_is_judged_by_what_is_left() -> None:
    """SQLite says only that it cannot open a file."""
    error = sqlite3.OperationalError("unable to open database file")
    endless = ValueError()
    endless.__cause__ = endless
    assert not starved(error)
    assert not starved(endless)
    assert not scarce()
    with few_descriptors(5):
        assert scarce()
        assert not scarce(3)
        assert starved(error)


# What cannot be shed after all


def test_what_is_leased_in_the_moment_of_its_eviction_stays(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, ACME)
    idle = pool._evictable()
    lease = pool.lease(ACME)
    assert not pool._slots.evict(idle[0])
    assert pool.live == 1
    lease.close()
    assert pool._slots.evict(idle[0])
    assert pool.live == 0


def test_a_broken_invariant_is_named(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, ACME)
    live = pool._ready["acme"]
    live.retired = True
    with pytest.raises(AssertionError, match="is published and should not be"):
        pool.verify()
    live.retired = False
    pool.verify()
