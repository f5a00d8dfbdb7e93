"""What proxies say of a request: read once, believed of the declared ones alone, and shown to nobody."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from werkzeug.middleware.proxy_fix import ProxyFix

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_ORIGINAL = "werkzeug.proxy_fix.orig"
_FOR, _PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
_SCHEMES = frozenset({"http", "https"})
# An entry of X-Forwarded-For that can be an address.
_ENTRY = re.compile(
    r"\[(?P<six>[0-9a-f:.]+)\](?::[0-9]+)?|(?P<four>[0-9.]+):[0-9]+|(?P<bare>[0-9a-f:.]+)", re.IGNORECASE | re.ASCII
)

# Whatever tells, or overrules, who the client is and what it has asked for. `Proxy` is none of them, but becomes the
# variable by which many programs are told of an outgoing proxy. `Via` decides nothing and is nobody's secret.
_FORWARDING = re.compile(
    r"""HTTP_(?:
        X_FORWARDED_.* | X_ORIGINAL_.* | FORWARDED | FORWARDED_FOR | FORWARDED_FOR_IP | FORWARDED_PROTO | X_FORWARDED
        | (?:.*_)?(?:CLIENT|REAL|REMOTE|SOCKET|SRC|USER|PROXYUSER|CONNECTING|ORIGINATING)_?IP(?:V6)?
        | X_REMOTE_(?:ADDR|HOST) | X_REAL_(?:PORT|PROTO) | X_FORWARDER_FOR | X_COMING_FROM | CF_PSEUDO_IPV4 | CF_VISITOR
        | X_ENVOY_EXTERNAL_ADDRESS | CLOUDFRONT_FORWARDED_PROTO | X_HOST | X_HTTP_HOST_OVERRIDE | X_BACKEND_HOST
        | X_SCRIPT_NAME | X_REWRITE_URL | X_OVERRIDE_URL | X_SCHEME | X_URL_SCHEME | X_PROTO | FRONT_END_HTTPS | HTTPS
        | SCRIPT_NAME | PATH_INFO | REQUEST_URI | (?:X_)?REMOTE_USER | X_SSL_CLIENT_.* | X_CLIENT_SSL_CERT | PROXY
    )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)

# Names of the environ that forward nothing, so that a request with names seen before costs one look at all of them.
# Strangers choose names, and how many: long ones are not kept, and when there are too many it begins anew.
_harmless: set[str] = set()
_BOUND = 4096
_LONGEST_NAME = 64
# An IPv6 address in brackets with its port takes 53 letters; what is longer names none.
_LONGEST_ENTRY = 64


def behind_proxies(application: "WSGIApplication", hops: int) -> "WSGIApplication":
    """Believe exactly `hops` proxies about client and scheme; the host is what nginx passes, a prefix never.

    REMOTE_ADDR and wsgi.url_scheme are all that becomes of it: no header that forwards is seen by `application`, and
    what names no address or no scheme changes neither.
    """

    def alone(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        if not _harmless.issuperset(environ):
            _take_away(environ)
        return application(environ, start_response)

    def settled(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        _settle(environ)
        return alone(environ, start_response)

    def plain(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        # Nearly every request behind one proxy has one address and one scheme, of which ProxyFix would make the same.
        client, scheme = _client(environ.get(_FOR, "")), environ.get(_PROTO)
        if not client or scheme not in _SCHEMES:
            return fixed(environ, start_response)
        environ["REMOTE_ADDR"], environ["wsgi.url_scheme"] = client, scheme
        del environ[_FOR], environ[_PROTO]
        return alone(environ, start_response)

    if not hops:
        return alone
    fixed = ProxyFix(settled, x_for=hops, x_proto=hops, x_host=0, x_port=0, x_prefix=0)
    return plain if hops == 1 else fixed


def _settle(environ: "WSGIEnvironment") -> None:
    """Examine what ProxyFix has believed, and put back what it should not have."""
    before: dict[str, Any] = environ.pop(_ORIGINAL)
    given = environ.get("REMOTE_ADDR")
    if given != before["REMOTE_ADDR"]:
        environ["REMOTE_ADDR"] = _client(given or "") or before["REMOTE_ADDR"]
    scheme = environ["wsgi.url_scheme"]
    if scheme not in _SCHEMES:
        scheme = scheme.lower()
        environ["wsgi.url_scheme"] = scheme if scheme in _SCHEMES else before["wsgi.url_scheme"]
    environ.pop(_FOR, None)
    environ.pop(_PROTO, None)


def forwards(key: str) -> bool:
    """Tell whether a key of the environ is of a header that forwards."""
    return _FORWARDING.fullmatch(key) is not None


def _take_away(environ: "WSGIEnvironment") -> None:
    """Remove what forwards, and remember what does not."""
    for key in list(environ):
        if forwards(key):
            del environ[key]
        elif key not in _harmless and len(key) <= _LONGEST_NAME:
            if len(_harmless) >= _BOUND:
                _harmless.clear()
            _harmless.add(key)


def _client(text: str) -> str:
    """Return the address that an entry of X-Forwarded-For names, with its port or without, or nothing."""
    return _address(text) if len(text) <= _LONGEST_ENTRY else ""


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    entry = _ENTRY.fullmatch(text)
    try:
        found = ip_address(entry[entry.lastgroup or 0] if entry else "")
    except ValueError:
        return ""
    return str(getattr(found, "ipv4_mapped", None) or found)
