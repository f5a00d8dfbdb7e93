"""The end of a pool: closing it, what is freed, and what a forked child makes of it."""

import gc
import logging
import threading
import weakref

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Limits, Pool
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX
from tests.sites import (
    Factory,
    Wanted,
    begin,
    environ_of,
    eventually,
    in_child,
    leased,
    on_threads,
    site_of,
    warm,
    without_collector,
)

factory, pool = fixtures.factory, fixtures.pool


# The end


def test_closing_disposes_of_everything_and_may_be_done_twice(factory: Factory) -> None:
    pool = Pool(factory)
    warm(pool, ACME, GLOBEX)
    pool.close()
    pool.close()
    pool.verify()
    assert not factory.left()
    assert repr(pool) == "<Pool 0 live of 200, 0 building, 0 failing, 0 retired, 0 leases>"


def test_a_closed_pool_leases_nothing(factory: Factory) -> None:
    pool = Pool(factory)
    warm(pool, ACME)
    pool.close()
    for wanted in (ACME, GLOBEX):
        with pytest.raises(Unavailable) as refused:
            pool.lease(wanted)
        assert refused.value.awaits is None
    assert factory.calls == {"acme": 1}


def test_closing_waits_for_the_last_lease_to_end(factory: Factory) -> None:
    pool = Pool(factory)
    lease = leased(pool, ACME)
    closing = threading.Thread(target=pool.close, daemon=True)
    closing.start()
    eventually(lambda: "1 retired" in repr(pool))
    assert closing.is_alive()
    assert not factory.sites[0].disposed.is_set()
    lease.close()
    closing.join(5)
    assert not closing.is_alive()
    assert not factory.left()


def test_what_outlasts_the_closing_is_disposed_of_when_it_ends(factory: Factory) -> None:
    pool = Pool(factory)
    lease = leased(pool, ACME)
    gate = factory.shut("globex")
    with pytest.raises(Unavailable):
        pool.lease(GLOBEX)
    assert gate.reached.wait(5)
    pool.close(seconds=0)
    pool.close(seconds=0)
    assert begin(lease.app, environ_of()).read() == "acme at 1"
    lease.close()
    factory.open("globex")
    eventually(lambda: len(factory.sites) == 2 and not factory.left())
    pool.verify()


def test_closing_while_others_lease_and_retire_ends_cleanly(factory: Factory) -> None:
    pool = Pool(factory, Limits(capacity=50, idle=0))
    everybody = [Wanted(f"tenant{number}") for number in range(40)]
    closed = threading.Event()

    def lease() -> None:
        while not closed.is_set():
            for wanted in everybody:
                try:
                    pool.lease(wanted).close()
                except Unavailable:
                    continue

    def sweep() -> None:
        while not closed.is_set():
            pool.sweep()

    def close() -> None:
        eventually(lambda: len(factory.sites) > 20)
        pool.close()
        closed.set()

    on_threads(lease, lease, sweep, close)
    pool.verify()
    eventually(lambda: not factory.left())


def test_a_disposed_application_is_freed_without_the_collector(factory: Factory) -> None:
    with without_collector():
        pool = Pool(factory)
        warm(pool, ACME)
        leased(pool, ACME, "/t/acme").close()
        seen = [weakref.ref(site) for site in factory.sites]
        factory.sites.clear()
        pool.retire(["acme"])
        eventually(lambda: not any(ref() for ref in seen))
        pool.close()


def test_what_a_failing_factory_had_made_is_freed_without_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests' own log handler keeps every record, and a record its exception.
    monkeypatch.setattr(logging.getLogger("tenantry.pool.given"), "disabled", True)

    class Half:
        """What a factory has made so far when it fails."""

    seen: list[weakref.ref[Half]] = []

    def fail(_: Wanted, __: str) -> None:
        half = Half()
        seen.append(weakref.ref(half))
        raise ValueError(half.__doc__)

    with without_collector():
        pool = Pool(fail)
        with pytest.raises(Unavailable) as starting:
            pool.lease(ACME)
        awaited = starting.value.awaits
        assert awaited is not None
        eventually(awaited.done)
        eventually(lambda: seen[0]() is None)
        pool.close()


# Forks


def test_a_forked_child_leases_again_with_a_build_of_its_own(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)

    def lease() -> None:
        held = leased(pool, ACME)
        assert len(factory.sites) == 2
        assert site_of(held) is factory.sites[1]
        held.close()
        pool.verify()
        assert repr(pool) == "<Pool 1 live of 2, 0 building, 0 failing, 0 retired, 0 leases>"

    assert in_child(lease) == 0
    pool.verify()
    assert factory.calls == {"acme": 1}


def test_a_forked_child_neither_uses_nor_closes_what_its_parent_has_open(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME)
    held = leased(pool, GLOBEX)
    seen = weakref.ref(factory.sites[0])
    parents = list(factory.sites)
    del factory.sites[:]

    def close() -> None:
        held.close()
        pool.close()
        gc.collect()
        assert not [site for site in parents if site.disposed.is_set() or site.rests]
        del parents[:]
        gc.collect()
        assert seen() is not None

    assert in_child(close) == 0
    held.close()
    factory.sites[:] = parents


def test_a_fork_while_another_thread_holds_the_lock_does_not_block_the_child(factory: Factory) -> None:
    inside, go_on = threading.Event(), threading.Event()
    pool = Pool(factory)

    def hold() -> None:
        with pool._lock:
            inside.set()
            go_on.wait(10)

    holding = threading.Thread(target=hold, daemon=True)
    holding.start()
    assert inside.wait(5)
    assert in_child(lambda: leased(pool, GLOBEX).close()) == 0
    go_on.set()
    holding.join(5)
    pool.close()


def test_a_lease_that_a_child_inherits_ends_in_the_child_without_harm(pool: Pool, factory: Factory) -> None:
    held = leased(pool, ACME)
    pool.retire(["acme"])

    def end() -> None:
        held.close()
        pool.verify()
        assert not factory.sites[0].disposed.is_set()

    assert in_child(end) == 0
    held.close()
    assert factory.sites[0].disposed.wait(5)
