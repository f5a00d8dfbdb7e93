"""Who asks through the edge: as a visitor would, byte for byte, with a token that leads to the probe page."""

import http.client
import ipaddress
import json
import secrets
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from tenantry import address
from tenantry.doctor.attack.calling import Answer, Header, Patience, Request
from tenantry.doctor.checks import Fault
from tenantry.doctor.edge.lines import Lines, nginx
from tenantry.doctor.edge.way import Way
from tenantry.settings import Settings

TOKEN = "X-Tenantry-Probe"  # noqa: S105 - the header, not what is in it
# How long one answer may take, and to be connected.
_ANSWER, _CONNECT = 5.0, 4.0
# From where this machine calls itself, so that it is told from nginx, which comes from 127.0.0.1.
_FROM = "127.83.84.1"


class Astray(Exception):
    """Say what came back where the probe page should have answered."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.says)
        self.fault = fault


class Unreached(Astray):
    """Say why no edge is to be had at all: there is nothing more to ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as the server has seen it."""

    said: dict[str, Any]
    own: str

    def __getitem__(self, name: str) -> str:
        return str(self.said.get(name, ""))

    @property
    def forwarding(self) -> dict[str, str]:
        """Every header that forwards, by its name in lower case."""
        return {name.lower(): str(value) for name, value in self.said.get("forwarding", {}).items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """All that a part may use. Any thread may: nothing in it changes, and each request has a connection of its own.

    `trust` is what certificates are checked against, `domains` are the verified custom ones that are asked for, out of
    `count`.
    """

    known: Settings
    way: Way
    token: str
    lines: Lines
    trust: ssl.SSLContext
    patience: Patience
    domains: Sequence[str] = ()
    count: int = 0

    @property
    def somebody(self) -> str:
        """Name a host below the base domain that no tenant has; where that is an IP address there is none below."""
        if address.is_local(self.way.domain) and self.way.domain != "localhost":
            return self.way.domain
        return f"probe-{secrets.token_hex(5)}.{self.way.domain}"

    def within(self, seconds: float) -> "Asker":
        """Return the same with less time."""
        return replace(self, patience=self.patience.shorter(seconds))

    @contextmanager
    def connected(self, *, plain: bool = False) -> Iterator[socket.socket]:
        """Open a connection to the port of visitors; `plain` to the one from which they are sent to https."""
        gate = self.known.edge_http_port if plain else self.way.gate
        with closing(_connected((self.way.host.strip("[]"), gate), self.patience.left(_CONNECT))) as sock:
            sock.settimeout(self.patience.left(_ANSWER))
            yield sock

    @contextmanager
    def secured(self, name: str | None, context: ssl.SSLContext | None = None) -> Iterator[socket.socket]:
        """Open one and speak TLS as with `name`, the certificate checked only where a context says so."""
        with self.connected() as sock:
            if self.way.scheme == "http":
                yield sock
                return
            with (context or unchecked()).wrap_socket(sock, server_hostname=name) as wrapped:
                yield wrapped

    def ask(self, request: Request, name: str | None = None) -> Answer:
        """Send a request with the token and read the whole answer; `name` is what TLS is told instead of the host."""
        with self.secured(name or request.host) as sock:
            return self.answered(sock, request)

    def plainly(self, request: Request) -> Answer:
        """Send a request to the port that speaks no TLS."""
        with self.connected(plain=True) as sock:
            return self.answered(sock, request)

    def answered(self, sock: socket.socket, request: Request) -> Answer:
        """Send a request with the token on an open connection and read the whole answer."""
        sock.sendall(self.spelled(request))
        response = http.client.HTTPResponse(sock, method=request.method)
        try:
            response.begin()
            return Answer(response.status, tuple(response.getheaders()), response.read())
        finally:
            response.close()

    def spelled(self, request: Request) -> bytes:
        """Spell a request to a host, with the port that visitors say, and with the token."""
        return request.but(host=self.way.spelled(request.host)).spelled([(TOKEN, self.token)])

    def seen(self, host: str = "", target: str = "/", headers: Sequence[Header] = ()) -> Seen:
        """Ask the probe page how a request to a host, the base domain unless one is given, has arrived; or Astray."""
        request = Request(host or self.way.domain, target, headers=headers)
        with self.secured(request.host) as sock:
            answer, own = self.answered(sock, request), sock.getsockname()[0]
        return Seen(said=self.page(answer, request), own=str(own))

    def page(self, answer: Answer, request: Request) -> dict[str, Any]:
        """Read what the probe page says, or raise Astray with what has answered instead."""
        found = told(answer)
        if found is None:
            raise Astray(self._instead(answer, self.way.url(request.host, request.target)))
        return found

    def _instead(self, answer: Answer, url: str) -> Fault:
        if answer.status in {502, 503, 504}:
            servers = self.lines.all("server unix:") or self.lines.all("server ")
            return Fault(
                f"{url} is answered {answer.status}: nginx does not reach the server.",
                f"See that it runs, that nginx may connect to it, and {nginx(*servers)}",
            )
        if answer.status == 421:
            names = self.lines.line("server_name")
            return Fault(f"{url} is answered 421, as what nginx does not know.", nginx(names))
        return Fault(
            f"{url} is answered {answer.status}, by somebody who does not know this instance's token.",
            f"Does the server behind it run on {self.known.instance}, in this version? "
            + nginx(self.lines.line("proxy_pass")),
        )


def told(answer: Answer) -> dict[str, Any] | None:
    """Read what the probe page says; None where something else has answered."""
    if answer.status != 200:
        return None
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):  # the latter for what is nested without end
        return None
    ours = isinstance(found, dict) and "tenantry" in found
    return found if ours and all(isinstance(found.get(name, {}), dict) for name in ("forwarding", "settings")) else None


def unchecked() -> ssl.SSLContext:
    """Make what speaks TLS with anybody: of certificates tell the parts that look at them, and the others go on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _connected(there: tuple[str, int], seconds: float) -> socket.socket:
    """Connect, and where this machine is asked by its own address, from another of its own."""
    if sys.platform == "linux" and _is_loopback(there[0]):
        return socket.create_connection(there, timeout=seconds, source_address=(_FROM, 0))
    return socket.create_connection(there, timeout=seconds)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
