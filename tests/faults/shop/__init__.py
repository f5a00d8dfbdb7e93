"""An application with a database of one table, so that tenants of it have everything that a tenant can have."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def create_app(instance_path: str, config: Mapping[str, Any]) -> "WSGIApplication":
    """Make a bare WSGI callable that tells whose it is."""
    name = str(config["TENANT_NAME"]).encode()

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [name]

    return application
