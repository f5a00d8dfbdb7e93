"""An application of large bodies and long streams: `tests.proofs.vast:create_app`.

POST /take       the SHA-256 of what was sent
GET  /file/<n>   n MiB from a file in the tenant's folder; with SENDS in its config Flask leaves the sending to others
GET  /made/<n>   the same, made as it is taken
GET  /broken/<n> the same without its last one: it fails there
GET  /stream/<n>/<key>  n lines, each but the first one once `/on/<key>` was asked for
GET  /on/<key>   lets a stream go on
GET  /told       how many bodies were begun, given whole, and closed
"""

import hashlib
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask import Flask, Response, request, send_file

MIB = 1 << 20
_FILL = hashlib.sha256(b"vast").digest() * (MIB // 32)
_PATIENCE = 60.0
_PIECE = 1 << 16


def piece(number: int) -> bytes:
    """Make a MiB of what is large: no two are the same."""
    return number.to_bytes(8, "big") + _FILL[8:]


def pieces(number: int) -> Iterator[bytes]:
    """Make so many of them."""
    return map(piece, range(number))


def digest(number: int) -> str:
    """Return the SHA-256 of so many of them."""
    made = hashlib.sha256()
    for one in pieces(number):
        made.update(one)
    return made.hexdigest()


def line(number: int) -> bytes:
    """Make a line of a stream."""
    return f"{number}\n".encode()


class Counted:
    """A body that is counted when it begins, when all of it was taken, and when it is closed."""

    def __init__(self, body: Iterator[bytes], told: Counter[str]) -> None:
        self._body = body
        self._told = told
        self._told["begun"] += 1

    def __iter__(self) -> "Counted":
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._body)
        except StopIteration:
            self._told["whole"] += 1
            raise

    def close(self) -> None:
        """Count the end, whichever it is."""
        self._told["closed"] += 1


def create_app(instance_path: str, config: Mapping[str, Any]) -> Flask:
    """Make the application of one tenant."""
    app = Flask("tests.proofs.vast", instance_path=instance_path)
    app.config.from_mapping(config)
    app.config["USE_X_SENDFILE"] = bool(config.get("SENDS"))
    told: Counter[str] = Counter()

    @app.post("/take")
    def take() -> str:
        told["taken"] += 1
        made = hashlib.sha256()
        while read := request.stream.read(_PIECE):
            made.update(read)
        return made.hexdigest()

    @app.get("/file/<int:number>")
    def file(number: int) -> Response:
        return send_file(_kept(Path(instance_path), number))

    @app.get("/made/<int:number>")
    def made(number: int) -> Response:
        return Response(Counted(pieces(number), told), headers={"Content-Length": str(number * MIB)})

    @app.get("/broken/<int:number>")
    def broken(number: int) -> Response:
        headers = {"Content-Length": str(number * MIB)} if "length" in request.args else {}
        return Response(Counted(_broken(number), told), headers=headers)

    @app.get("/told")
    def tell() -> dict[str, int]:
        return dict(told)

    _streams(app, told)
    return app


def _streams(app: Flask, told: Counter[str]) -> None:
    turns: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(0))

    @app.get("/stream/<int:number>/<key>")
    def stream(number: int, key: str) -> Response:
        return Response(Counted(_lines(number, turns[key]), told), mimetype="text/plain")

    @app.get("/on/<key>")
    def on(key: str) -> str:
        turns[key].release()
        return "on"


def _kept(folder: Path, number: int) -> Path:
    path = folder / f"vast-{number}"
    if not path.exists():
        with path.open("wb") as file:
            file.writelines(pieces(number))
    return path


def _broken(number: int) -> Iterator[bytes]:
    yield from pieces(number - 1)
    raise RuntimeError("a body that fails on its way")


def _lines(number: int, turn: threading.Semaphore) -> Iterator[bytes]:
    for count in range(number):
        if count and not turn.acquire(timeout=_PATIENCE):
            raise RuntimeError("nobody has said that it is to go on")
        yield line(count)
