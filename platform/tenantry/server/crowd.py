"""Who is connected, over all listening sockets of a server: how many there may be, and who leaves for a new one."""

import errno
import heapq
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments

from tenantry.server.channel import Channel
from tenantry.server.deadlines import Deadlines
from tenantry.server.parser import no_room

if TYPE_CHECKING:
    from tenantry.server.loop import Loop

_log = logging.getLogger("tenantry.server")

# Descriptors, or the memory for one, are used up.
SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Seconds for which nobody is let in then, and how many idle connections leave.
_PAUSE, _LEAVING = 0.25, 8
# Seconds after which it is told again.
_TELL = 60.0
# How many of the idle are found in one search, and how soon after a search that found none there is another.
_FOUND, _SEARCH = 64, 0.05
# Bytes of the bodies of unfinished requests that may lie on the disk, over all connections.
_BODIES = 4 << 30
# What a response may leave in buffers before its worker waits: most of all pages and files, so that workers are free of
# clients that do not read. While more than `_SPOOL` waits in all buffers together, mostly on disk, it is `_SHORT`.
AMPLE, _SHORT, _SPOOL = 64 << 20, 1 << 20, 1 << 30


class Crowd:
    """All connections of one server; everything but `offer` runs on the loop's thread."""

    def __init__(self, loop: "Loop", adj: Adjustments, deadlines: Deadlines) -> None:
        self._loop = loop
        self._limit = adj.connection_limit
        self._deadlines = deadlines
        self._adj = adj
        adj.outbuf_high_watermark = AMPLE
        self._every = deadlines.every()
        self._next_look = 0.0
        self._idle: list[tuple[float, Channel]] = []
        self._next_search = 0.0
        self._closed_until = 0.0
        self._next_telling = self._next_full = 0.0
        # All connections are busy, and there are as many as there may be.
        self.full = False

    def channels(self) -> list[Channel]:
        """List the connections, of which some may be closed while the list is walked through."""
        owners: list[Any] = list(self._loop.values())
        return [owner for owner in owners if isinstance(owner, Channel)]

    def look(self, now: float) -> None:
        """Cut, once in a while, the connections on which the client is late."""
        if now < self._next_look:
            return
        self._next_look = now + self._every
        spooled = 0
        bodies: list[tuple[int, int, Channel]] = []
        for channel in self.channels():
            spooled += channel.total_outbufs_len
            self._deadlines.look(channel, now)
            request = channel.request
            if request is not None and request.body_bytes_received:
                bodies.append((request.body_bytes_received, id(channel), channel))
        self._adj.outbuf_high_watermark = _SHORT if spooled > _SPOOL else AMPLE
        self._bound(bodies)

    def _bound(self, bodies: list[tuple[int, int, Channel]]) -> None:
        """Refuse the largest of the bodies that are coming in when all of them together would fill the disk."""
        total = sum(size for size, _, _ in bodies)
        for size, _, channel in sorted(bodies, reverse=True):
            if total <= _BODIES:
                return
            total -= size
            channel.cut(no_room())

    def takes(self, now: float) -> bool:
        """Tell whether somebody may be let in."""
        room = len(self._loop) < self._limit or self._somebody_is_idle(now)
        if self.full == room:
            self._turn_round(now)
        return room and now >= self._closed_until

    def _turn_round(self, now: float) -> None:
        """Note that it has become full, or is not any more; tell of it now and then."""
        self.full = not self.full
        if self.full and now >= self._next_full:
            self._next_full = now + _TELL
            _log.warning("All connections that there may be are busy; nobody else is let in until one is not.")

    def make_room(self) -> bool:
        """Have the longest idle connection leave if there are as many as there may be; False if none is idle."""
        now = monotonic()
        return self.takes(now) and (len(self._loop) < self._limit or self._dismiss(now))

    def scarce(self, error: OSError) -> None:
        """Learn that there is no descriptor for another connection; wait a moment instead of trying again at once."""
        now = monotonic()
        left = sum(self._somebody_is_idle(now) and self._dismiss(now) for _ in range(_LEAVING))
        if not left:
            self._closed_until = now + _PAUSE
        if now >= self._next_telling:
            self._next_telling = now + _TELL
            _log.error(
                "No connection can be let in: %s. %d idle ones were closed. "
                "Raise the limit of open files, or lower TENANTRY_CONNECTIONS.",
                error.strerror,
                left,
            )

    def offer(self, channel: Channel) -> None:
        """Learn, from any thread and while all are busy, of a connection that is not any more."""
        self._idle.insert(0, (channel.since, channel))  # behind those who are idle for longer

    def _dismiss(self, now: float) -> bool:
        """Close the longest idle connection of those that were found."""
        while self._idle:
            since, channel = self._idle.pop()
            if channel.since == since and channel.spare(now) and (channel.lingering or not channel.pending()):
                channel.handle_close()
                return True
        return False

    def _somebody_is_idle(self, now: float) -> bool:
        while self._idle:
            since, channel = self._idle[-1]
            if channel.since == since and channel.spare(now):
                return True
            self._idle.pop()
        if now < self._next_search:
            return False
        spare = ((channel.since, id(channel), channel) for channel in self.channels() if channel.spare(now))
        self._idle = [(since, channel) for since, _, channel in reversed(heapq.nsmallest(_FOUND, spare))]
        if not self._idle:
            self._next_search = now + _SEARCH
        return bool(self._idle)
