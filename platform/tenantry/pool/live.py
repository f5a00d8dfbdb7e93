"""A live application and the leases on it.

Every live application owns a fixed number of tokens in one list. A lease pops one, its end appends it: both are
single, atomic list operations, so that a warm request shares no lock with anybody. Whoever has collected all the
tokens holds the application alone and may dispose of it.
"""

from collections.abc import Callable
from time import monotonic
from typing import Any


class Live:
    """One built application in a slot.

    Made by the build thread, published and retired under the pool's lock, leased by any thread without one.
    `revision` is that of what it was built from; `answers` is the same until it is outdated and wants a successor of
    the same revision. `used` is when it was last leased, by the monotonic clock.
    """

    __slots__ = (
        "answers",
        "app",
        "built",
        "collected",
        "key",
        "on_end",
        "peers",
        "rested",
        "retired",
        "revision",
        "size",
        "tokens",
        "uid",
        "used",
    )

    def __init__(self, key: str, uid: str, revision: int, built: Any, size: int) -> None:
        self.key = key
        self.uid = uid
        self.revision = revision
        self.answers = revision
        self.built = built
        self.app = built.app
        self.size = size
        self.tokens: list[None] = [None] * size
        self.collected = 0
        self.retired = False
        self.used = monotonic()
        self.rested = 0.0
        self.peers: tuple[Live, ...] = ()
        self.on_end: Callable[[Live], None] = _nothing

    @property
    def idle(self) -> bool:
        """Tell whether nobody holds a lease right now."""
        return len(self.tokens) + self.collected == self.size

    @property
    def weight(self) -> int:
        """Tell how many connections it has open right now; one where what was built does not tell."""
        told: int = getattr(self.built, "weight", 1)
        return told

    @property
    def leases(self) -> int:
        """Count the leases held right now."""
        return self.size - len(self.tokens) - self.collected

    def collect(self) -> bool:
        """Take every free token out of circulation; true once all are, for the caller alone holds it then.

        Only under the pool's lock, and only after `retired` was set: a token that comes back later finds the mark.
        """
        tokens = self.tokens
        while True:
            try:
                tokens.pop()
            except IndexError:
                return self.collected == self.size
            self.collected += 1

    def claim(self) -> bool:
        """Retire an application nobody uses, or leave it as it was and tell so. Only under the pool's lock."""
        self.retired = True
        if self.collect():
            return True
        self.retired = False
        self.tokens.extend([None] * self.collected)
        self.collected = 0
        return False

    def __repr__(self) -> str:
        state = "retired" if self.retired else "ready"
        return f"<Live {self.key} {state} at {self.revision}, {self.leases} leases>"


class Lease:
    """A hold on a live application, from before its call until its response body is closed.

    `close` is idempotent, cheap and may run on any thread, a server's I/O thread included.
    """

    __slots__ = ("_live", "app")

    def __init__(self, live: Live) -> None:
        self._live = live
        self.app = live.app

    def close(self) -> None:
        """End the hold."""
        try:
            live = self._live
            del self._live  # of two threads here at once, one gets past this line
        except AttributeError:
            return
        live.tokens.append(None)
        if live.retired:  # read after the append: either this thread or the one that retires sees the other's deed
            live.on_end(live)


def _nothing(_: Live) -> None:
    """Stand in until the pool has taken the application in."""
