"""The live applications of a pool by their slots: who answers, who is retired, who may make room, who may rest."""

from collections.abc import Collection, Iterable
from time import monotonic
from typing import Any

from tenantry.pool.aside import Disposal
from tenantry.pool.live import Live

# However short memory or descriptors are, so many applications stay live: who visits one of them must not wait.
LEAST = 4
# Seconds after which an idle application is not about to need all the connections that it needed at a time.
WHILE = 5.0


class Slots:
    """Who answers in which slot. Changed only under the pool's lock; `ready` and `newest` are read without one.

    A retired application stays here until its last lease has ended, and then goes to `disposal`.
    """

    def __init__(self) -> None:
        self.ready: dict[str, Live] = {}
        self.retired: set[Live] = set()
        self.disposal = Disposal()
        # By uid, the newest last: each a tuple that is replaced and never changed.
        self._owned: dict[str, tuple[Live, ...]] = {}

    def newest(self, uid: str) -> Any:
        """Return what was built last for this uid and takes leases, or None."""
        owned = self._owned.get(uid)
        return owned[-1].built if owned else None

    def of(self, uids: Iterable[str]) -> list[Live]:
        """List the live applications of these uids."""
        return [live for uid in uids for live in self._owned.get(uid, ())]

    def owners(self) -> frozenset[str]:
        """Return the uids that have live applications."""
        return frozenset(self._owned)

    # In and out

    def publish(self, live: Live) -> None:
        """Let it answer in its slot, in the place of whoever does."""
        before = self.ready.get(live.key)
        if before is not None:
            self.retire(before)
        self.ready[live.key] = live
        self._own(live.uid, (*self._owned.get(live.uid, ()), live))

    def retire(self, live: Live) -> None:
        """Let it take no new lease; with its last one it ends."""
        self._withdraw(live)
        self.retired.add(live)
        live.retired = True
        self.end(live)

    def end(self, live: Live) -> None:
        """Hand a retired application over to be disposed of, if no lease on it is left."""
        if live in self.retired and live.collect():
            self.retired.discard(live)
            self.disposal.add(live.built)

    def evict(self, live: Live) -> bool:
        """Retire and hand over an application that nobody uses, or leave it as it was and tell so."""
        if not live.claim():
            return False
        self._withdraw(live)
        self.disposal.add(live.built)
        return True

    def thin(self, idle: Iterable[Live], most: int) -> int:
        """Evict the first of these, so many and never the last few that are live; return how many."""
        evicted = 0
        for live in idle:
            if evicted >= most or len(self.ready) <= LEAST:
                break
            evicted += self.evict(live)
        return evicted

    def _withdraw(self, live: Live) -> None:
        del self.ready[live.key]
        self._own(live.uid, tuple(other for other in self._owned[live.uid] if other is not live))

    def _own(self, uid: str, lives: tuple[Live, ...]) -> None:
        """Let the live applications of one uid know each other, so that limits count by uid."""
        for live in (*self._owned.get(uid, ()), *lives):
            live.peers = tuple(other for other in lives if other is not live) if live in lives else ()
        if lives:
            self._owned[uid] = lives
        else:
            del self._owned[uid]

    # Who may go

    def evictable(self, building: Collection[str]) -> list[Live]:
        """List the idle applications that have no successor among the slots being built, least recently used first."""
        idle = [live for live in self.ready.values() if live.idle and live.key not in building]
        return sorted(idle, key=lambda live: live.used)

    def idle_since(self, moment: float) -> list[Live]:
        """List the idle applications that nobody has leased since."""
        return [live for live in self.ready.values() if live.used < moment and live.idle]

    def tired(self, awake: int, new: Live | None = None) -> list[Live]:
        """Choose the idle applications that must close their connections, and mark them as rested.

        These are all beyond `awake`, and those that keep more than one and have not needed it for a while. Whoever
        waits for a `new` one is about to use it.
        """
        up = sorted((live for live in self.ready.values() if live.used > live.rested), key=lambda live: live.used)
        weights = [live.weight for live in up]
        heavy, now = sum(weights), monotonic()
        tired: list[Live] = []
        for live, weight in zip(up, weights, strict=True):
            needless = weight > 1 and now - live.used > WHILE
            if weight and (heavy > awake or needless) and live.idle and live is not new:
                live.rested = now
                tired.append(live)
            heavy -= weight
        return tired

    # Telling

    def verify(self, capacity: int) -> None:
        """Check the invariants; raises AssertionError naming the broken one."""
        _check(len(self.ready) <= capacity, "more live applications than places")
        for key, live in self.ready.items():
            _check(live.key == key and not live.retired, f"{live} is published and should not be")
            _check(0 <= live.leases <= live.size and live.collected == 0, f"{live} has lost a token")
        for live in self.retired:  # one with no lease left is being handed over by whoever ended the last
            _check(live.retired and live.leases >= 0, f"{live} is not retired or has lost a token")
        _check(set(self.of(self._owned)) == set(self.ready.values()), "who owns what is not what is live")


def _check(truth: bool, says: str) -> None:
    if not truth:
        raise AssertionError(says)
