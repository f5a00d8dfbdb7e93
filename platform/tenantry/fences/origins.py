"""Who has sent a request, as far as a browser tells, and whether two spellings mean one host."""

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tenantry import address
from tenantry.errors import Invalid, Refused

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# What changes nothing, by HTTP's own rule.
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})

_AUTHORITY = re.compile(r"(?P<name>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,9}))?", re.ASCII)
_USUAL_PORTS = frozenset({80, 443})


def check(environ: "WSGIEnvironment") -> None:
    """Raise Refused for a request that another site has a browser send; one of the same domain is another site too.

    Browsers tell by Sec-Fetch-Site over https and on localhost, and else, as older ones always, by Origin. What is no
    browser sends neither and carries no visitor's cookies.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE", "").strip().lower()
    if site in _OURS:
        return
    origin = environ.get("HTTP_ORIGIN", "").strip()
    if not site and (not origin or _is_origin_of(origin, environ.get("HTTP_HOST", ""))):
        return
    raise Refused("This was sent by another site.", hint="Open the page at its own address and try it from there.")


def _is_origin_of(origin: str, host: str) -> bool:
    _, mark, authority = origin.partition("://")
    return bool(mark) and is_same(authority, host)


def is_same(authority: str, host: str) -> bool:
    """Tell whether an authority of a URL is this Host; by the name alone where a proxy has taken off the port."""
    here, there = _read(host), _read(unquote(authority.rpartition("@")[2]))
    return here is not None and there is not None and here[0] == there[0] and here[1] in {0, there[1]}


def _read(authority: str) -> tuple[str, int] | None:
    """Return canonical name and port, 0 for a usual one, of what can be a host; a URL's port may have leading zeros."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    port = int(found["port"] or 0)
    try:
        return address.host(found["name"]), 0 if port in _USUAL_PORTS else port
    except Invalid:
        return None
