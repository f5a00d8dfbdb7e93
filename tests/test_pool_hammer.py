"""The pool under everything at once: any order of what can happen, and eight threads for seconds."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from time import monotonic

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from tenantry.errors import Unavailable
from tenantry.pool import Lease, Limits, Pool
from tests.pools import Prober
from tests.sites import (
    PATIENCE,
    Factory,
    Site,
    Wanted,
    begin,
    environ_of,
    eventually,
    hurried,
    leased,
    on_threads,
    site_of,
    warm,
)

UIDS = st.sampled_from(["acme", "globex", "initech", "hooli"])
MOUNTS = st.sampled_from(["", "/t/it"])
LIMITS = Limits(capacity=3, in_flight=2, awake=1, builders=2)


class AnyOrder(RuleBasedStateMachine):
    """Whatever is done in whatever order, the pool keeps its invariants and what it says of a lease."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.factory = Factory()
        self.prober = Prober()
        self.reports: Counter[str] = Counter()
        self.pool = Pool(self.factory, LIMITS, probe=self.prober, report=self.report)
        self.tenants = {uid: Wanted(uid) for uid in ("acme", "globex", "initech", "hooli")}
        self.held: list[Lease] = []

    def report(self, wanted: Wanted, reason: str | None) -> None:
        self.reports[wanted.uid] = 1 if reason else 0

    @rule(target=leases, uid=UIDS, mount=MOUNTS)
    def lease(self, uid: str, mount: str) -> Lease | None:
        """Lease as a visitor does: wait for a build, try once more."""
        wanted = self.tenants[uid]
        try:
            lease = self.attempt(wanted, mount)
        except Unavailable:
            return None
        site = site_of(lease)
        assert (site.uid, site.mount) == (uid, mount)
        assert wanted.moved <= site.revision <= wanted.revision
        assert not site.disposed.is_set()
        self.held.append(lease)
        return lease

    def attempt(self, wanted: Wanted, mount: str) -> Lease:
        try:
            return self.pool.lease(wanted, mount)
        except Unavailable as error:
            if error.awaits is None:
                raise
            error.awaits.result(PATIENCE)
        return self.pool.lease(wanted, mount)

    @rule(lease=consumes(leases), twice=st.booleans())
    def end(self, lease: Lease | None, twice: bool) -> None:
        if lease is not None:
            begin(lease.app, environ_of()).read()
            self.held.remove(lease)
            lease.close()
            if twice:
                lease.close()

    @rule(uid=UIDS, moved=st.booleans())
    def change(self, uid: str, moved: bool) -> None:
        revision = self.tenants[uid].revision + 1
        self.tenants[uid] = replace(
            self.tenants[uid], revision=revision, moved=revision if moved else self.tenants[uid].moved
        )
        self.pool.follow(self.tenants[uid])

    @rule(uid=UIDS)
    def outdate(self, uid: str) -> None:
        self.pool.outdate(uid)

    @rule(uids=st.sets(UIDS))
    def retire(self, uids: set[str]) -> None:
        self.pool.retire(uids)
        assert not uids & {uid for uid, _ in self.pool.built()}
        assert not any(self.pool.failure(uid) for uid in uids)

    @rule(uid=UIDS, error=st.sampled_from([None, ValueError("no"), SystemExit(1)]))
    def fail(self, uid: str, error: BaseException | None) -> None:
        """Have the tenant's builds fail from now on, or succeed."""
        if error is None:
            self.factory.errors.pop(uid, None)
        else:
            self.factory.errors[uid] = error

    @rule(uid=UIDS, fails=st.booleans())
    def fail_probes(self, uid: str, fails: bool) -> None:
        """Have the tenant's successors fail their probe from now on, or pass it."""
        if fails:
            self.prober.errors[uid] = ValueError("no")
        else:
            self.prober.errors.pop(uid, None)

    @rule(idle=st.sampled_from([0.0, 900.0]))
    def sweep(self, idle: float) -> None:
        self.pool.limits = replace(LIMITS, idle=idle)
        self.pool.sweep()
        self.pool.limits = LIMITS

    @rule()
    def reap(self) -> None:
        self.pool.reap()
        self.pool.reap()

    @rule()
    def settle(self) -> None:
        """Let the builds that nobody waits for come to their end."""
        eventually(lambda: "0 building" in repr(self.pool))

    @invariant()
    def whole(self) -> None:
        self.pool.verify()
        assert f" {len(self.held)} leases" in repr(self.pool)
        assert not any(site_of(lease).disposed.is_set() for lease in self.held)
        live = [site for _, site in self.pool.built()]
        retired = {site for lease in self.held if (site := site_of(lease)) not in live}
        assert f" {len(retired)} retired" in repr(self.pool)

    def teardown(self) -> None:
        self.settle()
        for lease in self.held:
            lease.close()
        self.pool.close()
        self.pool.verify()
        eventually(lambda: not self.factory.left())
        assert repr(self.pool).startswith("<Pool 0 live of 3, 0 building, ")
        assert repr(self.pool).endswith(", 0 retired, 0 leases>")


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAnyOrder = AnyOrder.TestCase


class Crowd:
    """Visitors of ten slots in a pool of four, who hand their leases round so that any thread may end any."""

    def __init__(self, pool: Pool, seconds: float) -> None:
        self.pool = pool
        self._until = monotonic() + seconds
        self.tenants = {f"tenant{number}": Wanted(f"tenant{number}") for number in range(5)}
        self.served = 0
        self._passed: SimpleQueue[Lease] = SimpleQueue()

    def goes_on(self) -> bool:
        """Tell whether the time is not over, or not enough has happened yet on a machine that is busy elsewhere."""
        late = monotonic() - self._until
        return late < 0 or (self.served < 500 and late < 2 * PATIENCE)

    def visit(self, seed: int) -> None:
        """Lease, call, and end a lease of somebody else's, over and over."""
        chance = random.Random(seed)
        while self.goes_on():
            wanted = self.tenants[f"tenant{chance.randrange(5)}"]
            lease = self.lease(wanted, chance.choice(["", "/t/it"]))
            if lease is not None:
                assert begin(lease.app, environ_of()).code == 200
                self.served += 1
                self._passed.put(lease)
            if chance.random() < 0.9:
                self.end_one()
        while self.end_one():
            pass

    def lease(self, wanted: Wanted, mount: str) -> Lease | None:
        try:
            return self.pool.lease(wanted, mount)
        except Unavailable as error:
            if error.awaits is not None:
                error.awaits.exception(PATIENCE)
        return None

    def end_one(self) -> bool:
        try:
            lease = self._passed.get_nowait()
        except Empty:
            return False
        assert begin(lease.app, environ_of()).code == 200
        lease.close()
        return True

    def watch(self) -> None:
        """Verify, sweep and reap all the while."""
        while self.goes_on():
            self.pool.verify()
            assert self.pool.live <= self.pool.limits.capacity
            assert "leases>" in repr(self.pool)
            self.pool.sweep()
            self.pool.reap()

    def meddle(self) -> None:
        """Change, retire and outdate tenants all the while."""
        chance = random.Random(7)
        pause = threading.Event()
        while self.goes_on():
            uid = f"tenant{chance.randrange(5)}"
            known = self.tenants[uid]
            kind = chance.randrange(4)
            if kind == 0:
                self.pool.retire([uid])
            elif kind == 1:
                self.pool.outdate(uid)
            else:
                newer = replace(known, revision=known.revision + 1)
                self.tenants[uid] = replace(newer, moved=newer.revision) if kind == 2 else newer
                self.pool.follow(self.tenants[uid])
            pause.wait(0.001)


def end(pool: Pool, sites: list[Site]) -> None:
    """Check at the end that no lease is lost, and that each application was disposed of, once."""
    eventually(lambda: "0 building" in repr(pool))
    pool.verify()
    assert repr(pool).endswith(" 0 retired, 0 leases>")
    assert all(live.idle for live in pool._ready.values())
    pool.close()
    eventually(lambda: all(site.disposed.is_set() for site in sites))
    pool.verify()


def test_eight_threads_and_evictions_lose_no_lease_and_build_no_more_than_is_needed() -> None:
    factory = Factory()
    building: Counter[str] = Counter()
    counting = threading.Lock()

    def build(wanted: Wanted, mount: str) -> Site:
        key = wanted.uid + mount
        with counting:
            building[key] += 1
            assert building[key] == 1, f"two builds of {key} at a time"
        try:
            made = factory(wanted, mount)
            assert key not in pool._ready, f"{key} is live and was built anew"
            return made
        finally:
            with counting:
                building[key] -= 1

    pool = Pool(build, Limits(capacity=4, in_flight=3, idle=0.05, awake=2))
    crowd = Crowd(pool, seconds=1.2)
    jobs: list[Callable[[], object]] = [lambda seed=seed: crowd.visit(seed) for seed in range(8)]  # type: ignore[misc]
    with hurried():
        on_threads(*jobs, crowd.watch)
    assert crowd.served >= 500
    assert sum(factory.calls.values()) > 20
    assert " 0 failing" in repr(pool)
    end(pool, factory.sites)


def test_eight_threads_and_constant_change_lose_no_lease_and_call_nothing_that_was_disposed_of() -> None:
    factory = Factory()
    prober = Prober()
    prober.errors["tenant0"] = ValueError("no")
    pool = Pool(factory, Limits(capacity=6, in_flight=3, idle=0.05, awake=2), probe=prober)
    crowd = Crowd(pool, seconds=1.2)
    jobs: list[Callable[[], object]] = [lambda seed=seed: crowd.visit(seed) for seed in range(8)]  # type: ignore[misc]
    with hurried():
        on_threads(*jobs, crowd.watch, crowd.meddle)
    assert crowd.served >= 500
    assert sum(factory.calls.values()) > 20
    end(pool, factory.sites)


def test_the_limit_in_flight_holds_under_eight_threads_and_two_mounts() -> None:
    factory = Factory()
    pool = Pool(factory, Limits(in_flight=3))
    acme = Wanted("acme")
    inside: Counter[str] = Counter()
    most = 0
    counting = threading.Lock()
    warm(pool, acme)

    def visit(mount: str) -> None:
        nonlocal most
        for _ in range(2000):
            try:
                lease = leased(pool, acme, mount)
            except Unavailable:
                continue
            with counting:
                inside["acme"] += 1
                most = max(most, inside["acme"])
            with counting:
                inside["acme"] -= 1
            lease.close()

    with hurried():
        on_threads(*[lambda: visit("")] * 4, *[lambda: visit("/t/it")] * 4)
    assert 1 <= most <= 3
    end(pool, factory.sites)
