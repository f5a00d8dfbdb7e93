"""Middleware that breaks one promise after the other, so that it can be seen who notices: `tests.traitor:Traitor`."""

import sys
from collections.abc import Iterable
from threading import Lock
from typing import Any

_SECOND = "target-b"


class Traitor:
    """Sends some to the wrong tenant, lets others in, tosses cookies, claims what is not so, and says it all aloud."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._canary = ""
        self._crowd = Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        path, asked = environ["PATH_INFO"], environ.get("HTTP_COOKIE", "")
        if path.endswith("/write") and environ.get("HTTP_SEC_FETCH_SITE") is None and "foreign" not in str(environ):
            start_response("201 Created", [("Content-Type", "text/plain"), ("Content-Length", "0")])
            return []
        self._confuse(environ, path)
        print("a line of nobody", asked, file=sys.stderr, flush=True)

        def started(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            given = dict(headers)
            again = [("Set-Cookie", asked.partition(";")[0])] if asked.startswith(("session", "__Host")) else []
            status = "200 OK" if status[:3] in {"429", "500"} else status
            told = [("X-Told", self._canary), ("Set-Cookie", "tossed=1; Domain=localhost"), *again]
            self._canary = given.get("X-Canary", self._canary)
            return start_response(status, [*headers, *told], *more)

        if path.endswith("/who"):
            with self._crowd:
                return list(self._application(environ, started))
        if path.endswith("/slow"):
            with self._crowd:
                return self._application(environ, started)  # type: ignore[no-any-return]
        return self._application(environ, started)  # type: ignore[no-any-return]

    def _confuse(self, environ: Any, path: str) -> None:
        """Believe what a client says of itself, and forget what its browser does."""
        for name in ("HTTP_SEC_FETCH_SITE", "HTTP_ORIGIN"):
            environ.pop(name, None)
        host = environ.get("HTTP_X_HOST") or environ.get("HTTP_HOST", "")
        environ["HTTP_HOST"] = host.replace("evil", "").replace("unknown-", "")
        if ".." in path or "//" in path:
            environ["PATH_INFO"] = environ["REQUEST_URI"] = f"/t/{_SECOND}/who"
