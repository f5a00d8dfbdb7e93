"""Builds that fail or decline: what it costs, who is told, and when it is tried again."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic

import pytest

from tenantry.errors import Invalid, Unavailable
from tenantry.pool import Build, Decline, Limits, Pool
from tenantry.pool.build import REMEMBERED, Builds, Failure
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX
from tests.sites import Factory, Wanted, begin_build, eventually, fail_build, leased, site_of, warm

factory, pools = fixtures.factory, fixtures.pools


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
    assert "cannot start" in str(fail_build(pool, ACME))
    pool.lease(GLOBEX).close()
    assert type(error).__name__ in pool.failure("acme")
    assert repr(pool) == "<Pool 1 live of 200, 0 building, 1 failing, 0 retired, 0 leases>"


def test_visitors_never_see_what_the_factory_raised(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = Invalid("The password hunter2 is wrong.")
    told = fail_build(pool, ACME)
    assert "hunter2" not in str(told)
    assert told.__cause__ is None
    assert told.__context__ is None
    assert "hunter2" in pool.failure("acme")


def test_the_reason_is_one_line_that_names_the_line_at_fault(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = ValueError("two\nlines")
    fail_build(pool, ACME)
    assert pool.failure("acme").startswith("ValueError: two lines (")
    assert f"{__file__.rpartition('/')[0]}/sites.py:" in pool.failure("acme")


def test_a_failing_tenant_rests_before_it_is_tried_again(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = ValueError("no")
    fail_build(pool, ACME)
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
    fail_build(pool, ACME)
    fail_build(pool, replace(ACME, revision=2))
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


def test_it_is_reported_when_failing_begins_and_each_time_it_was_built(
    pools: Callable[..., Pool], factory: Factory
) -> None:
    reports: list[tuple[str, int, str | None]] = []
    pool = pools(factory, report=lambda wanted, reason: reports.append((wanted.uid, wanted.revision, reason)))
    factory.errors["acme"] = ValueError("no")
    fail_build(pool, ACME)
    assert reports == [("acme", 1, pool.failure("acme"))]
    del factory.errors["acme"]
    for revision in (2, 3):
        leased(pool, replace(ACME, revision=revision)).close()
    leased(pool, GLOBEX).close()
    eventually(lambda: sorted(reports[1:]) == [("acme", 2, None), ("acme", 3, None), ("globex", 1, None)])


def test_failing_begins_once_for_each_revision() -> None:
    builds = Builds(Limits(builders=1))

    def build(revision: int) -> Build:
        return Build("acme", replace(ACME, revision=revision), "", lambda _: None)

    begins = [builds.failed(build(revision), ValueError("no")) for revision in (1, 1, 1, 2, 2)]
    assert begins == [True, False, False, True, False]
    builds.succeeded(build(2))
    assert not builds.failures
    assert builds.failed(build(2), ValueError("no"))


def test_a_report_that_fails_keeps_nobody_waiting(
    pools: Callable[..., Pool], factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    def report(_: Wanted, __: str | None) -> None:
        raise OSError("the disk is full")

    pool = pools(factory, Limits(deadline=0), report=report)
    factory.errors["acme"] = ValueError("no")
    fail_build(pool, ACME)
    gate = factory.shut("globex")
    hanging = begin_build(pool, GLOBEX)
    assert gate.reached.wait(5)
    pool.sweep()
    assert isinstance(hanging.exception(5), Unavailable)
    assert caplog.text.count("nobody could be told") == 2
    factory.open("globex")
    eventually(lambda: factory.sites and not factory.left())


def test_retiring_a_tenant_forgets_that_it_failed(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory)
    factory.errors["acme"] = factory.errors["acme-2"] = ValueError("no")
    fail_build(pool, ACME)
    fail_build(pool, Wanted("acme-2"))
    pool.retire(["acme"])
    assert not pool.failure("acme")
    assert pool.failure("acme-2")
    fail_build(pool, ACME)


def test_failures_are_not_remembered_without_end() -> None:
    builds = Builds(Limits(builders=1))
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
            begin_build(pool, ACME).result(5)
        assert declined.value.answer == "nobody here"
        assert factory.calls == {"acme": times}
    assert repr(pool) == "<Pool 0 live of 200, 0 building, 0 failing, 0 retired, 0 leases>"


def test_to_decline_is_not_to_fail(pools: Callable[..., Pool], factory: Factory) -> None:
    reports: list[str | None] = []
    pool = pools(factory, report=lambda _, reason: reports.append(reason))
    factory.errors["acme"] = ValueError("no")
    fail_build(pool, ACME)
    factory.errors["acme"] = Decline(None)
    with pytest.raises(Decline):
        begin_build(pool, replace(ACME, revision=2)).result(5)
    assert not pool.failure("acme")
    assert reports[1:] == [None]


def test_declining_evicts_nobody(pools: Callable[..., Pool], factory: Factory) -> None:
    pool = pools(factory, Limits(capacity=1))
    warm(pool, ACME)
    factory.errors["globex"] = Decline(None)
    for _ in range(5):
        with pytest.raises(Decline):
            begin_build(pool, GLOBEX).result(5)
    pool.lease(ACME).close()
    assert factory.calls["acme"] == 1
