"""Watch a server's sockets and tell their owners what has come.

waitress asks every connection before every wait what it waits for; with a thousand open ones that costs more than
answering. Here a connection is asked again only after something has happened to it, and while its request is being
answered it simply stays watched.

Everything here runs on the loop's own thread, but for `touch` and the closing of a connection by a worker.
"""

import logging
import select
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from waitress.wasyncore import readwrite

if TYPE_CHECKING:
    from tenantry.server.channel import Channel
    from tenantry.server.listener import Listener

_log = logging.getLogger("tenantry.server")

_IN = 1  # POLLIN and EPOLLIN
_OUT = 4  # POLLOUT and EPOLLOUT


class Loop(dict[int, Any]):
    """The map of descriptors that waitress' dispatchers add themselves to, watched by the system between turns."""

    def __init__(self) -> None:
        super().__init__()
        self._watched: dict[int, int] = {}
        self._new: list[Any] = []
        self._touched: deque[Any] = deque()
        # Linux' epoll costs by what happens, poll by what is open. Both take the same two flags.
        self._poll: Any = select.epoll() if sys.platform == "linux" else select.poll()
        self._unit = 1 if sys.platform == "linux" else 1000

    def __setitem__(self, descriptor: int, owner: Any) -> None:
        super().__setitem__(descriptor, owner)
        # Not asked at once what it waits for: it is still being made.
        self._new.append(owner)

    def __delitem__(self, descriptor: int) -> None:
        super().__delitem__(descriptor)
        if self._watched.pop(descriptor, 0):
            with suppress(OSError, KeyError):
                self._poll.unregister(descriptor)

    def touch(self, owner: "Channel | Listener") -> None:
        """Ask the owner at the next turn what it waits for; safe from any thread, and wakes nobody."""
        self._touched.append(owner)

    def turn(self, timeout: float) -> None:
        """Wait at most `timeout` seconds, and have everything that has come dealt with."""
        for owner in self._new:
            self._settle(owner)
        self._new.clear()
        touched = self._touched
        while touched:
            owner = touched.popleft()
            if owner.over():
                _apart(owner.end)
            self._settle(owner)
        for descriptor, flags in self._poll.poll(timeout * self._unit):
            owner = self.get(descriptor)
            if owner is None:
                continue
            came = flags
            if flags & _IN and not owner.readable() and owner.blocked():
                came &= ~_IN
                self._mask(descriptor)
            if came:
                _apart(readwrite, owner, came)
                self._settle(owner)

    def close(self) -> None:
        """Close the owners that are still open, and stop watching."""
        for owner in list(self.values()):
            owner.close()
        self._touched.clear()
        if sys.platform == "linux":
            self._poll.close()

    def _settle(self, owner: Any) -> None:
        """Watch for what the owner waits for; input goes on being watched until some comes that cannot be read."""
        descriptor = owner._fileno
        current: Any = self.get(descriptor)
        if current is not owner:
            return
        watched = self._watched.get(descriptor, 0)
        flags = watched & _IN
        if not flags and owner.readable():
            flags = _IN
            owner.masked = False
        if not owner.accepting and owner.writable():
            flags |= _OUT
        self._watch(descriptor, watched, flags)

    def _mask(self, descriptor: int) -> None:
        watched = self._watched.get(descriptor, 0)
        self._watch(descriptor, watched, watched & ~_IN)

    def _watch(self, descriptor: int, watched: int, flags: int) -> None:
        if flags == watched:
            return
        self._watched[descriptor] = flags
        # A worker may close the connection at this very moment; the system then says that it knows no such descriptor.
        with suppress(OSError, KeyError):
            if not watched:
                self._poll.register(descriptor, flags)
            elif flags:
                self._poll.modify(descriptor, flags)
            else:
                self._poll.unregister(descriptor)


def _apart(act: Callable[..., object], *arguments: object) -> None:
    """Let what one connection brings about fail alone: all others hang on this thread."""
    try:
        act(*arguments)
    except BaseException:  # noqa: BLE001 - an application's own object may want the process to end
        _log.exception("What was to be done for a connection has failed.")
