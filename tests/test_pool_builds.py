"""Builds: one at a time for a slot, away from everybody else, within a deadline."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Build, Limits, Pool
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX
from tests.sites import (
    PATIENCE,
    Factory,
    Wanted,
    begin_build,
    eventually,
    leased,
    on_threads,
    site_of,
    warm,
)

factory, pools = fixtures.factory, fixtures.pools


# One build


def test_two_hundred_callers_of_a_cold_tenant_cause_one_build(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(in_flight=200))
    gate = factory.shut("acme")
    asked = threading.Barrier(201)

    def call() -> int:
        asked.wait(10)
        lease = leased(pool, ACME)
        revision = site_of(lease).revision
        lease.close()
        return revision

    def open_gate() -> None:
        asked.wait(10)
        assert gate.reached.wait(5)
        factory.open("acme")

    assert on_threads(*[call] * 200, open_gate)[:200] == [1] * 200
    assert factory.calls == {"acme": 1}


def test_each_mount_of_a_tenant_is_built_for_itself(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    on_threads(lambda: leased(pool, ACME).close(), lambda: leased(pool, ACME, "/t/acme").close())
    assert factory.calls == {"acme": 1, "acme/t/acme": 1}


def test_a_warm_tenant_is_served_while_another_builds(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, GLOBEX)
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool.lease(GLOBEX).close()
    leased(pool, Wanted("initech")).close()
    pool.retire(["initech"])
    pool.sweep()
    pool.reap()
    pool.verify()
    assert "1 building" in repr(pool)
    factory.open("acme")
    building.result(5)


def test_only_so_many_builds_run_at_a_time_and_the_next_follows_by_itself(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory, Limits(builders=1))
    gate = factory.shut("acme")
    first, second = begin_build(pool, ACME), begin_build(pool, GLOBEX)
    assert gate.reached.wait(5)
    assert factory.calls == {"acme": 1}
    factory.open("acme")
    first.result(5)
    second.result(5)
    assert factory.calls == {"acme": 1, "globex": 1}


def test_a_build_that_is_given_up_lets_the_next_begin(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(builders=1))
    gate = factory.shut("acme")
    begin_build(pool, ACME)
    waiting = begin_build(pool, GLOBEX)
    assert gate.reached.wait(5)
    pool.retire(["acme"])
    waiting.result(5)
    factory.open("acme")
    eventually(lambda: factory.left() == ["globex at 1"])


def test_a_build_that_waits_for_its_turn_and_is_given_up_never_runs(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory, Limits(builders=1))
    gate = factory.shut("acme")
    begin_build(pool, ACME)
    waiting = begin_build(pool, GLOBEX)
    assert gate.reached.wait(5)
    pool.retire(["globex"])
    with pytest.raises(Unavailable, match="has changed"):
        waiting.result(5)
    factory.open("acme")
    leased(pool, ACME).close()
    assert factory.calls == {"acme": 1}


def test_who_awaits_a_build_while_its_tenant_is_retired_is_told_to_come_again(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory)
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool.retire(["acme"])
    with pytest.raises(Unavailable, match="has changed") as changed:
        building.result(5)
    assert changed.value.retry_after == 1
    factory.open("acme")
    eventually(lambda: factory.sites and not factory.left())
    assert pool.live == 0


def test_where_the_system_has_no_thread_left_the_next_caller_starts_the_build(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory)
    usual = threading.stack_size(1 << 46)  # more than there is, so that no thread can start
    try:
        building = begin_build(pool, ACME)
    finally:
        threading.stack_size(usual)
    assert not factory.calls
    assert not building.done()
    assert begin_build(pool, ACME) is building
    building.result(5)
    assert factory.calls == {"acme": 1}


# Deadlines


def test_a_build_past_its_deadline_is_abandoned_and_its_late_result_disposed_of(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory, Limits(deadline=0))
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool.sweep()
    with pytest.raises(Unavailable, match="cannot start"):
        building.result(5)
    assert pool.abandoned == 1
    assert "had not answered" in pool.failure("acme")
    factory.open("acme")
    eventually(lambda: factory.sites and not factory.left())
    assert pool.live == 0


def test_the_place_of_an_abandoned_build_is_free_for_another(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(capacity=1, builders=1, deadline=0))
    gate = factory.shut("acme")
    begin_build(pool, ACME)
    with pytest.raises(Unavailable, match="All places are taken"):
        pool.lease(GLOBEX)
    assert gate.reached.wait(5)
    pool.sweep()
    leased(pool, GLOBEX).close()
    assert pool.live == 1
    factory.open("acme")
    eventually(lambda: factory.left() == ["globex at 1"])


def test_a_late_result_does_not_take_the_place_of_a_build_that_came_after(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory, Limits(deadline=0))
    late = factory.shut("acme")
    begin_build(pool, ACME)
    assert late.reached.wait(5)
    pool.sweep()
    factory.shut("acme")
    newer = begin_build(pool, replace(ACME, revision=2))
    late.opened.set()
    eventually(lambda: factory.sites and factory.sites[0].disposed.is_set())
    assert not newer.done()
    factory.open("acme")
    newer.result(5)
    lease = pool.lease(replace(ACME, revision=2))
    assert site_of(lease).revision == 2
    lease.close()


def test_an_abandoned_build_counts_as_a_failure_and_is_reported(pools: Callable[..., Pool], factory: Factory) -> None:
    reports: list[tuple[str, str | None]] = []
    pool = pools(factory, Limits(deadline=0), report=lambda wanted, reason: reports.append((wanted.uid, reason)))
    gate = factory.shut("acme")
    begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool.sweep()
    assert reports == [("acme", pool.failure("acme"))]
    factory.open("acme")
    leased(pool, replace(ACME, revision=2)).close()
    assert reports[1:] == [("acme", None)]
    eventually(lambda: len(factory.left()) == 1)


def test_a_build_within_its_deadline_is_left_alone(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert gate.reached.wait(5)
    pool.sweep()
    assert not building.done()
    factory.open("acme")
    building.result(5)
    assert pool.abandoned == 0


# Waiting on threads


def test_who_attends_a_build_is_let_go_when_it_ends(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    gate = factory.shut("acme")
    building = begin_build(pool, ACME)
    assert isinstance(building, Build)

    def open_gate() -> None:
        assert gate.reached.wait(5)
        factory.open("acme")

    on_threads(building.attend, building.attend, open_gate)
    building.attend()
    pool.lease(ACME).close()


def test_who_attends_a_build_waits_only_so_long(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(wait=0))
    factory.shut("acme")
    building = begin_build(pool, ACME)
    assert isinstance(building, Build)
    with pytest.raises(Unavailable, match="still starting") as waited:
        building.attend()
    assert waited.value.retry_after == 5
    assert not building.done()
    factory.open("acme")
    building.result(5)


def test_only_so_many_wait_for_one_tenant_and_in_all(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(wait=PATIENCE, waiters=3, waiters_of_one=2))
    builds = []
    for wanted in (ACME, GLOBEX):
        gate = factory.shut(wanted.uid)
        build = begin_build(pool, wanted)
        assert isinstance(build, Build)
        assert gate.reached.wait(5)
        builds.append(build)
    acme, globex = builds
    full: list[str] = []
    waiting: list[threading.Thread] = []

    def wait(build: Build) -> None:
        thread = threading.Thread(target=build.attend, daemon=True)
        thread.start()
        waiting.append(thread)

    def is_full(build: Build) -> bool:
        """Tell, from a thread that gives up at once where it may wait."""
        try:
            pool._waiters.wait(build, 0)
        except Unavailable as error:
            return "Too many" in str(error)
        return False

    wait(acme)
    wait(acme)
    eventually(lambda: is_full(acme))
    assert not is_full(globex)
    wait(globex)
    eventually(lambda: is_full(globex))
    for uid in ("acme", "globex"):
        factory.open(uid)
    for thread in waiting:
        thread.join(5)
    assert not is_full(acme)
    assert not full
