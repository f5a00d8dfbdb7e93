"""The way out of a connection: what goes to the client at once, what waits for it in buffers, and who sends that."""

from typing import TYPE_CHECKING, Any, cast

from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.channel import ClientDisconnected, HTTPChannel

if TYPE_CHECKING:
    import socket

# A body up to this size is copied behind its header, which is cheaper than a second call to the system.
JOINED = 1 << 16
# Bytes that one connection may send in a turn of the loop: a large file to a fast client would keep all others waiting.
_TURN = 1 << 20


class Sender(HTTPChannel):
    """A connection that answers in as few sends as it can. What the client does not take yet is sent by the loop.

    That waits in buffers, which waitress keeps in files once they are larger than a megabyte: a worker is free as soon
    as its response is there, up to waitress' high watermark, whatever the client does.
    """

    # A response header that goes out with the first of its body, and whether none of a body may follow it.
    head = b""
    bodiless = False
    # Bytes that the system has taken to send on this connection, and bytes of files for the response being made.
    handed = 0
    filed = 0
    # Since when the client has taken less than it has to, and of how many bytes that counts; None while all is taken.
    stuck_since: float | None = None
    taken = 0

    _allowance: int | None = None

    def write_soon(self, data: "bytes | ReadOnlyFileBasedBuffer") -> int:
        """Send now what the client takes now; the loop sends the rest. Blocks past waitress' high watermark."""
        if not self.connected:
            raise ClientDisconnected
        if isinstance(data, ReadOnlyFileBasedBuffer):
            return self._write_file(data)
        length = len(data)
        head = self.head
        if head:
            if length > JOINED:
                self._write(head)
            else:
                data = head + data
            self.head = b""
        if data:
            self._write(data)
        return length

    def _write(self, data: bytes) -> None:
        # Without output in the buffers nobody but this thread sends or adds any; but the loop may close the connection,
        # which it does with this lock. Without it a thread that is held up on its way into the system would send to
        # the next client, who has the descriptor by then.
        with self.outbuf_lock:
            if not self.connected:
                raise ClientDisconnected
            if not self.total_outbufs_len:
                sent = self.send(data)
                if self.will_close:
                    raise ClientDisconnected
                if sent == len(data):
                    return
                data = data[sent:]
        super().write_soon(data)

    def _write_file(self, file: ReadOnlyFileBasedBuffer) -> int:
        length = self.filed = len(file)
        if self.bodiless:
            # waitress sends a file whatever the status; after a 304 the client would take it for the next answer.
            self.filed = file.remain = 0
        if self.head:
            self.write_soon(file.get(JOINED, skip=True))
        if len(file):
            super().write_soon(cast("Any", file))
        else:
            file.close()
        return length

    def send(self, data: bytes, do_close: bool = True) -> int:  # noqa: ARG002 - never closed here, whoever asks
        """Send what the client takes now. Nothing to send means that a file ended before its length did.

        To one who has hung up nothing is sent, and the loop is told to close: here `outbuf_lock` is held, and closing
        wants `requests_lock` first, which a worker may hold while it waits for this one.
        """
        if not data:
            raise OSError("a file ended early")
        if self._allowance is not None and self._allowance <= 0:
            return 0
        try:
            sent = cast("socket.socket", self.socket).send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.will_close = True
            return 0
        if self._allowance is not None:
            self._allowance -= sent
        self.handed += sent
        return sent

    def flush(self) -> None:
        """Send on the loop's thread what a client takes by now of what waits for it."""
        self._allowance = _TURN
        try:
            # With the lock also where no request runs, unlike waitress: a worker may be beginning the next one.
            self._flush_exception(self._flush_some_if_lockable)  # type: ignore[attr-defined]
        finally:
            self._allowance = None

    def _flush_some(self, do_close: bool = True) -> bool:
        try:
            flushed: bool = super()._flush_some(do_close=do_close)  # type: ignore[misc]
        except OSError:
            raise
        except BaseException as error:  # a file of the application's may raise anything when it is read
            raise OSError(f"what was to be sent could not be read: {error!r}") from error
        return flushed
