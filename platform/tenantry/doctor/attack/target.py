"""The application that is attacked beside the operator's own ones: `tenantry.doctor.attack.target:create_app`.

It does what applications do, and what they should not, as whoever asks it tells it to. It is a guest like any other,
and so it is what guests may be: plain WSGI, and SQLite in its own database. Only a scratch instance serves it.
"""

import contextvars
import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MODULE = f"{__name__}:create_app"
# Which tenant has answered stands in each of its responses.
ANSWERED = "X-Attacked"

Header = tuple[str, str]
Given = Mapping[str, str]

_log = logging.getLogger(__name__)
_seen: contextvars.ContextVar[str] = contextvars.ContextVar("seen", default="")
_never = threading.Event()
_SQLITE = "sqlite:///"
_CHUNK = 1 << 16


def create_app(instance_path: str, config: Mapping[str, Any]) -> "Target":
    """Make the application of one tenant, or raise where its config says BREAKS."""
    if config.get("BREAKS"):
        raise RuntimeError(f"the factory is broken: {config['CANARY']}")
    return Target(Path(instance_path), config)


class Target:
    """One tenant's application. Its secrets are one canary: in its config, a row, a file, a header and a cookie."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        self._folder = folder
        self._config = config
        self._canary = str(config["CANARY"])
        uri = str(config["SQLALCHEMY_DATABASE_URI"])
        own = uri.startswith(_SQLITE)
        self._database = uri.removeprefix(_SQLITE) if own else str(folder / "rows.sqlite3")
        self._views: dict[str, Callable[[WSGIEnvironment, Given], tuple[str, list[Header], Iterable[bytes]]]] = {
            "/who": self._who,
            "/answer": self._answer,
            "/write": self._write,
            "/rows": self._rows,
            "/secrets": self._secrets,
            "/raise": self._raise,
            "/exit": self._exit,
            "/log": self._logged,
            "/slow": self._slow,
            "/stream": self._stream,
            "/big": self._big,
            "/body": self._body,
        }

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request (WSGI)."""
        view = self._views.get(environ.get("PATH_INFO", ""))
        given = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        status, headers, body = view(environ, given) if view else ("404 Not Found", [], [b"nothing here\n"])
        named = {name.lower() for name, _ in headers}
        if isinstance(body, list):
            headers = [*headers, ("Content-Length", str(sum(map(len, body))))]
        if "content-type" not in named:
            headers = [*headers, ("Content-Type", "text/plain")]
        start_response(status, [*headers, (ANSWERED, str(self._config["TENANT_UID"]))])
        return body

    def _who(self, environ: "WSGIEnvironment", _: Given) -> tuple[str, list[Header], list[bytes]]:
        """Tell how the request has arrived."""
        forwarded = sorted(key for key in environ if key.startswith(("HTTP_X_FORWARDED", "HTTP_FORWARDED")))
        return _json(
            {
                "uid": self._config["TENANT_UID"],
                "mount": environ.get("SCRIPT_NAME", ""),
                "path": environ.get("PATH_INFO", ""),
                "client": environ.get("REMOTE_ADDR", ""),
                "scheme": environ.get("wsgi.url_scheme", ""),
                "cookies": environ.get("HTTP_COOKIE", ""),
                "forwarded": forwarded,
            }
        )

    def _answer(self, environ: "WSGIEnvironment", _: Given) -> tuple[str, list[Header], list[bytes]]:
        """Answer with the status and the headers that were asked for."""
        status, headers = "200 OK", []
        for key, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True):
            if key == "status":
                status = value
            else:
                headers.append((key, value))
        return status, headers, [b"answered\n"]

    def _write(self, environ: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], list[bytes]]:
        """Answer 201 once the row is in the database, and only then."""
        if environ.get("REQUEST_METHOD") not in {"POST", "PUT", "PATCH", "DELETE"}:
            return "405 Method Not Allowed", [], [b"only by POST\n"]
        with closing(self._open()) as connection:
            connection.execute("INSERT INTO row (text) VALUES (?)", (given["text"],))
        return "201 Created", [], [b"written\n"]

    def _rows(self, _: "WSGIEnvironment", __: Given) -> tuple[str, list[Header], list[bytes]]:
        with closing(self._open()) as connection:
            return _json([text for (text,) in connection.execute("SELECT text FROM row")])

    def _secrets(self, environ: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], list[bytes]]:
        """Show everything that is this tenant's own, and what was left in the context by whoever came before."""
        before = _seen.get()
        _seen.set(self._canary)
        file = self._folder / "canary.txt"
        if not file.exists():
            file.write_text(self._canary)
        self._write({**environ, "REQUEST_METHOD": "POST"}, {"text": given.get("text", self._canary)})
        with closing(self._open()) as connection:
            rows = [text for (text,) in connection.execute("SELECT DISTINCT text FROM row ORDER BY rowid LIMIT 100")]
        files = {found.name: found.read_text() for found in self._folder.iterdir()}
        told = {"config": self._config["CANARY"], "before": before, "rows": rows, "files": files}
        status, headers, body = _json(told)
        return status, [*headers, ("X-Canary", self._canary), ("Set-Cookie", f"canary={self._canary}")], body

    def _raise(self, _: "WSGIEnvironment", __: Given) -> tuple[str, list[Header], list[bytes]]:
        raise RuntimeError(f"the view is broken: {self._canary}")

    def _exit(self, _: "WSGIEnvironment", __: Given) -> tuple[str, list[Header], list[bytes]]:
        sys.exit(f"the view has left: {self._canary}")

    def _logged(self, _: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], list[bytes]]:
        """Log what was given, as applications log what visitors have typed."""
        _log.warning("%s says %s", self._canary, given.get("text", ""))
        return "200 OK", [], [b"noted\n"]

    def _slow(self, _: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], list[bytes]]:
        _never.wait(float(given.get("seconds", "1")))
        return "200 OK", [], [b"at last\n"]

    def _stream(self, _: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], Iterator[bytes]]:
        """Send so many lines, with a pause after each."""
        lines, pause = int(given.get("lines", "4")), float(given.get("pause", "0.1"))

        def stream() -> Iterator[bytes]:
            for number in range(lines):
                yield f"line {number} of {lines}\n".encode()
                _never.wait(pause)

        return "200 OK", [], stream()

    def _big(self, _: "WSGIEnvironment", given: Given) -> tuple[str, list[Header], Iterator[bytes]]:
        chunks = int(given["bytes"]) // _CHUNK
        headers = [("Content-Length", str(chunks * _CHUNK))]
        return "200 OK", headers, (bytes(_CHUNK) for _ in range(chunks))

    def _body(self, environ: "WSGIEnvironment", _: Given) -> tuple[str, list[Header], list[bytes]]:
        """Read the request's body, and tell how long it was."""
        length = 0
        while piece := environ["wsgi.input"].read(_CHUNK):
            length += len(piece)
        return "200 OK", [], [f"{length}\n".encode()]

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._database, timeout=10, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS row (text TEXT NOT NULL)")
        return connection


def _json(value: object) -> tuple[str, list[Header], list[bytes]]:
    return "200 OK", [("Content-Type", "application/json")], [json.dumps(value).encode()]
