"""A socket that listens, and what its connections share."""

import os
import select
import socket
import threading
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer, TcpWSGIServer, UnixWSGIServer
from waitress.wasyncore import dispatcher

from tenantry.server.asks import Asks
from tenantry.server.channel import Channel
from tenantry.server.crowd import SCARCE, Crowd
from tenantry.server.deadlines import unconfirmed
from tenantry.server.lanes import Lanes
from tenantry.server.loop import Loop
from tenantry.server.parser import Request
from tenantry.server.sockets import BACKLOG

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


# Whom a connection comes from that this process has made to itself.
_HERE = "127.0.0.1"
# So often nobody may come of a knock: where descriptors are used up, nobody does.
_IN_VAIN = 8


class Serving(threading.local):
    """The connection that the current thread answers."""

    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all listening sockets of one server have in common."""

    application: "WSGIApplication"
    adj: Adjustments
    asks: Asks
    lanes: Lanes
    loop: Loop
    crowd: Crowd
    serving: Serving = field(default_factory=Serving)


class Listener(BaseWSGIServer):
    """Do what waitress' server does for one socket, with our lanes and our loop in the place of its own."""

    channel_class = Channel
    # The server stops: responses say that they are their connection's last.
    draining = False
    masked = False
    _taking_in = False

    if TYPE_CHECKING:
        trigger: Any
        _map: Any
        active_channels: dict[int, Channel]  # type: ignore[assignment]  # the published types forget the dict

    def __init__(self, shared: Shared, sock: socket.socket) -> None:
        self.lanes = shared.lanes
        self.loop = shared.loop
        self.crowd = shared.crowd
        self.serving = shared.serving
        self.asks = shared.asks
        # The largest body of anybody; waitress refuses from its size on.
        self.max_body = shared.adj.max_request_body_size - 1
        self.active_channels = {}  # also where waitress fails before it comes to it
        self._waking = threading.RLock()  # a signal's handler may come while its own thread holds it
        super().__init__(
            shared.application,
            shared.loop,
            True,
            sock,
            dispatcher=cast("Any", shared.lanes),
            adj=shared.adj,
            sockinfo=(sock.family, sock.type, sock.proto, sock.getsockname()),
            bind_socket=False,
        )
        os.set_blocking(self.trigger.trigger, False)

    def add_task(self, channel: Channel) -> None:  # type: ignore[override]  # waitress hands over channels
        """Give the connection's first request to the lanes, under the key of its tenant."""
        channel.answered = 0
        request = channel.requests[0]
        if request.error is not None:
            channel.ticket = ticket = self.lanes.ticket(channel, None)
            self.lanes.answer_aside(ticket)
            return
        channel.ticket = ticket = self.lanes.ticket(channel, self.lane_of(request))
        self.lanes.enter(ticket)

    def lane_of(self, request: Request) -> Hashable:
        """Tell the key of the tenant a request is for; one that cannot be told is the common one, None."""
        try:
            key = self.asks.lane(request.headers, request.request_uri)
            hash(key)
        except Exception:
            self.logger.exception("The lane of a request could not be told; it waits in the common one.")
            return None
        return key

    def admit(self, request: Request) -> int | None:
        """Tell how large a body a request may bring; None where it is not known who would take it."""
        try:
            return self.asks.admit(request.headers, request.request_uri)
        except Exception:
            self.logger.exception("It could not be told how large a body a request may bring; that is found out first.")
            return None

    def readable(self) -> bool:
        """Tell whether somebody may be let in; asked at every turn of the loop, it also looks after the connections."""
        now = monotonic()
        self.crowd.look(now)
        return self.accepting and self.crowd.takes(now)

    def accept(self) -> Any:
        """Accept one connection, for which an idle one may have to leave; None where nobody can be let in now."""
        if not self._taking_in and not self.crowd.make_room():
            return None
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in SCARCE:
                raise
            self.crowd.scarce(error)
            return None

    def pull_trigger(self) -> None:
        """Wake the loop for the connection that this thread answers, unless the loop would find nothing to do."""
        channel = self.serving.channel
        if channel is None or channel.wants_loop():
            self.wake(channel)

    def wake(self, channel: Channel | None = None) -> None:
        """Wake the loop, to ask `channel` what it waits for; safe from any thread and in a signal's handler."""
        if channel is not None:
            self.loop.touch(channel)
        # A loop closed in between would leave its descriptor to somebody else, into whose file this would write.
        with self._waking, suppress(BlockingIOError):  # so much unread that it wakes anyway
            if not self.trigger._closed:
                self.trigger.pull_trigger()

    def blocked(self) -> bool:
        """Say that nobody may be let in now: all connections are busy, or descriptors are used up."""
        return True

    def over(self) -> bool:
        """Say that a listening socket is only closed by its server."""
        return False

    def stop_listening(self, *, take_in: bool) -> None:
        """Close the listening socket; the connections stay, and with `take_in` whoever has knocked is let in before.

        Without it others listen on the same socket, who let them in.
        """
        if self.socket is None:
            return
        if take_in:
            self._take_in()
        self.draining = True
        dispatcher.close(self)

    def _take_in(self) -> None:
        """Let in whoever has knocked; one who has gone again meanwhile keeps nobody else out."""
        knocking = select.poll()
        knocking.register(cast("socket.socket", self.socket), select.POLLIN)
        # Also more than there may be connections: the socket's end would be that of who is left in its queue.
        self._taking_in = True
        vain = 0
        # Twice the backlog: more cannot have knocked before this began.
        for _ in range(2 * BACKLOG):
            if vain > _IN_VAIN or not knocking.poll(0):
                break
            known = len(self.active_channels)
            self.handle_accept()
            vain += known == len(self.active_channels)

    def let_in(self, sock: socket.socket) -> None:
        """Take a connection in that did not come by the listening socket; safe from any thread."""
        with self._waking, suppress(BlockingIOError):
            if self.trigger._closed:
                sock.close()
            else:
                self.trigger.pull_trigger(lambda: self.channel_class(self, sock, (_HERE, 0), self.adj, map=self._map))

    def close_quiet(self, linger: float) -> bool:
        """Close the connections on which nothing was begun for `linger` seconds, and tell whether none is left.

        Until then a client may ask once more, who then hears that it was the last time.
        """
        now = monotonic()
        for channel in list(self.active_channels.values()):
            waits = now - channel.since < linger
            if channel.lingering:
                gone = not linger or not unconfirmed(channel.socket)
            else:
                gone = channel.quiet() and not waits and not channel.pending()
            if gone:
                channel.handle_close()
        return not self.active_channels

    def close(self) -> None:
        """Close the socket and all its connections, whatever was begun on them."""
        self.draining = True
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        with self._waking:
            super().close()


class TcpListener(Listener, TcpWSGIServer):
    """A listener on an IPv4 or IPv6 address."""


class UnixListener(Listener, UnixWSGIServer):
    """A listener on a path, such as a reverse proxy on the same machine uses."""

    def getsockname(self) -> Any:
        """Return what stands in the environ for server and port: applications expect a number there, not a path."""
        return "localhost", "80"
