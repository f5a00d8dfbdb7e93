"""Answer one request: what goes to the application, and what of its answer goes on the wire, and when."""

import logging
import re
import time
from concurrent.futures import Future
from threading import get_ident
from typing import TYPE_CHECKING, Any, NoReturn

from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import build_http_date

from tenantry.server.parser import broken

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from tenantry.server.channel import Channel
    from tenantry.server.parser import Request

_log = logging.getLogger("tenantry.server")

SOFTWARE = "tenantry"
# A whole response header: whatever an application puts into status, names or values, it is one header with these lines.
# Statuses below 200 announce a response and are none.
_HEADER = re.compile(
    r"HTTP/1\.[01] [2-9][0-9]{2}(?: [\t -~\x80-\xff]*+)?\r\n"
    r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++: [\t -~\x80-\xff]*+\r\n)+\r\n",
    re.ASCII,
)
_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]++: [\t -~\x80-\xff]*+", re.ASCII)
# These are between the server and the next hop. Of the others of that kind waitress lets no application speak.
_OURS = frozenset({"connection", "content-length", "keep-alive", "proxy-connection", "trailer", "transfer-encoding"})


class Parked(BaseException):
    """Unwind a worker from a request that wants to run again once `future` is done.

    Not an Exception, so that no application or middleware takes it for a failure of its own.
    """

    def __init__(self, future: "Future[Any]") -> None:
        super().__init__(future)
        self.future = future


class Unread(BaseException):
    """Unwind a worker from a request whose body is to be read first: `limit` bytes at most."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit


class _Clock:
    """The Date header, spelled once a second. Threads may race; each then spells the same second."""

    def __init__(self) -> None:
        self._spelled = (0, "")

    def date(self) -> str:
        now = int(time.time())
        second, text = self._spelled
        if second != now:
            text = build_http_date(now)
            self._spelled = (now, text)
        return text


_clock = _Clock()


class Whole(Task):
    """Send the header together with the first of the body, and close a connection only where HTTP needs it closed.

    What an application promises is what is sent: no byte past its Content-Length, no body where there is none.
    """

    if TYPE_CHECKING:
        channel: Channel
        request: Request  # type: ignore[assignment]  # the published types have it wrong

    environ: "WSGIEnvironment | None" = None
    # Somebody else's answer may follow on this connection by now.
    over = False

    def __init__(self, channel: Any, request: Any) -> None:
        super().__init__(channel, request)
        # What the connection had sent before this response, and on which thread the response is made.
        self.handed = channel.handed
        self._thread = get_ident()

    # The response has no body whatever the application gives: by its status, or because HEAD asks.
    bodiless = False
    finished = False
    header_length = 0

    def write(self, data: bytes) -> None:
        """Send a piece of the body; the header goes out with the first piece that is not empty.

        An application may keep the callable that leads here, and hand it to other threads; nothing but the run that it
        was made for can send anything through it.
        """
        if not self.complete:
            raise RuntimeError("A body was given before start_response was called.")
        if self.over or get_ident() != self._thread:
            raise RuntimeError("A response is written by the thread that makes it, until it has ended.")
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # whatever it says of its own length
        channel = self.channel
        if not self.wrote_header:
            channel.head = self.build_response_header()
            self.header_length = len(channel.head)
            channel.bodiless = self.bodiless
            self.wrote_header = True
        if not data:
            return
        if self.bodiless:
            # waitress closes the connection where it counts less than was promised.
            self.content_bytes_written += len(data)
            return
        length = self.content_length
        if length is not None:
            left = length - self.content_bytes_written
            if len(data) > left:
                data = self._kept(data, left)
            elif len(data) == left and not self.close_on_finish:
                channel.answered = 1
        channel.write_soon(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked_response else data)
        self.content_bytes_written += len(data)

    def _kept(self, data: bytes, left: int) -> bytes:
        """Cut off what goes past the promised length; whoever miscounts once is not asked again on this connection."""
        self.close_on_finish = True
        self.channel.answered = 0
        if not self.logged_write_excess:
            self.logged_write_excess = True
            _log.warning("An application gave more than the %d bytes that it had promised.", self.content_length)
        return data[:left]

    def finish(self) -> None:
        """End the response: the last chunk, or a header that had no body to go with."""
        if not self.wrote_header:
            self.write(b"")
        if self.chunked_response:
            self.channel.write_soon(b"0\r\n\r\n")
        elif self.channel.head:
            self.channel.write_soon(b"")
        self.finished = True

    def whole(self) -> bool:
        """Tell whether all of the response was made, sent or not."""
        if not self.wrote_header or self.channel.head:
            return False
        if self.bodiless or self.content_length is None:
            return self.bodiless or self.finished
        return self.content_bytes_written + self.channel.filed >= self.content_length

    def endless(self) -> bool:
        """Tell whether nothing but the end of the connection says where the response ends."""
        return self.wrote_header and not (self.bodiless or self.chunked_response or self.content_length is not None)

    def build_response_header(self) -> bytes:
        """Spell the status line and the headers, and decide how the body is framed; ValueError for what is no header.

        waitress closes the connection after every response without a length, 304 and 204 among them; here it stays
        open wherever the end of the response can be told.
        """
        empty = not self.has_body
        self.bodiless = empty or self.request.command == "HEAD"
        lines = [f"HTTP/{self.version} {self.status}"]
        dated = False
        for name, value in self.response_headers:
            if not type(name) is type(value) is str:
                raise ValueError("An application's header is no plain text.")
            lower = name.lower()
            if lower in _OURS:
                continue
            if lower == "date":
                dated = True
            lines.append(f"{name}: {value}")
        length = self.content_length
        if length is not None and not empty:
            if length < 0:
                raise ValueError(f"An application promised {length} bytes.")
            lines.append(f"Content-Length: {length}")
        lines.extend(self._framing(ends=empty or length is not None))
        if not dated:
            lines.append(f"Date: {_clock.date()}")
        lines.append("\r\n")
        header = "\r\n".join(lines)
        if not _HEADER.fullmatch(header):
            wrong = next((line for line in lines[1:-1] if not _LINE.fullmatch(line)), lines[0])
            # No more than its name: a cookie may be a secret.
            raise ValueError(f"An application's status or header cannot be sent: {wrong.partition(':')[0][:80]!r}")
        return header.encode("latin-1")

    def _framing(self, *, ends: bool) -> list[str]:
        """Choose the Connection and Transfer-Encoding headers; `ends` says that the length of the body is known."""
        modern = self.version == "1.1"
        framing = []
        if modern and not ends:
            framing.append("Transfer-Encoding: chunked")
            self.chunked_response = not self.bodiless
        request = self.request
        stays = not (request.connection_close or request.unread) and (modern or ends)
        if not stays or self.channel.leaving():
            self.close_on_finish = True
        if self.close_on_finish:
            framing.append("Connection: close")
        elif not modern:
            framing.append("Connection: Keep-Alive")
        return framing


class Response(Whole, WSGITask):
    """Run the application and send what it answers."""

    # What has unwound this very run to have it run again.
    _unwinding: "Parked | Unread | None" = None

    def execute(self) -> None:
        """Run the application; whatever it raises costs this request only, SystemExit and its like too."""
        try:
            super().execute()
        except Exception:
            raise
        except BaseException as error:
            if error is self._unwinding and not self.wrote_header:
                raise
            raise RuntimeError(f"The application raised {type(error).__name__}.") from error

    def get_environment(self) -> "WSGIEnvironment":
        """Make the WSGI environment, with `tenantry.park`, `.unread` or `.refused` where they hold."""
        environ = super().get_environment()
        environ["SERVER_SOFTWARE"] = SOFTWARE
        ticket = self.channel.ticket
        if ticket.refused:
            environ["tenantry.refused"] = ticket.refused
        elif ticket.may_park:
            environ["tenantry.park"] = self.park
        if self.request.unread:
            environ["tenantry.unread"] = self.read_on
        if ticket.runs > 1:
            environ["wsgi.input"].seek(0)
        if self.request.command == "HEAD":
            # waitress would send the file.
            del environ["wsgi.file_wrapper"]
        return environ

    def park(self, future: "Future[Any]") -> NoReturn:
        """Give the thread back and answer this request from the start once `future` is done.

        Whatever the application has read is there to be read again. Only before anything was sent.
        """
        if self.wrote_header:
            raise RuntimeError("A response that has begun cannot be parked.")
        if not isinstance(future, Future):
            raise TypeError("A request can only be parked on a Future.")
        self._unwinding = Parked(future)
        raise self._unwinding

    def read_on(self, limit: int) -> NoReturn:
        """Give the thread back, read the body, and answer this request from the start once it is there.

        A body of more than `limit` bytes is refused. Only before anything was sent.
        """
        if self.wrote_header:
            raise RuntimeError("The body of a request cannot be read once its response has begun.")
        self._unwinding = Unread(limit)
        raise self._unwinding


class Failure(Whole, ErrorTask):
    """Answer a request that could not be read, or whose application failed."""

    def execute(self) -> None:
        """Send the refusal, and close the connection."""
        error: Any = self.request.error or broken()
        self.status, headers, body = error.to_response()
        self.response_headers = list(headers)
        self.content_length = len(body)
        self.close_on_finish = True
        self.write(body)
