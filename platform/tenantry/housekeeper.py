"""The housekeeper: the one background thread of a process."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

PERIOD = 0.25

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
        _keepers.add(self)

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

    def _after_fork(self) -> None:
        """Be ready to begin again: threads do not cross a fork."""
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._thread = None
        self.running = False


class Follower:
    """The chore of following the registry: *the registry is what should be; every process looks and follows*.

    `version()` is cheap and differs once another connection, of any process, has written; `changes(since)` reads
    what has changed after a revision; `apply(changes)` brings this process up to it. Used by one thread.
    """

    def __init__(
        self, version: Callable[[], int], changes: Callable[[int], Changed], apply: Callable[[Any], None], seen: int
    ) -> None:
        self._version = version
        self._changes = changes
        self._apply = apply
        self._seen = seen
        self._at = -1

    def __call__(self) -> None:
        """Look, and follow if there is something new; what fails is tried again in the next round."""
        version = self._version()
        if version == self._at:
            return
        changes = self._changes(self._seen)
        self._apply(changes)
        self._seen = changes.revision
        self._at = version


_keepers: WeakSet[Housekeeper] = WeakSet()


def _after_fork() -> None:
    for keeper in list(_keepers):
        keeper._after_fork()


os.register_at_fork(after_in_child=_after_fork)
