"""When a server stops: what asks it to, and how it ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Exit codes of a server: all was finished; a second signal ended it at once; its time to drain was over (EX_TEMPFAIL).
FINISHED = 0
CUT = 1
GAVE_UP = 75

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Whether a server is to stop, and whether at once. Set from any thread or a signal's handler, never unset."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._signals = 0
        self.asked = False

    @property
    def at_once(self) -> bool:
        """Tell whether a second signal has come."""
        return self._signals > 1

    def ask(self) -> None:
        """Ask for a drain; asking again changes nothing."""
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
