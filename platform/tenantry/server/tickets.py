"""One request on its way through the lanes, and the thread that runs it."""

import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from tenantry.server.spending import Spender

# The part of its time for which a thread may compute and yet be said to wait for something.
_RESTING = 0.02


class Runner(Protocol):
    """What the lanes need of a connection: to answer its first request, and to hear that it was parked."""

    def answer(self) -> "Future[Any] | None":
        """Answer the request, or return the future for which it wants to wait; never raise."""

    def lane(self) -> Hashable:
        """Tell, from memory and without raising, the key of the tenant that the request is for."""

    def parked(self) -> None:
        """Learn that the request now waits for its future."""


Place = OrderedDict["Ticket", None]


class Ticket:
    """One request on its way through the lanes.

    `place` is where it waits, and `spender` its key, both guarded by the lanes' lock. The rest is written before the
    ticket is handed to a thread.
    """

    __slots__ = ("began", "deadline", "key", "may_park", "place", "refused", "runner", "runs", "spender")

    def __init__(self, runner: Runner, key: Hashable, deadline: float) -> None:
        self.runner = runner
        self.key = key
        self.deadline = deadline
        self.spender = _NOBODY
        self.began = 0.0
        self.may_park = False
        self.place: Place | None = None
        self.refused = ""
        self.runs = 0


class Worker:
    """A thread's letter box: whoever takes the worker from the idle ones puts a ticket in and opens the lock.

    `ticket` is what the thread runs. It is `stuck` when that has gone on for so long, waiting for something, that
    another thread was started in its place; it is `over` when the thread is to end. All guarded by the lanes' lock.
    """

    __slots__ = ("_clock", "_seen", "over", "stuck", "ticket", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.ticket: Ticket | None = None
        self.stuck = False
        self.over = False
        self._clock: int | None = None
        self._seen: tuple[Ticket | None, float, float] = (None, 0.0, 0.0)

    def settle(self) -> None:
        """Learn, on the thread itself, by which clock its processor time is told, where the system does."""
        if sys.platform == "linux":
            self._clock = time.pthread_getcpuclockid(threading.get_ident())

    def known(self) -> bool:
        """Tell whether it was asked about this very request before."""
        return self._seen[0] is self.ticket

    def rests(self, now: float, seconds: float) -> bool:
        """Tell whether the thread has been seen to compute next to nothing for so many seconds, and up to now.

        One that computes is not to be replaced: it holds the interpreter, and one more would only wait for that too.
        """
        ticket, before, since = self._seen
        spent = self._spent()
        if ticket is not self.ticket or spent - before > _RESTING * (now - since):
            self._seen = (self.ticket, spent, now)
            return False
        return now - since >= seconds

    def look_anew(self) -> None:
        """Forget what was seen so far."""
        self._seen = (None, 0.0, 0.0)

    def _spent(self) -> float:
        try:
            return 0.0 if self._clock is None else time.clock_gettime(self._clock)
        except OSError:
            return 0.0


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests run on a worker, wait outside threads (parked ones among them), and are being refused."""

    running: int
    waiting: int
    refusing: int

    def __bool__(self) -> bool:
        return bool(self.running or self.waiting or self.refusing)


_NOBODY = Spender(None)
