"""The swap in the pool: a successor is probed before it takes the place of what answers."""

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tenantry.errors import Unavailable
from tenantry.pool import Limits, Pool
from tests import pools as fixtures
from tests.pools import ACME, GLOBEX, INITECH, Prober
from tests.sites import (
    Factory,
    Site,
    begin,
    begin_build,
    environ_of,
    eventually,
    hurried,
    leased,
    on_threads,
    site_of,
    warm,
    without_collector,
)

factory, prober, pools = fixtures.factory, fixtures.prober, fixtures.pools

NEWER = replace(ACME, revision=2)


def served(pool: Pool, revision: int) -> bool:
    """Tell whether a visitor of acme is served by the build of a revision."""
    lease = pool.lease(replace(ACME, revision=revision))
    try:
        return site_of(lease).revision == revision
    finally:
        lease.close()


def settled(pool: Pool) -> None:
    eventually(lambda: "0 building" in repr(pool))


def test_a_first_build_is_not_probed_and_a_successor_is(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    pool = pools(factory, probe=prober)
    warm(pool, ACME)
    leased(pool, ACME, "/t/acme").close()
    assert not prober.asked
    pool.lease(NEWER, "/t/acme").close()
    settled(pool)
    assert prober.asked == {"acme/t/acme at 2": 1}


def test_what_answers_goes_on_until_the_probe_has_ended(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    pool = pools(factory, probe=prober)
    warm(pool, ACME)
    gate = prober.shut("acme")
    pool.lease(NEWER).close()
    assert gate.reached.wait(5)
    assert not served(pool, 2)
    prober.open("acme")
    eventually(lambda: served(pool, 2))
    eventually(lambda: factory.left() == ["acme at 2"])


def test_what_was_let_go_of_meanwhile_leaves_a_first_build(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    """Nothing answers any more once the data has moved: what comes next serves unprobed."""
    pool = pools(factory, probe=prober)
    warm(pool, ACME)
    prober.errors["acme"] = ValueError("no")
    moved = replace(ACME, revision=2, moved=2)
    pool.follow(moved)
    lease = leased(pool, moved)
    assert site_of(lease).revision == 2
    assert not prober.asked
    lease.close()


@pytest.mark.parametrize(
    "error", [Unavailable("The new build answered 500 at /."), SystemExit(3), GeneratorExit()], ids=repr
)
def test_a_successor_that_fails_its_probe_never_answers(
    pools: Callable[..., Pool], factory: Factory, prober: Prober, error: BaseException
) -> None:
    """It is disposed of and counts as a failed build: reported once, and tried again after a rest."""
    reports: list[tuple[str, int, str | None]] = []
    pool = pools(factory, probe=prober, report=lambda wanted, why: reports.append((wanted.uid, wanted.revision, why)))
    warm(pool, ACME)
    prober.errors["acme"] = error
    pool.lease(NEWER).close()
    eventually(lambda: len(reports) == 2)
    for _ in range(3):
        assert not served(pool, 2)
    eventually(lambda: factory.left() == ["acme at 1"])
    assert reports == [("acme", 1, None), ("acme", 2, pool.failure("acme"))]
    assert prober.asked == {"acme at 2": 1}
    assert repr(pool) == "<Pool 1 live of 200, 0 building, 1 failing, 0 retired, 0 leases>"


def test_once_the_cause_is_mended_the_swap_comes_about_and_is_reported(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    reports: list[str | None] = []
    pool = pools(factory, probe=prober, report=lambda _, why: reports.append(why))
    warm(pool, ACME)
    prober.errors["acme"] = ValueError("no")
    pool.lease(NEWER).close()
    eventually(lambda: len(reports) == 2)
    del prober.errors["acme"]
    eventually(lambda: served(pool, 3))
    eventually(lambda: reports[2:] == [None])
    assert not pool.failure("acme")


def test_a_hanging_probe_is_abandoned_at_the_deadline_of_its_build(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    pool = pools(factory, Limits(deadline=0), probe=prober)
    warm(pool, ACME)
    gate = prober.shut("acme")
    pool.lease(NEWER).close()
    assert gate.reached.wait(5)
    pool.sweep()
    assert pool.abandoned == 1
    assert pool.failure("acme") == "The new build had not answered its probe after 0 s."
    assert not served(pool, 2)
    prober.open("acme")
    eventually(lambda: factory.left() == ["acme at 1"])
    assert pool.abandoned == 0
    assert not served(pool, 2)


def test_a_probe_that_fails_after_it_was_abandoned_is_disposed_of_too(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    pool = pools(factory, Limits(deadline=0), probe=prober)
    warm(pool, ACME)
    gate = prober.shut("acme")
    prober.errors["acme"] = ValueError("late")
    pool.lease(NEWER).close()
    assert gate.reached.wait(5)
    pool.sweep()
    prober.open("acme")
    eventually(lambda: factory.left() == ["acme at 1"])
    assert "had not answered" in pool.failure("acme")


def test_a_build_that_was_given_up_is_not_probed(pools: Callable[..., Pool], factory: Factory, prober: Prober) -> None:
    pool = pools(factory, probe=prober)
    warm(pool, ACME)
    gate = factory.shut("acme")
    pool.lease(NEWER).close()
    assert gate.reached.wait(5)
    pool.retire(["acme"])
    again = factory.shut("acme")
    newest = begin_build(pool, replace(ACME, revision=3))
    assert again.reached.wait(5)
    gate.opened.set()
    eventually(lambda: len(factory.sites) == 2 and factory.sites[1].disposed.is_set())
    factory.open("acme")
    newest.result(5)
    assert not prober.asked


def test_a_probe_holds_up_nobody_else(pools: Callable[..., Pool], factory: Factory, prober: Prober) -> None:
    pool = pools(factory, Limits(builders=2), probe=prober)
    warm(pool, ACME, GLOBEX)
    gate = prober.shut("acme")
    pool.lease(NEWER).close()
    assert gate.reached.wait(5)
    pool.lease(replace(GLOBEX, revision=2)).close()
    eventually(lambda: "globex at 2" in factory.left())
    warm(pool, INITECH)
    pool.verify()
    prober.open("acme")
    settled(pool)


def test_what_is_under_way_on_the_old_one_ends_there_while_the_new_one_serves(
    pools: Callable[..., Pool], factory: Factory, prober: Prober
) -> None:
    pool = pools(factory, probe=prober)
    old = leased(pool, ACME)
    pool.lease(NEWER).close()
    eventually(lambda: served(pool, 2))
    assert begin(old.app, environ_of()).read() == "acme at 1"
    assert factory.left() == ["acme at 1", "acme at 2"]
    old.close()
    eventually(lambda: factory.left() == ["acme at 2"])


def test_a_build_that_failed_its_probe_is_freed_without_the_collector(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests' own log handler keeps every record, and a record its exception.
    monkeypatch.setattr(logging.getLogger("tenantry.pool.given"), "disabled", True)

    def fail(site: Site) -> None:
        raise ValueError(site.uid)

    with without_collector():
        pool = Pool(factory, probe=fail)
        warm(pool, ACME)
        pool.lease(NEWER).close()
        eventually(lambda: pool.failure("acme") and len(factory.sites) == 2)
        seen = weakref.ref(factory.sites.pop())
        eventually(lambda: seen() is None)
        pool.close()


def test_no_token_is_lost_under_a_hammer_of_swaps(pools: Callable[..., Pool], factory: Factory) -> None:
    """Six visitors of one tenant while every second build fails its probe: each is served by what has passed."""
    limits = Limits(in_flight=6)

    def probe(site: Site) -> None:
        if site.revision % 2:
            raise Unavailable("The new build answered 500 at /.")

    pool = pools(factory, limits, probe=probe)
    warm(pool, replace(ACME, revision=2))
    wanted = [replace(ACME, revision=2)]
    over = threading.Event()
    seen: list[set[int]] = [set() for _ in range(6)]

    def visit(mine: set[int]) -> None:
        latest = 0
        while not over.is_set():
            lease = pool.lease(wanted[0])
            revision = site_of(lease).revision
            assert begin(lease.app, environ_of()).code == 200
            assert revision >= latest, "an older build answers after a newer one"
            latest = revision
            mine.add(revision)
            lease.close()

    def change() -> None:
        try:
            for revision in range(3, 103):
                wanted[0] = replace(ACME, revision=revision)
                eventually(lambda: factory.calls["acme"] == wanted[0].revision - 1)
                settled(pool)
        finally:
            over.set()

    with hurried():
        on_threads(*(partial(visit, mine) for mine in seen), change)
    eventually(lambda: factory.left() == ["acme at 102"])
    assert not any(revision % 2 for mine in seen for revision in mine)
    assert factory.calls == {"acme": 101}
    assert "1 live" in repr(pool)
    assert repr(pool).endswith(" 0 retired, 0 leases>")
    assert all(live.idle and len(live.tokens) == limits.in_flight for live in pool._ready.values())
