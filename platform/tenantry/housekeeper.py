"""The housekeeper: the one background thread of a process."""

import ctypes
import gc
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Protocol

from tenantry import forks
from tenantry.errors import TenantryError, reason
from tenantry.pool import Pool, scarce
from tenantry.rations import Rations

PERIOD = 0.25
# Seconds for which tenants are served from memory while the registry is away.
LASTS = 3600.0
# How often, in seconds, the registry is read although nobody has written it.
_LOOK = 1.0

_MIB = 1 << 20
# Of the live applications one in so many is let go of in a round, and the rounds lie so many seconds apart: what an
# application leaves is seen in the process' memory only after it was disposed of and collected.
_EVICTED = 8
_APART = 1.0
_SELDOM = 20
# Seconds without a lack after which there is room for some more applications again, each time.
_WELL = 60.0

_log = logging.getLogger(__name__)

Chore = Callable[[], None]


class Changed(Protocol):
    """What has changed in the registry; only its revision matters here."""

    @property
    def revision(self) -> int:
        """The registry's revision when it was read."""


class Housekeeper:
    """Does its chores four times a second; begins at the first request, again after a fork.

    Owns its thread and nothing else. `running` is read on every request, without a lock. A chore that raises is
    logged once until it succeeds again, and the others go on.
    """

    def __init__(self, chores: Sequence[Chore], period: float = PERIOD) -> None:
        self.running = False
        self._chores = chores
        self._period = period
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._failing: set[Chore] = set()
        forks.renewed(self)

    def start(self) -> None:
        """Begin, if nobody has yet."""
        with self._lock:
            if self.running or self._stopped:
                return
            thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # the system has no thread for it: the next request tries again
                _log.error("the housekeeper could not start: %s", error)
                return
            self._thread, self.running = thread, True

    def stop(self) -> None:
        """End after the round under way; idempotent."""
        with self._lock:
            self._stopped = True
            thread = self._thread
        self._pause.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def round(self) -> None:
        """Do every chore once."""
        for chore in self._chores:
            try:
                chore()
                self._failing.discard(chore)
            except BaseException:  # noqa: BLE001 - whatever one chore raises, the others and the thread go on
                if chore not in self._failing:
                    _log.exception("a chore of the housekeeper fails and is tried again")
                self._failing.add(chore)

    def _run(self) -> None:
        while not self._stopped:
            self.round()
            self._pause.wait(self._period)

    def renew(self) -> None:
        """Be ready to begin again: threads do not cross a fork."""
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._thread = None
        self.running = False


class Follower:
    """The chore of following the registry: *the registry is what should be; every process looks and follows*.

    `version()` is cheap and differs once another connection, of any process, has written; `changes(since)` reads
    what has changed after a revision; `apply(changes)` brings this process up to it, to `seen`. One thread uses it.
    """

    def __init__(
        self, version: Callable[[], int], changes: Callable[[int], Changed], apply: Callable[[Any], None], seen: int
    ) -> None:
        self._version = version
        self._changes = changes
        self._apply = apply
        self.seen = seen
        self._at = -1

    def __call__(self) -> None:
        """Look, and follow if there is something new; what fails is tried again in the next round."""
        version = self._version()
        if version == self._at:
            return
        changes = self._changes(self.seen)
        self._apply(changes)
        self.seen = changes.revision
        self._at = version


class Routing(Protocol):
    """Who knows which tenant is at which address."""

    def hold(self, away: bool) -> None:
        """Forget nobody for room while the registry is `away`."""

    def close(self) -> None:
        """Forget everybody, and find nobody until it is opened again."""

    def open(self) -> None:
        """Find tenants again."""


class Outage:
    """The chore of following, and what it means that it fails: the registry is away.

    For `lasts` seconds, by a clock that nobody sets, the last good routing serves on; then it is closed, since who was
    suspended or removed meanwhile would not be known; it opens once the registry was followed again. `look` reads the
    registry for real, which is dearer than asking whether it was written: once a second, and always while it is away.
    """

    def __init__(
        self,
        look: Chore,
        follow: Chore,
        routing: Routing,
        *,
        lasts: float = LASTS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.since: float | None = None
        self._look = look
        self._follow = follow
        self._routing = routing
        self._lasts = lasts
        self._clock = clock
        self._good = self._looked = clock()
        self._lost = False

    def __call__(self) -> None:
        """Follow, and note how that goes; never raises."""
        now = self._clock()
        try:
            if self.since is not None or now - self._looked >= _LOOK:
                self._look()
                self._looked = now
            self._follow()
        except BaseException as error:  # noqa: BLE001 - whatever it is, what is served may not be what should be
            self._goes_on(error, now)
        else:
            self._good = now
            self._ends(now)

    def _goes_on(self, error: BaseException, now: float) -> None:
        if self.since is None:
            self.since = self._good
            self._routing.hold(True)
            says = "the registry is away; known tenants are served on for %d s, all others get 503: %s"
            known = isinstance(error, TenantryError)
            _log.error(says, self._lasts, reason(error), exc_info=None if known else error)
        if not self._lost and now - self.since >= self._lasts:
            self._lost = True
            self._routing.close()
            _log.error("the registry has been away for %d s: everybody gets 503 until it is back", now - self.since)

    def _ends(self, now: float) -> None:
        if self.since is None:
            return
        _log.warning("the registry is back after %d s", now - self.since)
        self.since, self._lost = None, False
        self._routing.hold(False)
        self._routing.open()


class Thrift:
    """The chores of making do: idle applications give back what runs short, in time and before anything fails.

    Sheds them while few descriptors are free, or more memory is used than is wanted.

    Told in the log once when that begins. Used by the housekeeper's thread alone, off which nothing is collected.
    `opened` counts the descriptors in use, None where nobody knows; `resident` tells the bytes of memory.
    """

    def __init__(
        self,
        pool: Pool,
        given: Rations,
        *,
        opened: Callable[[], int | None],
        resident: Callable[[], int],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._pool = pool
        self._limit, self._reserve = given.limit, given.reserve
        self._target = given.settings.memory * _MIB
        self._opened = opened
        self._resident = resident
        self._clock = clock
        self._short = self._large = False
        self._room = pool.room
        self._well = clock()
        self._next = self._collects = 0.0

    def descriptors(self) -> None:
        """See that some descriptors are free for what comes next: idle connections go first, then applications.

        Where the former is not enough, applications hold more than anybody could know: there is room for fewer of them,
        until all has been well for a while.
        """
        used = self._opened()
        if used is None:
            used = self._limit if scarce(self._reserve) else 0
        missing, before = used + self._reserve - self._limit, self._short
        # An end only when it is well over, so that it is told once.
        self._short = missing > (-self._reserve if before else 0)
        if missing > 0:
            freed = self._pool.shed(missing)
            if not before:
                says = "%d of %d open files are in use: idle applications give back about %d"
                _log.warning(says, used, self._limit, freed)
            elif freed < missing:
                self._pool.shrink()
            self._collect()
        self._tell_room()

    def memory(self) -> None:
        """Let go of idle applications while the process is larger than `TENANTRY_MEMORY` wants it."""
        if not self._target or self._clock() < self._next:
            return
        used = self._resident()
        if used <= self._target:
            self._large = False
            return
        self._next = self._clock() + _APART
        evicted = self._pool.evict(max(1, self._pool.live // _EVICTED))
        if not self._large:
            self._large = True
            says = "%d MiB are in use and TENANTRY_MEMORY is %d: idle applications are let go of, %d of %d now"
            _log.warning(says, used // _MIB, self._target // _MIB, evicted, self._pool.live + evicted)
        if evicted:
            self._collect()

    def _tell_room(self) -> None:
        """Tell when there is room for fewer applications than before, and make some more once it has been well."""
        room, now = self._pool.room, self._clock()
        if room < self._room or self._short:
            self._well = now
        elif room < self._pool.limits.capacity and now - self._well >= _WELL:
            room, self._well = self._pool.grow(), now
        if room != self._room:
            _log.warning("open files run short: there is room for %d live applications now", room)
        self._room = room

    def _collect(self) -> None:
        """Collect what was let go of, twice, since finalizers of the first pass free more, and return it to the system.

        All threads stand still meanwhile: the longer that takes, the more seldom it is done.
        """
        begun = self._clock()
        if begun < self._collects:
            return
        gc.collect()
        gc.collect()
        with suppress(OSError, AttributeError):  # only glibc has it
            ctypes.CDLL(None).malloc_trim(0)
        self._collects = self._clock() + max(_APART, _SELDOM * (self._clock() - begun))
        self._next = max(self._next, self._collects)
