"""The baseline: the two dispatchers of Flask's manual, "Application Dispatching" (Pallets, BSD-3-Clause).

https://flask.palletsprojects.com/patterns/appdispatch/ prints them; here they are written again with types, each step
of theirs in their order, so that what they cost is what the manual's cost. Their faults are theirs too.
"""

from collections.abc import Callable, Iterable
from threading import Lock
from typing import TYPE_CHECKING
from wsgiref.util import shift_path_info

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class SubdomainDispatcher:
    """One application a subdomain, made under one lock for all and kept for ever."""

    def __init__(self, domain: str, create_app: "Callable[[str], WSGIApplication]") -> None:
        self.domain = domain
        self.create_app = create_app
        self.lock = Lock()
        self.instances: dict[str, WSGIApplication] = {}

    def get_application(self, host: str) -> "WSGIApplication":
        """Find the subdomain's application, or make it."""
        host = host.split(":")[0]  # noqa: PLC0207 - as the manual has it
        assert host.endswith(self.domain), "Configuration error"
        subdomain = host[: -len(self.domain)].rstrip(".")
        with self.lock:
            app = self.instances.get(subdomain)
            if app is None:
                app = self.create_app(subdomain)
                self.instances[subdomain] = app
            return app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        app = self.get_application(environ["HTTP_HOST"])
        return app(environ, start_response)


class PathDispatcher:
    """One application a first path segment, else the default one."""

    def __init__(self, default_app: "WSGIApplication", create_app: "Callable[[str], WSGIApplication | None]") -> None:
        self.default_app = default_app
        self.create_app = create_app
        self.lock = Lock()
        self.instances: dict[str, WSGIApplication] = {}

    def get_application(self, prefix: str | None) -> "WSGIApplication | None":
        """Find the segment's application, or make it if there is to be one."""
        with self.lock:
            app = self.instances.get(prefix or "")
            if app is None:
                app = self.create_app(prefix or "")
                if app is not None:
                    self.instances[prefix or ""] = app
            return app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        app = self.get_application(_peek_path_info(environ))
        if app is not None:
            shift_path_info(environ)
        else:
            app = self.default_app
        return app(environ, start_response)


def _peek_path_info(environ: "WSGIEnvironment") -> str | None:
    segments = environ.get("PATH_INFO", "").lstrip("/").split("/", 1)
    if segments:
        segment: str = segments[0]
        return segment
    return None
