"""The way in of a connection: requests out of bytes, and no further than they may be read."""

import logging
from time import monotonic
from typing import TYPE_CHECKING, cast

from waitress.channel import ClientDisconnected

from tenantry.server.asks import UNDECIDED
from tenantry.server.deadlines import LINGER_BYTES
from tenantry.server.parser import Refusal, Request, too_large
from tenantry.server.sending import Sender

if TYPE_CHECKING:
    import threading

    from tenantry.server.channel import Channel
    from tenantry.server.listener import Listener

logger = logging.getLogger("tenantry.server")


class Reader(Sender):
    """A connection that reads requests, each up to its end, to its refusal, or to where somebody has to decide.

    `requests` are those to be answered, the first of which may be running; `request` is the one that is being read.
    Both change under `requests_lock` only.
    """

    parser_class = Request

    if TYPE_CHECKING:
        server: Listener
        request: Request | None
        requests: list[Request]
        requests_lock: threading.Lock

    # Nothing is read as a request any more: one was refused, or is to be answered before its body is read.
    deaf = False
    # What has come beyond that.
    rest = b""
    # Nothing has come yet on this connection.
    fresh = True
    # The moment since which the client is awaited, by the monotonic clock, and how much of a body had come by then.
    since = 0.0
    seen = 0
    # All is said; what the client still sends is thrown away, so that it gets the answer and not a reset.
    lingering = False
    thrown = 0

    def begun(self) -> bool:
        """Tell whether a part of a request has come."""
        request = self.request
        return request is not None and (request.begun or request.headers_finished)

    def handle_read(self) -> None:
        """Read what has come, on the loop's thread."""
        data = self.recv(self.adj.recv_bytes)
        if not data:  # and by now all is closed
            return
        if self.lingering:
            self.thrown += len(data)
            if self.thrown > LINGER_BYTES:
                self.handle_close()
        else:
            self.received(data)

    def received(self, data: bytes) -> bool:
        """Read requests out of what has come."""
        with self.requests_lock:
            if self.will_close or self.close_when_flushed or self.deaf:
                return False
            self._read(data)
        return True

    def _read(self, data: bytes) -> None:
        while data and not self.deaf:
            request = self.request
            if request is None:
                request = self.request = self.parser_class(self.adj)
            began, in_body = request.begun, request.headers_finished
            taken = request.received(data)
            data = data[taken:] if taken < len(data) else b""
            if request.completed:
                self._complete(request)
            elif request.over():
                self._exceed(request)
            elif request.headers_finished and not in_body:
                self._admit(request)
            elif request.begun and not began and not self.fresh:  # the time of the first one began with the connection
                self.since = monotonic()
        self.rest = data
        self.fresh = False

    def _complete(self, request: Request) -> None:
        """Have a request answered: at once, or after those before it. Nothing is read past one that may be the last."""
        self.request = None
        self.deaf = request.error is not None or request.unread
        request.arrived = monotonic()
        self.requests.append(request)
        if len(self.requests) == 1:
            self.server.add_task(cast("Channel", self))

    def _admit(self, request: Request) -> None:
        """Decide how much of a body is read, before any of it is."""
        self.since, self.seen = monotonic(), 0
        allowed = self.server.admit(request)
        request.undecided = allowed is None
        fits = request.allow(min(self.server.max_body, UNDECIDED if allowed is None else allowed))
        if not fits or (request.undecided and request.expect_continue):
            self._exceed(request)
        elif request.expect_continue and not self.requests:
            self.send_continue()

    def _exceed(self, request: Request) -> None:
        """Refuse a body that is too large, or have it answered without one where nobody knows who would take it."""
        if request.undecided and request.wanted() <= self.server.max_body:
            request.unread = True
        else:
            request.refuse(too_large())
        self._complete(request)

    def send_continue(self) -> None:
        """Say that the body may come."""
        request = self.request
        if request is not None:
            request.expect_continue = False
            try:
                self.write_soon(b"HTTP/1.1 100 Continue\r\n\r\n")
            except ClientDisconnected:
                self.will_close = True

    def read_on(self, limit: int) -> None:
        """Read the body of the request that was just run without it; who takes it is known by now."""
        with self.requests_lock:
            request = self.requests.pop(0)
            if not self.connected:
                request.close()
                return
            self.request, self.deaf = request, False
            request.unread = request.undecided = False
            self.since, self.seen = monotonic(), 0
            if not request.allow(min(limit, self.server.max_body)):
                self._exceed(request)
                return
            if request.expect_continue:
                self.send_continue()
            self._read(self.rest)

    def give_up(self, why: Refusal) -> bool:
        """Refuse to wait for the rest of a request, on the loop's thread; False if nothing of one has come."""
        with self.requests_lock:
            request = self.request
            if request is None or self.requests or not self.begun():
                return False
            request.refuse(why)
            self._complete(request)
        return True
