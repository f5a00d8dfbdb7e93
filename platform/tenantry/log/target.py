"""Where lines end: standard error, written to without ever waiting longer than was allowed."""

import errno
import os
import select
from time import monotonic
from typing import TextIO

# What a pipe takes at once or not at all, so that the lines of several processes do not run into each other.
_AT_ONCE = 4096
_AGAIN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}


class Target:
    """One stream. Its descriptor is written to directly: a stream's own lock would be held while it waits."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._torn = False

    def write(self, lines: list[str], until: float | None) -> int:
        """Write whole lines and return how many were; fewer where it fails or does not flow before `until`."""
        if self._descriptor is None:
            return self._write_text(lines)
        if getattr(self._stream, "closed", False):  # the descriptor may be somebody else's by now
            return 0
        written = 0
        for piece in _pieces(lines):
            data = "".join(piece).encode(self._encoding, "backslashreplace")
            if not self._write_bytes(self._descriptor, (b"\n" if self._torn else b"") + data, until):
                break
            written += len(piece)
        return written

    def _write_text(self, lines: list[str]) -> int:
        if self._stream is None:
            return len(lines)
        try:
            self._stream.write("".join(lines))
            self._stream.flush()
        except (OSError, ValueError):  # closed
            return 0
        return len(lines)

    def _write_bytes(self, descriptor: int, data: bytes, until: float | None) -> bool:
        begun = False
        while data:
            if not _flows(descriptor, until):
                break
            try:
                data = data[os.write(descriptor, data[:_AT_ONCE]) :]
            except OSError as error:
                if error.errno not in _AGAIN:
                    break
            else:
                begun = True
        if begun:
            self._torn = bool(data)  # the next line begins on a line of its own all the same
        return not data


def _flows(descriptor: int, until: float | None) -> bool:
    """Wait until a write would not block, or until `until`; without, as long as it takes."""
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)
    left = None if until is None else max(0.0, until - monotonic()) * 1000
    return bool(ready.poll(left))


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _pieces(lines: list[str]) -> list[list[str]]:
    """Put lines together to what is written at once; a line that is longer stands alone."""
    pieces: list[list[str]] = []
    room = 0
    for line in lines:
        size = len(line) if line.isascii() else len(line) * 4
        if size > room:
            pieces.append([])
            room = _AT_ONCE
        pieces[-1].append(line)
        room -= size
    return pieces
