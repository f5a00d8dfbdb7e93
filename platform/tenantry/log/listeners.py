"""Who hears the lines of one live application: the handlers and filters that it has added to loggers for itself.

All applications of a process share its loggers by name. So while code of an application is at work, to be seen by the
mark in its context, `handlers` and `filters` of every logger are lists of that application alone: it finds, adds and
removes only its own, and only its own lines reach them.
"""

import logging
import logging.config
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any
from weakref import WeakValueDictionary

from tenantry.errors import reason
from tenantry.log import setup
from tenantry.log.entries import event
from tenantry.log.marks import Mark, mark, marked

Lists = dict[logging.Logger, list[Any]]

_open: "WeakValueDictionary[int, Listeners]" = WeakValueDictionary()

_imported: "dict[str, Listeners]" = {}


class Listeners:
    """The handlers and filters of one live application, by logger; `close` closes those that are nobody else's.

    `beside` are those that the application's modules have added when they were imported: they are everybody's that runs
    it, and hear the lines of each.
    """

    def __init__(self, beside: "Listeners | None" = None) -> None:
        self.handlers: Lists = {}
        self.filters: Lists = {}
        if beside is not None:
            self.handlers = {logger: list(some) for logger, some in list(beside.handlers.items()) if some}
            self.filters = {logger: list(some) for logger, some in list(beside.filters.items()) if some}
        _open[id(self)] = self

    def clear(self) -> None:
        """Take all handlers away and close them."""
        mine = set(chain.from_iterable(list(self.handlers.values())))
        self.handlers.clear()
        for handler in mine - _in_use() if mine else ():
            _close(handler)

    def close(self) -> None:
        """Take everything away and close it; idempotent."""
        _open.pop(id(self), None)
        self.clear()
        self.filters.clear()


def _in_use() -> set[logging.Handler]:
    """Find the handlers that somebody uses: a module may have made one for several."""
    loggers = [logging.root, *list(logging.root.manager.loggerDict.values())]
    found = [vars(logger).get("handlers", ()) for logger in loggers]
    for reference in _open.valuerefs():  # one atomic step: others may be building
        listeners = reference()
        if listeners is not None:
            found += list(listeners.handlers.values())
    return set(chain.from_iterable(found))


def _close(handler: Any) -> None:
    while isinstance(handler, logging.Handler):
        target = vars(handler).get("target")  # what a MemoryHandler hands its lines on to
        with suppress(Exception):  # an application's own class: the others are still to come
            handler.close()
        handler = target


def imported(module: str) -> Listeners:
    """Return the listeners that a module adds when it is imported: once a process, whoever imports it."""
    return _imported.setdefault(module, Listeners())


class Own:
    """An attribute of every logger that is a list of its own for each live application."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, logger: logging.Logger | None, _: type | None = None) -> Any:
        """Return the list of whoever is at work."""
        if logger is None:
            return self
        lists = self._lists(logger)
        if lists is not None:
            return lists.setdefault(logger, [])
        try:
            return vars(logger)[self._name]
        except KeyError:
            raise AttributeError(self._name) from None

    def __set__(self, logger: logging.Logger, value: list[Any]) -> None:
        """Put another list in its place."""
        lists = self._lists(logger)
        if lists is None:
            vars(logger)[self._name] = value
        else:
            vars(logger).setdefault(self._name, [])
            lists[logger] = value

    def _lists(self, logger: logging.Logger) -> Lists | None:
        own = _listeners(logger)
        return None if own is None else getattr(own, self._name)


class OwnLogger(logging.Logger):
    """A logger of one live application: its handlers are that application's, whoever asks, and so are its lines."""

    def __init__(self, name: str, whose: Mark) -> None:
        self._whose = whose
        super().__init__(name)

    def handle(self, record: logging.LogRecord) -> None:
        """Hand a record on; from a thread that the application has started itself, as its own line too."""
        if mark.get().listeners is not None:
            super().handle(record)
            return
        with marked(self._whose):
            super().handle(record)


def _listeners(logger: logging.Logger) -> Listeners | None:
    return logger._whose.listeners if isinstance(logger, OwnLogger) else mark.get().listeners


def _call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
    """Pass a record to the handlers of the process and to those of the application at work."""
    logger: logging.Logger | None = self
    found = 0
    while logger is not None:
        own = _listeners(logger)
        for handler in vars(logger)["handlers"]:
            found += 1
            if record.levelno >= handler.level:
                handler.handle(record)
        for handler in () if own is None else own.handlers.get(logger, ()):
            if not _prints(handler):
                found += 1
                if record.levelno >= handler.level:
                    handler.handle(record)
        logger = logger.parent if logger.propagate else None
    if not found and logging.lastResort is not None and record.levelno >= logging.lastResort.level:
        logging.lastResort.handle(record)


def _prints(handler: logging.Handler) -> bool:
    """Tell whether a handler writes to standard error, where the platform's own has written the line already."""
    if setup.now.outlet is None or not isinstance(handler, logging.StreamHandler):
        return False
    return handler.stream in (sys.stderr, sys.__stderr__)  # what stands for a stream may have no hash


def _failed(self: logging.Handler, record: logging.LogRecord) -> None:
    """Say in one line that a handler has failed, instead of printing what it should have written."""
    error = sys.exc_info()[1]
    if setup.now.outlet is None or self is setup.now.outlet:
        _handle_error(self, record)
    elif logging.raiseExceptions and error is not None:
        told = f"{type(self).__name__} of the logger {record.name} has failed: {reason(error)}"
        setup.now.outlet.take(event(__name__, logging.ERROR, told), logging.ERROR)


def _clear_handlers() -> None:
    """Close what is to be replaced: an application's own handlers, and not those of the whole process."""
    own = mark.get().listeners
    if own is None:
        _clear_existing()
    else:
        own.clear()


def _leave_loggers(existing: Any, children: Any, disable: Any) -> None:
    """Disable no logger for others."""
    _handle_existing(existing, children, disable and mark.get().listeners is None)


_handle_error: Callable[[Any, Any], None] = logging.Handler.handleError
_clear_existing: Callable[[], None] = logging.config._clearExistingHandlers  # type: ignore[attr-defined]
_handle_existing: Callable[[Any, Any, Any], None] = logging.config._handle_existing_loggers  # type: ignore[attr-defined]


def install() -> None:
    """Teach logging, once a process, whose handlers are whose."""
    if "handlers" in vars(logging.Logger):
        return
    logging.Logger.handlers = Own("handlers")  # type: ignore[assignment]
    logging.Logger.filters = Own("filters")  # type: ignore[assignment]
    logging.Logger.callHandlers = _call_handlers  # type: ignore[method-assign]
    logging.Handler.handleError = _failed  # type: ignore[method-assign]
    logging.config._clearExistingHandlers = _clear_handlers  # type: ignore[attr-defined]
    logging.config._handle_existing_loggers = _leave_loggers  # type: ignore[attr-defined]


# What is the whole process'


class _Common:
    """What logging keeps for the whole process: whatever a build sets there is put back when it ends."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._builds = 0
        self._kept: tuple[Any, ...] = ()
        self._heard = False

    def begin(self) -> None:
        """Remember, unless somebody builds already."""
        with self._lock:
            if not self._builds:
                disabled = logging.root.manager.disable
                self._kept = (logging.root.level, disabled, logging.getLogRecordFactory(), logging.getLoggerClass())
                self._heard = setup.is_heard()
            self._builds += 1

    def end(self) -> None:
        """Put back, at each end."""
        with self._lock:
            level, disabled, factory, kind = self._kept
            if logging.root.level != level:
                logging.root.setLevel(level)
            if logging.root.manager.disable != disabled:
                logging.disable(disabled)
            logging.setLogRecordFactory(factory)
            logging.setLoggerClass(kind)
            if self._heard:
                setup.settle()
            self._builds -= 1

    def anew(self) -> None:
        """Begin again in a forked child, where none of the parent's builds ends."""
        self._lock = threading.RLock()
        if self._builds:
            self.end()
        self._builds = 0


_common = _Common()
os.register_at_fork(after_in_child=_common.anew)


@contextmanager
def building(whose: Mark) -> Iterator[None]:
    """Run an application's own code of which it is not known what it does to logging: its factory, or its modules."""
    install()
    _common.begin()
    try:
        with marked(whose):
            yield
    finally:
        _common.end()
