"""Files that an application hands to the server: sent whole, in few pieces, and at nobody else's cost."""

import os
import random
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pytest

from tests.servers import Environ, Start, serving, text


def test_a_large_file_arrives_whole() -> None:
    """A file larger than any buffer comes byte for byte, and the connection goes on."""
    data = random.randbytes(3 << 20)

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](BytesIO(data))  # type: ignore[no-any-return]

    with serving(application) as site:
        client = site.client()
        for _ in range(2):
            assert client.ask("/").answer()[2] == data


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, ValueError])
def test_a_file_that_raises_while_it_is_sent_costs_only_its_connection(error: type[BaseException]) -> None:
    """The loop's own thread reads it, and goes on for everybody else."""

    class Broken(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 1 << 20:
                raise error("no")
            return super().read(size)

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return text(start, "hello")
        start("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](Broken(bytes(40 << 20)))  # type: ignore[no-any-return]

    with serving(application) as site:
        site.client().ask("/file").closed()
        assert site.get("/") == b"hello"


def test_a_file_that_ends_before_its_length_closes_its_connection(tmp_path: Path) -> None:
    """Nobody spins on it, and the client learns that the answer is not whole."""
    path = tmp_path / "file"
    path.write_bytes(bytes(40 << 20))

    def application(environ: Environ, start: Start) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            return text(start, "hello")
        start("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](path.open("rb"))  # type: ignore[no-any-return]

    with serving(application) as site:
        client = site.client().ask("/file")
        assert client.head()[1]["content-length"] == str(40 << 20)
        os.truncate(path, 1 << 20)
        client.closed()
        assert len(client.buffer) < 40 << 20
        assert site.get("/") == b"hello"
