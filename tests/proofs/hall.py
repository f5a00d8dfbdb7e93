"""A hall in which visitors are held, fed and listened to: `tests.proofs.hall:create_app`.

GET  /hold     answers once the file `go` is in the tenant's folder; until then a file `held-...` is there too
GET  /large/<n>  n bytes, the same each time
GET  /file/<n>   the same from a file
GET  /stream/<n> n pieces of 1,000 bytes, of which the second waits for `go`
POST /take     the SHA-256 of what was sent
GET  /echo/<x>   x
"""

import hashlib
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_LOOK = 0.01
_PIECE = 1 << 16


def content(size: int) -> bytes:
    """Make what `/large` and `/file` answer."""
    return random.Random(size).randbytes(size)


def piece(number: int) -> bytes:
    """Make a piece of `/stream`."""
    return f"{number:999d}\n".encode()


def create_app(instance_path: str, config: Mapping[str, Any]) -> "WSGIApplication":
    """Make the hall of one tenant."""
    return _Hall(Path(instance_path))


class _Hall:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        _, verb, what = (environ["PATH_INFO"] + "/").split("/", 2)
        return getattr(self, f"_{verb}")(environ, start_response, what.rstrip("/"))  # type: ignore[no-any-return]

    def _hold(self, _: "WSGIEnvironment", start: "StartResponse", __: str) -> Iterable[bytes]:
        held = self._folder / f"held-{next(self._numbers)}"
        held.touch()
        self._wait()
        held.unlink()
        return _answer(start, b"held")

    def _large(self, _: "WSGIEnvironment", start: "StartResponse", what: str) -> Iterable[bytes]:
        return _answer(start, content(int(what)))

    def _file(self, environ: "WSGIEnvironment", start: "StartResponse", what: str) -> Iterable[bytes]:
        path = self._folder / f"content-{what}"
        if not path.exists():
            path.write_bytes(content(int(what)))
        start("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", what)])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"), _PIECE)
        return wrapped

    def _stream(self, _: "WSGIEnvironment", start: "StartResponse", what: str) -> Iterator[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        for number in range(int(what)):
            if number == 1:
                self._wait()
            yield piece(number)

    def _take(self, environ: "WSGIEnvironment", start: "StartResponse", _: str) -> Iterable[bytes]:
        digest = hashlib.sha256()
        while read := environ["wsgi.input"].read(_PIECE):
            digest.update(read)
        return _answer(start, digest.hexdigest().encode())

    def _echo(self, _: "WSGIEnvironment", start: "StartResponse", what: str) -> Iterable[bytes]:
        return _answer(start, what.encode())

    def _wait(self) -> None:
        while not (self._folder / "go").exists():
            threading.Event().wait(_LOOK)


def _answer(start: "StartResponse", body: bytes) -> Iterable[bytes]:
    start("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
