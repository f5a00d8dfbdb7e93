"""Spelling: names, hosts and prefixes, and their one canonical form. Nothing here knows which tenants exist."""

import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

import idna

from tenantry.errors import Invalid

PATH_PREFIX = "/t/"
NAME_LENGTH = 40
HOST_LENGTH = 253

_NAME = re.compile(r"(?=[0-9-]*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]]+)(?::(?P<port>[1-9][0-9]{0,4}))?", re.ASCII)
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_STOPS = re.compile("[\u3002\uff0e\uff61]")
_LABELS = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}", re.ASCII)

# A word leaves the list or joins it only with a new version and a line in the changelog.
RESERVED_VERSION = 1
RESERVED = {
    "admin": "visitors take it for the platform's own",
    "administrator": "visitors take it for the platform's own",
    "api": "kept for the platform's own interface",
    "app": "kept for the platform's own pages",
    "assets": "kept for the platform's static files",
    "autoconfig": "mail programs ask it for settings",
    "autodiscover": "mail programs ask it for settings",
    "cdn": "kept for the platform's static files",
    "console": "kept for the operator's console",
    "dashboard": "visitors take it for the platform's own",
    "dns": "a service name of the domain itself",
    "ftp": "a service name of the domain itself",
    "hostmaster": "certificate authorities trust its mail",
    "imap": "a service name of the domain itself",
    "isatap": "Windows asks it for network settings",
    "localhost": "means the visitor's own machine",
    "login": "visitors would type a password there",
    "mail": "a service name of the domain itself",
    "metrics": "kept for the platform's own figures",
    "mta-sts": "mail servers read its policy",
    "mx": "a service name of the domain itself",
    "ns": "a service name of the domain itself",
    "ns1": "a service name of the domain itself",
    "ns2": "a service name of the domain itself",
    "operator": "kept for the operator's console",
    "pop": "a service name of the domain itself",
    "postmaster": "certificate authorities trust its mail",
    "root": "visitors take it for the platform's own",
    "smtp": "a service name of the domain itself",
    "ssl": "visitors take it for the platform's own",
    "static": "kept for the platform's static files",
    "status": "kept for the platform's own pages",
    "support": "visitors take it for the platform's own",
    "system": "visitors take it for the platform's own",
    "tenantry": "the platform's own name",
    "webmaster": "certificate authorities trust its mail",
    "webmail": "visitors would type a password there",
    "wpad": "browsers ask it for proxy settings",
    "www": "means the bare domain",
}


# What looks alike in a browser's address bar, in one font or another; one spelling stands for all.
_LOOKS = str.maketrans({"0": "o", "1": "l", "i": "l", "m": "rn", "w": "vv", "d": "cl"})


class Kind(StrEnum):
    """The ways in which a tenant is reached."""

    SUBDOMAIN = "subdomain"
    PATH = "path"
    DOMAIN = "domain"


@dataclass(frozen=True, slots=True)
class Address:
    """One canonical address: the subdomain's label, the path's segment, or a whole custom domain."""

    kind: Kind
    value: str

    @property
    def key(self) -> str:
        """Spell the address in one string, unique over all kinds."""
        return f"{self.kind.value}:{self.value}"

    @property
    def mount(self) -> str:
        """Name the path prefix under which the tenant answers here, empty for hosts."""
        return PATH_PREFIX + self.value if self.kind is Kind.PATH else ""


def is_name(text: str) -> bool:
    """Tell whether `text` is spelled as a tenant's name, reserved or not."""
    return len(text) <= NAME_LENGTH and _NAME.fullmatch(text) is not None


def is_glob(text: str) -> bool:
    """Tell whether `text` stands for several names: by one of these signs, none of which a name has."""
    return not set("*?[").isdisjoint(text)


def skeleton(name: str) -> str:
    """Return what a name looks like at a glance: two names of one skeleton are taken for each other."""
    return name.translate(_LOOKS)


def new_name(text: str, *, override: bool = False) -> str:
    """Return `text` if a tenant may be given it as its name, or raise Invalid with the rule it breaks.

    An operator's `override` lets reserved words and their look-alikes pass, a wrong spelling never.
    """
    if not is_name(text):
        near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:NAME_LENGTH].strip("-")
        raise Invalid(
            f"{shown(text)} is no name for a tenant: that is 1 to {NAME_LENGTH} of a-z, 0-9 and single inner hyphens, "
            "with a letter among them.",
            hint=f"Try {near!r}." if is_name(near) and skeleton(near) not in _RESERVED_LOOKS else "",
        )
    word = _RESERVED_LOOKS.get(skeleton(text))
    if word is not None and not override:
        says = "is reserved" if word == text else f"looks like {word!r}, which is reserved"
        raise Invalid(f"The name {text!r} {says} ({RESERVED[word]}).", hint="Choose another name, or give --override.")
    return text


_RESERVED_LOOKS = {skeleton(word): word for word in RESERVED}


@lru_cache(maxsize=1024)
def host(raw: str) -> str:
    """Return the canonical name in a Host header: lower case, no port, no trailing dot; or raise Invalid.

    An IPv6 literal keeps its brackets and is compressed. A port must be 1 to 65535 without leading zeros. The last few
    are kept, as gateway, lane and dispatcher each ask for the same one.
    """
    found = _HOST.fullmatch(raw.lower()) if raw.isascii() else None
    if found is None or int(found["port"] or 1) > 65535:
        raise Invalid(
            f"{shown(raw)} is not a host.", hint="A request needs one Host header: a name, and a port if any."
        )
    name = found["name"]
    if name.startswith("["):
        return _ipv6(name, raw)
    name = name.removesuffix(".")
    if len(name) > HOST_LENGTH or not _LABELS.fullmatch(name):
        raise Invalid(f"{shown(raw)} is not a host.", hint="A host is made of labels of a-z, 0-9 and inner hyphens.")
    return name


def _ipv6(name: str, raw: str) -> str:
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1]).compressed}]"
    except ValueError as error:
        raise Invalid(f"{shown(raw)} is not a host.", hint="Between brackets stands an IPv6 address.") from error


def label(name: str, domain: str) -> str | None:
    """Return the one label that canonical host `name` has below `domain`: '' for the domain itself, None elsewhere.

    The label boundary counts: `evilexample.com` and `a.b.example.com` are elsewhere for `example.com`.
    """
    if name == domain:
        return ""
    head, dot, tail = name.partition(".")
    return head if dot and tail == domain else None


def is_local(name: str) -> bool:
    """Tell whether canonical host `name` is an IP address or localhost: how a machine calls itself, never a tenant."""
    if name == "localhost" or name.startswith("["):
        return True
    head = name.rpartition(".")[2]
    return head.isdigit()


def is_below(name: str, domain: str) -> bool:
    """Tell whether canonical host `name` is `domain` or lies below it."""
    return name == domain or name.endswith(f".{domain}")


def domain(text: str) -> str:
    """Return the canonical A-label form of a custom domain by IDNA 2008, or raise Invalid.

    Nothing is mapped but the case of letters and other alphabets' full stops: what is stored reads as what was typed.
    """
    if set(text) & set("/:@?#"):
        raise Invalid(f"{shown(text)} is not a domain.", hint="Give the name alone: no http://, no port, no path.")
    typed = _STOPS.sub(".", text.strip().lower())
    try:
        name = host(idna.encode(typed, uts46=False).decode("ascii"))
        same = typed.isascii() or idna.decode(name) == typed.removesuffix(".")
    except idna.IDNAError as error:
        why = str(error).rstrip(".")
        raise Invalid(f"{shown(text)} is not a domain: {why}.", hint="Give it as example.com.") from error
    if not same:
        raise Invalid(f"{shown(text)} is not a domain: it would be stored as {name}.", hint="Give it as example.com.")
    if "." not in name or is_local(name):
        raise Invalid(f"{shown(text)} is not a domain of the public kind.", hint="Give it as shop.example.com.")
    return name


def readable(name: str) -> str:
    """Return a canonical domain as people read it: in the letters of its language, if they lead back to it."""
    try:
        letters = idna.decode(name)
        return letters if idna.encode(letters, uts46=False).decode("ascii") == name else name
    except idna.IDNAError:
        return name


def shown(text: str, limit: int = 80) -> str:
    """Quote what a stranger sent so that it is safe on a terminal, in a log and on a page."""
    return ascii(text if len(text) <= limit else text[:limit] + "...")
