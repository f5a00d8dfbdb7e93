"""How many threads each key may have: half of them, a quarter kept for quiet keys, and what is spare shared out.

Guarded by the lock of the lanes.
"""

from tenantry.server.spending import Spender

# Spare threads: so many, or so many for each thread that there should be.
_SPARES, _TIMES = 64, 4


class Portions:
    """The numbers of a server with so many `threads`; `stuck` of its keys have had threads replaced.

    A key with something running, or whose requests are slow, leaves the kept threads alone, and one of which nothing is
    known half of them. Spare threads are the same for all keys that need some: one of these may have no more running
    than leaves the others as much.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.spares = max(_SPARES, _TIMES * threads)
        self.kept = max(1, threads // 4) if threads > 1 else 0
        # By standing: a key may start while more threads than these are idle.
        self.beyond = (0, self.kept // 2, self.kept)
        self.stuck = 0
        self._most = max(1, threads // 2)
        self._spread = self._most

    def allow(self, spender: Spender) -> bool:
        """Tell whether one more request of a key may run, if there is a thread for it."""
        return spender.running < (self._spread if spender.stuck else self._most)

    def admit(self, spender: Spender, free: int) -> bool:
        """Tell whether a request of a key may have one of so many idle threads."""
        if free > self.kept:
            return self.allow(spender)
        return not spender.running and free > self.beyond[spender.standing()]

    def reckon(self, more: int) -> bool:
        """Count so many more keys as stuck, and tell whether their portions have changed by that."""
        before = self._spread
        self.stuck += more
        self._spread = max(1, min(self._most, self.spares // max(1, self.stuck)))
        return self._spread != before
