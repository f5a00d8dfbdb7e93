"""Do what may hang or raise where it can hurt nobody: an application's own resting and ending."""

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

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
