"""What an operator sees who restarts a running server by SIGHUP, and when that must not succeed."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests import tools
from tests.stories.served import Served, served
from tests.wsgi import wait_until

GREETING = """
def create_app(instance_path, config):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{word}"]
    return application
"""


def serving(running: Served) -> int:
    """Read which process serves the folder."""
    _, process = (running.root / "instance" / "serving").read_text().split()
    return int(process)


def replace(running: Served) -> int:
    """Ask for a successor, wait until it serves, and return its number."""
    before = serving(running)
    os.kill(before, signal.SIGHUP)
    wait_until(lambda: serving(running) != before, seconds=60)
    return serving(running)


def output(running: Served) -> str:
    return (running.root / "output.txt").read_text()


@contextmanager
def restarting(root: Path, port: int, *options: str, **settings: str) -> Iterator[Served]:
    """Serve, and end whoever serves at last."""
    with served(root, port, options, **settings) as running:
        try:
            yield running
        finally:
            last = serving(running)
            if last != running.process.pid:
                os.kill(last, signal.SIGTERM)
                wait_until(lambda: not runs(last), seconds=60)


def runs(process: int) -> bool:
    """Tell whether a process runs that need not be a child of this one."""
    with suppress(OSError):
        if Path("/proc").is_dir():
            return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        os.kill(process, 0)
        return True
    return False


def test_new_code_is_taken_in_while_the_site_answers(tmp_path: Path) -> None:
    """The first process ends with 0, commands go on printing the same addresses, and a supervisor hears of it all."""
    application = tmp_path / "tenants" / "greeting" / "__init__.py"
    application.parent.mkdir(parents=True)
    application.write_text(GREETING.format(word="good morning"))
    (tmp_path / ".env").write_text("TENANTRY_APPLICATION=greeting\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watching:
        watching.bind(str(tmp_path / "notify"))
        watching.settimeout(60)

        def told() -> str:
            return watching.recv(4096).decode().partition("\n")[0]

        with restarting(tmp_path, tools.free_port(), "--no-demo", NOTIFY_SOCKET=str(tmp_path / "notify")) as running:
            assert told() == "READY=1"
            running.command("add", "acme")
            assert running.get("acme.localhost")[1] == "good morning"
            application.write_text(GREETING.format(word="good evening"))
            assert running.get("acme.localhost")[1] == "good morning"
            process = replace(running)
            assert [told(), told()] == ["RELOADING=1", f"MAINPID={process}"]
            assert running.process.wait(60) == 0
            assert running.get("acme.localhost")[1] == "good evening"
            assert running.url("acme.localhost") in running.command("list").stdout
            assert output(running).count("Add a tenant") == 1
            wait_until(lambda: f"process {process} answers in the place of {running.process.pid}" in output(running))
        assert told() == "STOPPING=1"


def test_a_successor_that_cannot_serve_changes_nothing(tmp_path: Path) -> None:
    """Its own line says why, the log's that the old one goes on; once that is mended, the next one serves.

    It tests itself as the first did, and not by the socket that both have.
    """
    settings = {"TENANTRY_LOG_FORMAT": "text", "TENANTRY_PROXIES": "1"}
    with restarting(tmp_path, tools.free_port(), "--no-demo", **settings) as running:
        (tmp_path / ".env").write_text("TENANTRY_MIDDLEWARE=tests.applications:Forgetful")
        stays(running, "tenantry: TENANTRY_PROXIES=1 has no effect", 5)
        (tmp_path / ".env").unlink()
        assert replace(running) != running.process.pid
        assert running.get("localhost")[0] == 200
        wait_until(lambda: output(running).count("the start-up self-test went through") == 2)


def stays(running: Served, says: str, code: int) -> None:
    """Ask for a successor that ends, and see that nothing has changed."""
    running.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "nothing is handed over" in output(running), seconds=60)
    wait_until(lambda: says in output(running))
    assert f"has ended with {code} before it answered" in output(running)
    assert serving(running) == running.process.pid
    assert running.get("localhost")[0] == 200


def test_a_successor_without_a_registry_changes_nothing(tmp_path: Path) -> None:
    """The folder that is served leads elsewhere by now, where the registry is no database."""
    broken, current = tmp_path / "broken", tmp_path / "current"
    broken.mkdir()
    (broken / "registry.sqlite3").write_bytes(b"this is no database" * 1000)
    (tmp_path / "instance").mkdir()
    current.symlink_to("instance")
    with restarting(tmp_path, tools.free_port(), "--no-demo", TENANTRY_INSTANCE=str(current)) as running:
        current.unlink()
        current.symlink_to("broken")
        stays(running, "is not a database", 5)
