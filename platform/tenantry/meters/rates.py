"""Requests in a time: imported only once a tenant has a rate.

`limits` counts, in a sliding window: what the window before had counts for as much as of it is not over yet, so that a
tenant costs two numbers however many requests it may have. Its storage in memory starts a thread for every hundredth of
a second in which somebody is counted, only to drop old counts. Here that is a chore of the housekeeper's.
"""

import math
import threading
import time
from collections.abc import Callable

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter


class _Sweeper(threading.Timer):
    """Stand for a thread of the storage that sweeps, so that it starts none."""

    def __init__(self) -> None:
        super().__init__(0, _nothing)

    def is_alive(self) -> bool:
        """Say so."""
        return True


class Rates:
    """The counts of all tenants of one process; any thread may count."""

    def __init__(self) -> None:
        self._storage = MemoryStorage()
        self._storage.timer.join()  # the one that it starts when it is made, and that ends at once
        self._storage.timer = _Sweeper()
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)
        self._lock = threading.Lock()  # the storage's own are dropped while others wait for them

    def counter(self, rate: str, uid: str) -> Callable[[], int]:
        """Make what counts one request: 0, or the seconds until the next one may come; all of a rate count together."""
        item = parse(rate)

        def hit() -> int:
            with self._lock:
                if self._limiter.hit(item, uid):
                    return 0
                until = self._limiter.get_window_stats(item, uid).reset_time
            return min(item.get_expiry(), max(1, math.ceil(until - time.time())))

        return hit

    def sweep(self) -> None:
        """Drop the counts that are over."""
        with self._lock:
            for key in list(self._storage.expirations):
                self._storage.get(key)  # which drops it where it is

    def renew(self) -> None:
        """Have a lock that nobody holds, in a forked child."""
        self._lock = threading.Lock()
        self._storage.locks.clear()


def _nothing() -> None:
    """Do nothing."""
