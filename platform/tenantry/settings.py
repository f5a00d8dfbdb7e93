"""The platform's settings: defaults, `.env`, then the environment, read once, typed and frozen."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from math import nan
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from tenantry import address, policy
from tenantry.errors import Invalid

PREFIX = "TENANTRY_"
# Keys of the set-up and the tests, which run before the platform: known here, so as not to be taken for typing errors.
SETUP_KEYS = frozenset(f"TENANTRY_{key}" for key in ("NO_APT", "BOOTSTRAPPED", "CHROMIUM", "NGINX", "WRK"))

# Fields whose values are shown to nobody.
SECRETS = frozenset({"ask_token"})

Converter = Callable[[str], Any]

# What a URL's query and a header say in the same letters.
_SECRET = re.compile(r"[A-Za-z0-9._~-]{16,200}", re.ASCII)
# Nothing that nginx or systemd give a meaning.
_PLAIN_PATH = re.compile(r"/[^\x00-\x20\x7f\"'\\$%;{}#]*")
_WITH_PORT = re.compile(r"(?P<where>\[[^\[\]]+\]|[^:]+):(?P<port>\d{1,5})", re.ASCII)


def _number(low: float, high: float, kind: type[int] | type[float] = int) -> Converter:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = nan
        if not low <= value <= high:
            raise ValueError(f"must be a number from {low} to {high}")
        return value

    return convert


def _choice(*words: str) -> Converter:
    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return convert


def _rate(text: str) -> str:
    return policy.rate(text.strip())


def _size(most: int) -> Converter:
    def convert(text: str) -> int:
        value = policy.size(text)
        if value > most:
            raise ValueError(f"must be at most {most} bytes")
        return value

    return convert


def _domain(text: str) -> str:
    return address.host(text)


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text.strip()


def _folder(text: str) -> Path:
    try:
        return Path(_text(text)).expanduser()
    except RuntimeError as error:
        raise ValueError(f"must be a folder: {error}") from error


def _path(text: str) -> str:
    """Check a whole path that stands in somebody else's configuration, where nothing of it may mean anything."""
    given = text.strip()
    if given and (not _PLAIN_PATH.fullmatch(given) or ".." in given.split("/")):
        raise ValueError("must be a whole path without blanks, quotes and any of \\ $ % ; { } #")
    return given


def _template(text: str) -> str:
    """Check a whole path in which `{name}` may stand for a domain."""
    given = _text(text)
    _path(given.replace("{name}", "name"))
    return given


def _at(text: str) -> str:
    try:
        found = ipaddress.ip_address(text.strip().removeprefix("[").removesuffix("]")) if text.strip() else ""
    except ValueError as error:
        raise ValueError("must be an address such as 192.0.2.1 or 2001:db8::1") from error
    if "%" in text:
        raise ValueError("must be an address without a zone")
    return f"[{found}]" if ":" in str(found) else str(found)


def _networks(text: str) -> tuple[str, ...]:
    try:
        found = [ipaddress.ip_network(word, strict=False) for word in _words(text)]
    except ValueError as error:
        raise ValueError("must be networks such as 192.0.2.0/24, separated by commas") from error
    if "%" in text:  # a zone may be spelled in any letters
        raise ValueError("must be networks without a zone")
    if any(network.prefixlen == 0 for network in found):
        raise ValueError("must not be everybody's")
    return tuple(map(str, found))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _secret(text: str) -> str:
    given = text.strip()
    if given and not _SECRET.fullmatch(given):
        raise ValueError("must be 16 to 200 of A-Z, a-z, 0-9, hyphens, dots, _ and ~")
    return given


def _servers(text: str) -> tuple[str, ...]:
    """Spell DNS servers as `ip:port`; a name cannot be one, as nobody could be asked for its address."""
    return tuple(_server(word) for word in _words(text))


def _server(word: str) -> str:
    found = _WITH_PORT.fullmatch(word)
    where, port = (found["where"], int(found["port"])) if found else (word, 53)
    try:
        known = ipaddress.ip_address(where[1:-1] if where[:1] == "[" and where[-1:] == "]" else where)
    except ValueError as error:
        raise ValueError(f"{word} is no DNS server: give its IP address, with a port or without") from error
    if not 1 <= port <= 65535:
        raise ValueError(f"the port of {word} must be from 1 to 65535")
    return f"[{known}]:{port}" if known.version == 6 else f"{known}:{port}"


def _setting(default: object, convert: Converter, doc: str) -> Any:
    return field(default=default, metadata={"convert": convert, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One value a setting; `tenantry serve` and every other command read the same ones.

    Each field is the setting TENANTRY_<FIELD IN CAPITALS>. Times are in seconds, sizes in bytes.
    """

    domain: str = _setting("localhost", _domain, "The base domain: tenant acme answers at acme.<domain>.")
    scheme: str = _setting(
        "http",
        _choice("http", "https"),
        "How visitors reach the platform; https makes cookies Secure and __Host-.",
    )
    host: str = _setting("127.0.0.1", _text, "The address on which the server listens, or `unix:/path` of a socket.")
    port: int = _setting(8000, _number(0, 65535), "The port on which the server listens; 0 picks a free one.")
    public_port: int = _setting(
        0,
        _number(0, 65535),
        "The port that visitors see; 0 means the server's own, and behind a proxy the usual one of the scheme.",
    )
    proxies: int = _setting(
        0,
        _number(0, 9),
        "How many proxies in front overwrite or append X-Forwarded-For and -Proto; 0 trusts none.",
    )
    instance: Path = _setting(Path("instance"), _folder, "The folder of everything the platform keeps.")
    application: str = _setting(
        "gazette", _text, "The application of a new tenant: a folder of tenants/, or any module:factory."
    )
    grace_days: float = _setting(
        30.0, _number(0, 3650, float), "Days for which a renamed tenant's old name leads to the new one."
    )
    retired_days: float = _setting(
        90.0, _number(0, 3650, float), "Days for which nobody else gets a name that was given up."
    )
    threads: int = _setting(8, _number(1, 256), "Threads that answer requests; at most half of them for one tenant.")
    connections: int = _setting(1000, _number(10, 100000), "Open connections past which no more are accepted.")
    max_header: int = _setting(32768, _number(4096, 1 << 20), "The largest request header, in bytes.")
    max_body: int = _setting(16 << 20, _size(1 << 40), "The largest request body, in bytes.")
    header_wait: float = _setting(10.0, _number(0.1, 600, float), "How long a client may take to send a header.")
    body_wait: float = _setting(
        30.0, _number(0.1, 600, float), "How long a client may take for each 64 KiB of a body, or for its rest."
    )
    send_wait: float = _setting(30.0, _number(0.1, 600, float), "How long a client may take none of what is sent.")
    keep_alive: float = _setting(30.0, _number(0.1, 600, float), "How long a connection may be idle between requests.")
    lane_size: int = _setting(512, _number(1, 100000), "Requests that may wait outside threads, over all tenants.")
    lane_wait: float = _setting(5.0, _number(0.1, 600, float), "How long a request may wait in its lane.")
    drain: float = _setting(30.0, _number(0, 3600, float), "How long a stopping server finishes what it has begun.")
    capacity: int = _setting(200, _number(1, 1000000), "Live applications kept at most.")
    idle: float = _setting(900.0, _number(1, 1e7, float), "How long an unused live application is kept.")
    awake: int = _setting(100, _number(0, 1000000), "Idle live applications that may keep database connections open.")
    in_flight: int = _setting(128, _number(1, 10000), "Requests that one live application answers at a time.")
    build_deadline: float = _setting(30.0, _number(0.1, 3600, float), "How long building an application may take.")
    build_wait: float = _setting(5.0, _number(0.1, 600, float), "How long a request waits for its application's build.")
    rate: str = _setting("", _rate, "Requests to one tenant, such as 100/second or 5000/minute; empty is no limit.")
    quota: int = _setting(0, _size(policy.LARGEST), "Bytes that one tenant may keep on the disk; 0 is no limit.")
    memory: int = _setting(
        0, _number(0, 1 << 30), "MiB of memory above which idle live applications are let go; 0 is no target."
    )
    middleware: tuple[str, ...] = _setting(
        (),
        _words,
        "WSGI middleware around everything, outermost first: module:callable, separated by commas.",
    )
    log_format: str = _setting(
        "auto",
        _choice("auto", "text", "json"),
        "How a log line looks; auto is text on a terminal and JSON elsewhere.",
    )
    log_level: str = _setting("info", _choice("debug", "info", "warning", "error"), "The least level that is logged.")

    access_log: str = _setting("on", _choice("on", "off"), "Whether each request is a line of the log: on or off.")
    resolver: tuple[str, ...] = _setting(
        (),
        _servers,
        "DNS servers that tell whose a domain is, such as 9.9.9.9 or 127.0.0.1:5353; empty asks the system's.",
    )
    ask_token: str = _setting(
        "",
        _secret,
        "Who brings it, 16 letters or more, may ask /-/tls-ask from other machines; empty lets none of them.",
    )
    edge_address: str = _setting("", _at, "The address on which nginx listens; empty is all, IPv4 and IPv6.")
    edge_http_port: int = _setting(
        80, _number(0, 65535), "The port from which nginx sends visitors on to https; 0 is none."
    )
    edge_certificate: str = _setting(
        "/etc/letsencrypt/live/{name}/fullchain.pem",
        _template,
        "The certificate of {name}: of the base domain, which covers its subdomains too, or of a custom one.",
    )
    edge_key: str = _setting("/etc/letsencrypt/live/{name}/privkey.pem", _template, "The key of that certificate.")
    edge_domains: str = _setting(
        "live",
        _choice("live", "listed"),
        "How nginx knows custom domains: live asks when visitors come, listed wants a reload for each.",
    )
    edge_challenges: str = _setting(
        "/var/www/challenges",
        _path,
        "The folder of answers to a certificate authority's challenges; empty is none.",
    )
    edge_hsts: int = _setting(
        31536000, _number(0, 1 << 30), "For how long browsers are told to come by https alone; 0 tells them nothing."
    )
    edge_http2: str = _setting(
        "off", _choice("on", "off"), "Whether nginx, of 1.25.1 or newer, speaks HTTP/2: on or off."
    )
    edge_wait: float = _setting(120.0, _number(1, 86400, float), "How long nginx waits for more of an answer.")
    edge_files: str = _setting(
        "off", _choice("on", "off"), "Whether nginx sends files of applications with USE_X_SENDFILE itself: on or off."
    )
    edge_processes: int = _setting(1, _number(1, 64), "Serving processes behind nginx, each with a socket of its own.")
    edge_cdn: tuple[str, ...] = _setting(
        (), _networks, "Networks of a CDN in front of nginx, which say in X-Forwarded-For whom they ask for."
    )

    def url(self, where: address.Address) -> str:
        """Spell the public address of a tenant, ending in a slash."""
        if where.kind is address.Kind.PATH:
            return f"{self.scheme}://{self.domain}{self._shown_port()}{where.mount}/"
        name = f"{where.value}.{self.domain}" if where.kind is address.Kind.SUBDOMAIN else where.value
        return f"{self.scheme}://{name}{self._shown_port()}/"

    def front_url(self) -> str:
        """Spell the public address of the front page."""
        return f"{self.scheme}://{self.domain}{self._shown_port()}/"

    def _shown_port(self) -> str:
        port = self.public_port or (0 if self.proxies else self.port)
        return "" if port in {0, 443 if self.scheme == "https" else 80} else f":{port}"


@dataclass(frozen=True, slots=True)
class Source:
    """Where each setting's value came from: a field's name to `default`, `.env`, `environment` or `command line`."""

    settings: Settings
    origin: Mapping[str, str]


def read(
    root: Path, environment: Mapping[str, str] = os.environ, overrides: Mapping[str, object] | None = None
) -> Source:
    """Read the settings of a checkout or working folder, or raise Invalid for an unknown key or a bad value.

    `root` holds `.env` and is what a relative `instance` is relative to. `overrides` are typed values of a command
    line, by field name.
    """
    values: dict[str, Any] = {}
    origin = {known.name: "default" for known in fields(Settings)}
    for name, given in ((".env", _file(root / ".env")), ("environment", environment)):
        for key, text in given.items():
            if key.startswith(PREFIX) and key not in SETUP_KEYS:
                found = _known(key, name)
                values[found] = _convert(key, text, name)
                origin[found] = name
    for key, value in (overrides or {}).items():
        values[key], origin[key] = value, "command line"
    made = Settings(**values)
    instance = Path(os.path.abspath(root / made.instance.expanduser()))  # noqa: PTH100 - a symlinked folder keeps its name
    values["instance"] = instance
    return Source(Settings(**values), origin)


def _file(path: Path) -> dict[str, str]:
    try:
        return {key: value or "" for key, value in dotenv_values(path, interpolate=False).items()}
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}.", hint="See docs/settings.md.") from error


def _known(key: str, origin: str) -> str:
    name = key.removeprefix(PREFIX).lower()
    names = [known.name for known in fields(Settings)]
    if name not in names:
        close = get_close_matches(name, names, 1)
        hint = f"Did you mean {PREFIX}{close[0].upper()}?" if close else "docs/settings.md lists them all."
        raise Invalid(f"{key} in the {origin} is not a setting.".replace("the .env", ".env"), hint=hint)
    return name


def _convert(key: str, text: str, origin: str) -> Any:
    convert = Settings.__dataclass_fields__[key.removeprefix(PREFIX).lower()].metadata["convert"]
    try:
        return convert(text)
    except (ValueError, Invalid) as error:
        where = origin if origin == ".env" else f"the {origin}"
        says = str(error).rstrip(".")
        given = key if key.removeprefix(PREFIX).lower() in SECRETS else f"{key}={address.shown(text)}"
        raise Invalid(f"{given} in {where} is not valid: {says}.", hint="See docs/settings.md.") from error
