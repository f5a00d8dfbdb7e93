"""The pool: who gets a lease on what, and what becomes of a live application that nobody wants any more."""

import gc
import os
import signal
import threading
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Lease, Limits, Live, Pool
from tests.sites import (
    Factory,
    Site,
    Wanted,
    begin,
    environ_of,
    eventually,
    leased,
    on_threads,
    site_of,
    warm,
    without_collector,
)

ACME = Wanted("acme")
GLOBEX = Wanted("globex")
INITECH = Wanted("initech")


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def pool(factory: Factory) -> Iterator[Pool]:
    """A pool of two places that answers two requests of a tenant at a time."""
    made = Pool(factory, Limits(capacity=2, in_flight=2))
    yield made
    made.close()
    made.verify()
    eventually(lambda: not factory.left())


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
    assert [site.rests for site in factory.sites] == [1, 1, 0]
    pool.lease(ACME).close()
    busy.close()
    pool.lease(INITECH).close()
    pool.sweep()
    assert [site.rests for site in factory.sites] == [2, 1, 0]
    pool.close()


def test_what_cannot_rest_hurts_nobody_else(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(factory, Limits(awake=0))
    warm(pool, ACME, GLOBEX)

    def fail() -> None:
        raise SystemExit(3)

    factory.sites[0].rest = fail  # type: ignore[method-assign]
    pool.sweep()
    assert factory.sites[1].rests == 1
    assert "put to rest" in caplog.text
    pool.close()


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
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Pool(factory, wake=lambda: None)
    warm(pool, ACME, GLOBEX)

    def fail() -> None:
        raise SystemExit(3)

    factory.sites[0].close = fail  # type: ignore[method-assign]
    pool.retire(["acme"])
    pool.retire(["globex"])
    pool.reap()
    assert factory.sites[1].disposed.is_set()
    assert "disposed of" in caplog.text
    pool.close()


def test_the_pool_asks_for_somebody_to_reap_and_disposes_only_then(factory: Factory) -> None:
    asked = threading.Event()
    pool = Pool(factory, wake=asked.set)
    warm(pool, ACME)
    assert not asked.is_set()
    pool.retire(["acme"])
    assert asked.is_set()
    assert factory.left() == ["acme at 1"]
    pool.reap()
    assert not factory.left()
    pool.close()


def test_the_pool_lists_what_is_live_for_whoever_watches_over_it(pool: Pool, factory: Factory) -> None:
    warm(pool, ACME, GLOBEX)
    assert pool.built() == [("acme", factory.sites[0]), ("globex", factory.sites[1])]
    assert pool.live == 2


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


def test_what_outlasts_the_closing_is_disposed_of_although_nobody_reaps_any_more(factory: Factory) -> None:
    pool = Pool(factory, wake=lambda: None)
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


def test_what_a_failing_factory_had_made_is_freed_without_the_collector() -> None:
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


def in_child(what: object) -> int:
    """Run something in a forked child, within a deadline, and return 0 if it held."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on: this process has threads
        pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            assert callable(what)
            what()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


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

    def wake() -> None:
        """Be slow, under the pool's lock."""
        inside.set()
        go_on.wait(10)

    pool = Pool(factory, wake=wake)
    warm(pool, ACME)
    retiring = threading.Thread(target=pool.retire, args=(["acme"],), daemon=True)
    retiring.start()
    assert inside.wait(5)
    assert in_child(lambda: leased(pool, GLOBEX).close()) == 0
    go_on.set()
    retiring.join(5)
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
