"""Slots by key, and everything that is decided about them under one lock and done outside it."""

import logging
import os
import threading
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any
from weakref import WeakSet

from tenantry.errors import Unavailable
from tenantry.pool.aside import Disposal, aside
from tenantry.pool.build import Build, Builds, Waiters
from tenantry.pool.given import Decline, Given, unasked, unheard
from tenantry.pool.limits import Limits, Wanted
from tenantry.pool.live import Lease, Live

_log = logging.getLogger(__name__)


class Pool:
    """All slots of one process.

    A slot's key is uid + mount. `_ready` is read without a lock and changed only under it. `build(wanted, mount)`
    returns an object with `app`, `close()` and `rest()` and runs on a thread of its own, where `probe(built)` may then
    raise to keep a successor from taking the place of what answers. `report(wanted, reason)` is told when a slot begins
    to fail and, with None, each time it was built.
    """

    def __init__(
        self,
        build: Callable[[Any, str], Any],
        limits: Limits | None = None,
        *,
        probe: Callable[[Any], None] = unasked,
        report: Callable[[Any, str | None], None] = unheard,
    ) -> None:
        self.limits = limits or Limits()
        self._given = Given(build, probe, report)
        self._closed = False
        self._inherited: list[Any] = []
        self._begin()
        _pools.add(self)

    def _begin(self) -> None:
        """Begin with nothing. The lock is re-entrant: a collected body may end its lease on a thread that holds it."""
        self._ready: dict[str, Live] = {}
        self._retired: set[Live] = set()
        self._disposal = Disposal()
        self._lock = threading.RLock()
        self._builds = Builds(self.limits.builders)
        self._waiters = Waiters(self.limits.waiters, self.limits.waiters_of_one)
        self._abandoned: set[Build] = set()
        self._swept = monotonic()

    def _after_fork(self) -> None:
        """Begin again in a forked child, without the parent's threads, locks and connections.

        What holds the latter is kept: SQLite's files break when a child uses, or closes, what its parent has open.
        """
        self._inherited.append((self._ready, self._retired, self._disposal))
        self._begin()

    # Leasing

    def lease(self, wanted: Wanted, mount: str = "") -> Lease:
        """Hold the live application of `wanted` under `mount`.

        Raises Unavailable: with `awaits` while it is being built, without when it fails, is busy or does not fit.
        """
        while True:
            live = self._ready.get(wanted.uid + mount)
            if live is None or live.answers != wanted.revision:
                live = self._arrive(wanted, mount)
            try:
                live.tokens.pop()
                break
            except IndexError:
                if not self._worth_another_try(live):
                    raise _busy() from None
        live.used = monotonic()
        lease = Lease(live)
        if live.peers and live.leases + sum(peer.leases for peer in live.peers) > live.size:
            lease.close()
            raise _busy()
        return lease

    def _worth_another_try(self, live: Live) -> bool:
        """Tell whether the tokens were gone only because the application was, or was about to be, retired."""
        with self._lock:
            return live.retired or bool(live.tokens)

    def _arrive(self, wanted: Wanted, mount: str) -> Live:
        """Find a live application that may answer, or see to it that one is built and raise Unavailable."""
        if monotonic() - self._swept > 1.0:
            self.sweep()
        key = wanted.uid + mount
        with self._lock:
            live = self._ready.get(key)
            if live is not None and live.answers >= wanted.revision:
                return live
            if live is not None and live.revision < wanted.moved:
                self._retire(live)
                live = None
            build = self._builds.under_way.get(key)
            if build is None and self._may_begin(key, wanted, instead=live):
                build = self._builds.queue(Build(key, wanted, mount, self._attend))
        self._start_builds()
        if live is not None:
            return live
        if build is None:
            raise self._no_build(key)
        raise Unavailable("This site is starting.", hint="Please try again in a moment.", retry_after=2, awaits=build)

    def _may_begin(self, key: str, wanted: Wanted, instead: Live | None) -> bool:
        """Decide whether a build may begin: it need not rest, and there will be a place for it. Under the lock."""
        if self._closed or self._builds.rests(key, wanted.revision):
            return False
        places, most = len(self._ready.keys() | self._builds.under_way.keys()), self.limits.capacity
        return instead is not None or places < most or places - len(self._evictable()) < most

    def _evictable(self) -> list[Live]:
        """List the idle applications that have no successor under way, the least recently used first."""
        building = self._builds.under_way
        idle = [live for live in self._ready.values() if live.idle and live.key not in building]
        return sorted(idle, key=lambda live: live.used)

    def _make_room(self) -> bool:
        """Evict the least recently used idle application if the pool is full; false if all are in use."""
        return len(self._ready) < self.limits.capacity or any(self._claim(live) for live in self._evictable())

    def _claim(self, live: Live) -> bool:
        """Retire an application if nobody uses it."""
        if not live.claim():
            return False
        self._unpublish(live)
        self._disposal.add(live.built)
        return True

    def _no_build(self, key: str) -> Unavailable:
        failure = self._builds.failures.get(key)
        if failure is not None and not self._closed:
            rest = max(1, round(failure.until - monotonic()))
            return Unavailable("This site cannot start.", hint="Its operator has been told why.", retry_after=rest)
        return Unavailable("All places are taken.", hint="Please try again in a moment.", retry_after=2)

    # Building

    def _start_builds(self) -> None:
        """Give queued builds a thread, as many at a time as the limits allow."""
        with self._lock:
            starting = self._builds.startable()
        for build in starting:
            try:
                build.run(self._given, self._succeeds, self._finish)
            except RuntimeError as error:  # the system has no thread for it: whoever comes next tries again
                _log.error("the build of %s could not start: %s", build.key, error)
                with self._lock:
                    self._builds.postpone(build)

    def _succeeds(self, build: Build) -> bool:
        """Tell whether what was built will take the place of a live application."""
        with self._lock:
            return build.key in self._ready and self._builds.under_way.get(build.key) is build

    def _finish(self, build: Build, built: Any, error: BaseException | None) -> None:
        """Publish what was built, or remember why not; what comes too late or fails its probe is disposed of."""
        tells = False
        with self._lock:
            self._abandoned.discard(build)
            if not self._builds.conclude(build):
                self._disposal.add(built)
            elif error is None or isinstance(error, Decline):
                tells = True
                self._builds.succeeded(build)
                self._publish(build, built)
            else:
                tells = self._builds.failed(build, error)
                self._disposal.add(built)
        self._start_builds()
        if tells:
            self._given.tell(build.wanted, error)
        build.end(error)

    def _publish(self, build: Build, built: Any) -> None:
        """Put what was built in its slot. Only now is anybody evicted for it: a failing build costs nobody a place."""
        if built is None:
            return
        before = self._ready.get(build.key)
        if self._closed or (before is None and not self._make_room()):
            self._disposal.add(built)
            return
        if before is not None:
            self._retire(before)
        live = Live(build.key, build.wanted.uid, build.wanted.revision, built, self.limits.in_flight)
        live.on_end = self._on_end
        self._ready[live.key] = live
        self._pair(live.uid)

    def _pair(self, uid: str) -> None:
        """Let the live applications of one uid know each other, so that limits count by uid."""
        lives = [live for live in self._ready.values() if live.uid == uid]
        for live in lives:
            live.peers = tuple(other for other in lives if other is not live)

    def _attend(self, build: Build) -> None:
        self._waiters.wait(build, self.limits.wait)

    def _abandon(self, build: Build) -> None:
        """Give a build up that hangs: its thread goes on alone, and its place is free for another."""
        error = build.too_late(self.limits.deadline)
        with self._lock:
            if not self._builds.conclude(build):
                return
            self._abandoned.add(build)
            first = self._builds.failed(build, error)
        self._start_builds()
        if first:
            self._given.tell(build.wanted, error)
        build.end(error)

    # Retiring

    def retire(self, uids: Iterable[str] | None = None) -> None:
        """Let the live applications of these uids, or of all, take no new lease; forget their builds and failures."""
        with self._lock:
            gone = self._owners() if uids is None else frozenset(uids)
            for live in [live for live in self._ready.values() if live.uid in gone]:
                self._retire(live)
            given_up = self._builds.give_up(gone)
            self._builds.forget(gone)
        self._end(given_up)

    def _owners(self) -> frozenset[str]:
        owners = {live.uid for live in self._ready.values()}
        return frozenset(owners | {build.wanted.uid for build in self._builds.under_way.values()})

    def follow(self, wanted: Wanted) -> None:
        """Let go at once of what is older than the data's last move; what is merely older serves until replaced."""
        with self._lock:
            for live in [live for live in self._ready.values() if live.uid == wanted.uid]:
                if live.revision < wanted.moved:
                    self._retire(live)
            given_up = self._builds.give_up({wanted.uid}, below=wanted.moved)
        self._end(given_up)

    def _end(self, given_up: Iterable[Build]) -> None:
        for build in given_up:
            build.give_up()
        self._start_builds()

    def outdate(self, uid: str) -> None:
        """Want successors for a tenant's live applications although its revision is the same; they serve until then.

        What failed before is tried again at once: this is not what failed.
        """
        with self._lock:
            self._builds.forget({uid})
            for live in self._ready.values():
                if live.uid == uid:
                    live.answers = -1

    def _retire(self, live: Live) -> None:
        self._unpublish(live)
        self._retired.add(live)
        live.retired = True
        self._on_end(live)

    def _unpublish(self, live: Live) -> None:
        if self._ready.get(live.key) is live:
            del self._ready[live.key]
        for peer in live.peers:
            peer.peers = tuple(other for other in peer.peers if other is not live)
        live.peers = ()

    def _on_end(self, live: Live) -> None:
        """Hand a retired application over to be disposed of, if no lease on it is left."""
        with self._lock:
            if live in self._retired and live.collect():
                self._retired.discard(live)
                self._disposal.add(live.built)

    # Keeping house

    def sweep(self) -> None:
        """Retire what is idle for too long, abandon builds past their deadline, rest what need not be awake."""
        now = self._swept = monotonic()
        with self._lock:
            for live in list(self._ready.values()):
                if now - live.used > self.limits.idle and live.idle:
                    self._claim(live)
            overdue = self._builds.overdue(self.limits.deadline)
            tired = self._tired()
        for build in overdue:
            self._abandon(build)
        if tired:
            aside([live.built.rest for live in tired])

    def _tired(self) -> list[Live]:
        """Choose the idle applications beyond those that may keep connections open."""
        awake = sorted((live for live in self._ready.values() if live.used > live.rested), key=lambda live: live.used)
        tired = [live for live in awake[: max(0, len(awake) - self.limits.awake)] if live.idle]
        for live in tired:
            live.rested = monotonic()
        return tired

    def reap(self) -> None:
        """Dispose on this thread of what nobody holds any more and no other thread has begun with."""
        self._disposal.finish()

    def close(self, seconds: float = 5.0) -> None:
        """Retire everything, wait at most `seconds` for the last leases to end, and dispose of it all; idempotent."""
        with self._lock:
            self._closed = True
        self.retire()
        deadline = monotonic() + seconds
        pause = threading.Event()
        while self._retired and monotonic() < deadline:
            pause.wait(0.02)
        self.reap()

    # Telling

    def built(self) -> list[tuple[str, Any]]:
        """List the uid of each live application that takes leases, and what `build` returned for it."""
        with self._lock:
            return [(live.uid, live.built) for live in self._ready.values()]

    @property
    def abandoned(self) -> int:
        """Count the builds that were given up at their deadline and still run."""
        return len(self._abandoned)

    @property
    def live(self) -> int:
        """Count the live applications that take leases."""
        return len(self._ready)

    def failure(self, uid: str, mount: str = "") -> str:
        """Say why the slot cannot be built, or nothing."""
        failure = self._builds.failures.get(uid + mount)
        return failure.reason if failure else ""

    def verify(self) -> None:
        """Check the invariants; raises AssertionError naming the broken one. For tests."""
        with self._lock:
            _check(len(self._ready) <= self.limits.capacity, "more live applications than places")
            for key, live in self._ready.items():
                _check(live.key == key and not live.retired, f"{live} is published and should not be")
                _check(0 <= live.leases <= live.size and live.collected == 0, f"{live} has lost a token")
            for live in self._retired:  # one with no lease left is being handed over by whoever ended the last
                _check(live.retired and live.leases >= 0, f"{live} is not retired or has lost a token")

    def __repr__(self) -> str:
        leases = sum(live.leases for live in (*self._ready.values(), *self._retired))
        return (
            f"<Pool {len(self._ready)} live of {self.limits.capacity}, {len(self._builds.under_way)} building, "
            f"{len(self._builds.failures)} failing, {len(self._retired)} retired, {leases} leases>"
        )


def _check(truth: bool, says: str) -> None:
    if not truth:
        raise AssertionError(says)


def _busy() -> Unavailable:
    return Unavailable("This site is busy.", hint="Please try again in a moment.", retry_after=1)


_pools: WeakSet[Pool] = WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool._after_fork()


os.register_at_fork(after_in_child=_after_fork)
