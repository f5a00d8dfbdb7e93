"""What a client asked for, spelled as it was sent where the server tells it, else as it can be spelled again."""

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from tenantry.errors import Invalid

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

# A path that can be passed on as it is: an absolute-form target, or anything a header cannot hold, is spelled again.
_PLAIN = re.compile(r"/[!-~]*")
_IN_PATH = "/!$&'()*+,;=:@~"
_IN_QUERY = _IN_PATH + "?%"


def agreed(environ: "WSGIEnvironment", name: str) -> str:
    """Return how the raw target begins inside the mount, or raise Invalid where it names another tenant.

    PATH_INFO is what the server decoded, some with doubled slashes collapsed. A raw target lacks SCRIPT_NAME where a
    proxy takes it off the path and tells it in a header.
    """
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI")
    if raw is None:
        return f"/{name}/"
    outer = environ.get("SCRIPT_NAME", "")
    for given in (outer, ""):
        depth = given.count("/")
        parts = raw.partition("?")[0].split("/", depth + 2)
        before = "/".join(parts[: depth + 1])
        if parts[depth + 1 : depth + 2] == [name] and unquote(before, "latin-1") == given:
            return f"{before}/{name}/"
    raise Invalid("The request's path is spelled in two ways.", hint="Ask for it without encoded or doubled slashes.")


def stays(rest: str) -> None:
    """Raise Invalid where the dots of a decoded path lead out of its mount.

    Whoever follows them, as nginx does for all that it decides by path, sees another tenant's there.
    """
    depth = 0
    for part in rest.split("/"):
        if part == "..":
            depth -= 1
        elif part not in {"", "."}:
            depth += 1
        if depth < 0:
            raise Invalid("The request's path leads out of its site.", hint="Ask for it without `..`.")


def beyond(environ: "WSGIEnvironment", name: str) -> str:
    """Return path and query after the host's slash, or inside the mount of path tenant `name`, which is not in it."""
    raw = environ.get("REQUEST_URI") or environ.get("RAW_URI") or ""
    if _PLAIN.fullmatch(raw):
        inside = agreed(environ, name) if name else "/"
        path, mark, query = raw.partition("?")
        return path[len(inside) :] + mark + query
    path = environ.get("PATH_INFO", "")
    path = path.removeprefix(f"/{name}") if name else environ.get("SCRIPT_NAME", "") + path
    query = environ.get("QUERY_STRING", "")
    again = _spelled(path.removeprefix("/"), _IN_PATH)
    return f"{again}?{_spelled(query, _IN_QUERY)}" if query else again


def _spelled(text: str, plain: str) -> str:
    """Encode what WSGI passes as bytes in the guise of latin-1, so that a header can hold it."""
    return quote(text, safe=plain, encoding="latin-1", errors="replace")
