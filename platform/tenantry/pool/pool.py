"""Slots by key, and everything that is decided about them under one lock and done outside it."""

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from time import monotonic
from typing import Any

from tenantry import forks
from tenantry.errors import Unavailable
from tenantry.pool.aside import aside
from tenantry.pool.build import Build, Builds, Waiters
from tenantry.pool.given import Decline, Given, unasked, unheard
from tenantry.pool.limits import Limits, Wanted
from tenantry.pool.live import Lease, Live
from tenantry.pool.short import starved
from tenantry.pool.slots import LEAST, Slots

_log = logging.getLogger(__name__)

# What a build that met too few descriptors is given before its second try, and how long it waits for them in seconds.
_RELIEF = 48
_RELIEF_WAIT = 2.0
# Seconds between one cut of the room and the next: what was let go of must have had the time to end.
_SHRINKING = 1.0


class Pool:
    """All slots of one process.

    A slot's key is uid + mount. `_ready` is read without a lock and changed only under it. `build(wanted, mount)`
    returns an object with `app`, `close()` and `rest()`, and `weight` if it knows how many connections it has open. It
    runs on a thread of its own, where `probe(built)` may then raise to keep a successor from taking the place of what
    answers. `report(wanted, reason)` is told when a slot begins to fail and, with None, each time it was built.
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
        self._given = Given(build, probe, report, self._relieve)
        self._closed = False
        self._inherited: list[Any] = []
        self._begin()
        forks.renewed(self)

    def _begin(self) -> None:
        """Begin with nothing. The lock is re-entrant: a collected body may end its lease on a thread that holds it."""
        self._slots = Slots()
        self._ready = self._slots.ready
        self._lock = threading.RLock()
        self._builds = Builds(self.limits)
        self._waiters = Waiters(self.limits.waiters, self.limits.waiters_of_one)
        self._swept, self._shrunk = monotonic(), 0.0
        self._room = self.limits.capacity

    def renew(self) -> None:
        """Begin again in a forked child, without the parent's threads, locks and connections.

        What holds the latter is kept: SQLite's files break when a child uses, or closes, what its parent has open.
        """
        self._inherited.append(self._slots)
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
                self._slots.retire(live)
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
        places, most = len(self._ready.keys() | self._builds.under_way.keys()), self.room
        return instead is not None or places < most or places - len(self._evictable()) < most

    def _evictable(self) -> list[Live]:
        return self._slots.evictable(self._builds.under_way)

    def _make_room(self) -> bool:
        """Evict the least recently used idle application if the pool is full; false if all are in use."""
        return len(self._ready) < self.room or any(map(self._slots.evict, self._evictable()))

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
            if not self._builds.conclude(build):
                self._slots.disposal.add(built)
            elif error is None or isinstance(error, Decline):
                tells = True
                self._builds.succeeded(build)
                self._publish(build, built)
            else:
                tells = self._builds.failed(build, error)
                self._slots.disposal.add(built)
        self._start_builds()
        if tells and not self._closed:  # nobody is there any more who could be told
            self._given.tell(build.wanted, error)
        build.end(error)

    def _publish(self, build: Build, built: Any) -> None:
        """Put what was built in its slot. Only now is anybody evicted for it: a failing build costs nobody a place."""
        if built is None:
            return
        if self._closed or (build.key not in self._ready and not self._make_room()):
            self._slots.disposal.add(built)
            return
        live = Live(build.key, build.wanted.uid, build.wanted.revision, built, self.limits.in_flight)
        live.on_end = self._on_end
        self._slots.publish(live)
        self._rest(self._slots.tired(self.limits.awake, live))

    def _attend(self, build: Build) -> None:
        self._waiters.wait(build, self.limits.wait)

    def _abandon(self, build: Build) -> None:
        """Give a build up that hangs: its thread goes on alone, and its place is free for another."""
        error = build.too_late(self.limits.deadline)
        with self._lock:
            if not self._builds.conclude(build):
                return
            self._builds.abandoned.add(build)
            first = self._builds.failed(build, error)
        if first:
            self._given.tell(build.wanted, error)
        build.end(error)

    def _relieve(self, error: BaseException) -> bool:
        """Tell whether a build failed for want of descriptors; if so, free some, so that it may be tried once more."""
        if isinstance(error, Decline) or not starved(error):
            return False
        freed = self.shed(_RELIEF)
        self.shrink()
        self._slots.disposal.settle(_RELIEF_WAIT)
        _log.warning("a build met too few open files; about %d were given back for it", freed)
        return True

    # Retiring

    def retire(self, uids: Iterable[str] | None = None) -> None:
        """Let the live applications of these uids, or of all, take no new lease; forget their builds and failures."""
        with self._lock:
            gone = self._owners() if uids is None else frozenset(uids)
            for live in self._slots.of(gone):
                self._slots.retire(live)
            given_up = self._builds.give_up(gone)
            self._builds.forget(gone)
        self._end(given_up)

    def _owners(self) -> frozenset[str]:
        return self._slots.owners() | {build.wanted.uid for build in self._builds.under_way.values()}

    def follow(self, wanted: Wanted) -> None:
        """Let go at once of what is older than the data's last move; what is merely older serves until replaced."""
        with self._lock:
            for live in self._slots.of([wanted.uid]):
                if live.revision < wanted.moved:
                    self._slots.retire(live)
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
            for live in self._slots.of([uid]):
                live.answers = -1

    def _on_end(self, live: Live) -> None:
        with self._lock:
            self._slots.end(live)

    # Keeping house

    def sweep(self) -> None:
        """Retire what is idle for too long, abandon builds past their deadline, rest what need not be awake."""
        now = self._swept = monotonic()
        with self._lock:
            for live in self._slots.idle_since(now - self.limits.idle):
                self._slots.evict(live)
            overdue = self._builds.overdue(self.limits.deadline)
            tired = self._slots.tired(self.limits.awake)
        for build in overdue:
            self._abandon(build)
        self._start_builds()
        self._rest(tired)

    def shed(self, descriptors: int) -> int:
        """Give back about so many descriptors of idle applications, least recently used first; return how many.

        First they close their connections and stay live, then they are let go of, but for the last few. The descriptors
        are free a moment later: an application may take its time.
        """
        with self._lock:
            idle, freed, rested = self._evictable(), 0, list[Live]()
            for live in idle:
                if freed < descriptors and live.used > live.rested and live.weight:
                    live.rested = monotonic()
                    rested.append(live)
                    freed += 1 + 2 * live.weight
            freed += self._slots.thin(idle, descriptors - freed)
        self._rest(rested)
        return freed

    @property
    def room(self) -> int:
        """Tell how many live applications there may be at the moment."""
        return min(self._room, self.limits.capacity)

    def shrink(self) -> int:
        """Have room for a quarter fewer than are live, at most once a second; return for how many there is room.

        What descriptors or memory applications take for themselves nobody knows beforehand.
        """
        with self._lock:
            if monotonic() - self._shrunk >= _SHRINKING:
                self._shrunk = monotonic()
                self._room = max(LEAST, len(self._ready) * 3 // 4)
                self._slots.thin(self._evictable(), len(self._ready) - self._room)
            return self.room

    def grow(self) -> int:
        """Have room for some more again, up to the capacity; return for how many."""
        with self._lock:
            self._room = min(self.limits.capacity, self._room + max(1, self._room // 8))
            return self.room

    def evict(self, most: int) -> int:
        """Let go of so many idle applications, the least recently used first and never the last few; count them."""
        with self._lock:
            return self._slots.thin(self._evictable(), most)

    def _rest(self, lives: Collection[Live]) -> None:
        if lives:
            aside([live.built.rest for live in lives])

    def reap(self) -> None:
        """Dispose on this thread of what nobody holds any more and no other thread has begun with."""
        self._slots.disposal.finish()

    def close(self, seconds: float = 5.0) -> None:
        """Retire everything, wait at most `seconds` for the last leases to end, and dispose of it all; idempotent.

        What hangs while it is disposed of is left behind after as many seconds more.
        """
        with self._lock:
            self._closed = True
        self.retire()
        deadline = monotonic() + seconds
        pause = threading.Event()
        while self._slots.retired and monotonic() < deadline:
            pause.wait(0.02)
        if not self._slots.disposal.settle(seconds):
            _log.warning("live applications that hang while they are disposed of are left behind")

    # Telling

    def built(self) -> list[tuple[str, Any]]:
        """List the uid of each live application that takes leases, and what `build` returned for it."""
        with self._lock:
            return [(live.uid, live.built) for live in self._ready.values()]

    def newest(self, uid: str) -> Any:
        """Return what `build` returned last for this uid, if that takes leases, else None; takes no lock."""
        return self._slots.newest(uid)

    @property
    def abandoned(self) -> int:
        """Count the builds that were given up at their deadline and still run."""
        return len(self._builds.abandoned)

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
            self._slots.verify(self.limits.capacity)

    def __repr__(self) -> str:
        retired = self._slots.retired
        leases = sum(live.leases for live in (*self._ready.values(), *retired))
        return (
            f"<Pool {len(self._ready)} live of {self.limits.capacity}, {len(self._builds.under_way)} building, "
            f"{len(self._builds.failures)} failing, {len(retired)} retired, {leases} leases>"
        )


def _busy() -> Unavailable:
    return Unavailable("This site is busy.", hint="Please try again in a moment.", retry_after=1)
