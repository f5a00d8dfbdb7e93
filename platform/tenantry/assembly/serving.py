"""Run the platform: bind, make the demo tenants on an empty instance folder, announce, serve, drain, close."""

import http.client
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import run_simple

from tenantry import log, rations, settings, workers
from tenantry.__about__ import __version__
from tenantry.assembly import sign
from tenantry.assembly.desk import open_desk, see_there
from tenantry.assembly.platform import Platform, open_platform
from tenantry.assembly.sign import Sign
from tenantry.errors import Refused, TenantryError, Unavailable
from tenantry.operations import NewTenant, Operations, Search
from tenantry.placement import Instance
from tenantry.server import Options, Server
from tenantry.server.sockets import listen, port_of
from tenantry.settings import Settings, Source
from tenantry.workers import Command, Given, Hangup, Passed, Patience, Succession, Supervisor, see_off

_log = logging.getLogger(__name__)

DEMO = (("acme", "Acme"), ("globex", "Globex"))
_SHOWN = 3
_STRANGER = "198.51.100.77"
_SELF_TEST = 10.0
_SPARE = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """What a person wants to know when the server has started: the first tenants' addresses, and how many more are."""

    front_url: str
    tenants: tuple[tuple[str, tuple[str, ...]], ...]
    instance: Path
    more: int = 0
    version: str = __version__


def serve(root: Path, overrides: Mapping[str, object], demo: bool, announce: Callable[[Started], None]) -> int:
    """Serve until told to stop, or until a successor answers, and return the exit code."""
    rations.raise_limit()
    with ExitStack() as undo:
        given = undo.enter_context(workers.given(os.environ))
        command, hangup = Command.own(), undo.enter_context(Hangup())
        source = settings.read(root, os.environ, overrides)
        known = source.settings
        # Bound first: the port that was picked is part of every tenant's public address.
        listening = given.sockets or [undo.enter_context(sock) for sock in listen(known.host, known.port)]
        port = port_of(listening)
        platform = undo.enter_context(open_platform(root, {**overrides, "port": port}))
        undo.enter_context(log.printed())
        _tell_what_is_not_in_effect(source, given)
        hung = undo.enter_context(sign.hang(Instance(known.instance), port, given.take_sign()))
        if demo:
            _add_demo(platform.operations)
        server = Server(platform.application, _options(platform.settings), platform.asks, listening)
        if given.predecessor is None:
            announce(_started(platform))
        # Who is not wanted as a successor after all has as long to finish what it has begun as this server.
        patience = Patience(finish=known.drain + _SPARE)
        succession = Succession(hangup, command, Supervisor(), patience)
        code = _Life(platform, server, given, hung, succession).run()
        see_off(code, known.drain)
        return code


class _Life:
    """From when a server has begun to listen to its end: tested, announced to who waits for it, replaced."""

    def __init__(self, platform: Platform, server: Server, given: Given, hung: Sign, succession: Succession) -> None:
        self._platform = platform
        self._server = server
        self._given = given
        self._hung = hung
        self._succession = succession
        self._supervisor = succession.supervisor
        self._broken: list[TenantryError] = []

    def run(self) -> int:
        self._succession.hangup.on_end = self._server.stop
        try:
            code = self._server.run(serving=self._begin, stopping=self._supervisor.stopping)
        finally:
            self._succession.close()
        if self._broken:
            raise self._broken[0]
        return code

    def _begin(self) -> None:
        """Test what is wired from a thread, as the server is about to answer; nothing to be tested is as good."""
        if self._platform.settings.proxies:
            threading.Thread(target=self._test, name="self-test", daemon=True).start()
        else:
            self._answer()

    def _test(self) -> None:
        """Send a request through the wired stack; when it comes out wrong, stop the server and say so."""
        try:
            _self_test(self._platform, self._server)
        except TenantryError as error:
            if not self._server.stopping:
                self._broken.append(error)
                self._server.stop()
        else:
            self._answer()

    def _answer(self) -> None:
        """Tell everybody who waits for it that this process answers."""
        self._hung.renew()
        if self._given.predecessor is None:
            self._supervisor.ready()
        else:
            _log.info("process %d answers in the place of %d", os.getpid(), self._given.predecessor)
        self._given.ready()  # a predecessor is the one whom the supervisor believes until now: it tells for both
        self._succession.begin(self._server, self._passing)

    def _passing(self) -> list[Passed]:
        """List what a successor gets."""
        passing = [(workers.SOCKET, descriptor) for descriptor in self._server.descriptors()]
        if self._hung.descriptor is not None:
            passing.append((workers.SIGN, self._hung.descriptor))
        return passing


def _tell_what_is_not_in_effect(source: Source, given: Given) -> None:
    """Warn of an address in the settings where the sockets are given: these decide."""
    if not given.sockets:
        return
    names = {sock.getsockname()[:2] for sock in given.sockets if sock.family != socket.AF_UNIX}
    port = source.settings.port
    if source.origin["port"] != "default" and port and port not in {number for _, number in names}:
        _log.warning("TENANTRY_PORT=%d is not in effect: this process was given its sockets", port)


def _options(known: Settings) -> Options:
    return Options(
        host=known.host,
        port=known.port,
        threads=known.threads,
        connections=known.connections,
        max_header=known.max_header,
        max_body=known.max_body,
        lane_size=known.lane_size,
        lane_wait=known.lane_wait,
        drain=known.drain,
        trust_proxy=known.proxies > 0,
        header_wait=known.header_wait,
        body_wait=known.body_wait,
        send_wait=known.send_wait,
        keep_alive=known.keep_alive,
    )


def _add_demo(operations: Operations) -> None:
    """Make two tenants where there has never been one."""
    if operations.journal(search=Search(limit=1)):
        return
    for name, title in DEMO:
        operations.add(NewTenant(name=name, title=title, path=True, config={"SIGN_UP_OPEN": True}))


def _started(platform: Platform) -> Started:
    """Tell of the first few tenants; the others are only counted."""
    few = platform.operations.list(limit=_SHOWN)
    first = tuple((listed.tenant.name, listed.urls) for listed in few.tenants)
    more = 0 if few.after is None else platform.operations.count() - len(first)
    return Started(platform.settings.front_url(), first, platform.settings.instance, more)


def _self_test(platform: Platform, server: Server) -> None:
    hops = platform.settings.proxies
    headers = {
        "Host": platform.settings.domain,
        "X-Forwarded-For": ", ".join([_STRANGER, *["127.0.0.1"] * (hops - 1)]),
        "X-Forwarded-Proto": ", ".join(["https"] * hops),
    }
    connection = http.client.HTTPConnection(platform.settings.domain, timeout=_SELF_TEST)
    try:
        # Not by the listening socket, where another process may answer.
        connection.sock = server.visit()
        connection.sock.settimeout(_SELF_TEST)
        with closing(connection):
            connection.request("GET", platform.self_test, headers=headers)
            seen = json.loads(connection.getresponse().read())
    except (OSError, ValueError) as error:
        raise Unavailable(f"The start-up self-test got no answer: {error}.", hint="Look at the log.") from error
    if seen != {"client": _STRANGER, "scheme": "https"}:
        raise Unavailable(
            f"TENANTRY_PROXIES={hops} has no effect: a forwarded request is seen as {seen}.",
            hint="Look for middleware that takes X-Forwarded-For or -Proto away.",
        )
    _log.info("the start-up self-test went through: TENANTRY_PROXIES=%d is in effect", hops)


def dev(root: Path, overrides: Mapping[str, object], name: str, port: int) -> int:
    """Serve one tenant with reloader and debugger, on the loopback address only."""
    known = settings.read(root, os.environ, {**overrides, "port": port}).settings
    see_there(Instance(known.instance))
    with open_desk(root, known, make=False) as desk, desk.builder().opened(desk.registry.get(name)) as app:
        if app is None:
            raise Refused(f"The application of {name} is not a Flask one.", hint="Use its own reloader.")
        app.debug = True
        run_simple("127.0.0.1", port, app, use_reloader=True, use_debugger=True, threaded=True)
    return 0
