"""Run the platform: bind, make the demo tenants on an empty instance folder, announce, serve, drain, close."""

import http.client
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import run_simple

from tenantry import settings
from tenantry.__about__ import __version__
from tenantry.assembly import sign
from tenantry.assembly.desk import open_desk, see_there
from tenantry.assembly.platform import Platform, open_platform
from tenantry.errors import Refused, TenantryError, Unavailable
from tenantry.operations import NewTenant, Operations, Search
from tenantry.placement import Instance
from tenantry.server import Options, Server
from tenantry.server.sockets import listen
from tenantry.settings import Settings

_log = logging.getLogger(__name__)

DEMO = (("acme", "Acme"), ("globex", "Globex"))
_SHOWN = 3
_STRANGER = "198.51.100.77"


@dataclass(frozen=True, slots=True)
class Started:
    """What a person wants to know when the server has started: the first tenants' addresses, and how many more are."""

    front_url: str
    tenants: tuple[tuple[str, tuple[str, ...]], ...]
    instance: Path
    more: int = 0
    version: str = __version__


def serve(root: Path, overrides: Mapping[str, object], demo: bool, announce: Callable[[Started], None]) -> int:
    """Serve until told to stop and return the exit code."""
    known = settings.read(root, os.environ, overrides).settings
    with ExitStack() as undo:
        # Bound first: the port that was picked is part of every tenant's public address.
        listening = [undo.enter_context(sock) for sock in listen(known.host, known.port)]
        port: int = listening[0].getsockname()[1]
        platform = undo.enter_context(open_platform(root, {**overrides, "port": port}))
        undo.enter_context(sign.hang(Instance(known.instance), port))
        if demo:
            _add_demo(platform.operations)
        server = Server(platform.application, _options(platform.settings), platform.lane, listening)
        announce(_started(platform))
        broken = _begin_self_test(platform, server) if known.proxies else []
        code = server.run()
        if broken:
            raise broken[0]
        return code


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


def _begin_self_test(platform: Platform, server: Server) -> list[TenantryError]:
    """Send a request through the wired stack from a thread; when it comes out wrong, stop the server and say so."""
    broken: list[TenantryError] = []

    def test() -> None:
        try:
            _self_test(platform, server)
        except TenantryError as error:
            if not server.stopping:
                broken.append(error)
                server.stop()

    threading.Thread(target=test, name="self-test", daemon=True).start()
    return broken


def _self_test(platform: Platform, server: Server) -> None:
    hops = platform.settings.proxies
    headers = {
        "Host": platform.settings.domain,
        "X-Forwarded-For": ", ".join([_STRANGER, *["127.0.0.1"] * (hops - 1)]),
        "X-Forwarded-Proto": ", ".join(["https"] * hops),
    }
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104 - to reach, not to bind
    try:
        with closing(http.client.HTTPConnection(host, server.port, timeout=10)) as connection:
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
