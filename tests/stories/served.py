"""A platform served by a real process, for as long as a `with`."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.wsgi import wait_until

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Served:
    """A running server and the folder it works in."""

    root: Path
    port: int
    process: "subprocess.Popen[str]"

    def url(self, host: str, path: str = "/") -> str:
        return f"http://{host}:{self.port}{path}"

    def get(self, host: str, path: str = "/") -> tuple[int, str]:
        """Ask the server for a page by the Host header, as names below localhost need not resolve here."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"Host": f"{host}:{self.port}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type a tenantry command in the same folder."""
        return subprocess.run(
            [sys.executable, "-m", "tenantry", *words],
            cwd=self.root,
            env=environment(self.root),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def stop(self) -> int:
        """Ask the server to end, once, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def environment(root: Path) -> dict[str, str]:
    """Make the environment of a person who has this checkout installed and works in `root`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TENANTRY_")}
    path = os.pathsep.join([str(ROOT / "platform"), str(ROOT)])
    return {**kept, "PYTHONPATH": path, "TENANTRY_INSTANCE": str(root / "instance"), "PYTHONWARNINGS": "error"}


@contextmanager
def served(root: Path, port: int, options: Sequence[str] = (), **settings: str) -> Iterator[Served]:
    """Run `python3 serve.py` on a folder of its own until the `with` ends."""
    with (root / "output.txt").open("w+") as output:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "serve.py"), "--port", str(port), *options],
            cwd=root,
            env={**environment(root), **settings},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running = Served(root, port, process)
        try:
            wait_until(lambda: process.poll() is not None or _ready(running), seconds=60)
            assert process.poll() is None, (root / "output.txt").read_text()
            yield running
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(timeout=30)


def _ready(running: Served) -> bool:
    try:
        return running.get("127.0.0.1", "/-/readyz")[0] == 200
    except OSError:
        return False
