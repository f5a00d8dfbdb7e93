"""What hangs: builds that do not come back, applications that do not end, and the pool that ends nevertheless."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Build, Limits, Pool
from tenantry.pool.aside import Disposal
from tenantry.pool.build import Builds
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX, INITECH
from tests.sites import Factory, Site, Wanted, begin_build, eventually, on_threads, warm

factory, pools = fixtures.factory, fixtures.pools

MANY = [Wanted(f"tenant{number}") for number in range(10)]
Pools = Callable[..., Pool]


@contextmanager
def no_threads() -> Iterator[None]:
    """Have the system refuse every new thread."""
    usual = threading.stack_size(1 << 46)  # more than there is
    try:
        yield
    finally:
        threading.stack_size(usual)


# Builds that hang


def test_slow_builds_keep_nobody_waiting_until_there_are_four_times_as_many(pools: Pools, factory: Factory) -> None:
    pool = pools(factory, Limits(builders=1, slow=0.0))
    gates = [factory.shut(wanted.uid) for wanted in MANY[:5]]
    building = [begin_build(pool, wanted) for wanted in MANY[:5]]
    assert all(gate.reached.wait(5) for gate in gates[:4])
    pool.sweep()
    assert not gates[4].reached.is_set()
    factory.open("tenant0")
    assert gates[4].reached.wait(5)
    for wanted in MANY[1:5]:
        factory.open(wanted.uid)
    for build in building:
        build.result(5)


def test_a_build_that_was_only_slow_lets_the_next_begin_with_the_next_sweep(pools: Pools, factory: Factory) -> None:
    pool = pools(factory, Limits(builders=1, slow=0.05))
    gate = factory.shut("acme")
    first, second = begin_build(pool, ACME), begin_build(pool, GLOBEX)
    assert gate.reached.wait(5)

    def swept() -> bool:
        pool.sweep()
        return second.done()

    eventually(swept)
    assert not first.done()
    factory.open("acme")
    first.result(5)


def test_a_slot_whose_builds_hang_is_not_tried_for_ever(pools: Pools, factory: Factory) -> None:
    """Each costs a thread until it comes back; a change of the tenant, or an edit, begins anew."""
    pool = pools(factory, Limits(deadline=0, hung=2))
    gate = factory.shut("acme")

    def hang(wanted: Wanted) -> None:
        before = factory.calls["acme"]
        begin_build(pool, wanted)
        eventually(lambda: factory.calls["acme"] == before + 1)
        pool.sweep()
        failures = pool._builds.failures
        failures["acme"] = replace(failures["acme"], until=0.0)  # as if it had rested

    hang(ACME)
    hang(ACME)
    assert pool.abandoned == 2
    with pytest.raises(Unavailable) as refused:
        pool.lease(ACME)
    assert refused.value.awaits is None
    hang(replace(ACME, revision=2))
    assert pool.abandoned == 3
    pool.outdate("acme")
    hang(ACME)
    gate.opened.set()
    eventually(lambda: len(factory.sites) == 4 and not factory.left())
    assert pool.abandoned == 0


def test_a_build_that_ends_in_the_moment_of_its_deadline_is_not_abandoned(pools: Pools, factory: Factory) -> None:
    pool = pools(factory)
    building = begin_build(pool, ACME)
    building.result(5)
    assert isinstance(building, Build)
    pool._abandon(building)
    assert pool.abandoned == 0
    assert not pool.failure("acme")


def test_a_build_that_is_given_up_in_the_moment_it_cannot_start_is_not_queued_again() -> None:
    builds = Builds(Limits())
    build = builds.queue(Build("acme", ACME, "", lambda _: None))
    assert builds.startable() == [build]
    assert builds.give_up({"acme"}) == [build]
    builds.postpone(build)
    assert builds.startable() == []


# The end


def test_an_end_that_hangs_is_left_behind(factory: Factory, caplog: pytest.LogCaptureFixture) -> None:
    pool = Pool(factory)
    warm(pool, ACME, GLOBEX)
    go_on = threading.Event()
    factory.sites[0].close = lambda: go_on.wait(20)  # type: ignore[method-assign, assignment]
    pool.close(0.05)
    assert factory.left() == ["acme at 1"]
    assert "left behind" in caplog.text
    go_on.set()
    eventually(lambda: "aside" not in {thread.name for thread in threading.enumerate()})


def test_where_the_system_has_no_thread_it_is_disposed_of_at_the_end(factory: Factory) -> None:
    pool = Pool(factory)
    warm(pool, ACME)
    with no_threads():
        pool.retire()
        assert factory.left() == ["acme at 1"]
        pool.close()
    assert not factory.left()


def test_a_build_that_ends_after_the_end_is_disposed_of_and_nobody_is_told(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[Any] = []
    pool = Pool(factory, report=lambda *told: reports.append(told))
    gates = {uid: factory.shut(uid) for uid in ("acme", "globex")}
    factory.errors["globex"] = ValueError("broken")
    for wanted in (ACME, GLOBEX):
        begin_build(pool, wanted)
        assert gates[wanted.uid].reached.wait(5)
    pool.close()
    for uid in gates:
        factory.open(uid)
    eventually(lambda: factory.sites and not factory.left())
    eventually(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("build-")])
    assert not reports
    assert not caplog.text


def test_a_build_that_concludes_in_the_moment_of_the_end_tells_nobody(factory: Factory) -> None:
    reports: list[Any] = []
    pool = Pool(factory, report=lambda *told: reports.append(told))
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool._closed = True  # closed, and not yet come to giving builds up
    factory.open("acme")
    building.result(5)
    eventually(lambda: not factory.left())
    assert not reports
    with pytest.raises(Unavailable, match="All places"):
        pool.lease(INITECH)
    pool.close()


def test_many_threads_dispose_of_each_thing_once() -> None:
    disposal = Disposal()
    sites = [Site(ACME, "") for _ in range(200)]
    disposal._waiting.extend(sites)
    on_threads(*[disposal.finish] * 8)
    assert disposal.settle(5)
    assert all(site.disposed.is_set() for site in sites)
