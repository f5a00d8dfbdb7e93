"""`/-/tls-ask`: whether a certificate may be had for a domain, asked by who ends the encryption in front."""

import hmac
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from tenantry import address
from tenantry.address import Kind
from tenantry.errors import Invalid, Unknown
from tenantry.gateway.pages import Page
from tenantry.tenant import Status, Tenant

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

PATH = "/-/tls-ask"

_BEARER = "bearer "
# What of a query is read: a domain of 253 letters and a token.
_LONGEST, _FIELDS = 1024, 8


def _said(word: str) -> Page:
    body = f"{word}\n".encode()
    kind = ("Content-Type", "text/plain; charset=utf-8")
    return body, [kind, ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]


# Made once: whoever asks for names by the million costs a look at each, and no more is said of one than of another.
_YES = "200 OK", _said("yes")
_NO = "404 Not Found", _said("no")
_NOT_YOU = "403 Forbidden", _said("not for you")


class Asking:
    """Who may ask, and the answer: yes for a domain that is an active tenant's own by now, no for all else.

    Whoever asks from this machine may, and who brings `token`, unless that is empty. Nobody is built for it.
    """

    def __init__(self, find: Callable[[Kind, str], Tenant], token: str) -> None:
        self._find = find
        self._token = token.encode()

    def __call__(self, environ: "WSGIEnvironment") -> tuple[str, Page]:
        """Return the status and the page of one question."""
        try:
            fields = parse_qs(environ.get("QUERY_STRING", "")[:_LONGEST], max_num_fields=_FIELDS)
        except ValueError:
            return _NO
        if not _is_here(environ.get("REMOTE_ADDR", "")) and not self._brings_token(environ, fields):
            return _NOT_YOU
        domains = fields.get("domain", [])
        return _YES if len(domains) == 1 and self._is_served(domains[0]) else _NO

    def _brings_token(self, environ: "WSGIEnvironment", fields: dict[str, list[str]]) -> bool:
        if not self._token:
            return False
        said: str = environ.get("HTTP_AUTHORIZATION", "")
        given = [said[len(_BEARER) :].strip()] if said[: len(_BEARER)].lower() == _BEARER else fields.get("token", [])
        return len(given) == 1 and hmac.compare_digest(given[0].encode("utf-8", "replace"), self._token)

    def _is_served(self, text: str) -> bool:
        """Tell whether a domain is one of an active tenant; one that is only claimed is nobody's yet."""
        try:
            name = address.host(text)
            return ":" not in text and self._find(Kind.DOMAIN, name).status is Status.ACTIVE
        except (Invalid, Unknown):
            return False


def _is_here(client: str) -> bool:
    """Tell whether a client is on this machine; behind proxies, by what they say."""
    try:
        return ip_address(client).is_loopback
    except ValueError:
        return client == "localhost"  # at a socket that is a file
