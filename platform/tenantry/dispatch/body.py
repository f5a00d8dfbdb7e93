"""Serve one request from a lease, and end the lease with the response's body on every path.

The call, each `next` and the `close` run in one fresh, empty Context: what one request sets in a ContextVar, the next
on the same thread does not see.
"""

import io
import os
import stat
from collections.abc import Iterable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any, BinaryIO

from tenantry.pool import Lease

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


_BLOCK = 1 << 15
_NOTHING: Any = object()


def serve(lease: Lease, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Call the leased application and return a body that ends the lease when it is closed.

    A list or tuple is already whole, so that no code of the application can run any more: its lease ends at once and
    the server gets the list itself. So it is with a `wsgi.file_wrapper` around a plain file, which is opened once more
    for the server's fast path: a client may take hours to read it, and neither reading nor closing it may run code of
    the application on the server's own thread. The first item of any other body is made here, where what it raises can
    still become a page, and sent before the next is made.
    """
    context = Context()
    # What speaks to the server is the platform's alone.
    environ.pop("tenantry.park", None)
    environ.pop("tenantry.unread", None)
    environ.pop("tenantry.refused", None)
    try:
        body: Iterable[bytes] = context.run(lease.app, environ, start_response)
        kind = type(body)
        if kind is list or kind is tuple:
            lease.close()
            return body
        wrap = environ.get("wsgi.file_wrapper")
        if kind is wrap:
            file = _taken_over(body, wrap, context)
            if file is not None:
                lease.close()
                return file
    except BaseException:
        lease.close()
        raise
    answer = SizedBody(body, lease, context) if hasattr(kind, "__len__") else Body(body, lease, context)
    try:
        answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


class Body:
    """A response's body that ends its lease when closed, exhausted or not; it lives as long as the response."""

    __slots__ = ("_body", "_context", "_first", "_lease", "_next")

    def __init__(self, body: Iterable[bytes], lease: Lease, context: Context) -> None:
        self._body = body
        self._lease = lease
        self._context = context
        self._next: Any = None
        self._first: Any = _NOTHING

    def begin(self) -> None:
        """Make the first item, if there is one; called once, before anybody iterates."""
        items = self._context.run(iter, self._body)
        self._next = items.__next__
        self._first = self._context.run(next, items, _NOTHING)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        chunk: bytes = self._first
        if chunk is _NOTHING:
            chunk = self._context.run(self._next)
        else:
            self._first = _NOTHING
        return chunk

    def close(self) -> None:
        """Close the application's body, then end the lease, whatever closing raises."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            self._lease.close()


class SizedBody(Body):
    """The same with a length, from which servers derive Content-Length for bodies of one item."""

    __slots__ = ()

    def __len__(self) -> int:
        size: Any = self._body
        return len(size)


def _taken_over(wrapper: Any, wrap: Any, context: Context) -> Iterable[bytes] | None:
    """Make a wrapper of our own around what an application's wrapper would send, and close the application's.

    None for what is no plain file: only the application's own code can read it.
    """
    file = getattr(wrapper, "file", None) or getattr(wrapper, "filelike", None)  # the standard library's name for it
    own = _again(file)
    if own is None:
        return None
    try:
        close = getattr(wrapper, "close", None)
        if close is not None:
            context.run(close)
        body: Iterable[bytes] = wrap(own, getattr(wrapper, "block_size", _BLOCK))
    except BaseException:
        own.close()
        raise
    return body


def _again(file: Any) -> BinaryIO | None:
    """Open a plain file once more, at the same place, so that none of an application's code is needed to read it.

    The types are asked and not the object, which may have methods of its own.
    """
    kind = type(file)
    if kind is io.BytesIO:
        return None if file.closed else io.BytesIO(io.BytesIO.getvalue(file)[io.BytesIO.tell(file) :])
    raw = file.raw if kind is io.BufferedReader else file
    if type(raw) is not io.FileIO or raw.closed:
        return None
    at = kind.tell(file)
    own = os.fdopen(os.dup(io.FileIO.fileno(raw)), "rb")
    if not stat.S_ISREG(os.fstat(own.fileno()).st_mode):
        own.close()
        return None
    own.seek(at)
    return own
