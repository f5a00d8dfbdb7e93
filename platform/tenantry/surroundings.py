"""What all applications of a process share, and what one of them may have changed for all: seen, told and put back."""

import locale
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_STATUS = Path("/proc/self/status")


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109 - a text is what is put back
    except OSError:  # it was deleted
        return None


def _umask() -> int | None:
    """Read the umask without setting it, as the system's own call would for all threads; None where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        return int(_STATUS.read_text().partition("Umask:")[2].split()[0], 8)
    return None


@dataclass(frozen=True, slots=True)
class Shared:
    """One thing of the process: how it is read (None: it cannot be), and how it is put back."""

    name: str
    read: Callable[[], Any]
    put_back: Callable[[Any], object]


_ALL = (
    Shared("working directory", _folder, os.chdir),
    Shared("umask", _umask, os.umask),
    Shared("default timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    Shared("locale", lambda: locale.setlocale(locale.LC_ALL), lambda was: locale.setlocale(locale.LC_ALL, was)),
)


class Surroundings:
    """The process as it was when the platform opened; a chore puts it back.

    Only what is found changed twice in a row, for a library may change such a thing for a moment. Of environment
    variables it is only told that they were set: to take them back would break who needs them.
    """

    def __init__(self) -> None:
        self._was = [shared.read() for shared in _ALL]
        self._seen = list(self._was)
        self._suspect = ""
        # Of things and of applications, which may have the same name.
        self._stuck: set[str] = set()
        self._told: set[str] = set()

    def restore(self) -> None:
        """Put back what somebody has changed."""
        found = [shared.read() for shared in _ALL]
        for shared, was, before, now in zip(_ALL, self._was, self._seen, found, strict=True):
            if now != was and now == before:
                self._put_back(shared, was, now)
        self._seen = found
        if found == self._was:
            self._suspect = ""

    def _put_back(self, shared: Shared, was: Any, now: Any) -> None:
        try:
            shared.put_back(was)
        except (OSError, TypeError, locale.Error) as error:
            if shared.name not in self._stuck:
                says = "an application has changed the %s of all to %r, and it cannot be put back: %s"
                _log.error(says, shared.name, now, error)
            self._stuck.add(shared.name)
            return
        who = f", probably that of {self._suspect}," if self._suspect else ""
        _log.warning("an application%s has changed the %s of all to %r; it is %r again", who, shared.name, now, was)

    @contextmanager
    def building(self, name: str, application: str) -> Iterator[None]:
        """Watch what changes for all while the application of the tenant `name` is built."""
        before = _environment()
        try:
            yield
        finally:
            if [shared.read() for shared in _ALL] != self._was:
                self._suspect = name
            changed = _differing(before, _environment())
            if changed and application not in self._told:
                self._told.add(application)
                says = "building %s has changed environment variables that all tenants share: %s"
                _log.warning(says, application, ", ".join(changed))


def _environment() -> dict[str, str] | None:
    with suppress(KeyError, RuntimeError):  # somebody changes it in this moment
        return dict(os.environ)
    return None


def _differing(before: dict[str, str] | None, now: dict[str, str] | None) -> list[str]:
    if before is None or now is None:
        return []
    return sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
