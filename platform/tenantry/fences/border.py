"""The border around one live application, and the WSGI middleware that stands on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tenantry.fences import names, origins
from tenantry.fences.cookies import Cookies
from tenantry.fences.files import Files
from tenantry.fences.leaving import Leaving
from tenantry.fences.told import Told
from tenantry.policy import FENCES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tenantry.fences.leaving import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """Where a live application ends: whose it is, its mount (empty for hosts), and which fences are down (policy).

    `sends` are the folders from which it may have nginx send files, each with the address that nginx knows it by.
    """

    uid: str
    mount: str
    off: frozenset[str] = frozenset()
    sends: tuple[tuple[str, Path], ...] = ()


def fenced(app: "WSGIApplication", border: Border) -> "WSGIApplication":
    """Put the fences of `border` around a WSGI application.

    What stands is decided here and once. A response that has only headers of no fence's concern costs a look at each.
    What commands a server in front is kept back whichever fences are down.
    """
    standing = FENCES - border.off
    told = Told()
    cookies = Cookies(border.uid, border.mount, told) if "cookies" in standing else None
    leaving = Leaving(border.mount, standing, cookies, Files(border.sends), told)
    ordinary = names.ordinary
    safe = origins.SAFE if "cross-site" in standing else None

    def fence(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if safe is not None and environ["REQUEST_METHOD"] not in safe:
            origins.check(environ)
        if cookies is not None and "HTTP_COOKIE" in environ:
            cookies.enter(environ)

        # In quotes, else they are made anew for each request, which costs as much as all the rest.
        def started(status: str, headers: "Headers", exc_info: "Any" = None) -> "Any":
            # Copied to the last letter: an application may keep its own and change it, or bring texts that lie.
            headers = [
                (name, value) if type(name) is type(value) is str else (_plain(name), _plain(value))
                for name, value in headers
            ]
            for name, _ in headers:
                if name not in ordinary:
                    headers = leaving.passed(headers, environ)
                    break
            return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)

        return app(environ, started)

    return fence


def _plain(text: object) -> str:
    """Return a text as what it is, whatever a class of the application's would have it be."""
    if type(text) is str:
        return text
    if not isinstance(text, str):
        raise TypeError(f"A header's name and value are texts, not of {type(text).__name__}.")
    return str.__str__(text)
