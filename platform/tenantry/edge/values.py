"""Values as nginx reads them, each examined before it stands in a file: none may be more than a value there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from math import ceil

from tenantry import address
from tenantry.address import shown
from tenantry.errors import Invalid, Refused
from tenantry.settings import Settings

UNIX = "unix:"
NAME = "{name}"

# Nothing that nginx gives a meaning, quoted or not: no `$`, which it would fill in, and no way out of a line.
_PATH = re.compile(r"/[^\x00-\x1f\x7f$\"'\\;{}#]*")
_PLAIN = re.compile(r"[\w.,:+@=/~-]+")
_APPLICATION = re.compile(r"[A-Za-z0-9_.:-]+")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}  # noqa: S104 - where to reach who listens there


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text, and a sentence for each thing that was left out of it because it could not stand in there."""

    text: str
    left_out: tuple[str, ...] = ()


def path(text: str) -> str:
    """Spell a whole path as one word of nginx, in quotes where it has a blank, or raise Invalid."""
    if not _PATH.fullmatch(text) or "/../" in f"{text}/":
        raise Invalid(
            f"The path {shown(text)} cannot stand in a configuration of nginx.",
            hint="Use a whole path without quotes, backslashes, control characters and $ ; { } #.",
        )
    return text if _PLAIN.fullmatch(text) else f'"{text}"'


def application(name: str) -> str:
    """Return the name of an application as it may stand in a path, or raise Invalid."""
    if not _APPLICATION.fullmatch(name):
        raise Invalid(f"{shown(name)} is no application's name.")
    return name


def see(known: Settings) -> None:
    """Raise Invalid for a setting that could be more than a value, by whatever way it came here."""
    try:
        ip_address(known.edge_address.removeprefix("[").removesuffix("]") or "::")
        for network in known.edge_cdn:
            ip_network(network)
    except ValueError as error:
        raise Invalid(f"The settings of the edge are not valid: {error}.", hint="See docs/settings.md.") from error
    if (
        "%" in "".join((known.edge_address, *known.edge_cdn))
        or any(map(str.isspace, known.edge_address))
        or address.host(known.domain) != known.domain
    ):
        raise Invalid("The addresses in the settings cannot stand in a configuration.", hint="See docs/settings.md.")


def regex(text: str) -> str:
    """Spell a canonical host inside a regular expression."""
    return re.sub(r"[.\[\]]", r"\\\g<0>", text)


def seconds(value: float) -> str:
    """Spell a time, which nginx knows to the millisecond; 0 would mean something else."""
    whole = max(1, ceil(value * 1000))
    return f"{whole}ms" if whole % 1000 else f"{whole // 1000}s"


def port(known: Settings) -> int:
    """Return the port at which visitors come."""
    return known.public_port or usual(known.scheme)


def usual(scheme: str) -> int:
    """Return the port that nobody writes down."""
    return 443 if scheme == "https" else 80


def shown_port(known: Settings) -> str:
    """Spell the visitors' port as it stands in an address, empty for the usual one."""
    return "" if port(known) == usual(known.scheme) else f":{port(known)}"


def listens(known: Settings, number: int, *words: str) -> list[str]:
    """Spell the lines by which a server listens on a port: at one address, or at all of both kinds."""
    more = "".join(f" {word}" for word in words)
    places = [f"{known.edge_address}:{number}"] if known.edge_address else [str(number), f"[::]:{number}"]
    return [f"listen {place}{more};" for place in places]


def upstreams(known: Settings) -> list[str]:
    """Name the sockets or addresses at which the serving processes listen."""
    processes = range(1, known.edge_processes + 1)
    if known.host.startswith(UNIX):
        text = known.host.removeprefix(UNIX)
        if not _PLAIN.fullmatch(path(text)) or ":" in text:
            raise Invalid(f"nginx cannot reach a socket at {shown(text)}.", hint="Give a path without blanks and `:`.")
        folder = text.rpartition("/")[0]
        return [f"{UNIX}{folder}/{number}.socket" for number in processes] if len(processes) > 1 else [UNIX + text]
    if not known.port:
        raise Refused(
            "nginx cannot know a port that is picked anew each time.",
            hint="Set TENANTRY_PORT, or TENANTRY_HOST=unix:/run/tenantry/socket.",
        )
    if known.port + len(processes) - 1 > 65535:
        raise Refused(f"There are no {len(processes)} ports from {known.port} on.", hint="Set a lower TENANTRY_PORT.")
    host = _host(known.host)
    return [f"{host}:{known.port + number - 1}" for number in processes]


def _host(text: str) -> str:
    bare = text.removeprefix("[").removesuffix("]")
    bare = _EVERYWHERE.get(bare, bare)
    try:
        return address.host(f"[{bare}]" if ":" in bare else bare)
    except Invalid as error:
        raise Invalid(
            f"nginx cannot reach a server at {shown(text)}.",
            hint="Set TENANTRY_HOST=127.0.0.1, or unix:/run/tenantry/socket.",
        ) from error


def certificate(template: str, name: str) -> str:
    """Spell the path of a certificate or key; `name` is a canonical host, or a variable that can only be one."""
    before, found, after = template.partition(NAME)
    whole = path(before + ("name" if found else "") + after.replace(NAME, "name"))
    spelled = template.replace(NAME, name)
    return f'"{spelled}"' if whole.startswith('"') else spelled


def sifted(domains: Iterable[str], base: str) -> tuple[list[str], list[str]]:
    """Part custom domains into those that can stand in a configuration, in order and once each, and what is wrong."""
    good: set[str] = set()
    wrong: list[str] = []
    for text in domains:
        try:
            name = address.domain(text)
        except Invalid as error:
            wrong.append(f"The domain {shown(text)} was left out: {error.says}")
            continue
        if name != text:
            wrong.append(f"The domain {shown(text)} was left out: it should be spelled {name}.")
        elif name == base or name.endswith(f".{base}"):
            wrong.append(f"The domain {name} was left out: it lies below the platform's own, {base}.")
        else:
            good.add(name)
    return sorted(good), wrong
