"""SIGHUP, which says two things: please start anew, or, from the system, that the terminal is gone."""

import os
import signal
import threading
from collections.abc import Callable
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from types import FrameType, TracebackType

# Seconds for which SIGHUP is about the terminal that is gone: its system and its shell send one each.
_ECHO = 5.0


def _die() -> None:
    """End this process as SIGHUP does where nobody listens to it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGHUP)


class Hangup:
    """Listen to SIGHUP for the time of a `with`, and keep what was asked for until it is fetched.

    Signals are heard on the main thread only; on another one nothing happens.

    The end of the terminal in which this process was started calls `on_end`; a process that was started to outlive it
    (`nohup`) goes on.
    """

    def __init__(self, on_end: Callable[[], None] = _die) -> None:
        self.on_end = on_end
        self._asked: SimpleQueue[bool] = SimpleQueue()  # its `put` may come inside another, as a signal's handler does
        self._terminal = _has_terminal()
        self._gone_until = -inf
        self.outlives_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN

    def takes_terminal_along(self) -> bool:
        """Tell whether the terminal, and whoever depends on it, ends with this process."""
        return self._terminal and not self.outlives_terminal and os.getsid(0) == os.getpid()

    def asked(self) -> bool:
        """Wait until somebody asks to start anew, however often by now; false once `close` was called."""
        wanted = self._asked.get()
        return wanted and self.again() is not None

    def again(self) -> bool | None:
        """Tell whether that was asked for meanwhile; None once `close` was called."""
        found = False
        try:
            while self._asked.get_nowait():
                found = True
        except Empty:
            return found
        self._asked.put(False)
        return None

    def close(self) -> None:
        """Let nobody wait any more."""
        self._asked.put(False)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Where a terminal hangs up, the system first takes it away from its processes and then tells them.
        if self._terminal and not _has_terminal():
            self._terminal = False
            self._gone_until = monotonic() + _ECHO
        if monotonic() >= self._gone_until:
            self._asked.put(True)
        elif not self.outlives_terminal:
            self.on_end()

    def __enter__(self) -> "Hangup":
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if threading.current_thread() is threading.main_thread():
            # Not as before: who has left its place to another need not die of a late word.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
