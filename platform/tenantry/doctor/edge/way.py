"""Where the edge is: what was typed, put beside the settings."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from tenantry import address
from tenantry.address import shown
from tenantry.errors import Invalid
from tenantry.settings import Settings

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Given:
    """What was typed: the public address, and where asked for, whom to connect to and whom certificates are by."""

    url: str
    connect: str = ""
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """How the edge is reached: visitors say `domain` and `port`, and connections go to `host` and `gate`."""

    scheme: str
    domain: str
    port: int
    host: str
    gate: int
    direct: bool = True

    @property
    def shown_port(self) -> str:
        """Spell the port as visitors say it: with a colon, or not at all."""
        return "" if self.port == _PORTS[self.scheme] else f":{self.port}"

    def spelled(self, name: str) -> str:
        """Spell a host as it is said in a request."""
        return f"{name}{self.shown_port}"

    def url(self, name: str, target: str) -> str:
        """Spell the public address of a page."""
        return f"{self.scheme}://{self.spelled(name)}{target}"


def way(given: Given, known: Settings) -> Way:
    """Read what was typed, or raise Invalid with what is wrong with it."""
    parts, name, port = _url(given.url)
    if address.label(name, known.domain) is None:
        raise Invalid(
            f"{shown(given.url)} is not an address of this platform: its base domain is {known.domain}.",
            hint=f"Give {known.scheme}://{known.domain}, or set TENANTRY_DOMAIN.",
        )
    if parts.scheme != known.scheme:
        raise Invalid(
            f"{shown(given.url)} is {parts.scheme}, and TENANTRY_SCHEME={known.scheme}.",
            hint=f"Give {known.scheme}://{known.domain}, or set TENANTRY_SCHEME={parts.scheme}.",
        )
    said = port or known.public_port or _PORTS[known.scheme]
    if not given.connect:
        return Way(known.scheme, known.domain, said, known.domain, said)
    host, gate = _connect(given.connect, said)
    return Way(known.scheme, known.domain, said, host, gate, direct=False)


def trust(given: Given) -> ssl.SSLContext:
    """Make what certificates are checked against: the system's authorities, or those of a file; Invalid if it has none.

    Nobody else's word counts where a file is given.
    """
    try:
        return ssl.create_default_context(cafile=None if given.ca is None else str(given.ca))
    except (OSError, ssl.SSLError) as error:
        why = error.strerror if isinstance(error, FileNotFoundError | PermissionError) else "there is none in it"
        raise Invalid(
            f"No certificate authority can be read from {given.ca}: {why}.",
            hint="--ca takes a file of certificates in PEM.",
        ) from error


def _url(text: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(text.strip())
        name, port = address.host(parts.hostname or ""), parts.port
    except (ValueError, Invalid):
        parts, name, port = urlsplit(""), "", None
    if not name or parts.scheme not in _PORTS or parts.username is not None or port == 0:
        raise Invalid(f"{shown(text)} is not the address of an edge.", hint="Give it as https://example.com.")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise Invalid(f"{shown(text)} has a path.", hint="Give the address of the front page: https://example.com.")
    return parts, name, port


def _connect(text: str, otherwise: int) -> tuple[str, int]:
    """Read HOST:PORT, HOST alone, or an IPv6 address in brackets or without."""
    try:
        return str(ipaddress.IPv6Address(text)), otherwise
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname or "", parts.port
        host = str(ipaddress.IPv6Address(name)) if ":" in name else address.host(name)
    except (ValueError, Invalid):
        host, port = "", None
    if not host or parts.netloc != text or parts.username is not None or port == 0:
        raise Invalid(f"--connect {shown(text)} names no server.", hint="Give it as 127.0.0.1:443.")
    return host, port or otherwise
