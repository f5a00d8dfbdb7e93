"""Read what a client asks, strictly: what two readers could take for two different things is refused, not repaired.

A proxy in front and this server must agree on where each request ends and whom it is for. So nothing is guessed: line
ends are CRLF, there is one Host and at most one way to tell a body's length, and a target is a path.

All of it runs on the loop's own thread, or on a worker's under the connection's `requests_lock`.
"""

import re
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from waitress.buffers import OverflowableBuffer
from waitress.parser import HTTPRequestParser
from waitress.receiver import ChunkedReceiver, FixedStreamReceiver
from waitress.utilities import Error

from tenantry import address
from tenantry.errors import Invalid

if TYPE_CHECKING:
    from waitress.adjustments import Adjustments

# Header fields of one request. The dearest header of so many costs less than the connection that it came on.
MAX_FIELDS = 200
# Bytes of a line between chunks, of all their extensions together, and of all trailers.
_MAX_SIZE_LINE, _MAX_EXTENSIONS, _MAX_TRAILERS = 256, 1 << 14, 1 << 13

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_FIELD = rf"{_WORD}:[\t -~\x80-\xff]*+\r\n"
_START = r"([A-Z][A-Z0-9_-]{0,31}) (/[!\"$-~]*+) HTTP/(1\.[01])\r\n"
# No group is repeated possessively: Python before 3.11.5 then lets pass what does not match.
_HEAD = re.compile(rf"{_START}((?:{_FIELD})*)\r\n", re.ASCII)
_FIRST = re.compile(_START.encode())
_TRAILER = re.compile(_FIELD.encode("latin-1"))
_SIZE = re.compile(rf"([0-9A-Fa-f]{{1,16}})((?:;{_WORD}(?:={_WORD}|=\"[\t !#-\[\]-~]*+\")?)*)\r\n".encode())
# A line end that is not CRLF, or a byte that no header holds; a CR at the very end may yet become one.
_STRAY = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)

# Said twice, each of these could be believed differently by two readers.
_ONCE = frozenset({"HOST", "CONTENT_LENGTH", "TRANSFER_ENCODING"})


class Refusal(Error):
    """An answer that the server gives by itself, to what no application is asked."""

    def __init__(self, code: int, reason: str, says: str) -> None:
        super().__init__(says)
        self.code = code
        self.reason = reason

    def to_response(self, ident: str | None = None) -> Any:  # noqa: ARG002 - waitress names itself there
        """Return status, headers and body; nobody shall keep it."""
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")]
        return f"{self.code} {self.reason}", headers, f"{self.body}\n".encode()


def bad(says: str) -> Refusal:
    """Refuse what cannot be read."""
    return Refusal(400, "Bad Request", says)


def unknown_coding() -> Refusal:
    """Refuse a body that comes in another coding than chunked."""
    return Refusal(501, "Not Implemented", "The only transfer coding that is read here is chunked.")


def too_large() -> Refusal:
    """Refuse a body that is larger than it may be."""
    return Refusal(413, "Content Too Large", "The request's body is larger than it may be here.")


def no_room() -> Refusal:
    """Refuse a body for which there is no room beside the others that are coming in."""
    return Refusal(503, "Service Unavailable", "Too many large requests are coming in at this moment.")


def too_slow() -> Refusal:
    """Refuse to wait any longer."""
    return Refusal(408, "Request Timeout", "The request did not come in time.")


def broken() -> Refusal:
    """Answer where the application could not."""
    return Refusal(500, "Internal Server Error", "Something went wrong here. It has been noted.")


class Chunks(ChunkedReceiver):
    """The body of a request in chunks; what it lets pass has one meaning only.

    waitress lets blank lines pass before a chunk's size, a bare LF after it, and anything as trailers, of any length.
    Here a chunk that does not fit within `limit` is not begun: `over` tells so, until `allow` raises the limit.
    """

    limit = 0
    over = False
    # What the next line has to be: a chunk's size, the end of a chunk, or a trailer.
    _next = "size"
    _extensions = 0
    _trailers = 0

    def allow(self, limit: int) -> None:
        """Let the body be of so many bytes."""
        self.limit = limit
        self.over = self.wanted() > limit

    def wanted(self) -> int:
        """Tell how large the body will be at least, as far as is known by now."""
        return len(self) + self.chunk_remainder

    def received(self, data: bytes) -> int:
        """Take what belongs to the body and return how many bytes that were; no more after its end or an error."""
        at, end = 0, len(data)
        while at < end and not (self.completed or self.error or self.over):
            if self.chunk_remainder:
                piece = data[at : at + self.chunk_remainder]
                self.buf.append(piece)
                at += len(piece)
                self.chunk_remainder -= len(piece)
                if not self.chunk_remainder:
                    self._next = "end"
            else:
                at = self._line(data, at)
        return at

    def _line(self, data: bytes, at: int) -> int:
        """Take a line, or what there is of it, and return what is taken."""
        found = data.find(b"\n", at)
        stop = len(data) if found < 0 else found + 1
        line = self.control_line + data[at:stop]
        if len(line) > (_MAX_TRAILERS if self._next == "trailer" else _MAX_SIZE_LINE):
            self._refuse("A line between chunks is too long.")
        elif self._next == "end" and not b"\r\n".startswith(line):
            self._refuse("A chunk is not as long as it says.")
        elif found < 0:
            self.control_line = line
        else:
            self.control_line = b""
            self._read(line)
        return stop

    def _read(self, line: bytes) -> None:
        if self._next == "end":
            self._next = "size"
        elif self._next == "size":
            self._begin(line)
        elif line == b"\r\n":
            self.completed = True
        elif not _TRAILER.fullmatch(line) or self._trailers + len(line) > _MAX_TRAILERS:
            self._refuse("What follows the last chunk cannot be read.")
        else:
            # Trailers come too late to be believed: nobody may add a header behind the back of whoever checked them.
            self._trailers += len(line)

    def _begin(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            self._refuse("The size of a chunk cannot be read.")
            return
        self._extensions += len(found[2])
        if self._extensions > _MAX_EXTENSIONS:
            self._refuse("The chunks bring more extensions than body.")
            return
        self.chunk_remainder = int(found[1], 16)
        if self.chunk_remainder:
            self.over = self.wanted() > self.limit
        else:
            self._next = "trailer"

    def _refuse(self, says: str) -> None:
        self.error = bad(says)  # type: ignore[assignment]  # waitress' published type knows one kind only


class Request(HTTPRequestParser):
    """One request as it comes in: first its header, whole, then as much of its body as the connection allows.

    `undecided` tells that memory does not know who would take the body; `unread` that the request is to be answered
    without it. `begun` tells that there is more than the line end that some clients send after a body.
    """

    if TYPE_CHECKING:
        headers: dict[str, str]
        adj: Adjustments

    # Of an answer to what could not be read.
    version = "1.1"
    command = ""  # type: ignore[assignment]  # waitress' own is a text too
    request_uri = ""
    path = query = fragment = proxy_scheme = proxy_netloc = ""
    url_scheme = "http"
    begun = False
    undecided = False
    unread = False
    # When the last of it had come, by the monotonic clock.
    arrived = 0.0

    def received(self, data: bytes) -> int:
        """Take what belongs to this request and return how many bytes that were: of the header, or of the body."""
        if self.headers_finished:
            return self._receive_body(data)
        known = len(self.header_plus)
        held = self.header_plus + data if known else data
        start = 2 if held.startswith(b"\r\n") else 0
        end = held.find(b"\r\n\r\n", max(start, known - 3)) + 4
        self.header_bytes_received = end if end > 3 else len(held)
        if self.header_bytes_received >= self.adj.max_request_header_size:
            self.refuse(_too_large_header())
        elif end > 3:
            self.headers_finished = True
            self.header_plus = b""
            self.parse_header(held[start:end])
            return end - known
        else:
            self.header_plus = held
            self.begun = held not in {b"\r", b"\r\n"}
            self._check_part(held, start, known)
        return len(data)

    def refuse(self, why: Error) -> None:
        """Let this request be answered so, and by nobody else."""
        self.error = why
        self.completed = True

    def parse_header(self, header_plus: bytes) -> None:
        """Read a whole header, or refuse it."""
        text = header_plus.decode("latin-1")
        found = _HEAD.fullmatch(text)
        if found is None:
            self.refuse(_why(text))
            return
        self.command, self.request_uri, self.version, fields = found.groups()
        if self.command == "CONNECT":
            self.refuse(_no_tunnel())
            return
        try:
            self._read_fields(fields)
            self._read_framing()
        except _Wrong as wrong:
            self.refuse(wrong.why)
            return
        path, _, self.query = self.request_uri.partition("?")
        self.path = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
        self.url_scheme = self.adj.url_scheme
        if self.body_rcv is None:
            self.completed = True

    def _read_fields(self, fields: str) -> None:
        lines = fields.split("\r\n")
        if len(lines) > MAX_FIELDS + 1:
            raise _Wrong(_too_large_header())
        headers = self.headers
        for line in lines[:-1]:
            name, _, value = line.partition(":")
            if "_" in name:
                # X_Forwarded_For would become the same word as X-Forwarded-For, which a proxy in front overwrites.
                # Honest clients send such names now and then, so they are left out and not refused.
                continue
            key = name.upper().replace("-", "_")
            value = value.strip(" \t")
            if key not in headers:
                headers[key] = value
            elif key in _ONCE:
                raise _Wrong(bad(f"There is more than one {name} header."))
            else:
                headers[key] += ("; " if key == "COOKIE" else ", ") + value
        try:
            address.host(headers.get("HOST", ""))
        except Invalid as invalid:
            raise _Wrong(bad(str(invalid))) from invalid

    def _read_framing(self) -> None:
        """Find out where the request ends and whether its connection stays open."""
        headers = self.headers
        modern = self.version == "1.1"
        coding, length = headers.pop("TRANSFER_ENCODING", None), headers.get("CONTENT_LENGTH")
        if coding is not None:
            if not modern or length is not None:
                raise _Wrong(bad("The length of the body is told in two ways."))
            if coding.lower() != "chunked":
                raise _Wrong(unknown_coding())
            self.chunked = True
            self.body_rcv = Chunks(self._buffer())
        elif length is not None:
            if not _LENGTH.fullmatch(length):
                raise _Wrong(bad("The Content-Length is no number."))
            self.content_length = int(length)
            headers["CONTENT_LENGTH"] = str(self.content_length)
            if self.content_length:
                self.body_rcv = FixedStreamReceiver(self.content_length, self._buffer())
        wishes = {wish.strip(" \t") for wish in headers.get("CONNECTION", "").lower().split(",")}
        self.connection_close = "close" in wishes or not (modern or "keep-alive" in wishes)
        self.expect_continue = modern and headers.get("EXPECT", "").lower() == "100-continue"

    def _buffer(self) -> OverflowableBuffer:
        return OverflowableBuffer(self.adj.inbuf_overflow)

    def _check_part(self, held: bytes, start: int, known: int) -> None:
        """Refuse at once what no further byte can make right."""
        stray = _STRAY.search(held, max(start, known - 1)) or (start and held.startswith(b"\r", start))
        if stray or (b"\r\n" in held[start:] and not _FIRST.match(held, start)):
            self.refuse(_why(held[start:].decode("latin-1")))

    # The body.

    def wanted(self) -> int:
        """Tell how large the body will be at least, as far as is known by now."""
        return self.body_rcv.wanted() if isinstance(self.body_rcv, Chunks) else self.content_length

    def allow(self, limit: int) -> bool:
        """Let so many bytes of body be read, and tell whether what is known of it fits."""
        if isinstance(self.body_rcv, Chunks):
            self.body_rcv.allow(limit)
        return self.wanted() <= limit

    def over(self) -> bool:
        """Tell whether reading has stopped because more comes than was allowed."""
        return isinstance(self.body_rcv, Chunks) and self.body_rcv.over

    def _receive_body(self, data: bytes) -> int:
        receiver = self.body_rcv
        if self.completed or receiver is None:
            return 0
        taken = receiver.received(data)
        self.body_bytes_received = len(receiver)
        if receiver.error is not None:
            self.refuse(receiver.error)
        elif receiver.completed:
            self.completed = True
            # The application gets a body of known length, however it came.
            self.headers["CONTENT_LENGTH"] = str(self.body_bytes_received)
        return taken

    def get_body_stream(self) -> BytesIO:
        """Return the body as a file; an empty one where it was not read."""
        return BytesIO() if self.unread else super().get_body_stream()


class _Wrong(Exception):
    """Carry a refusal out of the reading of a header."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.body)
        self.why = why


def _why(text: str) -> Refusal:
    """Say what is wrong with a header that does not match."""
    words = text.partition("\r\n")[0].split(" ")
    if words[0] == "CONNECT":
        return _no_tunnel()
    if text.startswith("\r"):
        says = "There are blank lines before the request."
    elif _STRAY.search(text.encode("latin-1")):
        says = "A header's lines end in CRLF, and there are no control characters in them."
    elif len(words) != 3 or words[2] not in {"HTTP/1.1", "HTTP/1.0"}:
        says = "The first line is not that of a request of HTTP/1.1 or 1.0."
    elif not words[1].startswith("/"):
        says = "What is asked for has to be a path."
    elif not _FIRST.match(text.encode("latin-1")):
        says = "The method or the path has characters that are not allowed there."
    else:
        says = "The header cannot be read: it has a line that is no field."
    return bad(says)


def _too_large_header() -> Refusal:
    return Refusal(431, "Request Header Fields Too Large", "The request's header is larger than it may be here.")


def _no_tunnel() -> Refusal:
    return Refusal(501, "Not Implemented", "There are no tunnels here.")
