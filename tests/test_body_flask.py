"""Bodies that Flask makes and waitress sends: their leases end too."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask, Response, request, send_file, session, stream_with_context
from waitress import wasyncore
from waitress.buffers import ReadOnlyFileBasedBuffer
from waitress.server import create_server
from werkzeug.test import Client

from tenantry.dispatch import SubdomainDispatcher
from tests.sites import ask, begin, environ_of, eventually, leases, on_threads
from tests.tools import free_port

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    Application = WSGIApplication

# Flask


@pytest.fixture
def flask(tmp_path: Path) -> SubdomainDispatcher:
    """A dispatcher over an application of Flask that streams and sends files."""
    (tmp_path / "file.txt").write_bytes(b"0123456789" * 100_000)
    with (tmp_path / "large").open("wb") as large:
        large.truncate(64 << 20)  # more than sockets take before somebody reads

    def create_app(name: str) -> Flask:
        app = Flask(name, static_folder=str(tmp_path), static_url_path="/static")
        app.secret_key = "secret"

        @app.get("/stream")
        def stream() -> Response:
            def lines() -> Iterator[str]:
                for number in range(3):
                    yield f"{request.path} {session.get('n', 0)} {number}\n"

            return Response(stream_with_context(lines()), mimetype="text/plain")

        @app.get("/file")
        def file() -> Response:
            return send_file(tmp_path / "file.txt", conditional=True)

        @app.get("/made")
        def made() -> Response:
            return send_file(BytesIO(b"made"), "text/plain")

        @app.get("/nothing")
        def nothing() -> tuple[str, int]:
            return "", 204

        return app

    return SubdomainDispatcher("example.com", create_app)


def test_flask_streams_with_its_context_to_the_end(flask: SubdomainDispatcher) -> None:
    assert ask(flask, path="/stream").body == "/stream 0 0\n/stream 0 1\n/stream 0 2\n"
    assert leases(flask) == 0


def test_a_stream_of_flask_that_is_cut_short_on_another_thread_ends_its_lease(flask: SubdomainDispatcher) -> None:
    answer = begin(flask, environ_of(path="/stream"))
    assert next(answer.body) == b"/stream 0 0\n"
    on_threads(answer.body.close)
    assert leases(flask) == 0


@pytest.mark.parametrize("wrapper", [None, ReadOnlyFileBasedBuffer])
@pytest.mark.parametrize("path", ["/file", "/made", "/static/file.txt"])
def test_files_that_flask_sends_end_their_lease(flask: SubdomainDispatcher, path: str, wrapper: Any) -> None:
    more = {"wsgi.file_wrapper": wrapper} if wrapper else {}
    answer = begin(flask, environ_of(path=path) | more)
    assert leases(flask) == (0 if wrapper else 1)
    assert (type(answer.body) is wrapper) == bool(wrapper)
    assert len(answer.read()) == int(answer.headers["Content-Length"])
    assert leases(flask) == 0


def test_a_part_of_a_file_ends_its_lease(flask: SubdomainDispatcher) -> None:
    answer = ask(flask, path="/file", HTTP_RANGE="bytes=10-14")
    assert (answer.code, answer.body) == (206, "01234")
    assert leases(flask) == 0


@pytest.mark.parametrize("path", ["/stream", "/file", "/made", "/missing"])
def test_a_head_request_ends_its_lease(flask: SubdomainDispatcher, path: str) -> None:
    assert ask(flask, path=path, REQUEST_METHOD="HEAD").body == ""
    assert leases(flask) == 0


def test_an_answer_without_a_body_ends_its_lease(flask: SubdomainDispatcher) -> None:
    answer = begin(flask, environ_of(path="/nothing"))  # Flask names a type here, which the validator minds
    assert (answer.read(), answer.code) == ("", 204)
    assert leases(flask) == 0


def test_werkzeugs_test_client_ends_its_leases_once_the_response_is_closed(flask: SubdomainDispatcher) -> None:
    client: Client = Client(flask)
    with client.get("/file", base_url="http://acme.example.com") as response:
        assert len(response.get_data()) == 1_000_000
    assert leases(flask) == 0


# Behind waitress


class Served:
    """A dispatcher behind a server of waitress that runs on a thread."""

    def __init__(self, application: "Application") -> None:
        self.port = free_port()
        self.server: Any = create_server(
            application, host="127.0.0.1", port=self.port, threads=4, asyncore_use_poll=True
        )
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()

    def get(self, path: str, method: str = "GET") -> bytes:
        """Make a request and read its answer."""
        connection = self.connect(path, method)
        body = connection.getresponse().read()
        connection.close()
        return body

    def connect(self, path: str, method: str = "GET") -> http.client.HTTPConnection:
        """Make a request and leave its answer unread."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers={"Host": "acme.example.com"})
        return connection

    def close(self) -> None:
        """Close all its sockets, on its own thread, and wait until it has ended."""
        self.server.trigger.pull_trigger(lambda: wasyncore.close_all(self.server._map))
        self.thread.join(10)
        assert not self.thread.is_alive()
        self.server.task_dispatcher.shutdown()


@pytest.fixture
def served(flask: SubdomainDispatcher) -> Iterator[Served]:
    made = Served(flask)
    yield made
    made.close()


def test_whole_answers_behind_waitress_end_their_leases(served: Served, flask: SubdomainDispatcher) -> None:
    assert served.get("/stream").count(b"\n") == 3
    assert served.get("/made") == b"made"
    assert len(served.get("/file")) == 1_000_000
    assert served.get("/file", "HEAD") == b""
    assert served.get("/nothing") == b""
    eventually(lambda: leases(flask) == 0)


def test_clients_that_take_their_time_over_a_file_hold_no_leases(served: Served, flask: SubdomainDispatcher) -> None:
    connections = [served.connect("/static/large") for _ in range(6)]
    for connection in connections:
        assert connection.getresponse().read(10) == bytes(10)
    assert leases(flask) == 0
    assert opened("large") == 6
    for connection in connections:
        connection.close()
    eventually(lambda: opened("large") == 0)


def opened(name: str) -> int:
    """Count the descriptors of this process that are open on files of a name."""
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += descriptor.readlink().name == name
    return found
