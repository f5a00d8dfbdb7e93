"""Share the worker threads among tenants: who runs now, who waits in its lane, who has waited too long.

Lanes stand where waitress has its task dispatcher. They know of tenants only the key that a request comes with.
One lock guards all counts and places; it is held for a few dictionary look-ups and never while anything is run.

Invariants, whenever the lock is free: an idle worker runs nothing and is in `_idle`; no lane that may start has a
request waiting; a ticket has a `place` exactly while it waits or is parked.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Protocol

FULL = "Too many requests are waiting for their turn."
LATE = "This request has waited for its turn for too long."
# Deadlines are kept to this many seconds: a crowd of them costs one look at the lanes and not one each.
GRAIN = 0.02


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

    `place` is where it waits, guarded by the lanes' lock. The rest is written before the ticket is handed to a thread.
    """

    __slots__ = ("deadline", "key", "may_park", "place", "refused", "runner", "runs")

    def __init__(self, runner: Runner, key: Hashable, deadline: float) -> None:
        self.runner = runner
        self.key = key
        self.deadline = deadline
        self.may_park = False
        self.place: Place | None = None
        self.refused = ""
        self.runs = 0


class Worker:
    """A thread's letter box: whoever takes the worker from the idle ones puts a ticket in and opens the lock."""

    __slots__ = ("ticket", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.ticket: Ticket | None = None

    def begin(self, ticket: Ticket | None) -> None:
        """Let the thread run what the ticket stands for; None ends the thread."""
        self.ticket = ticket
        self.wake.release()


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests run on a worker, wait outside threads (parked ones among them), and are being refused."""

    running: int
    waiting: int
    refusing: int

    def __bool__(self) -> bool:
        return bool(self.running or self.waiting or self.refusing)


class Lanes:
    """Run the requests of each key on at most half of the threads, and keep the last quarter for quiet keys.

    What may not start waits outside threads, `size` requests in total and each for `wait` seconds; the rest is answered
    by one thread more, with `refused` set on its ticket.
    """

    def __init__(self, threads: int, size: int, wait: float) -> None:
        self._most = max(1, threads // 2)
        self._kept = max(1, threads // 4) if threads > 1 else 0
        self._size = size
        self._wait = wait
        self._lock = threading.Lock()
        self._workers = [Worker() for _ in range(threads)]
        self._idle = list(self._workers)
        self._running: dict[Hashable, int] = {}
        self._lanes: dict[Hashable, Place] = {}
        self._parked: Place = OrderedDict()
        # Lanes that may start as soon as a thread is free, each set in turn order: those with nothing running, which
        # go first and may have the kept threads too, and those with something running.
        self._quiet: OrderedDict[Hashable, None] = OrderedDict()
        self._busy: OrderedDict[Hashable, None] = OrderedDict()
        self._waiting = 0
        self._refusing = 0
        self._alarm = float("inf")
        self._refused: SimpleQueue[Ticket | None] = SimpleQueue()
        self._stopped = False
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; they are daemons, so that one that hangs cannot keep the process."""
        for number, worker in enumerate(self._workers):
            self._spawn(f"tenantry-worker-{number}", partial(self._work, worker))
        self._spawn("tenantry-refuser", self._refuse)

    def ticket(self, runner: Runner, key: Hashable) -> Ticket:
        """Write the ticket of a request that has just arrived."""
        return Ticket(runner, key, monotonic() + self._wait)

    def enter(self, ticket: Ticket) -> None:
        """Start a request, let it wait, or have it refused."""
        with self._lock:
            worker = self._admit(ticket)
        if worker is not None:
            worker.begin(ticket)

    def answer_aside(self, ticket: Ticket) -> None:
        """Have a request answered that needs no worker: one that could not be read."""
        with self._lock:
            self._set_aside(ticket)

    def drop(self, ticket: Ticket) -> bool:
        """Forget a request that waits or is parked; False says that it runs, has run or is being refused."""
        with self._lock:
            if ticket.place is None:
                return False
            self._leave(ticket)
            return True

    def load(self) -> Load:
        """Count what there is to do."""
        with self._lock:
            return Load(sum(self._running.values()), self._waiting, self._refusing)

    def stop(self, patience: float) -> None:
        """End the threads: the idle ones now, the others after what they run; wait `patience` seconds for them."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, []
            for ticket in self._all_waiting():
                self._leave(ticket)
        for worker in idle:
            worker.begin(None)
        self._refused.put(None)
        limit = monotonic() + patience
        for thread in self._threads:
            thread.join(max(0.0, limit - monotonic()))

    # All below runs under the lock, except the threads' own loops at the end.

    def _admit(self, ticket: Ticket) -> Worker | None:
        key, idle = ticket.key, self._idle
        running = self._running.get(key, 0)
        if idle and running < self._most and (not running or len(idle) > self._kept):
            self._running[key] = running + 1
            self._begin(ticket)
            return idle.pop()
        if self._stopped or self._waiting >= self._size:
            ticket.refused = FULL
            self._set_aside(ticket)
            return None
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = OrderedDict()
            self._take_turn(key, running)
        self._put(ticket, lane)
        return None

    def _begin(self, ticket: Ticket) -> None:
        ticket.runs += 1
        ticket.may_park = self._waiting < self._size

    def _take_turn(self, key: Hashable, running: int) -> None:
        if not running:
            self._busy.pop(key, None)
            self._quiet[key] = None
        elif running < self._most:
            self._busy[key] = None

    def _put(self, ticket: Ticket, place: Place) -> None:
        place[ticket] = None
        ticket.place = place
        self._waiting += 1
        if ticket.deadline < self._alarm:
            self._alarm = ticket.deadline
            self._refused.put(None)

    def _leave(self, ticket: Ticket) -> None:
        place = ticket.place
        if place is None:
            return
        del place[ticket]
        ticket.place = None
        self._waiting -= 1
        if not place and place is not self._parked:
            del self._lanes[ticket.key]
            self._quiet.pop(ticket.key, None)
            self._busy.pop(ticket.key, None)

    def _set_aside(self, ticket: Ticket) -> None:
        ticket.runs += 1
        self._refusing += 1
        self._refused.put(ticket)

    def _next(self, worker: Worker, done: Hashable) -> Ticket | None:
        running = self._running[done] - 1
        if running:
            self._running[done] = running
        else:
            del self._running[done]
        if done in self._lanes:
            self._take_turn(done, running)
        if self._quiet:
            key, _ = self._quiet.popitem(last=False)
        elif self._busy and len(self._idle) >= self._kept:
            key, _ = self._busy.popitem(last=False)
        else:
            if not self._stopped:
                self._idle.append(worker)
            return None
        ticket = next(iter(self._lanes[key]))
        self._leave(ticket)
        self._running[key] = running = self._running.get(key, 0) + 1
        if key in self._lanes:
            self._take_turn(key, running)
        self._begin(ticket)
        return ticket

    def _park(self, ticket: Ticket) -> bool:
        late = monotonic() >= ticket.deadline
        if late or self._waiting >= self._size:
            ticket.refused = LATE if late else FULL
            self._set_aside(ticket)
            return False
        self._put(ticket, self._parked)
        return True

    def _all_waiting(self) -> list[Ticket]:
        return [ticket for place in (self._parked, *self._lanes.values()) for ticket in place]

    def _expire(self) -> None:
        now = monotonic()
        if now < self._alarm:
            return
        for ticket in self._all_waiting():
            if ticket.deadline <= now:
                self._leave(ticket)
                ticket.refused = LATE
                self._set_aside(ticket)
        self._alarm = min((ticket.deadline for ticket in self._all_waiting()), default=float("inf"))

    # The threads.

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, worker: Worker) -> None:
        while True:
            worker.wake.acquire()
            ticket, worker.ticket = worker.ticket, None
            if ticket is None:
                return
            while ticket is not None:
                ticket = self._run(worker, ticket)
            if self._stopped:
                return

    def _run(self, worker: Worker, ticket: Ticket) -> Ticket | None:
        future = ticket.runner.answer()
        with self._lock:
            parked = future is not None and self._park(ticket)
            following = self._next(worker, ticket.key)
        if future is not None and parked:
            ticket.runner.parked()
            future.add_done_callback(lambda _: self._wake(ticket))
        return following

    def _wake(self, ticket: Ticket) -> None:
        with self._lock:
            if ticket.place is not self._parked:
                return
            self._leave(ticket)
            ticket.key = ticket.runner.lane()  # by now its tenant may be known by another key
            worker = self._admit(ticket)
        if worker is not None:
            worker.begin(ticket)

    def _refuse(self) -> None:
        while True:
            with self._lock:
                left = self._alarm - monotonic()
            try:
                ticket = self._refused.get(timeout=None if left == float("inf") else max(GRAIN, left))
            except Empty:
                ticket = None
            if ticket is not None:
                ticket.runner.answer()
                with self._lock:
                    self._refusing -= 1
            elif self._stopped:
                return
            with self._lock:
                self._expire()
