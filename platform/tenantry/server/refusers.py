"""Who answers the requests that no worker answers: those that are refused, and those that could not be read.

One thread does; while all that there are have been held up for some time, another one is started.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from queue import SimpleQueue
from time import monotonic

from tenantry.server.tickets import Ticket

_MOST = 8

Spawn = Callable[[str, Callable[[], None]], object]


class Refusers:
    """The threads and what they still have to answer; `spawn` starts a thread under a name."""

    def __init__(self, spawn: Spawn, clock: Callable[[], float] = monotonic) -> None:
        self.count = 0
        self._clock = clock
        self._spawn = spawn
        self._tickets: SimpleQueue[Ticket | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._since: list[float] = []

    def begin(self) -> None:
        """Start a thread, or raise RuntimeError where the system has none; one caller at a time."""
        with self._lock:
            number = len(self._since)
            self._since.append(-inf)  # as if held up, until it is there
        try:
            self._spawn("refuser", lambda: self._refuse(number))
        except BaseException:
            with self._lock:
                self._since.pop()  # the next attempt has its place
            raise

    def put(self, ticket: Ticket, why: str = "") -> None:
        """Have a request answered."""
        ticket.refused = why
        ticket.runs += 1
        with self._lock:
            self.count += 1
        self._tickets.put(ticket)

    def look(self, now: float, grace: float) -> None:
        """Start one more where none of them has come to an end for so long."""
        with self._lock:
            held = self.count > 0 and all(now - since >= grace for since in self._since)
            more = held and len(self._since) < _MOST
        if more:
            with suppress(RuntimeError):  # the system has no thread for it
                self.begin()

    def stop(self) -> None:
        """End the threads, when all is answered that there is to answer."""
        for _ in range(_MOST):
            self._tickets.put(None)

    def _refuse(self, number: int) -> None:
        self._since[number] = inf
        while (ticket := self._tickets.get()) is not None:
            self._since[number] = self._clock()
            ticket.runner.answer()
            with self._lock:
                self._since[number] = inf
                self.count -= 1
