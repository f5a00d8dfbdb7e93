"""Builds: one at a time for a slot, away from everybody else, within a deadline; and what failing costs."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from tenantry.errors import Invalid, Unavailable
from tenantry.pool import Build, Decline, Limits, Pool
from tenantry.pool.build import REMEMBERED, Builds, Failure
from tests.sites import PATIENCE, Factory, Wanted, eventually, leased, on_threads, site_of, warm

ACME = Wanted("acme")
GLOBEX = Wanted("globex")


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def pools() -> Iterator[Callable[..., Pool]]:
    """Open pools; they are closed at the end, and must be whole then."""
    opened: list[Pool] = []

    def open_pool(*args: Any, **more: Any) -> Pool:
        opened.append(Pool(*args, **more))
        return opened[-1]

    yield open_pool
    for pool in opened:
        pool.verify()
        pool.close()
        pool.verify()


def start(pool: Pool, wanted: Wanted, mount: str = "") -> Future[Any]:
    """Have a build begin and give what a server would wait for."""
    with pytest.raises(Unavailable, match="starting") as starting:
        pool.lease(wanted, mount)
    assert starting.value.awaits is not None
    return starting.value.awaits


def fail(pool: Pool, wanted: Wanted) -> Unavailable:
    """Have a build fail and give what the visitor is told."""
    with pytest.raises(Unavailable) as failed:
        start(pool, wanted).result(5)
    return failed.value


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
    building = start(pool, ACME)
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
    first, second = start(pool, ACME), start(pool, GLOBEX)
    assert gate.reached.wait(5)
    assert factory.calls == {"acme": 1}
    factory.open("acme")
    first.result(5)
    second.result(5)
    assert factory.calls == {"acme": 1, "globex": 1}


def test_a_build_that_is_given_up_lets_the_next_begin(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(builders=1))
    gate = factory.shut("acme")
    start(pool, ACME)
    waiting = start(pool, GLOBEX)
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
    start(pool, ACME)
    waiting = start(pool, GLOBEX)
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
    building = start(pool, ACME)
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
        building = start(pool, ACME)
    finally:
        threading.stack_size(usual)
    assert not factory.calls
    assert not building.done()
    assert start(pool, ACME) is building
    building.result(5)
    assert factory.calls == {"acme": 1}


# Deadlines


def test_a_build_past_its_deadline_is_abandoned_and_its_late_result_disposed_of(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    pool = pools(factory, Limits(deadline=0))
    gate = factory.shut("acme")
    building = start(pool, ACME)
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
    start(pool, ACME)
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
    start(pool, ACME)
    assert late.reached.wait(5)
    pool.sweep()
    factory.shut("acme")
    newer = start(pool, replace(ACME, revision=2))
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
    start(pool, ACME)
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
    building = start(pool, ACME)
    assert gate.reached.wait(5)
    pool.sweep()
    assert not building.done()
    factory.open("acme")
    building.result(5)
    assert pool.abandoned == 0


# Failing


class Leave(BaseException):
    """Nobody's exception."""


class Mute(Exception):
    """One that cannot even say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), SystemExit(1), KeyboardInterrupt(), GeneratorExit(), StopIteration(), Leave(), Mute()],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_factory_raises_costs_only_its_own_tenant(
    pools: Callable[..., Pool], factory: Factory, error: BaseException
) -> None:
    pool = pools(factory)
    warm(pool, GLOBEX)
    factory.errors["acme"] = error
    assert "cannot start" in str(fail(pool, ACME))
    pool.lease(GLOBEX).close()
    assert type(error).__name__ in pool.failure("acme")
    assert repr(pool) == "<Pool 1 live of 200, 0 building, 1 failing, 0 retired, 0 leases>"


def test_visitors_never_see_what_the_factory_raised(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = Invalid("The password hunter2 is wrong.")
    told = fail(pool, ACME)
    assert "hunter2" not in str(told)
    assert told.__cause__ is None
    assert told.__context__ is None
    assert "hunter2" in pool.failure("acme")


def test_the_reason_is_one_line_that_names_the_line_at_fault(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = ValueError("two\nlines")
    fail(pool, ACME)
    assert pool.failure("acme").startswith("ValueError: two lines (")
    assert f"{__file__.rpartition('/')[0]}/sites.py:" in pool.failure("acme")


def test_a_failing_tenant_rests_before_it_is_tried_again(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = ValueError("no")
    fail(pool, ACME)
    for _ in range(3):
        with pytest.raises(Unavailable, match="cannot start") as resting:
            pool.lease(ACME)
        assert resting.value.awaits is None
        assert resting.value.retry_after == 1
    assert factory.calls == {"acme": 1}


def test_the_rest_doubles_from_one_second_to_sixty_and_begins_anew_with_a_newer_revision() -> None:
    failure: Failure | None = None
    for expected in (1, 2, 4, 8, 16, 32, 60, 60):
        failure = Failure.after(failure, 1, ValueError("no"))
        rest = failure.until - monotonic()
        assert expected - 0.5 < rest <= expected
        assert failure.blocks(1)
    assert failure is not None
    assert not failure.blocks(2)
    assert Failure.after(failure, 2, ValueError("no")).until - monotonic() <= 1


def test_a_newer_revision_is_tried_at_once(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = ValueError("no")
    fail(pool, ACME)
    fail(pool, replace(ACME, revision=2))
    del factory.errors["acme"]
    leased(pool, replace(ACME, revision=3)).close()
    assert factory.calls == {"acme": 3}
    assert not pool.failure("acme")


def test_the_older_build_serves_on_while_its_successor_fails(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    warm(pool, ACME)
    factory.errors["acme"] = ValueError("no")
    newer = replace(ACME, revision=2)
    pool.lease(newer).close()
    eventually(lambda: pool.failure("acme"))
    lease = pool.lease(newer)
    assert site_of(lease).revision == 1
    lease.close()


def test_it_is_reported_when_failing_begins_and_when_it_ends(pools: Callable[..., Pool], factory: Factory) -> None:
    reports: list[tuple[str, int, str | None]] = []
    pool = pools(factory, report=lambda wanted, reason: reports.append((wanted.uid, wanted.revision, reason)))
    factory.errors["acme"] = ValueError("no")
    fail(pool, ACME)
    assert reports == [("acme", 1, pool.failure("acme"))]
    del factory.errors["acme"]
    for revision in (2, 3):
        leased(pool, replace(ACME, revision=revision)).close()
    leased(pool, GLOBEX).close()
    assert reports[1:] == [("acme", 2, None)]


def test_failing_begins_once_for_each_revision_and_ends_once() -> None:
    builds = Builds(1)

    def build(revision: int) -> Build:
        return Build("acme", replace(ACME, revision=revision), "", lambda _: None)

    begins = [builds.failed(build(revision), ValueError("no")) for revision in (1, 1, 1, 2, 2)]
    assert begins == [True, False, False, True, False]
    assert [builds.succeeded(build(revision)) for revision in (2, 3)] == [True, False]


def test_a_report_that_fails_keeps_nobody_waiting(
    pools: Callable[..., Pool], factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    def report(_: Wanted, __: str | None) -> None:
        raise OSError("the disk is full")

    pool = pools(factory, Limits(deadline=0), report=report)
    factory.errors["acme"] = ValueError("no")
    fail(pool, ACME)
    gate = factory.shut("globex")
    hanging = start(pool, GLOBEX)
    assert gate.reached.wait(5)
    pool.sweep()
    assert isinstance(hanging.exception(5), Unavailable)
    assert caplog.text.count("nobody could be told") == 2
    factory.open("globex")
    eventually(lambda: factory.sites and not factory.left())


def test_retiring_a_tenant_forgets_that_it_failed(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = factory.errors["acme-2"] = ValueError("no")
    fail(pool, ACME)
    fail(pool, Wanted("acme-2"))
    pool.retire(["acme"])
    assert not pool.failure("acme")
    assert pool.failure("acme-2")
    fail(pool, ACME)


def test_failures_are_not_remembered_without_end() -> None:
    builds = Builds(1)
    for number in range(REMEMBERED + 10):
        build = Build(f"tenant{number}", Wanted(f"tenant{number}"), "", lambda _: None)
        assert builds.failed(build, ValueError("no"))
    assert len(builds.failures) == REMEMBERED
    assert "tenant0" not in builds.failures
    assert f"tenant{REMEMBERED + 9}" in builds.failures


# Declining


def test_an_application_that_is_declined_is_answered_and_not_kept(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = Decline("nobody here")
    for times in (1, 2):
        with pytest.raises(Decline) as declined:
            start(pool, ACME).result(5)
        assert declined.value.answer == "nobody here"
        assert factory.calls == {"acme": times}
    assert repr(pool) == "<Pool 0 live of 200, 0 building, 0 failing, 0 retired, 0 leases>"


def test_to_decline_is_not_to_fail(pools: Callable[..., Pool], factory: Factory) -> None:
    reports: list[str | None] = []
    pool = pools(factory, report=lambda _, reason: reports.append(reason))
    factory.errors["acme"] = ValueError("no")
    fail(pool, ACME)
    factory.errors["acme"] = Decline(None)
    with pytest.raises(Decline):
        start(pool, replace(ACME, revision=2)).result(5)
    assert not pool.failure("acme")
    assert reports[1:] == [None]


def test_declining_evicts_nobody(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(capacity=1))
    warm(pool, ACME)
    factory.errors["globex"] = Decline(None)
    for _ in range(5):
        with pytest.raises(Decline):
            start(pool, GLOBEX).result(5)
    pool.lease(ACME).close()
    assert factory.calls["acme"] == 1


# Waiting on threads


def test_who_attends_a_build_is_let_go_when_it_ends(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    gate = factory.shut("acme")
    building = start(pool, ACME)
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
    building = start(pool, ACME)
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
        build = start(pool, wanted)
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
