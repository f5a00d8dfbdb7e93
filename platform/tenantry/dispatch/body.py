"""Serve one request from a lease, and end the lease with the response's body on every path.

The call, each `next` and the `close` run in one fresh, empty Context: what one request sets in a ContextVar, the next
on the same thread does not see.
"""

import io
from collections.abc import Iterable, Iterator
from contextvars import Context
from typing import TYPE_CHECKING, Any

from tenantry.pool import Lease

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


_FILES = frozenset({io.BufferedReader, io.FileIO, io.BytesIO})


def serve(lease: Lease, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Call the leased application and return a body that ends the lease when it is closed.

    A list or tuple is already whole, so that no code of the application can run any more: its lease ends at once and
    the server gets the list itself. A `wsgi.file_wrapper` around a real file is returned itself, for the server's fast
    path; reading anything else runs code of the application, which has no place on the server's own thread.
    """
    context = Context()
    environ.pop("tenantry.park", None)  # the platform's alone
    try:
        body: Iterable[bytes] = context.run(lease.app, environ, start_response)
        kind = type(body)
        if kind is list or kind is tuple:
            lease.close()
            return body
        if kind is environ.get("wsgi.file_wrapper") and _chain(body, lease, context):
            return body
        return SizedBody(body, lease, context) if hasattr(kind, "__len__") else Body(body, lease, context)
    except BaseException:
        lease.close()
        raise


class Body:
    """A response's body that ends its lease when closed, exhausted or not; it lives as long as the response."""

    __slots__ = ("_body", "_context", "_lease", "_next")

    def __init__(self, body: Iterable[bytes], lease: Lease, context: Context) -> None:
        self._body = body
        self._lease = lease
        self._context = context
        self._next: Any = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._next is None:
            self._next = self._context.run(iter, self._body).__next__
        chunk: bytes = self._context.run(self._next)
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


def _chain(wrapper: Any, lease: Lease, context: Context) -> bool:
    """Let the file wrapper's own close end the lease; servers call it twice when a client hangs up.

    False for one whose close cannot be replaced, and for one around what is no real file.
    """
    file = getattr(wrapper, "file", None) or getattr(wrapper, "filelike", None)  # the standard library's name for it
    if type(file) not in _FILES:
        return False
    close = getattr(wrapper, "close", None)

    def closed() -> None:
        try:
            if close is not None:
                context.run(close)
        finally:
            lease.close()

    try:
        wrapper.close = closed
    except (AttributeError, TypeError):
        return False
    return True
