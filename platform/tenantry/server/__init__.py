"""Serve a WSGI application: waitress, with lanes for its threads, whole responses, and a stop that loses nothing.

The server knows of tenants only the one question that it is given: `lane(headers, target)`, the key of the tenant a
request is for, from memory. It puts into the environ of each request

- `tenantry.park`, a callable that takes a Future, gives the thread back, and has the request answered from the start
  once the future is done; absent where the request may not wait;
- `tenantry.refused`, a sentence, where the request has waited for too long or found no room to wait: answer 503.
"""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments

from tenantry.server import drain
from tenantry.server.lanes import Lanes, Load
from tenantry.server.listener import LaneOf, Listener, Shared, TcpListener, UnixListener
from tenantry.server.loop import Loop
from tenantry.server.response import Parked
from tenantry.server.sockets import BACKLOG, listen

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Load", "Options", "Parked", "Server"]

# Seconds after which a connection is closed that is idle, or whose client does not take what is sent.
IDLE = 30
# How often that is looked after, and how long a turn of the loop may last.
_LOOK = 5
_TURN = 1.0
_DRAIN_TURN = 0.05
# How long a stopping server waits for the first byte of who has just connected.
_GRACE = 1.0


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


class Server:
    """Serve `application` on `options.host` and `.port`, or on inherited listening `sockets`, which it then owns.

    It listens from the moment it is made, answers in `run`, and is closed when `run` returns.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        options: Options,
        lane: LaneOf,
        sockets: Sequence[socket.socket] = (),
    ) -> None:
        owned = list(sockets) or listen(options.host, options.port)
        self._patience = options.drain
        self._loop = Loop()
        self._lanes = Lanes(options.threads, options.lane_size, options.lane_wait)
        shared = Shared(application, _adjustments(options, len(owned)), lane, self._lanes, self._loop)
        self._listeners: list[Listener] = []
        try:
            self._listeners.extend(_listener(shared, sock) for sock in owned)
        except BaseException:
            self.close()
            for sock in owned:
                sock.close()
            raise
        self._stop = drain.Stop(self._listeners[0].wake)
        name = owned[0].getsockname()
        self.host: str = name if isinstance(name, str) else name[0]
        self.port: int = 0 if isinstance(name, str) else name[1]

    def run(self) -> int:
        """Serve until SIGTERM, SIGINT or `stop`, finish what was begun, close everything, and return an exit code.

        0: all was answered. 75: `options.drain` seconds did not suffice. 1: a second signal ended it at once.
        The signals are listened to only on the main thread.
        """
        self._lanes.start()
        with self._stop.signals():
            try:
                while not self._stop.asked:
                    self._turn(_TURN)
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
            # Asked at every turn, as waitress does: it also looks after idle connections and the limit of them.
            if listener.readable():
                self._loop.touch(listener)
        self._loop.turn(timeout)

    def _drain(self) -> int:
        end = monotonic() + self._patience
        for listener in self._listeners:
            listener.stop_listening()
        self._turn(0)
        while not self._stop.at_once:
            late = monotonic() >= end
            closed = [listener.close_quiet(0 if late else _GRACE) for listener in self._listeners]
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
        channel_timeout=IDLE,
        cleanup_interval=_LOOK,
    )
