"""Applications behind fences, asked one request: what the application saw, and what left."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenantry.fences import Border, fenced
from tests.wsgi import environ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

UID, OTHER = "acmeacmeacme", "globexglobex"
MOUNT, NEIGHBOUR = "/t/acme", "/t/globex"
HTML = ("Content-Type", "text/html")


@dataclass
class Guarded:
    """An application that answers with given headers, and the border around it; remembers what reached it."""

    border: Border
    headers: list[tuple[str, str]] = field(default_factory=list)
    seen: "list[WSGIEnvironment]" = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = fenced(self._answer, self.border)

    def _answer(self, request: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.seen.append(request)
        start_response("200 OK", self.headers)
        return [b"hello"]

    def leaves(self, *headers: tuple[str, str], path: str = "/", **more: Any) -> list[tuple[str, str]]:
        """Answer one request with these headers and tell which have left."""
        self.headers = list(headers)
        left: list[list[tuple[str, str]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            left.append(headers)

        request = environ("localhost:8000", path, SCRIPT_NAME=self.border.mount, **more)
        list(self.app(request, start_response))
        return left[-1]

    def cookie(self, value: str, **more: Any) -> str | None:
        """Tell what becomes of one Set-Cookie."""
        found = [given for name, given in self.leaves(("Set-Cookie", value), **more) if name == "Set-Cookie"]
        return found[0] if found else None

    def sees(self, cookie: str) -> str | None:
        """Tell which Cookie header reaches the application."""
        self.leaves(HTML, HTTP_COOKIE=cookie)
        return self.seen[-1].get("HTTP_COOKIE")


def by_host(*off: str) -> Guarded:
    """Make one that answers at a host of its own, with these fences down."""
    return Guarded(Border(uid=UID, mount="", off=frozenset(off)))


def by_path(*off: str) -> Guarded:
    """Make one that answers below a path."""
    return Guarded(Border(uid=UID, mount=MOUNT, off=frozenset(off)))
