"""The log of this process: where its lines go, and that none is lost when it ends or fails."""

import atexit
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import TextIO

from tenantry.log.entries import event
from tenantry.log.lines import as_json, text
from tenantry.log.outlet import LAST, Outlet
from tenantry.log.target import Target

_log = logging.getLogger("tenantry")
_crash = logging.getLogger("tenantry.crash")
# A line that somebody prints is as long as this at most, and told as several beyond.
_LONGEST_PRINTED = 8 << 10


class Now:
    """The outlet of this process, once there is one."""

    outlet: Outlet | None = None


now = Now()


def configure(form: str, level: str) -> None:
    """Send every log line to standard error as `text` or `json`; `auto` is text on a terminal and JSON elsewhere.

    Whatever handlers the root logger had are taken from it.
    """
    if now.outlet is not None:
        now.outlet.rest()
    readable = form == "text" or (form == "auto" and sys.stderr is not None and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    now.outlet = Outlet(Target(sys.stderr), text if readable else as_json, number)
    logging.root.handlers[:] = [now.outlet]
    logging.root.setLevel(number)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    settle()
    _hear_crashes()


def is_heard() -> bool:
    """Tell whether lines go where `configure` has sent them."""
    return now.outlet is not None and now.outlet in vars(logging.root)["handlers"]


def settle() -> None:
    """See to it that the platform's own lines go there whatever an application has set."""
    outlet = now.outlet
    if outlet is None:
        return
    if not is_heard():
        vars(logging.root)["handlers"].insert(0, outlet)
    if _log.level != outlet.level:
        _log.setLevel(outlet.level)  # of its own: whoever sets the root's sets it for others
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith("tenantry"):
            logger.disabled, logger.propagate = False, True
    logging.captureWarnings(True)


def wait(seconds: float = LAST) -> bool:
    """Wait until what was logged so far is written; False if it does not flow in time."""
    return now.outlet is None or now.outlet.wait(seconds)


def rest() -> None:
    """Write what was logged so far and end the thread that writes; the next line begins another."""
    if now.outlet is not None:
        now.outlet.rest()


@atexit.register
def _end() -> None:
    if now.outlet is not None:
        now.outlet.end()


def _forked() -> None:
    if now.outlet is not None:
        now.outlet._anew()


os.register_at_fork(after_in_child=_forked)


# What nobody has caught


def _hear_crashes() -> None:
    """Log what nobody catches, and warnings, instead of printing them; somebody else's hooks stay."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _crashed
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _thread_crashed
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    _crash.critical("this process ends: nobody has caught %s", kind.__name__, exc_info=(kind, error, trace))


def _thread_crashed(failed: threading.ExceptHookArgs) -> None:
    if issubclass(failed.exc_type, SystemExit):
        return
    error = failed.exc_value or failed.exc_type()
    name = failed.thread.name if failed.thread is not None else "that is gone"
    _crash.error("the thread %s has failed", name, exc_info=(failed.exc_type, error, failed.exc_traceback))


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    error = failed.exc_value or failed.exc_type()
    said = failed.err_msg or "an exception was ignored in a finalizer"
    _crash.error("%s", said, exc_info=(failed.exc_type, error, failed.exc_traceback))


# What is printed


@contextmanager
def printed() -> Iterator[None]:
    """Make lines of the log of what anybody prints to standard error, for the length of a `with`.

    Printing waits for who reads, and may write what looks like lines of others; logging does neither.
    """
    before = sys.stderr
    if now.outlet is None or before is None:
        yield
        return
    sys.stderr = Printed(before, now.outlet)
    try:
        yield
    finally:
        sys.stderr = before


_begun: ContextVar[str] = ContextVar("begun", default="")


class Printed(io.TextIOBase):
    """Standard error whose lines are lines of the log, marked as those of the request that prints them."""

    def __init__(self, stands_for: TextIO, outlet: Outlet) -> None:
        self._stands_for = stands_for
        self._outlet = outlet

    def write(self, text: str) -> int:
        """Log the lines that are whole now."""
        lines = (_begun.get() + text).split("\n")
        # What one request has begun no other one ends: what is left is kept in its own Context.
        _begun.set(lines.pop())
        for line in lines:
            self._tell(line)
        if len(_begun.get()) > _LONGEST_PRINTED:
            self.flush()
        return len(text)

    def flush(self) -> None:
        """Log the line that was begun."""
        if begun := _begun.get():
            _begun.set("")
            self._tell(begun)

    def _tell(self, line: str) -> None:
        if line.strip():
            self._outlet.take(event("stderr", logging.WARNING, line), logging.WARNING)

    def isatty(self) -> bool:
        """Tell whether what it stands for is a terminal."""
        return self._stands_for.isatty()

    def fileno(self) -> int:
        """Return the descriptor of what it stands for."""
        return self._stands_for.fileno()

    def writable(self) -> bool:
        """Take text."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Take any text."""
        return "utf-8"
