"""A gateway over a street of tenants, as the platform has it over its registry, for tests that need no more of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tenantry.address import Kind
from tenantry.dispatch import Leasing
from tenantry.errors import Unknown
from tenantry.gateway import Doors, Gateway
from tests.doors import Street
from tests.sites import Factory, Site, Wanted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DOMAIN = "example.com"
MOST = 1 << 20


@dataclass
class Keeper:
    """Keeps no house."""

    running: bool = False

    def start(self) -> None:
        """Note that it was asked to."""
        self.running = True


@dataclass
class Gate:
    """A gateway, and what it was given; `limits` tells the largest body of whoever has one of its own.

    One that does not remember has to ask for everybody, as after a start.
    """

    street: Street
    limits: dict[str, int] = field(default_factory=dict)
    keeper: Keeper = field(default_factory=Keeper)
    remembers: bool = True
    token: str = ""

    def __post_init__(self) -> None:
        self.gateway = Gateway(
            Doors(
                domain=DOMAIN,
                front_url=f"http://{DOMAIN}/",
                find=self.street.find,
                leasing=Leasing(self.street.find, self.street.pool.lease, self.street.leasing._url),
                peek=self.peek,
                max_body=lambda uid: self.limits.get(uid, MOST),
                not_ready=list,
                keeper=self.keeper,
                ask_token=self.token,
            )
        )

    def peek(self, kind: Kind, value: str) -> str | None:
        """Tell who is known from memory: everybody or nobody."""
        try:
            return self.street.find(kind, value).uid if self.remembers else None
        except Unknown:
            return None


class Running(Site):
    """A site whose application is given."""

    def __init__(self, wanted: Wanted, mount: str, app: "WSGIApplication") -> None:
        super().__init__(wanted, mount)
        self._given = app

    def app(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        assert not self.disposed.is_set(), f"{self.uid} was called after it was disposed of"
        return self._given(environ, start_response)


class Runs(Factory):
    """A factory of sites that run what `make_app` makes for a uid."""

    def __init__(self, make_app: "Callable[[str], WSGIApplication]") -> None:
        super().__init__()
        self._make_app = make_app

    def make(self, wanted: Wanted, mount: str) -> Site:
        return Running(wanted, mount, self._make_app(wanted.uid))


def answering(answer: Callable[["WSGIEnvironment"], Any]) -> "Callable[[str], WSGIApplication]":
    """Make applications that answer with whatever `answer` makes of a request."""

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        made: Iterable[bytes] = answer(environ)
        return made

    return lambda _: app
