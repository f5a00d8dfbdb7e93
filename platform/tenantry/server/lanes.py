"""Share the worker threads among tenants: who runs now, who waits in its lane, who has waited too long.

Lanes stand where waitress has its task dispatcher. They know of tenants only the key that a request comes with.
One lock guards all counts and places; it is held for a few dictionary look-ups and never while anything is run.

A thread whose request waits for something, a database or somebody else's server, is of no use to others: once that has
gone on for `grace` seconds and threads are scarce, another one is started in its place, and ends when that one is back.
So as many threads as there should be can answer, however many tenants hang, until the spare ones are used up. A thread
that computes is not replaced: it holds the interpreter, for which one more would only wait too.

Invariants, whenever the lock is free: an idle worker runs nothing and is in `_idle`; no lane that may start has a
request waiting, but for one that may since portions have grown, until the next look; a ticket has a `place` exactly
while it waits or is parked.
"""

import logging
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic

from tenantry.server.portions import Portions
from tenantry.server.refusers import Refusers
from tenantry.server.spending import Spending
from tenantry.server.threads import Threads
from tenantry.server.tickets import Load, Runner, Ticket, Worker
from tenantry.server.waiting import Waiting

__all__ = ["FULL", "GRACE", "LATE", "Lanes", "Load", "Runner", "Ticket"]

FULL = "Too many requests are waiting for their turn."
LATE = "This request has waited for its turn for too long."
# Seconds after which a thread that waits for something is replaced, and in how many looks that is found out.
GRACE = 0.25
_LOOKS = 4
# Deadlines are kept to this many seconds: a crowd of them costs one look at the lanes and not one each.
GRAIN = 0.02

_log = logging.getLogger("tenantry.server")


class Lanes:
    """Run the requests of each key on at most half of the threads, and keep the last quarter for quiet keys.

    A quiet key has nothing running, and its requests are quick as far as is known; half of what is kept is for those of
    which it is known. Whoever has used the least thread time lately goes first. What may not start waits outside
    threads, `size` requests in total and each for `wait` seconds; the rest is answered aside, with `refused` set on its
    ticket. Where all places are taken, the last of the longest lane gives way to a shorter one.
    """

    def __init__(
        self, threads: int, size: int, wait: float, grace: float = GRACE, clock: Callable[[], float] = monotonic
    ) -> None:
        self._clock = clock
        self._size = size
        self._wait = wait
        self._grace = grace
        self._lock = threading.Lock()
        self._spending = Spending()
        self._portions = Portions(threads)
        self._waiting = Waiting(self._portions)
        self._threads = Threads()
        self._refusers = Refusers(self._threads.spawn, clock)
        self._idle = [Worker() for _ in range(threads)]
        # All there are; how many of them run something, and how many of those are stuck.
        self._workers = set(self._idle)
        self._running = 0
        self._stuck = 0
        # How many are to end because there are too many that are not held by anything.
        self._surplus = 0
        self._alarm = inf
        self._watching = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._exhausted = False
        self._finishing = False
        self._stopped = False
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start the threads."""
        for worker in list(self._workers):
            self._threads.spawn("worker", partial(self._work, worker))
        self._refusers.begin()
        self._watcher = self._threads.spawn("watch", self._watch)

    def ticket(self, runner: Runner, key: Hashable) -> Ticket:
        """Write the ticket of a request that has just arrived."""
        return Ticket(runner, key, self._clock() + self._wait)

    def enter(self, ticket: Ticket) -> None:
        """Start a request, let it wait, or have it refused."""
        with self._lock:
            worker = self._admit(ticket, ticket.deadline - self._wait)
        if worker is not None:
            worker.wake.release()

    def answer_aside(self, ticket: Ticket) -> None:
        """Have a request answered that needs no worker: one that could not be read."""
        with self._lock:
            self._refuse(ticket)

    def drop(self, ticket: Ticket) -> bool:
        """Forget a request that waits or is parked; False says that it runs, has run or is being refused."""
        with self._lock:
            return self._waiting.leave(ticket)

    def load(self) -> Load:
        """Count what there is to do."""
        with self._lock:
            return Load(self._running, self._waiting.count, self._refusers.count)

    def finish(self) -> None:
        """Let everybody come to their turn, however many wait and for how long: nobody new comes any more.

        Who is parked goes on waiting for no longer than ever, as a build that hangs must not hold up the end.
        """
        with self._lock:
            self._finishing = True

    def stop(self, patience: float) -> None:
        """End the threads: the idle ones now, the others after what they run; wait `patience` seconds for them."""
        with self._lock:
            self._stopped = True
            idle, self._idle = self._idle, []
            for ticket in self._waiting.everybody():
                self._waiting.leave(ticket)
        for worker in idle:
            worker.wake.release()
        self._refusers.stop()
        self._bell.put(None)
        if self._watcher is not None:  # first, as it starts others
            self._watcher.join(patience)
        self._threads.join(patience)

    # All below runs under the lock, except the threads' own loops at the end.

    def _admit(self, ticket: Ticket, now: float) -> Worker | None:
        spender, idle = self._spending.of(ticket.key), self._idle
        ticket.spender = spender
        if idle and self._portions.admit(spender, len(idle)):
            worker = idle.pop()
            self._begin(ticket, worker, now)
            if len(idle) <= self._portions.kept:
                self._beware()
            return worker
        if self._stopped or (self._full() and not self._finishing and not self._give_way(ticket)):
            self._refuse(ticket, FULL)
            return None
        self._waiting.enter(ticket, now)
        self._expect(ticket)
        return None

    def _begin(self, ticket: Ticket, worker: Worker, now: float) -> None:
        worker.ticket = ticket
        self._running += 1
        ticket.spender.begin(ticket, now)
        ticket.runs += 1
        ticket.may_park = not self._full() or self._waiting.last_of_longest(ticket.spender) is not None

    def _full(self) -> bool:
        return self._waiting.count >= self._size

    def _give_way(self, ticket: Ticket) -> bool:
        last = self._waiting.last_of_longest(ticket.spender)
        if last is None:
            return False
        self._waiting.leave(last)
        self._refuse(last, FULL)
        return True

    def _refuse(self, ticket: Ticket, why: str = "") -> None:
        self._refusers.put(ticket, why)
        self._beware()

    def _expect(self, ticket: Ticket) -> None:
        """Have the watch wake for who has begun to wait, at its deadline and for threads that are held."""
        self._beware()
        if ticket.deadline < self._alarm:
            self._alarm = ticket.deadline
            self._bell.put(None)

    def _beware(self) -> None:
        """Have the watch look, until there is no reason any more, at what holds the threads."""
        if not self._watching:
            self._watching = True
            self._bell.put(None)

    def _end(self, worker: Worker, ticket: Ticket, now: float) -> None:
        spender = ticket.spender
        self._running -= 1
        if worker.stuck:
            worker.stuck = False
            self._stuck -= 1
            spender.unstick()
            self._reckon(-1 if not spender.stuck else 0, now)
        else:
            spender.end(ticket, now)
        if spender.lane is not None:
            self._waiting.turn(spender, now)

    def _next(self, worker: Worker, now: float) -> Ticket | None:
        """Give a free worker its next ticket; without one it is idle, or over where enough others are."""
        if self._surplus > 0:
            self._surplus -= 1
            self._let_go(worker)
            return None
        ticket = self._waiting.first(len(self._idle) + 1) if self._waiting.count else None
        if ticket is not None:
            self._waiting.leave(ticket)
            self._begin(ticket, worker, now)
            self._waiting.turn(ticket.spender, now)
            return ticket
        if self._stopped or (self._fresh() > self._portions.threads and len(self._idle) > self._portions.kept):
            self._let_go(worker)
        else:
            worker.ticket = None
            self._idle.append(worker)
        return None

    def _let_go(self, worker: Worker) -> None:
        worker.ticket = None
        worker.over = True
        self._workers.discard(worker)

    def _fresh(self) -> int:
        """Count the workers that are not replaced."""
        return len(self._workers) - self._stuck

    def _park(self, ticket: Ticket, now: float) -> bool:
        late = now >= ticket.deadline
        if late or (self._full() and not self._give_way(ticket)):
            self._refuse(ticket, LATE if late else FULL)
            return False
        self._waiting.park(ticket)
        self._expect(ticket)
        return True

    def _expire(self, now: float) -> None:
        if now < self._alarm:
            return
        for ticket in self._impatient():
            if ticket.deadline <= now:
                self._waiting.leave(ticket)
                self._refuse(ticket, LATE)
        self._alarm = min((ticket.deadline for ticket in self._impatient()), default=inf)

    def _impatient(self) -> list[Ticket]:
        """List the tickets that wait no longer than their deadline."""
        return self._waiting.all_parked() if self._finishing else self._waiting.everybody()

    def _held(self, since: float) -> list[tuple[Worker, Ticket]]:
        """List the workers that are not replaced and are at a request that they began before `since`."""
        busy = [(worker, worker.ticket) for worker in self._workers if worker.ticket and not worker.stuck]
        return [(worker, ticket) for worker, ticket in busy if ticket.began <= since]

    def _rename(self, ticket: Ticket, key: Hashable, now: float) -> None:
        """Count a request that runs among those of the key by which its tenant is known by now."""
        before, spender = ticket.spender, self._spending.of(key)
        if spender is not before:
            before.hand_over(ticket, spender)
            ticket.key, ticket.spender = key, spender
            for moved in (before, spender):
                self._waiting.turn(moved, now)

    def _judge(self, worker: Worker, ticket: Ticket, now: float) -> None:
        """Find a worker stuck that has waited for something for as long as it may."""
        if worker.rests(now, self._grace / 3) and now - ticket.began >= self._grace:
            worker.stuck = True
            self._stuck += 1
            ticket.spender.stick(ticket, now)
            self._reckon(1 if ticket.spender.stuck == 1 else 0, now)

    def _reckon(self, more: int, now: float) -> None:
        if self._portions.reckon(more):
            self._waiting.turn_stuck(now)

    def _missing(self) -> list[Worker]:
        """Make as many workers as there are too few, and one for each quiet lane that has had to wait for them."""
        missing = self._portions.threads - self._fresh()
        room = self._portions.threads + self._portions.spares - len(self._workers)
        self._exhausted = missing > room
        wanted = missing + self._waiting.quiet() if missing > 0 else 0
        made = [] if self._stopped else [Worker() for _ in range(min(wanted, room))]
        self._workers.update(made)
        return made

    def _fill(self, now: float) -> list[Worker]:
        """Start on idle workers what may start since portions have grown."""
        filled = []
        while self._idle and self._waiting.first(len(self._idle)) is not None:
            filled.append(self._idle.pop())
            self._next(filled[-1], now)
        return filled

    # The threads.

    def _work(self, worker: Worker, ticket: Ticket | None = None) -> None:
        worker.settle()
        while True:
            while ticket is not None:
                ticket = self._run(worker, ticket)
            if worker.over or self._stopped:
                return
            worker.wake.acquire()
            ticket = worker.ticket

    def _stand_in(self, worker: Worker) -> None:
        with self._lock:
            ticket = self._next(worker, self._clock())
        self._work(worker, ticket)

    def _run(self, worker: Worker, ticket: Ticket) -> Ticket | None:
        future = ticket.runner.answer()
        now = self._clock()
        with self._lock:
            parked = future is not None and self._park(ticket, now)
            self._end(worker, ticket, now)
            following = self._next(worker, now)
        if future is not None and parked:
            ticket.runner.parked()
            future.add_done_callback(lambda _: self._wake(ticket))
        return following

    def _wake(self, ticket: Ticket) -> None:
        key = ticket.key
        with suppress(Exception):  # whoever hangs up in this moment has no request any more to tell it by
            key = ticket.runner.lane()  # by now its tenant may be known by another key
        with self._lock:
            if not self._waiting.parked(ticket):
                return
            self._waiting.leave(ticket)
            ticket.key = key
            worker = self._admit(ticket, self._clock())
        if worker is not None:
            worker.wake.release()

    def _watch(self) -> None:
        while not self._stopped:
            with self._lock:
                left = self._alarm - self._clock()
                pause = min(left, self._grace / _LOOKS) if self._watching else left
            pause = max(GRAIN, pause)
            due = self._clock() + pause
            with suppress(Empty):
                self._bell.get(timeout=None if pause == inf else pause)
            try:
                self._look(late=self._clock() > due + pause / 2)
            except Exception:  # noqa: BLE001 - logged, and the next look is another one
                _log.exception("The lanes could not be looked after, which is tried again.")

    def _look(self, late: bool) -> None:
        """Refuse who has waited for too long, and replace the threads that are held.

        A watch that comes `late` has waited for processor or interpreter itself, and cannot tell who computes.
        """
        with self._lock:
            now = self._clock()
            self._expire(now)
            new = [ticket for worker, ticket in self._held(now - self._grace / 2) if not worker.known()]
        keys = [(ticket, ticket.runner.lane()) for ticket in new]
        with self._lock:
            held = self._held(now - self._grace / 2)
            for ticket, key in keys:
                if any(ticket is other for _, other in held):
                    self._rename(ticket, key, now)
            for worker, ticket in held:
                if late:
                    worker.look_anew()
                self._judge(worker, ticket, now)
            # Who has run since half a look ago may hang: those that are left for others are to be as many as ever.
            self._surplus = self._fresh() - len(self._held(now - self._grace / _LOOKS / 2)) - self._portions.threads
            told, stuck = self._exhausted, self._stuck
            spare, filled = self._missing(), self._fill(now)
            tell = self._exhausted and not told
            scarce = len(self._idle) <= self._portions.kept or self._fresh() > self._portions.threads
            self._watching = scarce or bool(self._waiting.count or self._refusers.count)
        for worker in filled:
            worker.wake.release()
        if tell:
            _log.warning("%d requests wait for something, and no more threads are started for others", stuck)
        for worker in spare:
            self._hire(worker)
        self._refusers.look(now, self._grace)

    def _hire(self, worker: Worker) -> None:
        try:
            self._threads.spawn("spare", partial(self._stand_in, worker))
        except RuntimeError as error:  # the system has no thread for it: the next look tries again
            _log.error("a spare thread could not start: %s", error)
            with self._lock:
                self._workers.discard(worker)
