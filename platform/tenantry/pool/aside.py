"""Do what may hang or raise where it can hurt nobody: an application's own resting and ending."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

_log = logging.getLogger(__name__)

Act = Callable[[], None]


def apart(act: Act) -> None:
    """Let an application's own undoing fail alone: it may raise anything, and others are still to come."""
    try:
        act()
    except BaseException:  # noqa: BLE001 - even one that wants the process to end
        _log.exception("a live application could not be put to rest or disposed of")


def aside(acts: Iterable[Act]) -> bool:
    """Do them one after the other, each apart, on a thread of their own; false if the system has no thread for it."""

    def work() -> None:
        for act in acts:
            apart(act)

    try:
        threading.Thread(target=work, name="aside", daemon=True).start()
    except RuntimeError:
        return False
    return True


class Disposal:
    """What nobody holds any more, until it is disposed of on a short-lived thread.

    There is no lock in it: the garbage collector may end a lease in the middle of anything.
    """

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()
        self._busy: list[None] = []

    def add(self, built: Any) -> None:
        """Take over what is to be disposed of, None being nothing; at once, so that it may be done under locks."""
        if built is not None:
            self._waiting.append(built)
            aside([self.finish])  # where the system has no thread for it the next one takes it along

    def finish(self) -> None:
        """Dispose of all that waits; slow, so never on a thread that serves or follows."""
        while True:
            self._busy.append(None)  # first, so that it is seen either waiting or being done
            try:
                built = self._waiting.popleft()
            except IndexError:
                return
            else:
                apart(built.close)
            finally:
                self._busy.pop()

    def settle(self, seconds: float) -> bool:
        """Wait at most so long until all is disposed of, and tell whether it is; what hangs is left to itself."""
        deadline = monotonic() + seconds
        pause = threading.Event()
        if self._waiting and not aside([self.finish]):
            self.finish()
        while self._waiting or self._busy:
            if monotonic() >= deadline:
                return False
            pause.wait(0.005)
        return True
