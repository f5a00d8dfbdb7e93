"""Whose a log line is: the tenant, the request and the client that the code at work is at work for."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenantry.log.listeners import Listeners


@dataclass(frozen=True, slots=True)
class Mark:
    """Whose line it is; `listeners` are the handlers that the application at work has added for itself."""

    tenant: str = ""
    uid: str = ""
    listeners: "Listeners | None" = field(default=None, compare=False, repr=False)


# Set in the fresh Context of each request and of each build, so that none outlives it.
mark: ContextVar[Mark] = ContextVar("mark", default=Mark())  # noqa: B039 - a frozen value
request: ContextVar[str] = ContextVar("request", default="")
client: ContextVar[str] = ContextVar("client", default="")


@contextmanager
def marked(whose: Mark) -> Iterator[None]:
    """Do something for a tenant: its lines are marked for the length of a `with`."""
    token = mark.set(whose)
    try:
        yield
    finally:
        mark.reset(token)
