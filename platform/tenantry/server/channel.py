"""One connection: what was received, what is still to be sent, and the ticket of the request that is being answered."""

import logging
import socket
import time
from collections.abc import Hashable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, cast

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser

from tenantry.server.lanes import Ticket
from tenantry.server.response import Failure, Parked, Response

if TYPE_CHECKING:
    import threading

    from tenantry.server.listener import Listener

logger = logging.getLogger("tenantry.server")

# A body up to this size is copied behind its header, which is cheaper than a second call to the system.
JOINED = 1 << 16


class Request(HTTPRequestParser):
    """What a client asks, as waitress reads it."""

    request_uri: str


class Channel(HTTPChannel):
    """A connection that answers in as few sends as it can and wakes the loop only when there is something for it."""

    task_class = Response
    error_task_class = Failure
    parser_class = Request

    if TYPE_CHECKING:
        server: Listener
        requests: list[Request]
        requests_lock: threading.Lock
        _fileno: int | None

    # The ticket of the first request; set by the listener before the lanes see it.
    ticket: Ticket
    # A response header that goes out with the first of its body.
    head = b""
    # 1 from when the last of a response is being sent until the next request enters: the next one may be read already.
    answered = 0
    # The loop has stopped watching for input because some came that cannot be read yet.
    masked = False

    def readable(self) -> bool:
        """Tell whether the next request may be read: none is being answered, or its answer is out."""
        return not (
            self.will_close or self.close_when_flushed or self.total_outbufs_len or len(self.requests) > self.answered
        )

    def wants_loop(self) -> bool:
        """Tell whether the loop has something to do for this connection that it does not know of."""
        return bool(
            self.total_outbufs_len or self.will_close or self.close_when_flushed or self.masked or self.server.draining
        )

    def over(self) -> bool:
        """Tell whether the connection is to be closed and nothing is left to send first."""
        return (self.will_close or self.close_when_flushed) and not self.total_outbufs_len

    def quiet(self) -> bool:
        """Tell whether nothing was begun here: no request, not even a part of one, and nothing left to send."""
        return not (self.requests or self.request is not None or self.total_outbufs_len or self.close_when_flushed)

    def fresh(self) -> bool:
        """Tell whether the client has not sent anything yet."""
        return self.last_activity == self.creation_time

    def leaving(self) -> bool:
        """Tell whether the response being made is the last one of this connection: the server stops, no more has come.

        Closing a connection on which something is unread would take what was just sent from the client.
        """
        return self.server.draining and len(self.requests) < 2 and self.request is None and not self.masked

    def waiting(self) -> bool:
        """Tell whether the first request waits outside threads."""
        return bool(self.requests) and self.ticket.place is not None

    def pending(self) -> bytes | None:
        """Look at the next received byte without taking it: empty after a hang-up, None when none has come."""
        sock = self.socket
        try:
            return b"" if sock is None else sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def answer(self) -> "Future[Any] | None":
        """Answer the first request on a worker's thread, or return the future for which it wants to wait."""
        serving = self.server.serving
        serving.channel = self
        try:
            self.service()
        except Parked as parked:
            return parked.future
        except BaseException:
            logger.exception("A connection failed and is closed.")
            self.abandon()
        finally:
            serving.channel = None
        return None

    def lane(self) -> Hashable:
        """Tell the key of the tenant that the first request is for."""
        return self.server.lane_of(self.requests[0]) if self.requests else self.ticket.key

    def parked(self) -> None:
        """Notice a hang-up that came while the request ran: the loop does not watch for one any more."""
        gone = not self.connected or (self.masked and self.pending() == b"")
        if gone and self.server.lanes.drop(self.ticket):
            self.abandon()

    def blocked(self) -> bool:
        """Learn that input has come which cannot be read now; False says that by now it can."""
        # Set before asking again: a worker that ends its request in between either is seen here or sees this.
        self.masked = True
        if self.readable():
            self.masked = False
            return False
        if self.waiting() and self.pending() == b"":
            self.handle_close()
        return True

    def abandon(self) -> None:
        """Have the loop close this connection, whatever was begun."""
        with self.requests_lock:
            self.will_close = True
            self._forget_requests()
        self.server.wake(self)

    def write_soon(self, data: "bytes | ReadOnlyFileBasedBuffer") -> int:
        """Send now what the client takes now; the loop sends the rest. Blocks past waitress' high watermark."""
        if not self.connected:
            raise ClientDisconnected
        if isinstance(data, ReadOnlyFileBasedBuffer):
            return self._write_file(data)
        length = len(data)
        head = self.head
        if head:
            self.head = b""
            if length > JOINED:
                self._write(head)
            else:
                data = head + data
        if data:
            self._write(data)
        return length

    def _write(self, data: bytes) -> None:
        # Without output in the buffers nobody but this thread sends or adds any, so no lock is needed here.
        if not self.total_outbufs_len:
            try:
                sent = self.send(data, do_close=False)
            except (OSError, AttributeError) as error:  # AttributeError: the loop has just closed the socket
                raise ClientDisconnected from error
            if sent == len(data):
                self.last_activity = time.time()
                return
            data = data[sent:]
        super().write_soon(data)

    def _write_file(self, file: ReadOnlyFileBasedBuffer) -> int:
        length = len(file)
        if self.head:
            self.write_soon(file.get(JOINED, skip=True))
        if len(file):
            super().write_soon(cast("Any", file))
        else:
            file.close()
        return length

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send what the client takes now. Nothing to send means that a file ended before its length did."""
        if not data:
            raise OSError("a file ended early")
        sent: int = super().send(data, do_close)
        return sent

    def _flush_some(self, do_close: bool = True) -> bool:
        try:
            flushed: bool = super()._flush_some(do_close=do_close)  # type: ignore[misc]
        except OSError:
            raise
        except BaseException as error:  # a file of the application's may raise anything when it is read
            raise OSError(f"what was to be sent could not be read: {error!r}") from error
        return flushed

    def handle_close(self) -> None:
        """Close the connection on the loop's thread; a request that still waits is never run."""
        if self.waiting() and self.server.lanes.drop(self.ticket):
            with self.requests_lock:
                self._forget_requests()
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def _forget_requests(self) -> None:
        for request in self.requests:
            request.close()
        self.requests = []
