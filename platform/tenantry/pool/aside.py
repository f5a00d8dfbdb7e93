"""Do what may hang or raise where it can hurt nobody: an application's own resting and ending."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

_log = logging.getLogger(__name__)

Act = Callable[[], None]


def apart(act: Act) -> None:
    """Let an application's own undoing fail alone: it may raise anything, and others are still to come."""
    try:
        act()
    except BaseException:  # noqa: BLE001 - even one that wants the process to end
        _log.exception("a live application could not be put to rest or disposed of")


def aside(acts: Iterable[Act]) -> None:
    """Do them one after the other, each apart, on a thread of their own that nobody waits for."""

    def work() -> None:
        for act in acts:
            apart(act)

    with suppress(RuntimeError):  # the system has no thread for it: the next one takes it along
        threading.Thread(target=work, name="aside", daemon=True).start()


class Disposal:
    """What nobody holds any more, until it is disposed of on a short-lived thread."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()

    def add(self, built: Any) -> None:
        """Take over what is to be disposed of, None being nothing; at once, so that it may be done under locks."""
        if built is not None:
            self._waiting.append(built)
            aside([self.finish])

    def finish(self) -> None:
        """Dispose of all that waits; slow, so never on a thread that serves or follows."""
        while self._waiting:
            try:
                built = self._waiting.popleft()
            except IndexError:
                return
            apart(built.close)
