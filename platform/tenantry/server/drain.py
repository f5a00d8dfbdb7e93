"""When a server stops: what asks it to, how much time that leaves, and how it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType

# Exit codes of a server: all was finished; a second signal ended it at once; its time to drain was over (EX_TEMPFAIL).
FINISHED = 0
CUT = 1
GAVE_UP = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a server is to stop, and how soon. Set from any thread or a signal's handler, never unset.

    `wake` wakes the server's loop, `linger` is how many seconds an idle connection has for its next request.
    """

    def __init__(self, wake: Callable[[], None], linger: float) -> None:
        self._wake = wake
        self._linger = linger
        self._signals = 0
        self.asked = False
        self._hurried = False
        self._replaced = False

    @property
    def at_once(self) -> bool:
        """Tell whether a second signal has come."""
        return self._signals > 1

    @property
    def linger(self) -> float:
        """Tell for how long a connection may be idle before it is closed.

        Where another process answers in the place of this one, each is left to its own end: closing one costs a
        request that is on its way at that moment, and here nothing is won by it.
        """
        return inf if self.replaced else self._linger

    @property
    def replaced(self) -> bool:
        """Tell whether another process answers in the place of this one, and nobody waits for its end."""
        return self._replaced and not self._hurried

    def ask(self) -> None:
        """Ask for a drain, also of a server that is leaving already; asking again changes nothing."""
        self._hurried = True
        self.asked = True
        self._wake()

    def leave(self) -> None:
        """Ask for a drain that nobody waits for, as another process answers now; a stop that was asked for stands."""
        self._replaced = True
        self.asked = True
        self._wake()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        self.ask()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Listen to SIGTERM and SIGINT for a while; off the main thread nobody can, and nothing happens."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                # None: what was there was not put there by Python, and cannot be.
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
