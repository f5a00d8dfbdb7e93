"""A client's end of one connection, which keeps every byte that comes, whether it belongs to an answer or not."""

import re
import socket
import struct

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})[ \r]")
_RESET = struct.pack("ii", 1, 0)  # close at once, whatever has not been read
_PATIENCE = 60.0


class Garbled(Exception):
    """What came is no answer."""


class Ended(Exception):
    """The connection ended before the answer did."""


class Wire:
    """One connection to a server of this machine. `came` is all that has come since the last request."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
        self._read = 0
        self.came = b""
        self.stays = True

    def ask(self, target: str, headers: dict[str, str]) -> None:
        """Send a request; Garbled if anything has come since the last answer."""
        self._see_silent()
        self.came, self._read = b"", 0
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def head(self) -> tuple[int, list[tuple[str, str]]]:
        """Read status and headers."""
        status, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        found = _STATUS.match(status + b"\r")
        if not found:
            raise Garbled(f"an answer begins with {status[:100]!r}")
        pairs = [line.decode("latin-1").partition(": ") for line in lines]
        return int(found[1]), [(name, value) for name, _, value in pairs]

    def body(self, headers: list[tuple[str, str]], *, first: bool = False) -> bytes:
        """Read the body, or the first chunk of one in chunks; what has come of one that is cut short."""
        known = {name.lower(): value for name, value in headers}
        self.stays = known.get("connection", "").lower() != "close"
        body = b""
        try:
            if "content-length" in known:
                return self._take(int(known["content-length"]))
            if known.get("transfer-encoding") != "chunked":
                raise Garbled(f"the end of an answer cannot be told: {known}")
            while size := int(self._until(b"\r\n"), 16):
                body += self._take(size)
                if first:
                    return body
                self._end_chunk()
            self._end_chunk()
        except Ended:
            self.stays = False
        except ValueError as error:
            raise Garbled(f"a chunk begins with {error}") from error
        return body

    def hang_up(self) -> None:
        """Close the connection at once."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._socket.close()

    def drain(self) -> bytes:
        """Take what else there is right now; return all that has come."""
        self._socket.settimeout(0)
        try:
            while more := self._socket.recv(65536):
                self.came += more
        except OSError:
            pass
        finally:
            self._socket.settimeout(_PATIENCE)
        return self.came

    def _see_silent(self) -> None:
        if self._read < len(self.came):
            raise Garbled(f"an answer is followed by {self.came[self._read :][:100]!r}")

    def _end_chunk(self) -> None:
        if (end := self._take(2)) != b"\r\n":
            raise Garbled(f"a chunk ends with {end!r}")

    def _until(self, end: bytes) -> bytes:
        while (at := self.came.find(end, self._read)) < 0:
            self._more()
        found, self._read = self.came[self._read : at], at + len(end)
        return found

    def _take(self, length: int) -> bytes:
        while len(self.came) < self._read + length:
            self._more()
        found, self._read = self.came[self._read : self._read + length], self._read + length
        return found

    def _more(self) -> None:
        try:
            more = self._socket.recv(65536)
        except ConnectionError:
            more = b""
        if not more:
            raise Ended
        self.came += more
