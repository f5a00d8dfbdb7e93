"""What an operator meets when a server starts, and when it should not."""

import subprocess
import sys
from pathlib import Path

from tests import tools
from tests.stories.served import ROOT, environment, served


def test_the_port_that_is_served_is_known_to_commands(tmp_path: Path) -> None:
    """The box names it, and so do addresses that a second terminal prints; when it has stopped it is forgotten."""
    with served(tmp_path, tools.free_port()) as running:
        listed = running.command("list")
        assert running.url("acme.localhost") in listed.stdout
        running.stop()
        assert ":8000/" in running.command("list").stdout


def test_no_demo_makes_no_tenant(tmp_path: Path) -> None:
    """And a start on a folder that has had tenants makes none either."""
    with served(tmp_path, tools.free_port(), ["--no-demo"]) as running:
        assert running.command("list", "--json").stdout.strip() == "[]"
        running.command("add", "solo")
        running.command("remove", "solo", "--yes")
        running.stop()
    with served(tmp_path, tools.free_port()) as again:
        assert again.command("list", "--json").stdout.strip() == "[]"


def test_a_declared_proxy_is_tried_at_the_start(tmp_path: Path) -> None:
    """A request is sent through everything that is wired, and what came of it stands in the log."""
    with served(
        tmp_path, tools.free_port(), ["--no-demo"], TENANTRY_PROXIES="1", TENANTRY_LOG_FORMAT="text"
    ) as running:
        assert running.get("localhost")[0] == 200
        running.stop()
    assert "the start-up self-test went through" in (tmp_path / "output.txt").read_text()


def test_proxy_settings_that_are_a_no_op_stop_the_start(tmp_path: Path) -> None:
    """Here a middleware takes the forwarded headers away: the server ends with one line that says so."""
    ran = _start(tmp_path, TENANTRY_PROXIES="1", TENANTRY_MIDDLEWARE="tests.applications:Forgetful")
    assert ran.returncode == 5
    last = ran.stderr.strip().splitlines()[-1]
    assert last.startswith("tenantry: TENANTRY_PROXIES=1 has no effect")
    assert "Traceback" not in ran.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """It says which port and what to do."""
    with served(tmp_path, tools.free_port(), ["--no-demo"]) as running:
        second = _start(tmp_path, port=running.port)
    assert second.returncode == 5
    assert second.stderr.strip() == (
        f"tenantry: Port {running.port} on 127.0.0.1 is already in use. "
        "Stop the other server or give --port 0 for a free one."
    )


def test_a_setting_that_is_none_is_one_line(tmp_path: Path) -> None:
    """A typing error in the environment stops the start instead of being ignored."""
    ran = _start(tmp_path, TENANTRY_THREDS="4")
    assert ran.returncode == 2
    assert (
        ran.stderr.strip()
        == "tenantry: TENANTRY_THREDS in the environment is not a setting. Did you mean TENANTRY_THREADS?"
    )


def _start(root: Path, port: int = 0, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "serve.py"), "--no-demo", "--port", str(port or tools.free_port())],
        cwd=root,
        env={**environment(root), **settings},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
