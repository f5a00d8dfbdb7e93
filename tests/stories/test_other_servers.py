"""The platform is a WSGI callable like any other: other servers, and Flask's own command, serve it too."""

import http.client
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import tools
from tests.stories.served import ROOT, environment
from tests.wsgi import wait_until

_WSGIREF = """
import sys
from wsgiref.simple_server import make_server
from serve import application
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""


def _ask(port: int, host: str, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def _answers(port: int) -> bool:
    try:
        return _ask(port, "localhost", "/-/healthz")[0] == 200
    except OSError:
        return False


@contextmanager
def running(root: Path, port: int, command: Sequence[str]) -> Iterator[None]:
    """Run a server in the checkout, on an instance folder of its own, until the `with` ends."""
    with (root / "output.txt").open("w+") as output:
        # Not "error": what other servers leave to the garbage collector is not ours to mend.
        settings = {**environment(root), "PYTHONWARNINGS": "default"}
        process = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: process.poll() is not None or _answers(port), seconds=60)
            assert process.poll() is None, (root / "output.txt").read_text()
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.mark.parametrize("server", ["waitress-serve", "wsgiref", "flask"])
def test_serve_application_runs_under_any_wsgi_server(tmp_path: Path, server: str) -> None:
    """`serve:application` and `flask --app serve run` answer for tenants, build included."""
    port = tools.free_port()
    commands = {
        "waitress-serve": [sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "serve:application"],
        "wsgiref": [sys.executable, "-c", _WSGIREF, str(port)],
        "flask": [sys.executable, "-m", "flask", "--app", "serve", "run", "--port", str(port), "--no-reload"],
    }
    _tenantry(tmp_path, "add", "acme", "--set", "SIGN_UP_OPEN=true")
    with running(tmp_path, port, commands[server]):
        assert _ask(port, "acme.localhost")[0] == 200
        assert _ask(port, "nobody.localhost")[0] == 404


def test_the_operators_commands_are_flask_commands_too(tmp_path: Path) -> None:
    """`flask --app serve tenants add acme` is `tenantry add acme`."""
    words = [sys.executable, "-m", "flask", "--app", "serve", "tenants"]
    for command in (["add", "acme"], ["list"]):
        ran = subprocess.run(
            [*words, *command], cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("acme\tactive\tgazette\t")


def test_importing_serve_opens_nothing(tmp_path: Path) -> None:
    """No instance folder appears, no thread starts."""
    code = "import threading, serve; assert threading.active_count() == 1"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(tmp_path), check=True)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


def _tenantry(root: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "tenantry", *words], cwd=ROOT, env=environment(root), check=True)
