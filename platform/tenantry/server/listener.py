"""A socket that listens, and what its connections share."""

import os
import socket
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from waitress.adjustments import Adjustments
from waitress.server import BaseWSGIServer, TcpWSGIServer, UnixWSGIServer
from waitress.wasyncore import dispatcher

from tenantry.server.channel import Channel, Request
from tenantry.server.lanes import Lanes
from tenantry.server.loop import Loop
from tenantry.server.sockets import BACKLOG

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LaneOf = Callable[[Mapping[str, str], str], Hashable]


class Serving(threading.local):
    """The connection that the current thread answers."""

    channel: Channel | None = None


@dataclass(frozen=True, slots=True)
class Shared:
    """What all listening sockets of one server have in common."""

    application: "WSGIApplication"
    adj: Adjustments
    lane_of: LaneOf
    lanes: Lanes
    loop: Loop
    serving: Serving = field(default_factory=Serving)


class Listener(BaseWSGIServer):
    """Do what waitress' server does for one socket, with our lanes and our loop in the place of its own."""

    channel_class = Channel
    # The server stops: responses say that they are their connection's last.
    draining = False
    masked = False

    if TYPE_CHECKING:
        trigger: Any
        active_channels: dict[int, Channel]  # type: ignore[assignment]  # the published types forget the dict

    def __init__(self, shared: Shared, sock: socket.socket) -> None:
        self.lanes = shared.lanes
        self.loop = shared.loop
        self.serving = shared.serving
        self._lane_of = shared.lane_of
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
            key = self._lane_of(request.headers, request.request_uri)
            hash(key)
        except Exception:
            self.logger.exception("The lane of a request could not be told; it waits in the common one.")
            return None
        return key

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
        """Say that nobody may be let in now: the limit of connections is reached."""
        return True

    def over(self) -> bool:
        """Say that a listening socket is only closed by its server."""
        return False

    def maintenance(self, now: float) -> None:
        """Close what has not moved for `channel_timeout`: an idle connection, or one that does not take its output.

        The output of a client that does not read would hold a worker for ever.
        """
        cutoff = now - self.adj.channel_timeout
        for channel in list(self.active_channels.values()):
            if channel.last_activity < cutoff and (channel.total_outbufs_len or not channel.requests):
                channel.handle_close()

    def stop_listening(self) -> None:
        """Let in whoever has knocked already, and close the listening socket; the connections stay."""
        if self.socket is None:
            return
        for _ in range(BACKLOG):
            known = len(self.active_channels)
            self.handle_accept()
            if known == len(self.active_channels):
                break
        self.draining = True
        dispatcher.close(self)

    def close_quiet(self, grace: float) -> bool:
        """Close the connections on which nothing was begun, and tell whether none is left.

        A client that has just connected has `grace` seconds in which to ask.
        """
        now = time.time()
        for channel in list(self.active_channels.values()):
            young = channel.fresh() and now < channel.creation_time + grace
            if channel.quiet() and not young and not channel.pending():
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
