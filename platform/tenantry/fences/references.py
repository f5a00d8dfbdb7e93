"""References to other pages, resolved as browsers do (WHATWG URL), and kept inside a mount."""

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from tenantry.fences.origins import is_same

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_AROUND = "".join(map(chr, range(33)))
_IGNORED = {9: None, 10: None, 13: None}
_SLASH = re.compile(r"[/\\]")
# Both match any text: scheme, slashes, the rest up to a query or fragment, and those; and how long, a quote, the page.
_PARTS = re.compile(r"([a-z][a-z0-9+.-]*:)?([/\\]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH = re.compile(r"([\s0-9.]*[\s;,]*(?:url\s*=\s*)?)(['\"]?)(.*)", re.IGNORECASE | re.DOTALL)


def brought_back(reference: str, mount: str, environ: "WSGIEnvironment") -> str:
    """Return a reference that stays inside the mount: itself, or its path below the mount; other hosts are left."""
    read = reference.strip(_AROUND).translate(_IGNORED)
    scheme, slashes, path, more = _PARTS.findall(read)[0]
    if scheme.lower() not in {"", "http:", "https:"}:
        return reference
    before, name = "", _SLASH.split(path, maxsplit=1)[0] if len(slashes) > 1 else ""
    if name and is_same(name, environ.get("HTTP_HOST", "")):
        before, path = f"{scheme}//{name}", path[len(name) :]
    elif len(slashes) == 2:
        return reference
    elif (
        slashes
    ):  # one, or so many that browsers find a host behind them and programs a path: it shall be a path to both
        path = slashes + path
    elif path:
        path = _folder(mount, environ) + path
    else:
        return reference
    resolved = _resolved(path)
    if resolved == mount or resolved.startswith(f"{mount}/"):
        # Programs read some spellings in another way than browsers: those are spelled as they were read here.
        return f"{before}{resolved}{more}" if "//" in path or "\\" in path or read != reference else reference
    return f"{before}{mount}{resolved}{more}"


def refreshed(value: str, mount: str, environ: "WSGIEnvironment") -> str:
    """Return a Refresh whose page is inside the mount."""
    wait, quoted, page = _REFRESH.findall(value)[0]
    if quoted:
        page = page.partition(quoted)[0]
    inside = brought_back(page, mount, environ)
    return value if inside == page else f"{wait}{inside}"


def _folder(mount: str, environ: "WSGIEnvironment") -> str:
    """Return the path to which the page's relative references are added, as the browser has spelled it."""
    raw = (environ.get("REQUEST_URI") or environ.get("RAW_URI") or "").partition("?")[0]
    if not raw.startswith(f"{mount}/"):
        raw = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    return raw.rpartition("/")[0] + "/"


def _resolved(path: str) -> str:
    """Take the dots out of an absolute path."""
    segments: list[str] = []
    dots = "."
    for segment in path.replace("\\", "/").split("/")[1:]:
        dots = segment.lower().replace("%2e", ".")
        if dots == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(segment)
    if dots in {".", ".."}:
        segments.append("")  # they name a folder
    return "/" + "/".join(segments)
