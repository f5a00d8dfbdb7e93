"""Answer one request: what goes to the application, and what of its answer goes on the wire, and when."""

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

from waitress.task import ErrorTask, Task, WSGITask
from waitress.utilities import build_http_date

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

    from tenantry.server.channel import Channel

SOFTWARE = "tenantry"


class Parked(BaseException):
    """Unwind a worker from a request that wants to run again once `future` is done.

    Not an Exception, so that no application or middleware takes it for a failure of its own.
    """

    def __init__(self, future: "Future[Any]") -> None:
        super().__init__(future)
        self.future = future


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
    """Send the header together with the first of the body, and close a connection only where HTTP needs it closed."""

    if TYPE_CHECKING:
        channel: Channel
        request: Any

    def write(self, data: bytes) -> None:
        """Send a piece of the body; the header goes out with the first piece that is not empty."""
        if not self.wrote_header and self.complete:
            self.channel.head = self.build_response_header()
            self.wrote_header = True
        if getattr(self.request, "command", "") == "HEAD":
            data = b""
        length = self.content_length
        if length is not None and self.content_bytes_written + len(data) >= length and not self.close_on_finish:
            self.channel.answered = 1
        super().write(data)

    def finish(self) -> None:
        """End the response: the last chunk, or a header that had no body to go with."""
        super().finish()
        if self.channel.head:
            self.channel.write_soon(b"")

    def build_response_header(self) -> bytes:
        """Spell the status line and the headers, and decide how the body is framed.

        waitress closes the connection after every response without a length, 304 and 204 among them; here it stays
        open wherever the end of the response can be told.
        """
        bodiless = not self.has_body
        lines = [f"HTTP/{self.version} {self.status}"]
        dated = measured = False
        for name, value in self.response_headers:
            lower = name.lower()
            if lower == "content-length":
                if bodiless:
                    continue
                measured = True
            elif lower == "date":
                dated = True
            elif lower == "connection":
                continue
            lines.append(f"{name}: {value}")
        if not measured and not bodiless and self.content_length is not None:
            lines.append(f"Content-Length: {self.content_length}")
            measured = True
        lines.extend(self._framing(ends=measured or bodiless))
        if not dated:
            lines.append(f"Date: {_clock.date()}")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("latin-1")

    def _framing(self, *, ends: bool) -> list[str]:
        """Choose the Connection and Transfer-Encoding headers; `ends` says that the length of the body is known."""
        wish = self.request.headers.get("CONNECTION", "").lower()
        modern = self.version == "1.1"
        framing = []
        if modern and not ends:
            framing.append("Transfer-Encoding: chunked")
            self.chunked_response = self.request.command != "HEAD"
        stays = wish != "close" if modern else wish == "keep-alive" and ends
        if not stays or self.channel.leaving():
            self.close_on_finish = True
        if self.close_on_finish:
            framing.append("Connection: close")
        elif not modern:
            framing.append("Connection: Keep-Alive")
        return framing


class Response(Whole, WSGITask):
    """Run the application and send what it answers."""

    def execute(self) -> None:
        """Run the application; whatever it raises costs this request only, SystemExit and its like too."""
        try:
            super().execute()
        except (Exception, Parked):
            raise
        except BaseException as error:
            raise RuntimeError(f"The application raised {type(error).__name__}.") from error

    def get_environment(self) -> "WSGIEnvironment":
        """Make the WSGI environment, with `tenantry.park` or `tenantry.refused` where they hold."""
        environ = super().get_environment()
        environ["SERVER_SOFTWARE"] = SOFTWARE
        ticket = self.channel.ticket
        if ticket.refused:
            environ["tenantry.refused"] = ticket.refused
        elif ticket.may_park:
            environ["tenantry.park"] = self.park
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
        raise Parked(future)


class Failure(Whole, ErrorTask):
    """Answer a request that could not be read, or whose application failed."""
