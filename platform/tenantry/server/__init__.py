"""Serve a WSGI application: waitress, with lanes for its threads, whole responses, and a stop that loses nothing.

The server knows of tenants only the questions that it is given, `Asks`, which are answered from memory. It puts into
the environ of each request

- `tenantry.park`, a callable that takes a Future, gives the thread back, and has the request answered from the start
  once the future is done; absent where the request may not wait;
- `tenantry.unread`, see `Asks`, where its body is larger than may be read before it is known who would take it;
- `tenantry.refused`, a sentence, where the request has waited for too long or found no room to wait: answer 503.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments

from tenantry.server import drain
from tenantry.server.asks import Asks
from tenantry.server.crowd import Crowd
from tenantry.server.deadlines import Deadlines
from tenantry.server.lanes import Lanes, Load
from tenantry.server.listener import Listener, Shared, TcpListener, UnixListener
from tenantry.server.loop import Loop
from tenantry.server.response import Parked
from tenantry.server.sockets import BACKLOG, listen, port_of

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Asks", "Load", "Options", "Parked", "Server"]

_DRAIN_TURN = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to serve; sizes in bytes, times in seconds, as in the settings of the same names."""

    host: str
    port: int
    threads: int
    connections: int
    max_header: int
    max_body: int
    lane_size: int
    lane_wait: float
    drain: float
    trust_proxy: bool
    header_wait: float = 10.0
    body_wait: float = 30.0
    send_wait: float = 30.0
    keep_alive: float = 30.0
    # How long a stopping server waits for the next request, or the first, on a connection on which nothing is begun.
    linger: float = 1.0


def _nothing() -> None:
    pass


class Server:
    """Serve `application` on `options.host` and `.port`, or on inherited listening `sockets`, which it then owns.

    It listens from the moment it is made, answers in `run`, and is closed when `run` returns.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        options: Options,
        asks: Asks,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        owned = list(sockets) or listen(options.host, options.port)
        self._patience = options.drain
        self._loop = Loop()
        self._lanes = Lanes(options.threads, options.lane_size, options.lane_wait)
        deadlines = Deadlines(options.header_wait, options.body_wait, options.send_wait, options.keep_alive)
        self._turn_length = deadlines.every()
        adj = _adjustments(options, len(owned))
        crowd = Crowd(self._loop, adj, deadlines)
        shared = Shared(application, adj, asks, self._lanes, self._loop, crowd)
        self._listeners: list[Listener] = []
        try:
            self._listeners.extend(_listener(shared, sock) for sock in owned)
        except BaseException:
            self.close()
            for sock in owned:
                sock.close()
            raise
        self._stop = drain.Stop(self._listeners[0].wake, options.linger)
        name = owned[0].getsockname()
        self.host: str = name if isinstance(name, str) else name[0]
        self.port = port_of(owned)

    def run(self, serving: Callable[[], object] = _nothing, stopping: Callable[[], object] = _nothing) -> int:
        """Serve until SIGTERM, SIGINT, `stop` or `leave`, finish what was begun, close everything, return an exit code.

        0: all was answered. 75: `options.drain` seconds did not suffice. 1: a second signal ended it at once.
        The signals are listened to only on the main thread. `serving` is called once requests are about to be answered
        and signals are heard, `stopping` when a stop begins that is not a leaving.
        """
        self._lanes.start()
        with self._stop.signals():
            try:
                serving()
                while not self._stop.asked:
                    self._turn(self._turn_length)
                if not self._stop.replaced:
                    stopping()
                return self._drain()
            finally:
                self.close()

    @property
    def stopping(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._stop.asked

    def stop(self) -> None:
        """Ask, from any thread, for what one SIGTERM asks for."""
        self._stop.ask()

    def leave(self) -> None:
        """Ask, from any thread, for an end without hurry, as another process now answers on the same sockets.

        These are closed at once, with whoever has knocked left to the other one. Connections go on until their next
        answer, or until they have been idle for as long as ever; what takes longer than `options.drain` is cut.
        """
        self._stop.leave()

    def visit(self) -> socket.socket:
        """Connect to this very server, whoever else listens on the same sockets; from any thread, while it runs."""
        outside, inside = socket.socketpair()
        self._listeners[0].let_in(inside)
        return outside

    def descriptors(self) -> list[int]:
        """List the listening sockets, for a process that is to listen on them as well; none once it has stopped."""
        socks = [listener.socket for listener in self._listeners]
        return [sock.fileno() for sock in socks if sock is not None and sock.fileno() >= 0]

    def load(self) -> Load:
        """Count the requests that run, wait and are being refused, at this moment."""
        return self._lanes.load()

    def close(self) -> None:
        """Close sockets and connections and end the threads; after `run` nothing is left to close."""
        for listener in self._listeners:
            listener.close()
        self._loop.close()
        self._lanes.stop(patience=0.0 if self._lanes.load() else 1.0)

    def _turn(self, timeout: float) -> None:
        for listener in self._listeners:
            # Asked at every turn, as waitress does: it also looks after late clients and the limit of connections.
            if listener.readable():
                self._loop.touch(listener)
        self._loop.turn(timeout)

    def _drain(self) -> int:
        end = monotonic() + self._patience
        for listener in self._listeners:
            listener.stop_listening(take_in=not self._stop.replaced)
        self._lanes.finish()
        self._turn(0)
        while not self._stop.at_once:
            late = monotonic() >= end
            closed = [listener.close_quiet(0 if late else self._stop.linger) for listener in self._listeners]
            if all(closed) and not self._lanes.load():
                return drain.FINISHED
            if late:
                return drain.GAVE_UP
            self._turn(_DRAIN_TURN)
        return drain.CUT


def _listener(shared: Shared, sock: socket.socket) -> Listener:
    kind = UnixListener if sock.family == socket.AF_UNIX else TcpListener
    return kind(shared, sock)


def _adjustments(options: Options, listening: int) -> Adjustments:
    return Adjustments(
        threads=options.threads,
        # waitress counts its own two descriptors for every socket it listens on among the connections.
        connection_limit=options.connections + 2 * listening,
        # waitress refuses from this size on; ours are the largest allowed.
        max_request_header_size=options.max_header + 1,
        max_request_body_size=options.max_body + 1,
        clear_untrusted_proxy_headers=not options.trust_proxy,
        ident=None,
        backlog=BACKLOG,
        # Of a body that comes, and of an answer that is not taken, so much is kept in memory; a crowd of such clients
        # fills a disk, within the bounds of `crowd`, and not the memory.
        inbuf_overflow=1 << 17,
        outbuf_overflow=1 << 18,
    )
