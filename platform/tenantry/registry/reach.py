"""Whether the registry's file can be read, so that a crowd does not wait for one that cannot."""

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from tenantry import forks
from tenantry.errors import Unavailable

_log = logging.getLogger(__name__)

_REST = 0.5

Found = TypeVar("Found")


class Reach:
    """What the last who asked the file found: it can be read, or it cannot.

    Once it could not, everybody is told so at once for half a second; then one at a time may try, until one of them can
    read it. `good` is read on the way to every question, without a lock; `asked` is the question that found no answer.
    """

    def __init__(self) -> None:
        self.good = True
        self.asked = ""
        self._since = 0.0
        self.renew()
        forks.renewed(self)

    def renew(self) -> None:
        """Let somebody try: at first, and in a forked child, where who was trying did not come along."""
        self._trying = threading.Lock()

    def fail(self, asked: str, why: Unavailable) -> Unavailable:
        """Note that the file could not be read, logged when that begins; return what a visitor may know of it."""
        if self.good:
            _log.error("an address cannot be found, all others are known from memory alone: %s", why)
            self.asked = asked
        self._since = monotonic()
        self.good = False
        return _away()

    def heal(self) -> None:
        """Note that the file can be read."""
        if not self.good:
            self.good, self.asked = True, ""
            _log.warning("addresses can be found again")

    def retry(self, ask: Callable[[], Found]) -> Found:
        """Ask, after a failure, if it is time for it and nobody else does; else raise Unavailable at once."""
        if monotonic() - self._since < _REST or not self._trying.acquire(blocking=False):
            raise _away()
        try:
            return ask()
        finally:
            self._trying.release()


def _away() -> Unavailable:
    return Unavailable("This site cannot be found right now.", hint="Please try again in a moment.")
