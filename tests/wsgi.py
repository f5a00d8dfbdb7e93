"""Call a WSGI application as a server would: one request in, one answer out, the body closed."""

import io
import sys
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def environ(host: str | None, path: str = "/", **more: Any) -> dict[str, Any]:
    """Make the environ of a GET; `host` None leaves the header out."""
    made: dict[str, Any] = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "server.invalid",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if host is not None:
        made["HTTP_HOST"] = host
    return made | more


def call(application: Application, host: str | None, path: str = "/", **more: Any) -> Answer:
    """Send one request and read the whole answer; what it sets in a context does not outlive it."""
    return Context().run(_call, application, environ(host, path, **more))


def _call(application: Application, request: dict[str, Any]) -> Answer:
    seen: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, headers: list[tuple[str, str]], _: object = None) -> None:
        seen.append((status, headers))

    body = application(request, start_response)
    try:
        whole = b"".join(body)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    status, headers = seen[-1]
    return Answer(int(status[:3]), dict(headers), whole)


def wait_until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Look again and again until it is so; fail when it is not in time."""
    deadline = monotonic() + seconds
    pause = Event()
    while not true():
        assert monotonic() < deadline, "it did not become so in time"
        pause.wait(0.01)
