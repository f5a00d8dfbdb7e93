"""The log of `tenantry serve`: each request is a line, no secret is in any, and who does not read it stops nobody."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.logs import ROOT
from tests.servers import PATIENCE, until
from tests.tools import free_port

# As many lines as fill a pipe, and what the writer holds, several times over.
MANY = 600


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "platform"), str(ROOT)])}


def tenantry(root: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "tenantry", "--root", str(root), *words]


class Served:
    """A `tenantry serve` whose standard error is a pipe that is read when the test says so."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self._read, write = os.pipe()
        command = tenantry(root, "serve", "--no-demo", "--port", str(self.port))
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=write)
        os.close(write)
        until(self._answers)
        self.web = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def _answers(self) -> bool:
        assert self.process.poll() is None
        with suppress(OSError), closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)) as web:
            web.request("GET", "/-/healthz", headers={"Host": "localhost"})
            return web.getresponse().status == 200
        return False

    def get(self, path: str, **headers: str) -> int:
        self.web.request("GET", path, headers={"Host": f"acme.localhost:{self.port}", **headers})
        answer = self.web.getresponse()
        answer.read()
        return answer.status

    def end(self) -> int:
        self.web.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def lines(self) -> list[dict[str, Any]]:
        """Read what was written, after its end."""
        with os.fdopen(self._read) as stream:
            return [json.loads(line) for line in stream]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.web.close()
        with suppress(OSError):
            os.close(self._read)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with one tenant."""
    made = tmp_path_factory.mktemp("root")
    add = tenantry(made, "add", "acme", "--application", "tests.listening:handlers")
    subprocess.run(add, env=ENVIRONMENT, check=True, capture_output=True)
    return made


@pytest.fixture
def served(root: Path) -> Iterator[Served]:
    """A server in it."""
    made = Served(root)
    yield made
    made.close()


def test_a_request_is_one_line_without_its_secrets(served: Served) -> None:
    """Whatever a client sends: in path, query, headers; also where the application fails, or prints."""
    secrets = {
        name: f"Se{name}0cret1Of2Many3Letters4" for name in ("query", "cookie", "auth", "referer", "path", "view")
    }
    told = {
        "Cookie": f"session={secrets['cookie']}",
        "Authorization": f"Bearer {secrets['auth']}",
        "Referer": f"http://x/{secrets['referer']}",
    }
    assert served.get(f"/say/hello?token={secrets['query']}", **told) == 200
    assert served.get(f"/nowhere/{secrets['path']}") == 404
    assert served.get(f"/welcome/{secrets['view']}") == 500
    assert served.get("/-/maintenance/short") == 404
    assert served.get("/print/printed") == 200
    assert served.get("/warn") == 200
    assert served.end() == 0
    lines = served.lines()
    ended = [line for line in lines if line["logger"] == "tenantry.access" and line["tenant"] == "acme"]
    assert [(line["path"], line["status"]) for line in ended] == [
        ("/say/hello", 200),
        ("/nowhere/Sepa...", 404),
        ("/welcome/Sevi...", 500),
        ("/-/maintenance/...", 404),
        ("/print/printed", 200),
        ("/warn", 200),
    ]
    assert all(line["client"] == "127.0.0.1" and line["request_id"] and line["ms"] >= 0 for line in ended)
    assert not [line for line in lines if "cret1Of2" in json.dumps(line) or "/short" in json.dumps(line)]
    printed = [line for line in lines if line["logger"] == "stderr"]
    assert [line["message"] for line in printed] == ["printed", "12:00:00 INFO    forged", "printed too"]
    (warned,) = [line for line in lines if line["logger"] == "py.warnings"]
    assert {line["tenant"] for line in [*printed, warned]} == {"acme"}
    assert len({line["uid"] for line in [*ended, *printed]}) == 1


def test_who_does_not_read_the_log_stops_neither_a_request_nor_the_end(served: Served) -> None:
    """The pipe is full after a few hundred lines; all are answered, printing ones too, and SIGTERM ends it with 0."""
    for number in range(MANY):
        assert served.get(f"/print/{number}" if number % 5 == 0 else f"/say/{number}") == 200
    assert served.end() == 0
    lines = served.lines()
    assert 100 < len(lines) < MANY
    assert {line["tenant"] for line in lines if line["logger"] == "tenantry.access"} <= {"", "acme"}
