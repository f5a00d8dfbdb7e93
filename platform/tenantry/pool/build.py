"""Builds: a daemon thread for each, a deadline, and what is remembered when one fails."""

import threading
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any

from tenantry.errors import Unavailable, reason
from tenantry.pool.given import Decline, Given
from tenantry.pool.limits import Limits

BACK_OFF_LIMIT = 60.0
# Where anybody's word names a tenant, as in a dispatcher alone, failures must not be remembered without end.
REMEMBERED = 10_000
# So many times the builds that may run at a time run where most of them are slow.
PATIENT = 4


class Build(Future[None]):
    """A build under way, and the future of it. It ends once: done, failed, or abandoned past its deadline."""

    def __init__(self, key: str, wanted: Any, mount: str, attend: "Callable[[Build], None]") -> None:
        super().__init__()
        self.key = key
        self.wanted = wanted
        self.mount = mount
        self.started = 0.0  # monotonic; 0 while it waits for a thread
        self.probing = False  # what was built is being probed, within the same deadline
        self.counts = True  # among those of its slot that have not come back, once it is abandoned
        self._attend = attend

    def attend(self) -> None:
        """Wait for the end on this thread, within the pool's bounds on waiting; raise what the build raised."""
        self._attend(self)

    def overdue(self, deadline: float) -> bool:
        """Tell whether it has run for longer than `deadline` seconds."""
        return bool(self.started) and monotonic() - self.started > deadline

    def too_late(self, deadline: float) -> Unavailable:
        """Say what had not come to its end within `deadline` seconds."""
        what = "The new build had not answered its probe" if self.probing else "The factory had not answered"
        return Unavailable(f"{what} after {deadline:g} s.")

    def run(self, given: Given, succeeds: "Callable[[Build], bool]", finish: "Finish") -> None:
        """Build on a new daemon thread and hand what came of it to `finish`; a hanging build hangs only itself.

        `succeeds` is asked, once there is something to probe, whether it is to take the place of what answers.
        """
        self.started = monotonic()
        threading.Thread(
            target=self._work, args=(given, succeeds, finish), name=f"build-{self.key}", daemon=True
        ).start()

    def _work(self, given: Given, succeeds: "Callable[[Build], bool]", finish: "Finish") -> None:
        built, error = None, None
        try:
            built = given.made(self.wanted, self.mount)
            # A first build is not probed: nothing else would answer in its place, and its visitors wait for it.
            self.probing = succeeds(self)
            if self.probing:
                given.probe(built)
        except BaseException as raised:  # noqa: BLE001 - a factory that calls sys.exit costs only its own tenant
            error = raised
        try:
            finish(self, built, error)
        finally:
            del error  # its traceback holds this frame, and with it what the factory had made so far

    def end(self, error: BaseException | None) -> None:
        """Wake everybody who waits, outside every lock.

        They never get the factory's own exception: what it says and its traceback are the operator's alone.
        """
        if error is not None and not isinstance(error, Decline):
            error = Unavailable("This site cannot start.", hint="Its operator has been told why.", retry_after=2)
        self._wake(error)

    def give_up(self) -> None:
        """Wake everybody who waits, because nobody wants what is being built any more."""
        self._wake(Unavailable("This site has changed.", hint="Please try again.", retry_after=1))

    def _wake(self, error: BaseException | None) -> None:
        with suppress(InvalidStateError):
            if error is None:
                self.set_result(None)
            else:
                self.set_exception(error)


# Called once a build has ended in whatever way: what was built, if anything, and what was raised, if anything.
Finish = Callable[[Build, Any, BaseException | None], None]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last build of a slot failed, how often in a row, and until when nobody shall try again."""

    revision: int
    reason: str
    count: int
    until: float

    @classmethod
    def after(cls, before: "Failure | None", revision: int, error: BaseException) -> "Failure":
        """Add one more failure: 1, 2, 4 .. 60 seconds of rest, from 1 again for a newer revision."""
        count = before.count + 1 if before and before.revision >= revision else 1
        rest = min(BACK_OFF_LIMIT, 2.0 ** min(count - 1, 10))
        return cls(revision, reason(error), count, monotonic() + rest)

    def blocks(self, revision: int) -> bool:
        """Tell whether a build of `revision` has to rest; a newer revision than the failed one need not."""
        return revision <= self.revision and monotonic() < self.until


class Builds:
    """The builds under way and the failures remembered, by slot. Every method is called under the pool's lock."""

    def __init__(self, limits: Limits) -> None:
        self.under_way: dict[str, Build] = {}
        self.failures: dict[str, Failure] = {}
        self.abandoned: set[Build] = set()
        self._queued: deque[Build] = deque()
        self._limits = limits

    def rests(self, key: str, revision: int) -> bool:
        """Tell whether the slot failed so recently, or hung so often, that it must not be tried yet.

        A thread that hangs is lost until it comes back by itself: a slot may cost a few of them and not one a minute.
        """
        failure = self.failures.get(key)
        if failure is not None and failure.blocks(revision):
            return True
        hung = [build for build in self.abandoned if build.key == key and build.counts]
        return len([build for build in hung if build.wanted.revision >= revision]) >= self._limits.hung

    def queue(self, build: Build) -> Build:
        """Take a build in; it starts as soon as there is a thread for it."""
        self.under_way[build.key] = build
        self._queued.append(build)
        return build

    def startable(self) -> list[Build]:
        """Take as many queued builds as may start now; slow ones take nobody's turn until too many of them run."""
        now, most = monotonic(), self._limits.builders
        running = [build.started for build in self.under_way.values() if build.started]
        brisk = sum(now - started < self._limits.slow for started in running)
        room = min(most - brisk, most * PATIENT - len(running))
        starting: list[Build] = []
        while self._queued and len(starting) < room:
            build = self._queued.popleft()
            build.started = now
            starting.append(build)
        return starting

    def postpone(self, build: Build) -> None:
        """Queue a build again that could not start."""
        if self.under_way.get(build.key) is build:
            build.started = 0.0
            self._queued.append(build)

    def conclude(self, build: Build) -> bool:
        """Take a build that has ended off the list; false if it was given up before."""
        self.abandoned.discard(build)
        if self.under_way.get(build.key) is not build:
            return False
        del self.under_way[build.key]
        return True

    def succeeded(self, build: Build) -> None:
        """Forget the slot's failures."""
        self.failures.pop(build.key, None)

    def failed(self, build: Build, error: BaseException) -> bool:
        """Remember a failure; true if it is the first in a row of builds of its revision."""
        before = self.failures.pop(build.key, None)
        if len(self.failures) >= REMEMBERED:
            del self.failures[next(iter(self.failures))]
        self.failures[build.key] = Failure.after(before, build.wanted.revision, error)
        return before is None or before.revision != build.wanted.revision

    def give_up(self, uids: Collection[str], below: float = inf) -> list[Build]:
        """Take the builds of these uids from revisions before `below` off the list; whoever calls ends them."""
        given_up = [
            build for build in self.under_way.values() if build.wanted.uid in uids and build.wanted.revision < below
        ]
        for build in given_up:
            del self.under_way[build.key]
            with suppress(ValueError):
                self._queued.remove(build)
        return given_up

    def forget(self, uids: Collection[str]) -> None:
        """Forget the failures of these uids, and that builds of theirs hang."""
        for key in [key for key in self.failures if key.partition("/")[0] in uids]:
            del self.failures[key]
        for build in self.abandoned:
            build.counts = build.counts and build.wanted.uid not in uids

    def overdue(self, deadline: float) -> list[Build]:
        """Find the builds that have run for longer than `deadline` seconds."""
        return [build for build in self.under_way.values() if build.overdue(deadline)]


class Waiters:
    """Threads that wait for builds, counted by uid and in total, for servers that have no lanes."""

    def __init__(self, most: int, most_of_one: int) -> None:
        self.counts: dict[str, int] = {}
        self._most = most
        self._most_of_one = most_of_one
        self._lock = threading.Lock()

    def wait(self, build: Build, seconds: float) -> None:
        """Wait for the build's end on this thread, or raise Unavailable where too many do or it takes too long."""
        uid = build.wanted.uid
        with self._lock:
            mine = self.counts.get(uid, 0)
            if mine >= self._most_of_one or sum(self.counts.values()) >= self._most:
                raise Unavailable("Too many wait for this site.", hint="Please try again in a moment.", retry_after=2)
            self.counts[uid] = mine + 1
        try:
            build.result(seconds)
        except TimeoutError:
            raise Unavailable("This site is still starting.", hint="Please try again.", retry_after=5) from None
        finally:
            with self._lock:
                self.counts[uid] -= 1
                if not self.counts[uid]:
                    del self.counts[uid]
