"""What the requests of each key have cost lately: how long one holds a thread, and how much thread time in all.

Guarded by the lock of the lanes, like everything that it counts. Time for which another thread stood in costs nobody
anything and is not charged.
"""

from collections.abc import Hashable
from math import exp2, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry.server.tickets import Place, Ticket

# How a key stands: its requests are quick, nobody knows yet, they are slow.
QUICK, NEW, SLOW = range(3)

# Seconds for which the requests of a quick key hold a thread at most, as a running average; the weight of the last one.
_QUICK = 0.1
_WEIGHT = 0.25
# Seconds in which half of the thread time that was used is forgotten.
_HALF = 5.0
# Seconds of thread time below which all have used as good as nothing: among these it is first come, first served.
_LIGHT = 0.1
# Keys that are remembered, and forgotten in two halves: those of strangers go before those who are seen again.
BOUND = 8192


class Spender:
    """One key: what runs and waits for it now, and what it has cost lately.

    `stuck` of those that run have had their threads replaced. `turn` is its standing in the turn that it waits for.
    """

    __slots__ = ("_at", "_began", "_hold", "_used", "key", "lane", "parked", "running", "stuck", "turn")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.running = 0
        self.stuck = 0
        self.lane: Place | None = None
        self.parked: Place | None = None
        self.turn: int | None = None
        self._began = 0.0
        self._hold = -1.0
        self._used = 0.0
        self._at = 0.0

    def waiting(self) -> int:
        """Count its requests that wait: in its lane, or parked."""
        return len(self.lane or ()) + len(self.parked or ())

    def begin(self, ticket: "Ticket", now: float) -> None:
        """Count a request that gets a thread."""
        self.running += 1
        self._began += now
        ticket.began = now

    def end(self, ticket: "Ticket", now: float) -> None:
        """Count one that gives its thread back."""
        self.running -= 1
        self._charge(ticket.began, now)

    def stick(self, ticket: "Ticket", now: float) -> None:
        """Count one whose thread is replaced: what it holds from now on costs nobody anything."""
        self.stuck += 1
        self._charge(ticket.began, now)

    def unstick(self) -> None:
        """Count one that gives back a thread which was replaced."""
        self.running -= 1
        self.stuck -= 1

    def hand_over(self, ticket: "Ticket", other: "Spender") -> None:
        """Count a request that runs, and whose thread is not replaced, with another key from now on."""
        self.running -= 1
        self._began = self._began - ticket.began if self.running > self.stuck else 0.0
        other.running += 1
        other._began += ticket.began

    def standing(self) -> int:
        """Tell how long a request of this key can be expected to hold a thread."""
        if self._hold < 0:
            return NEW
        return QUICK if self._hold <= _QUICK else SLOW

    def rank(self, now: float) -> float:
        """Return a number that is smaller for whoever has used less, and that two keys can be compared by at any time.

        All forget at the same pace: what one has used more than another stays more, until either uses some again. Of
        those who have used next to nothing it is smaller for who asks earlier.
        """
        used = self._used * exp2((self._at - now) / _HALF) + (self.running - self.stuck) * now - self._began
        return log2(max(used, _LIGHT)) + now / _HALF

    def _charge(self, began: float, now: float) -> None:
        held = now - began
        # Exactly nothing where nothing is left, whatever the sums have been rounded by.
        self._began = self._began - began if self.running > self.stuck else 0.0
        self._hold = held if self._hold < 0 else self._hold + (held - self._hold) * _WEIGHT
        self._used = self._used * exp2((self._at - now) / _HALF) + held
        self._at = now


class Spending:
    """The keys that were seen lately and what each has cost; whoever runs or waits is never forgotten."""

    def __init__(self, bound: int = BOUND) -> None:
        self._half = bound // 2
        self._young: dict[Hashable, Spender] = {}
        self._old: dict[Hashable, Spender] = {}

    def of(self, key: Hashable) -> Spender:
        """Return what is known of a key, at first nothing."""
        found = self._young.get(key)
        return self._renewed(key) if found is None else found

    def __len__(self) -> int:
        return len(self._young.keys() | self._old.keys())

    def _renewed(self, key: Hashable) -> Spender:
        if len(self._young) >= self._half:
            everybody = (*self._old.items(), *self._young.items())
            self._old = self._young
            self._young = {key: spender for key, spender in everybody if spender.running or spender.waiting()}
        found = self._old.get(key)
        spender = self._young[key] = Spender(key) if found is None else found
        return spender
