"""One connection: when it may be read, what answers its first request, and how it ends.

The loop's thread reads, and sends what a worker could not; a worker runs the first of `requests`.
"""

import logging
import socket
from collections.abc import Hashable
from concurrent.futures import Future
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from waitress.channel import ClientDisconnected

from tenantry.log import Served
from tenantry.server import telling
from tenantry.server.deadlines import reset
from tenantry.server.parser import Refusal, Request, broken
from tenantry.server.reading import Reader
from tenantry.server.response import Failure, Parked, Response, Unread, Whole

if TYPE_CHECKING:
    from waitress.adjustments import Adjustments

    from tenantry.server.lanes import Ticket
    from tenantry.server.listener import Listener

logger = logging.getLogger("tenantry.server")

# Seconds after which a header that does not come to its end may give way to another connection.
_SLOW = 1.0


class Channel(Reader):
    """A connection that wakes the loop only when there is something for it."""

    task_class = Response
    error_task_class = Failure

    if TYPE_CHECKING:
        _fileno: int | None

    # The ticket of the first request; set by the listener before the lanes see it.
    ticket: "Ticket"
    # 1 from when the last of a response is being sent until the next request enters: the next one may be read already.
    answered = 0
    # The loop has stopped watching for input because some came that cannot be read yet.
    masked = False
    # What comes next waits until the client has taken the last answer.
    held = False
    # A request that has ended but for that, and bytes of its answer that were never sent.
    untold: Served | None = None
    lost = 0

    def __init__(
        self,
        server: "Listener",
        sock: socket.socket,
        addr: Any,
        adj: "Adjustments",
        map: Any = None,  # noqa: A002
    ) -> None:
        self.since = monotonic()
        super().__init__(server, sock, addr, adj, map)

    # What the loop asks.

    def readable(self) -> bool:
        """Tell whether input may be read: none is being answered, or its answer is out."""
        return self.lingering or not (
            self.will_close
            or self.close_when_flushed
            or self.total_outbufs_len
            or self.deaf
            or len(self.requests) > self.answered
        )

    def wants_loop(self) -> bool:
        """Tell whether the loop has something to do for this connection that it does not know of."""
        return bool(
            self.total_outbufs_len
            or self.will_close
            or self.close_when_flushed
            or self.masked
            or self.server.draining
            or self.server.crowd.full
        )

    def over(self) -> bool:
        """Tell whether the connection is to be closed and nothing is left to send first."""
        return (self.will_close or self.close_when_flushed) and not self.total_outbufs_len

    def quiet(self) -> bool:
        """Tell whether nothing was begun here: no request, not even a part of one, and nothing left to send."""
        return not (
            self.requests or self.begun() or self.total_outbufs_len or self.close_when_flushed or self.lingering
        )

    def spare(self, now: float) -> bool:
        """Tell whether the connection may give way to another one: an idle one, or one that trickles a header."""
        if self.lingering or self.quiet():
            # Who has just come, and has yet to ask, leaves for nobody: others who only knock would send all away.
            return not self.fresh or now - self.since > _SLOW
        request = self.request
        trickles = request is not None and not request.headers_finished and now - self.since > _SLOW
        return trickles and not self.requests and not self.total_outbufs_len

    def leaving(self) -> bool:
        """Tell whether the response being made is the last one of this connection: the server stops, no more has come.

        Closing a connection on which something is unread would take what was just sent from the client.
        """
        return self.server.draining and len(self.requests) < 2 and not self.begun() and not self.masked

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

    # Answering, on a worker's thread.

    def answer(self) -> "Future[Any] | None":
        """Answer the first request on a worker's thread, or return the future for which it wants to wait."""
        serving = self.server.serving
        serving.channel = self
        try:
            try:
                self.service()
            except Unread as unread:
                self.read_on(unread.limit)
                self.server.wake(self)
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
        request = next(iter(self.requests), None)  # the loop may forget them at this very moment
        return self.ticket.key if request is None else self.server.lane_of(request)

    def parked(self) -> None:
        """Notice a hang-up that came while the request ran: the loop does not watch for one any more."""
        with self.outbuf_lock:  # so that it is this client who is looked at
            gone = not self.connected or (self.masked and self.pending() == b"")
        if gone and self.server.lanes.drop(self.ticket):
            telling.gone(self, self.requests)
            self.abandon()

    def service(self) -> None:
        """Answer the first request, then begin the next one, or have the connection closed."""
        request = self.requests[0]
        task: Whole = (self.task_class if request.error is None else self.error_task_class)(self, cast("Any", request))
        self.filed = 0
        whole = self._run(task)
        if whole is None and not self._sending(task):
            task = self._excuse(request, task)
            whole = self._run(task)
        telling.answered(self, task, whole=bool(whole), begun=self._sending(task))
        with self.requests_lock:
            if whole and not task.close_on_finish:
                self._go_on(request)
            else:
                self._end(task, whole=bool(whole))
        if self.connected:
            self.server.pull_trigger()

    def _run(self, task: Whole) -> bool | None:
        """Tell whether all of the answer was made; None if not, and if it is not the client who is to blame."""
        try:
            if not self.connected:
                return False
            task.service()
        except ClientDisconnected:
            return False
        except Exception:  # noqa: BLE001 - logged there
            telling.failed(task)
            return True if task.whole() else None
        finally:
            task.over = True
        return task.whole()

    def _sending(self, task: Whole) -> bool:
        """Tell whether something of an answer is on its way already."""
        return self.handed != task.handed or self.total_outbufs_len > 0

    def _excuse(self, request: Request, failed: Whole) -> Whole:
        """Make another answer in the place of one of which nothing was sent."""
        self.head, self.answered = b"", 0
        request.error = broken()
        excuse = self.error_task_class(self, cast("Any", request))
        excuse.environ = failed.environ
        return excuse

    def _end(self, task: Whole, *, whole: bool) -> None:
        """Have the connection closed once all is sent; under `requests_lock`."""
        self._forget_requests()
        if whole or not task.endless():
            self.close_when_flushed = True
        else:
            # Only a reset tells the client that this was not all; it must not meet the next one on this descriptor.
            with self.outbuf_lock:
                reset(self.socket)
            self.will_close = True

    def _go_on(self, done: Request | None = None) -> None:
        """Begin what comes after an answer, now or as soon as the client has taken it; under `requests_lock`.

        So no worker is ever held up by what somebody else's answer has left in the buffers.
        """
        if done is not None:
            done.close()
            self.requests.pop(0)
            # So that buffers are let go after each answer, on a connection that stays open for long.
            if self.current_outbuf_count > 0:
                self.current_outbuf_count = self.adj.outbuf_high_watermark
        self.since = monotonic()
        if not self.connected:
            self._forget_requests()
            return
        request = self.request
        awaits = request is not None and request.headers_finished and request.expect_continue
        if not self.requests and not awaits:
            if self.server.crowd.full:
                self.server.crowd.offer(self)
            return
        # Set before asking: the loop either sees this when it has sent the last, or has sent it by now.
        self.held = True
        if self.total_outbufs_len:
            return
        self.held = False
        if self.requests:
            self.server.add_task(self)
        else:
            self.send_continue()

    # Sending the rest, and closing, on the loop's thread.

    def handle_write(self) -> None:
        """Send what the client takes by now, and go on once it has taken all."""
        if self.total_outbufs_len:
            self.flush()
        if self.will_close:
            self.handle_close()
        elif not self.total_outbufs_len:
            telling.tell(self)
            if self.close_when_flushed:
                self.end()
                return
            with self.requests_lock:
                if self.held:
                    self.held = False
                    self._go_on()
                elif not self.requests:
                    self.since = monotonic()

    def end(self) -> None:
        """Close, all being said; where more may come, not before the client has had the time to read it."""
        if self.will_close or not (self.deaf or self.pending()):
            self.handle_close()
            return
        try:
            if self.socket is not None:
                self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.handle_close()
            return
        self.since, self.rest = monotonic(), b""
        self.close_when_flushed = False
        self.lingering = True

    def cut(self, why: Refusal) -> None:
        """Wait no longer for the client: with an answer where it has begun to ask, without one otherwise."""
        if self.lingering or not self.give_up(why):
            self.handle_close()

    def drop(self) -> None:
        """Wait no longer for a client that does not take its answer, and have the system forget it too."""
        reset(self.socket)
        self.handle_close()

    def abandon(self) -> None:
        """Have the loop close this connection, whatever was begun."""
        with self.requests_lock:
            self.will_close = True
            self._forget_requests()
        self.server.wake(self)

    def handle_close(self) -> None:
        """Close the connection; a request that still waits is never run."""
        left: list[Request] = []
        with self.requests_lock:
            if self.held or (self.waiting() and self.server.lanes.drop(self.ticket)):
                left, self.held = self.requests, False
                self._forget_requests()
        telling.gone(self, left)
        with self.outbuf_lock:
            self.lost += self.total_outbufs_len
            super().handle_close()
        with self.requests_lock:
            request, self.request = self.request, None
        if request is not None:
            if request.headers_finished:
                telling.gone(self, [request])
            request.close()
        telling.tell(self)

    def _forget_requests(self) -> None:
        for request in self.requests:
            request.close()
        self.requests = []
