"""How long a client may take, and who is cut when it takes longer. All by the monotonic clock: the other one steps."""

import fcntl
import socket
import struct
import termios
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tenantry.server.parser import Request, too_slow

if TYPE_CHECKING:
    from tenantry.server.channel import Channel

# A body has to come, and an answer to be taken, by so many bytes within each of its times.
PIECE = 1 << 16
# Seconds, and bytes, for which a client is listened to that has had its last answer and may still be sending.
LINGER, LINGER_BYTES = 2.0, 1 << 20


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for a header; for each piece of a body, or its rest; for each of an answer; and between requests."""

    header: float
    body: float
    send: float
    idle: float

    def every(self) -> float:
        """Tell how often to look: a second late is soon enough for a second's wait and more."""
        return max(0.02, min(1.0, self.header / 4, self.body / 4, self.send / 4, self.idle / 4))

    def look(self, channel: "Channel", now: float) -> None:
        """Cut a connection on which the client is late; on the loop's thread.

        While a request waits or runs and all that was answered is taken, the client is not what is waited for.
        """
        if channel.total_outbufs_len:
            self._look_at_output(channel, now)
            return
        channel.stuck_since = None
        if channel.requests:
            return
        request, waited = channel.request, now - channel.since
        if channel.lingering:
            late = waited > LINGER
        elif request is not None and request.headers_finished:
            late = self._body_is_late(channel, request, now)
        elif channel.fresh or (request is not None and request.begun):
            late = waited > self.header
        else:
            late = waited > self.idle
        if late:
            channel.cut(too_slow())

    def _body_is_late(self, channel: "Channel", request: Request, now: float) -> bool:
        if request.body_bytes_received >= channel.seen + PIECE:
            channel.seen = request.body_bytes_received
            channel.since = now
        return now - channel.since > self.body

    def _look_at_output(self, channel: "Channel", now: float) -> None:
        """Cut a client that does not take what is sent; a few bytes now and then are not taking."""
        taken = channel.handed - unconfirmed(channel.socket)
        if channel.stuck_since is None or taken >= channel.taken + PIECE:
            channel.stuck_since, channel.taken = now, taken
        elif now - channel.stuck_since > self.send:
            channel.drop()


def unconfirmed(sock: "socket.socket | None") -> int:
    """Tell how many bytes the system holds that the client has not confirmed; 0 where it does not tell.

    The system takes more from us only once a third of what it holds is confirmed, which may be megabytes.
    """
    with suppress(OSError, ValueError):
        if sock is not None:
            return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0" * 4))[0])
    return 0


def reset(sock: "socket.socket | None") -> None:
    """Have a socket's close throw away what was not sent yet, and say so to the client."""
    with suppress(OSError):
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
